"""What a MOSN is pushed: everything at first, then what changed, clusters before endpoints before routes."""

from __future__ import annotations

import random

import pytest

from soadns.ads import inventory as inventories
from soadns.ads import push as pushes
from soadns.ads.peers import view
from soadns.ads.push import SHARED_AFTER_S, SHARED_LATEST_S, SHARED_S
from soadns.ads.sharedroutes import SharedRoutes
from soadns.ads.wire import CDS, RDS, resource, varint
from soadns.reports import mosnviews
from soadns.sidecar.mosn import REFUSED, SHARED_BOLT, SHARED_DUBBO, route_configuration, shared_dubbo
from soadns.speech import DUBBO
from tests.unit.ads_estate import ACCOUNT, MOVE, SHOP, USER, cluster, tell, told
from tests.unit.ads_peer import Mosn, inventory
from tests.unit.notation import ZONE
from tests.unit.routes_notation import RouteBook


def test_everything_at_first_and_nothing_twice() -> None:
    mosn = Mosn(inventory(told(*SHOP)))
    assert mosn.take() == [
        f"clusters {cluster('account')}", f"clusters {cluster('user')}",
        f"endpoints {cluster('account')}", f"endpoints {cluster('user')}",
        f"routes {USER}", f"routes {ACCOUNT}", "routes egress_dubbo", "routes egress_bolt",
    ]  # fmt: skip
    assert mosn.hosts[cluster("user")] == ["10.1.0.1"]
    assert mosn.leads(USER) == [cluster("user")]
    assert mosn.take() == []
    assert not mosn.push.behind


def test_a_move_is_the_router_of_who_was_left_at_once_and_what_all_share_afterwards() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, *MOVE)
    mosn.now += SHARED_S
    assert mosn.take() == [f"routes {USER}"]
    assert mosn.push.due(mosn.now) == pytest.approx(SHARED_AFTER_S)
    mosn.now += SHARED_AFTER_S
    assert mosn.take() == ["routes egress_dubbo"]
    assert mosn.leads(USER) == [cluster("account"), cluster("user")]


def test_what_all_share_waits_for_a_quiet_moment_but_not_for_ever() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    mosn.now += SHARED_S
    begin, sent = mosn.now, []
    for number in range(70):
        there, back = ("2", "1") if number % 2 == 0 else ("1", "2")
        tell(book, f"register com.x.User 10.1.0.{there}", f"unregister com.x.User 10.1.0.{back}; after 5s")
        tell(book, f"register com.x.New{number} 10.1.0.1")
        assert mosn.take()[0] == f"routes {USER}"
        if "routes egress_dubbo" in mosn.took[-1]:
            sent.append(round(mosn.now - begin, 1))
        mosn.now += 0.1
    assert sent == [pytest.approx(SHARED_LATEST_S, abs=0.11)]
    mosn.now += SHARED_AFTER_S
    assert mosn.take() == ["routes egress_dubbo"]


def test_an_endpoint_is_told_without_its_cluster() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "pods shop/user 10.1.0.1 10.1.0.9")
    assert mosn.take() == [f"endpoints {cluster('user')}"]
    assert mosn.hosts[cluster("user")] == ["10.1.0.1", "10.1.0.9"]


def test_an_interface_more_concerns_what_all_share_alone() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "register com.x.More 10.1.0.1")
    mosn.now += SHARED_S
    assert mosn.take() == []
    mosn.now += SHARED_AFTER_S
    assert mosn.take() == ["routes egress_dubbo"]


def test_a_cluster_is_emptied_after_the_routes_have_left_it() -> None:
    providers = "providers|20880||com.x.User"
    book = told(
        "Service shop/user 10.96.0.1 traffic=mesh; pods shop/user 10.1.0.1; register com.x.User 10.1.0.1",
        "register com.x.User 10.9.0.1",
    )
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "Service shop/user traffic=registry")
    first = mosn.take()
    assert first[:3] == [f"clusters {providers}", f"endpoints {providers}", f"routes {USER}"]
    tell(book, "Service shop/user traffic=mesh")
    assert mosn.take()[:2] == [f"routes {USER}", f"endpoints {providers}"]
    assert mosn.hosts[providers] == []


def test_what_is_gone_leads_nowhere() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "delete shop/account; after 10m")
    mosn.take()
    assert mosn.leads(ACCOUNT) == []
    assert mosn.hosts[cluster("account")] == []
    later = Mosn(mosn.inventory)
    later.take()
    assert later.leads(ACCOUNT) == [], "a file may have it still"


def test_refused_is_a_cluster_without_hosts() -> None:
    book = told(
        "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register com.x.User:1 10.1.0.1",
        "Service shop/next 10.96.0.2; pods shop/next 10.1.0.2; register com.x.User:2 10.1.0.2",
    )
    mosn = Mosn(inventory(book))
    mosn.take()
    assert mosn.leads(USER) == [cluster("user"), cluster("next"), REFUSED, cluster("user")]
    assert REFUSED not in mosn.hosts


