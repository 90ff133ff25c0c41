"""What a node is told that may see some namespaces alone, and how it is known which."""

from __future__ import annotations

from collections import Counter

import pytest

from soadns.ads.peers import namespace_of, view
from soadns.ads.wire import RDS
from soadns.sidecar.mosn import REFUSED
from tests.unit.ads_estate import USER, VIEWS, cluster, tell, told, wandering
from tests.unit.ads_peer import Mosn, inventory

ISOLATED = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register com.x.User,com.x.Address 10.1.0.1",
    "Service pay/till 10.96.0.2; pods pay/till 10.1.0.2; register com.y.Till 10.1.0.2",
)


def test_a_node_sees_its_namespace_and_where_that_leads() -> None:
    book = told(*ISOLATED)
    stock = inventory(book)
    everything, mine = Mosn(stock), Mosn(stock, frozenset({"shop"}))
    everything.take()
    mine.take()
    assert mine.routers.keys() == {USER, "egress_dubbo", "egress_bolt"}
    assert "till" not in str(mine.routers)
    assert mine.clusters == {REFUSED, cluster("user")}
    tell(book, "register com.x.User 10.1.0.2", "unregister com.x.User 10.1.0.1; after 5s")
    mine.now = everything.now = 2.0
    mine.take()
    there = "outbound|20880||till.pay.svc.cluster.local"
    assert mine.leads(USER) == [there, cluster("user")]
    assert mine.hosts[there] == ["10.1.0.2"]
    assert "10.96.0.2_20880" not in mine.routers


@pytest.mark.parametrize(
    ("names", "namespace"),
    [
        ([b"spiffe://cluster.local/ns/shop/sa/web"], "shop"),
        ([b"web.shop.svc", b"spiffe://x/ns/pay/sa/till"], "pay"),
        ([b"spiffe://x/ns/shop"], ""),
        ([b"spiffe://x/ns//sa/web"], ""),
        ([b"spiffe://x/y/ns/shop/sa/web"], ""),
        (["web.shop.svc"], ""),
        ([], ""),
    ],
)
def test_the_namespace_of_a_certificate(names: list[bytes | str], namespace: str) -> None:
    assert namespace_of(names) == namespace


def test_views() -> None:
    assert view("shop", "none", ()) is None
    assert view("shop", "namespace", ("common",)) == {"shop", "common"}


def test_a_node_is_told_that_a_place_is_one_that_it_may_not_see() -> None:
    book = told(*ISOLATED)
    stock = inventory(book)
    mine, theirs = Mosn(stock, frozenset({"shop"})), Mosn(stock, frozenset({"pay"}))
    mine.take()
    theirs.take()
    tell(book, "delete shop/user; Service pay/web 10.96.0.1; pods pay/web 10.1.0.8")
    mine.take()
    theirs.take()
    assert mine.leads(USER) == []
    assert theirs.leads(USER) == ["outbound|20880||web.pay.svc.cluster.local"]
    late = Mosn(stock, frozenset({"shop"}))
    late.take()
    assert late.leads(USER) == []
    assert "pay" not in str(late.routers) + str(late.hosts)
    tell(book, "delete pay/web; Service shop/user 10.96.0.1; pods shop/user 10.1.0.1", "after 5s")
    mine.take()
    theirs.take()
    assert mine.leads(USER) == [cluster("user")]
    assert theirs.leads(USER) == []


@pytest.mark.parametrize("seed", range(10))
def test_what_is_needed_by_whom_is_what_going_through_everything_finds(seed: int) -> None:
    for stock in wandering(inventory, seed):
        for sees in VIEWS:
            routers = [each for (kind, _), each in stock.resources.items() if kind == RDS]
            needed = {name for each in routers if each.namespace in sees for name in each.clusters}
            for parts in stock._shared._parts.values():
                needed |= {
                    name for part in parts.values() if part.namespaces & sees for name in part.clusters
                }
            assert stock.led_to(sees) == needed
            wholes = [stock.get((RDS, name), sees) for name in stock._shared.names]
            assert {name for whole in wholes if whole is not None for name in whole.clusters} <= needed
        counted = Counter(part for parts in stock._shared._parts.values() for part in parts.values())
        assert {part: uses for part, (_, uses) in stock._shared._uses.items()} == counted
    assert stock.led_to(frozenset({"shop"}))
