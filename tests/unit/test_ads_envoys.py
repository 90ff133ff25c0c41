"""What an Envoy is told over incremental xDS: nothing is named before it is there, and nothing is told twice."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from soadns.ads import delta, envoyinventory
from soadns.ads.delta import Delta, DeltaRequest
from soadns.ads.envoyinventory import EnvoyInventory
from soadns.ads.peers import view
from soadns.ads.wire import KINDS
from soadns.sidecar.envoy import CLUSTERS, ENDPOINTS, IN_ORDER, LISTENERS, REFUSED, ROUTES
from tests.unit.ads_estate import ACCOUNT, MOVE, SHOP, USER, VIEWS, cluster, tell, told, wandering
from tests.unit.ads_peer import encode, fields
from tests.unit.notation import ZONE
from tests.unit.routes_notation import RouteBook


def inventory(book: RouteBook) -> EnvoyInventory:
    return EnvoyInventory(ZONE, book.routing, encode)


@dataclass
class Envoy:
    """An Envoy as far as its stream is concerned; it refuses what names something that it does not have."""

    stock: EnvoyInventory
    sees: frozenset[str] | None = None
    has: dict[str, dict[str, tuple[str, dict[str, Any]]]] = field(
        default_factory=lambda: {kind: {} for kind in IN_ORDER}
    )
    """By type and name: version and resource."""
    refuses: str = ""
    """A name that it does not take."""

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """A new stream, with what it has from the one before."""
        self.stream = Delta(self.stock, self.sees, "replica")
        self.wants: dict[str, set[str]] = {ENDPOINTS: set(), ROUTES: set()}
        for kind in (CLUSTERS, LISTENERS):
            self.say(kind, initial={name: version for name, (version, _) in self.has[kind].items()})
        self.subscribe()

    def say(self, kind: str, **said: Any) -> str:
        whole: dict[str, Any] = {"nonce": "", "error": "", "subscribe": (), "unsubscribe": (), "initial": {}}
        return self.stream.hear(DeltaRequest(kind, node="", metadata={}, **(whole | said)))

    def subscribe(self) -> None:
        """Ask for the endpoints and rules that clusters and listeners need."""
        needs = {ENDPOINTS: set(self.has[CLUSTERS]), ROUTES: set()}
        for name, (_, listener) in self.has[LISTENERS].items():
            if "drds" in listener["filter_chains"][0]["filters"][0]["typed_config"]:
                needs[ROUTES].add(name)
        for kind, names in needs.items():
            more, fewer = names - self.wants[kind], self.wants[kind] - names
            if more or fewer:
                first = not self.wants[kind]
                initial = {n: self.has[kind][n][0] for n in more if n in self.has[kind]} if first else {}
                self.say(
                    kind, subscribe=tuple(sorted(more)), unsubscribe=tuple(sorted(fewer)), initial=initial
                )
                self.wants[kind] = names
                for name in fewer:
                    self.has[kind].pop(name, None)

    def take(self) -> list[str]:
        """Read until nothing more comes; returns what came, a word a resource, ``-`` before what went."""
        for _ in self.stock.follow():
            pass
        heard: list[str] = []
        if self.stream.lost:
            self.connect()
        while self.stream.due:
            for batch in self.stream.take():
                heard += self.read(batch.kind, batch.octets)
        return heard

    def read(self, kind: str, octets: bytes) -> list[str]:
        heard, nonce, error = [], "", ""
        for number, value in fields(octets):
            if number == 5:
                nonce = value.decode()
            elif number == 6:
                self.has[kind].pop(value.decode(), None)
                heard.append(f"-{KINDS[kind]} {value.decode()}")
            elif number == 2:
                resource = dict(fields(value))
                name, version = resource[3].decode(), resource[1].decode()
                packed = dict(fields(resource[2]))
                assert packed[1].decode() == kind
                if name == self.refuses:
                    error = f"{name} is not to my taste"
                    continue
                self.has[kind][name] = (version, json.loads(packed[2]))
                heard.append(f"{KINDS[kind]} {name}")
        self.sound(kind)
        self.say(kind, nonce=nonce, error=error)
        self.subscribe()
        return heard

    def sound(self, kind: str) -> None:
        """Whatever is named is there."""
        clusters = {*self.has[CLUSTERS], REFUSED}
        if kind == LISTENERS:
            for _, listener in self.has[LISTENERS].values():
                settings = listener["filter_chains"][0]["filters"][0]["typed_config"]
                assert settings.get("cluster", REFUSED) in clusters
                assert settings.get("cluster", REFUSED) in {*self.has[ENDPOINTS], REFUSED}
        for _, rules in self.has[ROUTES].values():
            for row in rules["route_config"]:
                assert row["routes"][0]["route"]["cluster"] in clusters
                assert row["routes"][0]["route"]["cluster"] in {*self.has[ENDPOINTS], REFUSED}

    def leads(self, name: str) -> list[str]:
        _, rules = self.has[ROUTES][name]
        return [row["routes"][0]["route"]["cluster"] for row in rules["route_config"]]

    def hosts(self, name: str) -> list[str]:
        _, ends = self.has[ENDPOINTS][name]
        return [
            end["endpoint"]["address"]["socket_address"]["address"]
            for each in ends["endpoints"] for end in each["lb_endpoints"]
        ]  # fmt: skip


def test_everything_at_first_and_then_nothing() -> None:
    envoy = Envoy(inventory(told(*SHOP)))
    heard = envoy.take()
    kinds = [line.split()[0] for line in heard]
    assert kinds[:6] == ["clusters"] * 2 + ["endpoints"] * 2 + ["listeners"] * 2
    assert envoy.hosts(cluster("user")) == ["10.1.0.1"]
    assert envoy.leads(USER) == [cluster("user")]
    assert envoy.take() == []
    assert not envoy.stream.behind


def test_a_cluster_ip_that_is_anothers_is_led_by_nothing_of_who_had_it() -> None:
    """A Service without interfaces needs no listener: Envoy passes on what it has none for."""
    book = told(*SHOP)
    envoy = Envoy(inventory(book))
    envoy.take()
    tell(book, "Service shop/user 10.96.0.7 new; Service shop/web 10.96.0.1; pods shop/web 10.1.0.8")
    envoy.take()
    assert USER not in envoy.has[LISTENERS]
    assert cluster("web") not in envoy.has[CLUSTERS]
    tell(book, "pods shop/web 10.1.0.9", "delete shop/web", "Service shop/web 10.96.0.1 port=80")
    assert envoy.take() == []
    assert cluster("web") not in book.routing.clusters[ZONE].clusters


def test_a_move_is_a_rule_and_no_listener() -> None:
    book = told(*SHOP)
    envoy = Envoy(inventory(book))
    envoy.take()
    tell(book, *MOVE)
    assert envoy.take() == [f"routes {USER}"]
    assert envoy.leads(USER) == [cluster("account"), cluster("user")]


def test_an_endpoint_is_told_alone() -> None:
    book = told(*SHOP)
    envoy = Envoy(inventory(book))
    envoy.take()
    tell(book, "pods shop/user 10.1.0.1 10.1.0.9")
    assert envoy.take() == [f"endpoints {cluster('user')}"]
    assert envoy.hosts(cluster("user")) == ["10.1.0.1", "10.1.0.9"]


def test_what_is_gone_goes_and_its_cluster_at_the_end() -> None:
    book = told(*SHOP)
    envoy = Envoy(inventory(book))
    envoy.take()
    tell(book, "delete shop/account; after 10m")
    assert envoy.take() == [f"-listeners {ACCOUNT}", f"-clusters {cluster('account')}"]


def test_one_that_comes_again_is_told_what_is_different_by_another_replica_too() -> None:
    book = told(*SHOP)
    envoy = Envoy(inventory(book))
    envoy.take()
    envoy.connect()
    assert envoy.take() == []
    tell(book, *MOVE, "Service shop/third 10.96.0.3; pods shop/third 10.1.0.3; register com.x.New 10.1.0.3")
    tell(book, "delete shop/account; after 10m")
    envoy.stock = inventory(book)
    envoy.connect()
    heard = envoy.take()
    assert f"-listeners {ACCOUNT}" in heard
    assert f"-clusters {cluster('account')}" in heard
    assert f"endpoints {cluster('user')}" not in heard
    fresh = Envoy(envoy.stock)
    fresh.take()
    assert envoy.has == fresh.has


def test_what_is_refused_is_noted_although_more_was_sent_before_the_peer_could_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of several responses of one type, one is refused, and what comes after it is not."""
    monkeypatch.setattr(delta, "MOST_OCTETS", 1)
    book = told(*SHOP)
    envoy = Envoy(inventory(book), refuses=min(USER, ACCOUNT))
    for _ in envoy.stock.follow():
        pass
    while envoy.stream.due:
        for batch in list(envoy.stream.take()):
            envoy.read(batch.kind, batch.octets)
    assert envoy.stream.refusals == 1
    assert envoy.stream.told[LISTENERS].refused == f"{envoy.refuses} is not to my taste"
    assert envoy.stream.behind
    envoy.refuses = ""
    tell(book, "register com.x.User 10.1.0.1 serialization=fastjson2 timestamp=7")
    assert envoy.take() == [f"listeners {USER}"]
    assert not envoy.stream.behind