def test_an_inventory_in_the_place_of_one_that_failed_has_all_that_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book, more = told(*SHOP), ("register com.x.Third 10.1.0.2", "register com.x.Fourth 10.1.0.1")
    first = Mosn(inventory(book))
    first.take()
    tell(book, more[0])
    with monkeypatch.context() as broken:
        broken.setattr(inventories.mosn, "router", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            first.follow()
    tell(book, more[1])
    second, beside = Mosn(inventory(book)), Mosn(inventory(told(*SHOP, *more)))
    assert second.take() == beside.take()
    assert second.inventory.resources == beside.inventory.resources
    for name in (SHARED_DUBBO, SHARED_BOLT):
        assert second.inventory.get((RDS, name), None) == beside.inventory.get((RDS, name), None)


def test_who_is_slow_is_told_less_often_and_more_at_once() -> None:
    book = told(*SHOP)
    stock = inventory(book)
    quick, slow = Mosn(stock), Mosn(stock)
    quick.take()
    slow.take()
    for number in range(5):
        tell(book, f"pods shop/user 10.1.0.1 10.1.1.{number}")
        assert quick.take() == [f"endpoints {cluster('user')}"]
    assert slow.take() == [f"endpoints {cluster('user')}"]
    assert slow.hosts == quick.hosts


def test_who_fell_too_far_behind_is_told_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventories, "MOST_CHANGES", 2)
    book = told(*SHOP)
    stock = inventory(book)
    quick, slow = Mosn(stock), Mosn(stock)
    slow.take()
    for number in range(4):
        tell(book, f"pods shop/user 10.1.0.1 10.1.1.{number}")
        quick.take()
    slow.take()
    assert slow.hosts == quick.hosts
    assert slow.routers == quick.routers


def test_a_router_for_every_interface_is_sent_at_most_once_a_second() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "register com.x.More 10.1.0.1")
    assert mosn.take() == []
    assert mosn.push.due(mosn.now) == pytest.approx(SHARED_S)
    mosn.now += SHARED_S
    assert mosn.push.due(mosn.now) == 0.0
    assert mosn.take() == ["routes egress_dubbo"]
    assert mosn.push.due(mosn.now) is None


def test_a_large_router_for_every_interface_is_sent_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "SHARED_OCTETS_PER_S", 10)
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, "register com.x.More 10.1.0.1")
    assert mosn.take() == []
    size = len(mosn.inventory.get((RDS, "egress_dubbo"), None).octets)  # type: ignore[union-attr]
    assert mosn.push.due(mosn.now) == pytest.approx(size / 10, rel=0.5)


def test_a_change_puts_no_router_for_every_interface_together(monkeypatch: pytest.MonkeyPatch) -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    monkeypatch.delattr(SharedRoutes, "whole")
    tell(book, *MOVE)
    mosn.now += SHARED_S
    assert mosn.take() == [f"routes {USER}"]


def in_a_file(book: RouteBook) -> object:
    """The router for every interface, as a file of this moment would have it."""
    gathered = mosnviews.Gathered()
    for _ in mosnviews.gather(book.estate.zones[ZONE], book.routing, frozenset(), gathered):
        pass
    return route_configuration(shared_dubbo(gathered.dubbo))


def test_what_is_pushed_for_every_interface_is_what_the_file_has() -> None:
    book = told(*SHOP, "register com.x.More,com.x.Else 10.1.0.1", *MOVE)
    mosn = Mosn(inventory(book))
    mosn.take()
    assert mosn.routers["egress_dubbo"] == in_a_file(book)
    hosts = mosn.routers["egress_dubbo"]["virtual_hosts"]
    assert sorted(len(host["domains"]) for host in hosts) == [1, 2, 3]


PATHS = (
    "register com.x.Star 10.1.0.1 path=*; register com.x.Api 10.1.0.1 path=api; register com.x.Else 10.1.0.2 path=api",
    "register com.x.Evil 10.1.0.2 path=com.x.Address; register com.x.Two 10.1.0.2 path=com.x.two",
)


def test_what_is_pushed_of_paths_is_what_the_file_has_and_nobodys_but_their_own() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    tell(book, *PATHS)
    mosn.take()
    mosn.now += SHARED_S
    mosn.take()
    assert mosn.routers["egress_dubbo"] == in_a_file(book)
    led = {
        domain: sorted({route["route"]["cluster"].split("|")[3].split(".")[0] for route in host["routes"]})
        for host in mosn.routers["egress_dubbo"]["virtual_hosts"]
        for domain in host["domains"]
    }
    assert led == {
        "*": [], "com.x.address": ["user"], "com.x.api": ["user"], "com.x.else": ["account"],
        "com.x.evil": ["account"], "com.x.pay": ["account"], "com.x.two": ["account"], "com.x.user": ["user"],
    }  # fmt: skip


