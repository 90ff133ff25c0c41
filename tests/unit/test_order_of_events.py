"""What must not matter: the order within one instant, a second more or less, a restart, the way to a state.

Random small estates under virtual time. The tests are the same on every run (see ``tests/unit/conftest.py``); other
estates are tried by ``pytest --hypothesis-profile=explore --hypothesis-seed=1 tests/unit/test_order_of_events.py``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns import naming
from soadns.binding.estate import Estate
from soadns.binding.observations import Change
from soadns.binding.pool import Seen
from soadns.binding.state import State
from soadns.binding.store import Store
from soadns.binding.zone import Zone
from soadns.model import (
    Declaration,
    Delete,
    Endpoint,
    EndpointSlice,
    InterfaceId,
    Key,
    ObjectRef,
    Observation,
    Override,
    Port,
    Provider,
    Records,
    Service,
    Synced,
    TrafficRule,
    Trouble,
    Upsert,
)
from soadns.persistence import snapshot
from tests.unit.notation import DEFAULTS, NOON, SOURCES, ZONE, zone_settings
from tests.unit.saved_file import SavedFile

pytestmark = pytest.mark.long

REGISTRY, SECOND, KUBE = SOURCES["zookeeper"], SOURCES["second"], SOURCES["kube"]
INTERFACES = [InterfaceId("A"), InterfaceId("a"), InterfaceId("B"), InterfaceId("B", version="1")]
HOSTS = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.9.0.1"]
REFS = [
    ObjectRef("home", "shop", "user"),
    ObjectRef("home", "shop", "gray"),
    ObjectRef("home", "pay", "user"),
]

Edit = tuple[str, Key, Observation | None]
"""Source, key and the new value; None deletes."""
Instant = tuple[float, list[Edit]]
"""Seconds since the instant before, and what changes; every key at most once."""


def provider(interface: InterfaceId, host: str, application: str) -> st.SearchStrategy[Edit]:
    base = Provider(REGISTRY, interface, "dubbo", host, 20880, application)
    values = st.sampled_from([base, base, replace(base, timestamp=7), replace(base, enabled=False), None])
    key = (interface.name, "providers", f"{interface}|{host}|{application}")
    edit = values.map(lambda value: (REGISTRY, key, value))
    return st.one_of(edit, edit, edit.map(_in_second_registry))


def _in_second_registry(edit: Edit) -> Edit:
    _, key, value = edit
    return SECOND, key, replace(value, registry=SECOND) if isinstance(value, Provider) else None


def service(ref: ObjectRef) -> st.SearchStrategy[Edit]:
    number = REFS.index(ref)
    base = Service(ref, f"uid-{number}", NOON - 1000 + number, ports=(Port(20880),))
    base = replace(base, cluster_ips=(f"10.96.0.{number + 1}",))
    variants = [
        base,
        base,
        replace(base, declaration=Declaration((INTERFACES[2],))),
        replace(base, uid=f"uid-{number}-again", cluster_ips=(f"10.96.0.{number + 2}",), created=NOON),
        replace(base, traffic=(TrafficRule("*", "mesh"),)),
        replace(base, headless=True, cluster_ips=()),
        None,
    ]
    return st.sampled_from(variants).map(lambda value: (KUBE, ("Service", *ref[1:]), value))


def endpoints(ref: ObjectRef) -> st.SearchStrategy[Edit]:
    sets = st.dictionaries(st.sampled_from(HOSTS[:3]), st.sampled_from([True, True, False]), max_size=3)

    def edit(ready: dict[str, bool]) -> Edit:
        items = tuple(Endpoint(ip, ready=ready[ip]) for ip in sorted(ready))
        return (KUBE, ("EndpointSlice", *ref[1:]), EndpointSlice(ref, ref, (Port(20880),), items))

    return sets.map(edit)


def override(interface: InterfaceId) -> st.SearchStrategy[Edit]:
    value = Override(REGISTRY, interface.name, HOSTS[0])
    key = (interface.name, "configurators", "off")
    return st.sampled_from([value, None, None]).map(lambda value: (REGISTRY, key, value))


def edits(*, applications: tuple[str, ...]) -> st.SearchStrategy[Edit]:
    providers = st.tuples(st.sampled_from(INTERFACES), st.sampled_from(HOSTS), st.sampled_from(applications))
    registered = providers.flatmap(lambda choice: provider(*choice))
    return st.one_of(
        registered,
        registered,
        registered,
        st.sampled_from(REFS).flatmap(service),
        st.sampled_from(REFS).flatmap(endpoints),
        st.sampled_from(INTERFACES).flatmap(override),
    )


def settled() -> list[Edit]:
    """What is there first: two Services in one namespace, both with B, and a virtual machine."""
    found: list[Edit] = []
    for ref, hosts in ((REFS[0], HOSTS[:2]), (REFS[1], HOSTS[2:3])):
        number = REFS.index(ref)
        service_ = Service(ref, f"uid-{number}", NOON - 1000 + number, cluster_ips=(f"10.96.0.{number + 1}",))
        slice_ = EndpointSlice(ref, ref, (Port(20880),), tuple(Endpoint(ip) for ip in hosts))
        found.append((KUBE, ("Service", *ref[1:]), replace(service_, ports=(Port(20880),))))
        found.append((KUBE, ("EndpointSlice", *ref[1:]), slice_))
    for host in HOSTS:
        for interface in INTERFACES if host == HOSTS[0] else INTERFACES[2:3]:
            value = Provider(REGISTRY, interface, "dubbo", host, 20880, "x")
            found.append((REGISTRY, (interface.name, "providers", f"{interface}|{host}|x"), value))
    return found


def history_of(
    *, applications: tuple[str, ...] = ("x", "y"), gaps: tuple[float, ...]
) -> st.SearchStrategy[list[Instant]]:
    batch = st.lists(
        edits(applications=applications), min_size=1, max_size=8, unique_by=lambda edit: edit[:2]
    )
    instants = st.lists(st.tuples(st.sampled_from(gaps), batch), min_size=1, max_size=10)
    return instants.map(lambda later: [(0.0, settled()), *later])


class Replica:
    """One soadns that hears of the edits."""

    def __init__(self, *, unread: bool = False) -> None:
        self.settings = zone_settings({"with": "second"})
        self.estate = Estate([self.settings])
        self.now = NOON
        self.published: dict[str, Records | None] = {}
        self.world: dict[tuple[str, Key], Observation] = {}
        self.saved = SavedFile()
        if not unread:
            self.fold([Synced(REGISTRY), Synced(SECOND), Synced(KUBE)])

    @property
    def zone(self) -> Zone:
        return self.estate.zones[ZONE]

    def fold(self, events: list[object]) -> None:
        self.estate.fold(events, self.now)
        self.work()

    def work(self) -> None:
        self.estate.work(self.now)
        for owner, records in self.zone.take_published().items():
            self.published[naming.key(owner)] = records
        self.saved.save(self.estate, self.now)

    def wait_until(self, end: float) -> None:
        while (at := self.estate.next_clock()) is not None and at <= end:
            self.now = max(self.now, at)
            self.work()
        self.now = max(self.now, end)
        self.work()

    def go_on(self, gap: float, batch: list[Edit]) -> None:
        """Some time without events, then those of one instant."""
        self.wait_until(self.now + gap)
        self.hear(batch)

    def hear(self, batch: list[Edit]) -> None:
        events: list[object] = []
        for source, key, value in batch:
            if value is None:
                self.world.pop((source, key), None)
                events.append(Delete(source, key))
            else:
                self.world[source, key] = value
                events.append(Upsert(source, key, value))
        self.fold(events)

    def restart(self) -> None:
        """Start again from the snapshot, and read everything anew."""
        found = self.saved.read(self.estate, self.now)
        self.estate = Estate([self.settings])
        snapshot.restore(self.estate, found, self.now, identities={})
        self.work()
        for name in (KUBE, REGISTRY, SECOND):
            events: list[object] = [
                Upsert(s, key, value) for (s, key), value in self.world.items() if s == name
            ]
            self.fold([*events, Synced(name)])

    def answers(self) -> dict[str, Records]:
        """Every owner name that is answered now."""
        return {owner: records for owner, records in self.published.items() if records is not None}


def in_two_orders(
    instants: list[Instant], chance: random.Random, one: Replica, other: Replica
) -> Iterator[None]:
    """Have two replicas hear the same instant by instant, the other one in another order."""
    for gap, batch in instants:
        shuffled = list(batch)
        chance.shuffle(shuffled)
        one.go_on(gap, batch)
        other.go_on(gap, shuffled)
        yield


@given(history_of(gaps=(0.0, 1.0, 6.0, 30.0, 61.0, 700.0)), st.randoms(use_true_random=False))
def test_the_order_of_events_within_one_instant_never_matters(
    instants: list[Instant], chance: random.Random
) -> None:
    one, other = Replica(), Replica()
    for _ in in_two_orders(instants, chance, one, other):
        assert one.zone.outcomes == other.zone.outcomes
        assert one.zone.states == other.zone.states
        assert one.answers() == other.answers()


@given(history_of(gaps=(0.0, 6.0, 61.0, 700.0)))
def test_looking_again_at_every_name_changes_nothing(instants: list[Instant]) -> None:
    replica = Replica()
    for gap, batch in instants:
        replica.go_on(gap, batch)
        zone = replica.zone
        before = decisions(zone), dict(zone.outcomes), replica.answers()
        zone.store.dirty.update(zone.states)
        replica.work()
        assert (decisions(zone), zone.outcomes, replica.answers()) == before


def decisions(zone: Zone) -> dict[InterfaceId, State]:
    """What was decided, without the minutes of providers that are over and not yet forgotten."""
    return {interface: replace(state, seen=Seen()) for interface, state in zone.states.items()}


@given(history_of(gaps=(0.0, 1.0, 30.0, 61.0, 700.0)))
def test_an_answer_published_is_the_answer_of_the_outcome(instants: list[Instant]) -> None:
    replica = Replica()
    for gap, batch in instants:
        replica.go_on(gap, batch)
        for interface, outcome in replica.zone.outcomes.items():
            for owner in replica.zone.owners.names_of(interface):
                records = replica.published[naming.key(owner)]
                assert records is not None
                assert records.addresses == getattr(outcome, "addresses", ())
        held = {naming.key(o) for i in replica.zone.outcomes for o in replica.zone.owners.names_of(i)}
        assert held == set(replica.answers())


@given(
    history_of(gaps=(3.0, 20.0, 200.0, 2000.0), applications=("x",)),
    st.lists(st.floats(0.0, 0.9), min_size=11, max_size=11),
)
def test_replicas_that_hear_the_same_a_little_later_end_alike(
    instants: list[Instant], delays: list[float]
) -> None:
    one, other = Replica(), Replica()
    begin = NOON
    for (gap, batch), delay in zip(instants, delays, strict=False):
        begin += gap
        for replica, moment in ((one, begin), (other, begin + delay)):
            replica.wait_until(moment)
            replica.hear(batch)
    for replica in (one, other):
        replica.wait_until(begin + 5000.0)
    assert one.answers() == other.answers()


@given(history_of(gaps=(0.0, 3.0, 20.0, 200.0, 2000.0)), st.integers(0, 10))
def test_a_restart_at_any_moment_ends_alike(instants: list[Instant], moment: int) -> None:
    one, other = Replica(), Replica()
    for index, (gap, batch) in enumerate(instants):
        for replica in (one, other):
            replica.wait_until(replica.now + gap)
            replica.hear(batch)
        if index == moment:
            other.restart()
            assert one.answers() == other.answers()
    for replica in (one, other):
        replica.wait_until(replica.now + 5000.0)
    assert one.answers() == other.answers()


@given(
    history_of(gaps=(0.0,)),
    st.permutations([KUBE, REGISTRY, SECOND]),
    st.lists(st.integers(0, 40), max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_first_reading_bit_by_bit_ends_like_one_in_a_single_instant(
    instants: list[Instant], sources: list[str], cuts: list[int], chance: random.Random
) -> None:
    world = {edit[:2]: edit[2] for _, batch in instants for edit in batch}
    events: list[object] = [
        Upsert(source, key, value) for (source, key), value in world.items() if value is not None
    ]
    one, other = Replica(unread=True), Replica(unread=True)
    one.fold([*events, *(Synced(source) for source in sources)])
    chance.shuffle(events)
    for begin, end in pairwise([0, *sorted(cuts), len(events)]):
        other.fold(events[begin:end])
        other.wait_until(other.now + 0.7)
    for source in sources:
        other.fold([Synced(source)])
    assert one.answers() == other.answers()


@given(history_of(gaps=(0.0, 6.0, 100.0), applications=("x",)))
def test_a_store_kept_up_to_date_equals_one_built_from_what_is_there_now(instants: list[Instant]) -> None:
    replica = Replica()
    for gap, batch in instants:
        replica.go_on(gap, batch)
    replica.wait_until(replica.now + 100.0)
    fresh = Store(DEFAULTS.store)
    changes = [Change(source, key, None, value) for (source, key), value in replica.world.items()]
    fresh.apply(changes, replica.now, first=frozenset({REGISTRY, SECOND, KUBE}))
    for source in (REGISTRY, SECOND, KUBE):
        fresh.first_pass_over(source)
        fresh.judge(replica.now)
    store = replica.zone.store
    lost = {key[0] for key, site in store.sites.items() if site.kept}
    assert _indexes(store, without=lost) == _indexes(fresh, without=lost)


def _indexes(store: Store, *, without: set[str]) -> dict[str, object]:
    """What a store says, ``without`` the votes of addresses whose lost session it remembers."""
    sure = {ref: r for ref, r in store.rosters.items() if r.addresses and without.isdisjoint(r.addresses)}
    return {
        "live": {
            (interface, identity): (live.provider, live.disabled)
            for interface, known in store.interfaces.items()
            for identity, live in known.live.items()
        },
        "outside": {i: sorted(k.outside) for i, k in store.interfaces.items() if k.outside},
        "ports": {i: k.ports for i, k in store.interfaces.items() if k.live},
        "applications": {i: k.applications for i, k in store.interfaces.items() if k.live},
        "names": {
            name: sorted(v)
            for name, v in store.registrations.names.items()
            if any(store.interfaces[i].live for i in v)
        },
        "addresses": {ip: sorted(refs) for ip, refs in store.by_address.items()},
        "services": store.services.by_ref,
        "cluster ips": store.services.by_cluster_ip,
        "declared": store.services.declared,
        "tallies": {(ref, i): roster.tally(i) for ref, roster in sorted(sure.items()) for i in INTERFACES},
    }


def test_a_source_that_is_not_named_changes_nothing() -> None:
    replica = Replica()
    replica.fold(
        [
            Upsert(
                "zookeeper/other",
                ("A", "providers", "1"),
                Provider("zookeeper/other", INTERFACES[0], "dubbo", "10.9.0.9", 1),
            ),
            Synced("zookeeper/other"),
            Trouble("zookeeper/other", "gone"),
        ]
    )
    assert replica.answers() == {}


@given(history_of(gaps=(0.0, 1.0, 6.0, 61.0, 700.0)))
def test_a_name_hears_of_everything_that_concerns_it(instants: list[Instant]) -> None:
    replica = Replica()
    for gap, batch in instants:
        replica.go_on(gap, batch)
        zone, before = replica.zone, replica.answers()
        zone.store.dirty.update(zone.states, zone.store.interfaces, zone.store.services.declared)
        replica.work()
        assert replica.answers() == before
