"""Names with many providers: what is kept from change to change equals what one would compute, and costs little."""

from __future__ import annotations

import sys
from collections import Counter
from hashlib import blake2b
from ipaddress import ip_address
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.binding import known as known_module
from soadns.binding.crowd import look_through
from soadns.binding.estate import Estate
from soadns.binding.pool import Seen, Spot, answer_set, observe
from soadns.model import (
    Delete,
    InterfaceId,
    Node,
    ObjectRef,
    Override,
    Port,
    Provider,
    Service,
    Synced,
    Upsert,
)
from tests.unit.notation import NOON, SOURCES, ZONE, zone_settings

ZK, SECOND, KUBE = SOURCES["zookeeper"], SOURCES["second"], SOURCES["kube"]
BIG = InterfaceId("com.x.Big")
_hosts = st.sampled_from(["10.9.0.1", "10.9.0.2", "10.9.0.3", "fd00::1", "vm.example"])
_edits = st.tuples(
    st.sampled_from([ZK, ZK, SECOND]),
    _hosts,
    st.sampled_from(["a", "a", "b"]),
    st.sampled_from(["up", "up", "down", "disabled", "persistent", "override", "no override", "minute"]),
    st.integers(0, 2),
)


@given(st.lists(_edits, max_size=25))
def test_what_is_kept_of_many_providers_is_what_looking_through_them_gives(
    edits: list[tuple[str, str, str, str, int]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_module, "MANY", 1)
        estate, now = Estate([zone_settings({"with": "second"})]), NOON
        estate.fold([Synced(ZK), Synced(SECOND), Synced(KUBE)], now)
        for source, host, application, what, stamp in edits:
            key = (BIG.name, "providers", f"{host} {application} {stamp}")
            off = (BIG.name, "configurators", host)
            provider = Provider(
                source, BIG, "dubbo", host, 20880, application, enabled=what != "disabled",
                dynamic=what != "persistent", timestamp=stamp,
            )  # fmt: skip
            if what == "minute":
                now += 61.0
            elif "override" in what:
                event = Upsert(source, off, Override(source, BIG.name, host))
                estate.fold([event if what == "override" else Delete(source, off)], now)
            else:
                estate.fold([Delete(source, key) if what == "down" else Upsert(source, key, provider)], now)
            estate.work(now)
            store = estate.zones[ZONE].store
            for known in store.interfaces.values():
                assert known.usable() == look_through(known.live)
                usable = [each.provider for each in known.live.values() if each.usable]
                assert known.ports == Counter((each.protocol, each.port) for each in usable)
                assert known.applications == Counter(each.application for each in usable)
                assert store.registrations.by_application == {name: {BIG} for name in known.applications}


_spots = st.frozensets(
    st.tuples(
        st.sampled_from(["dubbo", "tri"]), st.sampled_from([f"10.9.0.{n}" for n in range(1, 8)]), st.just(1)
    ),
    max_size=8,
)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 30.0, 61.0]), _spots), max_size=12))
def test_who_is_answered_follows_from_when_each_was_last_seen(
    steps: list[tuple[float, frozenset[Spot]]],
) -> None:
    """A plain account: when each was last registered, in whole; the rules of the page on top of it."""
    now, seen = NOON, Seen()
    last: dict[Spot, float] = {}
    present: frozenset[Spot] = frozenset()
    some_since: float | None = None
    none = False
    for passed, live in steps:
        now += passed
        seen = observe(seen, live, now, minute=60.0, elapsed=lambda since, at=now: at - since)
        last |= dict.fromkeys(present, now)  # they were there until now
        last = {spot: left for spot, left in last.items() if spot not in live}
        lately = {spot: left for spot, left in last.items() if now - left < 60.0}
        if some_since is None and not none:
            last = lately
        if not live and last:
            some_since, none = None, True
        elif len(live) >= len(last):
            some_since, none, last = None, False, lately
        else:
            some_since, none = now if some_since is None else some_since, False
            if now - some_since >= 60.0:
                some_since, last = None, {}
        present = live
        assert seen.answered == (live | last.keys() if none or some_since is not None else live)


@given(
    st.frozensets(
        st.tuples(
            st.sampled_from(["dubbo", "tri", "rest"]),
            st.integers(1, 2**32 - 2).map(lambda n: str(ip_address(n)))
            | st.sampled_from(["fd00::1", "fd00::2"]),
            st.sampled_from([20880, 20881]),
        ),
        max_size=120,
    )
)
def test_the_answer_is_what_sorting_everything_gives(spots: frozenset[Spot]) -> None:
    """The definition, word by word: leading protocol, its commonest port, the lightest that fit."""
    if not spots:
        assert answer_set(spots, 40) == ((), ())
        return
    order = ("dubbo", "tri", "rest").index
    many = Counter(protocol for protocol, _, _ in spots)
    leading = sorted(many, key=lambda p: (-many[p], order(p)))[0]
    numbers = Counter(port for protocol, _, port in spots if protocol == leading)
    port = sorted(numbers, key=lambda n: (-numbers[n], n))[0]
    hosts = {h for p, h, n in spots if (p, n) == (leading, port)}
    lightest = sorted(hosts, key=lambda h: blake2b(h.encode(), digest_size=8).digest())
    room = 512 - 12 - 6 - 40
    four = [h for h in lightest if ":" not in h][: room // 16]
    six = [h for h in lightest if ":" in h][: room // 28]
    addresses, ports = answer_set(spots, 40)
    assert set(addresses) == {*four, *six}
    assert (ports[0].protocol, ports[0].port) == (leading, port)
    assert {p.protocol for p in ports} == set(many)


def test_one_provider_of_five_thousand_costs_a_few_hundred_calls() -> None:
    def event(number: int) -> Upsert:
        host = f"10.9.{number // 250}.{number % 250 + 1}"
        return Upsert(ZK, (BIG.name, "providers", host), Provider(ZK, BIG, "dubbo", host, 20880, "app"))

    estate = Estate([zone_settings({})])
    ref, machine = ObjectRef("home", "shop", "other"), ObjectRef("home", "", "n1")
    exposed = Service(ref, "uid", cluster_ips=("10.96.0.1",), ports=(Port(80, node_port=30080),))
    cluster = [Upsert(KUBE, ("Service", "shop", "other"), exposed)]
    cluster.append(Upsert(KUBE, ("Node", "n1"), Node(machine, ("192.0.2.1",))))
    estate.fold([*cluster, *(event(n) for n in range(5_000)), Synced(ZK), Synced(KUBE)], NOON)
    estate.work(NOON)
    assert len(estate.zones[ZONE].outcomes) == 1
    calls = 0

    def count(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal calls
        calls += what in ("call", "c_call")

    sys.setprofile(count)
    try:
        estate.fold([Delete(ZK, event(7).key)], NOON + 100)
        estate.work(NOON + 100)
    finally:
        sys.setprofile(None)
    assert calls < 2_000