def test_what_is_refused_is_noted_and_not_sent_again() -> None:
    book = told(*SHOP)
    envoy = Envoy(inventory(book), refuses=USER)
    envoy.take()
    assert USER not in envoy.has[LISTENERS]
    assert envoy.stream.refusals
    assert envoy.stream.told[LISTENERS].refused == f"{USER} is not to my taste"
    assert envoy.stream.behind
    assert envoy.take() == []
    envoy.refuses = ""
    tell(book, "register com.x.User 10.1.0.1 serialization=fastjson2 timestamp=7")
    assert envoy.take() == [f"listeners {USER}"]
    assert not envoy.stream.behind


def test_what_is_not_there_is_said_to_be_gone() -> None:
    envoy = Envoy(inventory(told(*SHOP)))
    envoy.take()
    envoy.say(ROUTES, subscribe=("10.96.9.9_1",))
    assert envoy.take() == ["-routes 10.96.9.9_1"]


def test_a_node_sees_its_namespaces_and_where_these_lead() -> None:
    book = told(
        *SHOP, "Service pay/till 10.96.0.9; pods pay/till 10.1.0.9; register com.x.Till 10.1.0.9",
        "register com.x.User 10.1.0.9", "unregister com.x.User 10.1.0.1; after 5s",
    )  # fmt: skip
    stock = inventory(book)
    shop, pay = Envoy(stock, view("shop", "namespace", ())), Envoy(stock, view("pay", "namespace", ()))
    shop.take()
    pay.take()
    till = "outbound|20880||till.pay.svc.cluster.local"
    assert set(shop.has[LISTENERS]) == {USER, ACCOUNT}
    assert set(shop.has[CLUSTERS]) == {cluster("user"), cluster("account"), till}
    assert set(pay.has[CLUSTERS]) == {till}
    tell(book, "register com.x.User 10.1.0.1", "unregister com.x.User 10.1.0.9; after 5s")
    assert f"-clusters {till}" in shop.take()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_a_late_stream_has_what_an_early_one_has(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envoyinventory, "MOST_CHANGES", 6)
    dice = random.Random(seed)
    book = told(*SHOP, "Service shop/third 10.96.0.3; pods shop/third 10.1.0.3")
    stock = inventory(book)
    early, slow = Envoy(stock), Envoy(stock)
    deeds = [
        "register com.x.User 10.1.0.2", "unregister com.x.User 10.1.0.1; after 5s", "register com.x.User 10.1.0.1",
        "unregister com.x.User 10.1.0.2; after 5s", "register blue/com.x.User 10.1.0.3", "register com.x.user 10.1.0.3",
        "unregister blue/com.x.User 10.1.0.3; after 5s", "pods shop/third 10.1.0.3 10.1.0.4", "delete shop/account",
        "Service shop/account 10.96.0.7 new; pods shop/account 10.1.0.2", "after 11m",
        "register com.x.user 10.1.0.3 serialization=fastjson2 timestamp=3",
    ]  # fmt: skip
    for _ in range(12):
        for statement in dice.choice(deeds).split(";"):
            try:
                book.say(statement.strip())
            except (AssertionError, KeyError):
                continue  # what is not there can not be taken away
        book.flush()
        early.take()
        if dice.random() < 0.2:
            slow.take()
        if dice.random() < 0.2:
            slow.connect()
    late = Envoy(stock)
    for each in (early, slow, late):
        each.take()
    assert early.has == late.has
    assert slow.has == late.has


@pytest.mark.parametrize("seed", range(10))
def test_what_may_be_seen_by_whom_is_what_going_through_everything_finds(seed: int) -> None:
    for stock in wandering(inventory, seed):
        for kind in IN_ORDER:
            there = {name for of, name in stock.resources if of == kind}
            assert stock.names(kind, None) == there
            for sees in VIEWS:
                at = {name: place for name, place in stock.places.items() if place.namespace in sees}
                leads = {name for place in at.values() for name in place.clusters}
                assert stock.names(kind, sees) == there & (
                    leads if kind in (CLUSTERS, ENDPOINTS) else at.keys()
                )
    assert stock.names(LISTENERS, frozenset({"shop"}))