def test_who_does_not_see_what_changed_of_a_shared_router_is_not_sent_it() -> None:
    book = told(*SHOP, "Service far/other 10.96.0.9; pods far/other 10.1.0.9")
    mosn = Mosn(inventory(book), view("shop", "namespace", ()))
    mosn.take()
    tell(book, "register com.x.Far 10.1.0.9")
    assert mosn.take() == []
    mosn.now += SHARED_S + SHARED_AFTER_S
    assert mosn.push.due(mosn.now) == 0.0
    assert mosn.take() == []
    assert mosn.push.due(mosn.now) is None


def test_polls_are_not_answered_and_refusals_are_noted() -> None:
    book = told(*SHOP)
    mosn = Mosn(inventory(book))
    mosn.take()
    said = mosn.push.told[CDS]
    assert mosn.push.hear(CDS, said.version, said.nonce, "") == ""  # it asks again and again
    assert mosn.take() == []
    tell(book, *MOVE)
    mosn.follow()
    assert mosn.push.behind
    for batch in mosn.push.take(9.0):
        routes = mosn.push.told[RDS]
        assert batch.kind == RDS
        assert mosn.push.hear(RDS, "old", routes.nonce, "bad route") == "bad route"
    assert mosn.push.behind
    assert mosn.push.refusals
    assert mosn.push.hear(RDS, "x", "of another time", "bad") == ""


def test_a_large_first_push_comes_in_pieces() -> None:
    rows = [
        f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
        for n in range(1, 40)
    ]
    mosn = Mosn(inventory(told(*rows)))
    mosn.follow()
    sizes = [len(batch.octets) for batch in mosn.push.take(0.0)]
    assert max(sizes) <= pushes.MOST_OCTETS + 200


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_a_late_stream_has_what_an_early_one_has(seed: int) -> None:
    dice = random.Random(seed)
    book = told(*SHOP, "Service shop/third 10.96.0.3; pods shop/third 10.1.0.3")
    stock = inventory(book)
    early = Mosn(stock)
    deeds = [
        "register com.x.User 10.1.0.2", "unregister com.x.User 10.1.0.1; after 5s", "register com.x.User 10.1.0.1",
        "unregister com.x.User 10.1.0.2; after 5s", "register blue/com.x.User 10.1.0.3", "register com.x.user 10.1.0.3",
        "register com.x.Else 10.1.0.2 path=api", "register com.x.Else 10.1.0.2 path=com.x.User",
        "register com.x.More 10.1.0.3 path=api", "register com.x.Star 10.1.0.3 path=*",
        "unregister com.x.Else 10.1.0.2; after 5s",
        "unregister blue/com.x.User 10.1.0.3; after 5s", "pods shop/third 10.1.0.3 10.1.0.4", "delete shop/account",
        "Service shop/account 10.96.0.7 new; pods shop/account 10.1.0.2", "after 11m",
    ]  # fmt: skip
    for _ in range(12):
        for statement in dice.choice(deeds).split(";"):
            try:
                book.say(statement.strip())
            except (AssertionError, KeyError):
                continue  # what is not there can not be taken away
        book.flush()
        early.now += dice.choice([0.1, 2.0])
        early.take()
    early.now += 2.0
    early.take()
    late = Mosn(stock, now=early.now)
    late.take()
    assert {name: early.routers[name] for name in late.routers} == late.routers
    assert {name: early.hosts[name] for name in late.hosts} == late.hosts
    assert early.routers.keys() == late.routers.keys()
    if all(
        book.table.anywhere.routes(wire, DUBBO) for wire in book.table.wires.of
    ):  # no name is bound to what was deleted
        assert late.routers["egress_dubbo"] == in_a_file(book)
    seen = Mosn(stock, frozenset({"shop"}))
    seen.take()
    assert seen.routers["egress_dubbo"] == late.routers["egress_dubbo"]


def test_numbers_and_resources_are_as_protocol_buffers_have_them() -> None:
    assert [varint(n) for n in (0, 1, 127, 128, 300)] == [b"\0", b"\x01", b"\x7f", b"\x80\x01", b"\xac\x02"]
    assert resource("t", b"x" * 200)[:9] == b"\x12\xce\x01\x0a\x01t\x12\xc8\x01"


def test_interfaces_with_the_same_rules_are_held_once() -> None:
    stock = inventory(told("Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register U{1..9} 10.1.0.1"))
    for _ in stock.follow():
        pass
    parts = stock._shared._parts[SHARED_DUBBO]
    assert len(parts) >= 9
    assert len({id(part) for part in parts.values()}) == 1
