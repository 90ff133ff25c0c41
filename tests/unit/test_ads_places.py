"""Whose a ClusterIP is by now, as a MOSN is told: of Services that are created again, deleted, or take one over."""

from __future__ import annotations

import contextlib
import random

import pytest

from soadns.sidecar.clusters import of_slices
from tests.unit.ads_estate import ACCOUNT, MOVE, SHOP, USER, cluster, tell, told
from tests.unit.ads_peer import Mosn, inventory
from tests.unit.routes_notation import RouteBook


def test_who_is_connected_to_a_service_that_is_created_again_follows_to_its_new_cluster_ip() -> None:
    book = told(*SHOP, *MOVE)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "Service shop/user 10.96.0.7 new")
    mosn.take()
    assert mosn.leads("10.96.0.7_20880") == mosn.leads(USER) == [cluster("user")]
    tell(book, "register com.x.Pay 10.1.0.1", "unregister com.x.Pay 10.1.0.2; after 5s")
    tell(book, "register com.x.Pay 10.1.0.2", "unregister com.x.Pay 10.1.0.1; after 5s")
    mosn.take()
    assert mosn.leads("10.96.0.7_20880") == mosn.leads(USER) == [cluster("account"), cluster("user")]
    tell(book, "Service shop/third 10.96.0.1; pods shop/third 10.1.0.3; register com.x.Third 10.1.0.3")
    mosn.take()
    assert mosn.leads(USER) == [cluster("third")], "it is another one's now"
    tell(book, "delete shop/user; after 10m")
    mosn.take()
    assert mosn.leads("10.96.0.7_20880") == []
    assert mosn.leads(USER) == [cluster("third")]


def says(book: RouteBook, router: str) -> str:
    """The cluster to which ``soadns resolve`` says that any call at the place of a router goes; ``''``: nobody's."""
    address, _, port = router.rpartition("_")
    vip = book.table.find(address, int(port))
    target = vip.routes[-1].target if vip is not None else None
    return target.cluster if target is not None else ""


WEB = "Service shop/web 10.96.0.1; pods shop/web 10.1.0.8"


def test_a_cluster_ip_that_a_service_without_interfaces_takes_is_that_ones() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "Service shop/user 10.96.0.7 new")
    mosn.take()
    assert mosn.leads(USER) == [cluster("user")]
    tell(book, WEB)
    assert mosn.take() == [f"clusters {cluster('web')}", f"endpoints {cluster('web')}", f"routes {USER}"]
    assert mosn.leads(USER) == [says(book, USER)] == [cluster("web")]
    assert mosn.hosts[cluster("web")] == ["10.1.0.8"]
    tell(book, "pods shop/web 10.1.0.9")
    assert mosn.take() == [f"endpoints {cluster('web')}"]
    assert mosn.hosts[cluster("web")] == ["10.1.0.9"]
    tell(book, "Service shop/web port=80")
    mosn.take()
    assert mosn.leads(USER) == [], "it has no such port"
    tell(book, "Service shop/web port=20880", "register com.x.Web 10.1.0.9")
    mosn.take()
    assert mosn.leads(USER) == [cluster("web")]
    tell(book, "delete shop/web; after 11m")
    mosn.take()
    assert mosn.leads(USER) == [], "it was another one's last"


def test_a_service_without_interfaces_is_called_at_the_cluster_ip_of_one_that_is_deleted() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, f"delete shop/user; {WEB}")
    mosn.take()
    assert mosn.leads(USER) == [cluster("web")]
    assert mosn.hosts[cluster("web")] == ["10.1.0.8"]
    assert says(book, USER) == cluster("web")
    later = Mosn(mosn.inventory)
    later.take()
    assert later.leads(USER) == [cluster("web")]
    assert later.hosts[cluster("web")] == ["10.1.0.8"]
    tell(book, "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; delete shop/web", "after 5s")
    mosn.take()
    assert mosn.leads(USER) == [cluster("user")]


def test_who_comes_with_an_older_file_is_told_whose_a_cluster_ip_is_by_now() -> None:
    book = told(*SHOP)
    tell(book, f"delete shop/user; {WEB}")
    mosn = Mosn(inventory(book))
    mosn.take()
    assert mosn.leads(USER) == [cluster("web")]
    assert mosn.hosts[cluster("web")] == ["10.1.0.8"]


def test_a_service_that_has_no_interface_any_more_is_called_at_its_own_cluster_ip() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(
        book, "register com.x.Pay 10.1.0.1", "unregister com.x.Pay 10.1.0.2; after 11m", "forget shop/account"
    )
    mosn.take()
    assert ("10.96.0.2", 20880) not in book.table.vips
    assert mosn.leads(ACCOUNT) == [says(book, ACCOUNT)] == [cluster("account")]
    assert mosn.hosts[cluster("account")] == ["10.1.0.2"]


@pytest.mark.parametrize("seed", range(30))
def test_whoever_has_a_cluster_ip_is_called_there(seed: int) -> None:
    dice = random.Random(seed)
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    deeds = [
        "delete shop/user", "delete shop/account", "delete shop/web", WEB, "Service shop/web 10.96.0.2 port=20880,80",
        "Service shop/web 10.96.0.9 new", "Service shop/web port=80", "pods shop/web 10.1.0.8 10.1.0.9",
        "Service shop/user 10.96.0.1 new; pods shop/user 10.1.0.1", "Service shop/user 10.96.0.7 new",
        "Service shop/account 10.96.0.1 new; pods shop/account 10.1.0.2", "register com.x.Web 10.1.0.8",
        "unregister com.x.Web 10.1.0.8; after 11m", "after 5s", "register com.x.User 10.1.0.2",
        "unregister com.x.User 10.1.0.1; after 5s",
    ]  # fmt: skip
    for _ in range(40):
        for statement in dice.choice(deeds).split(";"):
            with contextlib.suppress(AssertionError, KeyError):  # what is not there can not be changed
                book.say(statement.strip())
        book.flush()
        if dice.random() < 0.5:
            continue
        mosn.take()
        for router in mosn.routers.keys() - {"egress_dubbo", "egress_bolt"}:
            if holder := says(book, router):
                assert mosn.leads(router)[-1] == holder, router
                assert mosn.hosts[holder] == ends_of(book, router), holder


def ends_of(book: RouteBook, router: str) -> list[str]:
    """The pods of whoever has the ClusterIP of a router."""
    address, _, port = router.rpartition("_")
    ref = book.table.services.holder(address)
    assert ref is not None
    store = book.zone.store
    ends = of_slices(store.endpoints.slices.get(ref, {}).values(), store.services.by_ref[ref], int(port))
    return sorted(end[0] for end in ends)
