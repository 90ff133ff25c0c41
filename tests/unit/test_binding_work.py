"""Work is proportional to the change: which names are looked at again when one thing changes."""

from __future__ import annotations

import pytest

from soadns.binding import zone as zone_module
from soadns.binding.estate import Estate
from soadns.binding.evidence import Evidence, as_won
from soadns.binding.state import State
from soadns.model import InterfaceId, ObjectRef, Provider, Synced, Upsert
from tests.unit.notation import NOON, SOURCES, ZONE, Notebook, zone_settings

ZK, KUBE = SOURCES["zookeeper"], SOURCES["kube"]

ESTATE = """
Service shop/user 10.96.0.1; pods shop/user 10.1.0.1 10.1.0.2; register U{1..30} 10.1.0.1 10.1.0.2
Service shop/pay 10.96.0.2; pods shop/pay 10.1.0.3; register P{1..30} 10.1.0.3
Service shop/idle 10.96.0.3; pods shop/idle 10.1.0.4
register V{1..30} 10.9.0.1 10.9.0.2 10.9.0.3
Service shop/app 10.96.0.4 interfaces=D application=shop; pods shop/app 10.1.0.5
after 1h
"""

LOOKED_AT = """
one provider more                    | register V7 10.9.0.9                               | V7
one provider less                    | unregister V7 10.9.0.1                             | V7
a new interface                      | register New 10.9.0.1                              | New
one interface more in one pod        | register U7 10.1.0.1:20881                         | U7
the registry switches one off        | override V7 10.9.0.1                               | V7
a Service that nobody speaks for     | Service shop/other 10.96.0.9                       |
a pod of a Service without names     | pods shop/idle 10.1.0.4 10.1.0.6                   |
a pod without registrations          | pods shop/pay 10.1.0.3 10.1.0.6                    | P{1..30}
a Service's annotation               | Service shop/pay traffic=mesh                      | P{1..30}
a Service declares one name more     | Service shop/idle interfaces=V7                    | V7
nothing at all                       | after 1d                                           |
"""


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names whose evidence is collected, in order."""
    names: list[str] = []
    collect = zone_module.collect

    def counted(store: object, interface: InterfaceId, **rest: object) -> object:
        names.append(interface.name)
        return collect(store, interface, **rest)

    monkeypatch.setattr(zone_module, "collect", counted)
    return names


def tell(notebook: Notebook, text: str) -> None:
    for line in text.strip().splitlines():
        for statement in line.split(";"):
            notebook.say(statement.strip())
        notebook.flush()


@pytest.mark.parametrize("line", LOOKED_AT.strip().splitlines(), ids=lambda line: line.split("|")[0].strip())
def test_only_the_names_that_a_change_can_concern_are_looked_at(line: str, looked_at: list[str]) -> None:
    _, change, names = (part.strip() for part in line.split("|"))
    notebook = Notebook()
    tell(notebook, ESTATE)
    looked_at.clear()
    tell(notebook, change)
    letter = names[:1]
    expected = {f"{letter}{i}" for i in range(1, 31)} if "{" in names else set(names.split())
    assert set(looked_at) == expected
    assert len(looked_at) <= 2 * len(expected)


def test_only_the_owner_names_that_changed_are_published(looked_at: list[str]) -> None:
    notebook = Notebook()
    tell(notebook, ESTATE)
    notebook.published.clear()
    tell(notebook, "register V7 10.9.0.9; register U7 10.1.0.1 timestamp=9; Service shop/pay traffic=mesh")
    assert set(notebook.published) == {"v7"}


def test_a_turn_is_bounded_and_goes_on_where_it_was() -> None:
    notebook = Notebook()
    notebook.do_register(["N{1..9}", "10.9.0.1"], {})
    source = "zookeeper/main/dubbo"
    seen = notebook.seen[source]
    notebook.estate.fold([Upsert(source, key, value) for key, value in seen.items()], notebook.now)
    told = []
    while notebook.estate.pending:
        told.append(len(notebook.estate.work(notebook.now, limit=4)))
    assert told == [4, 4, 1]


def test_the_guard_sees_a_mass_as_a_mass_when_it_comes_in_several_turns() -> None:
    notebook = Notebook()
    tell(notebook, "register N{10..59} 10.9.0.1")
    tell(notebook, "unregister * 10.9.0.1")
    notebook.now += 600.0
    for _ in range(20):
        notebook.estate.work(notebook.now, limit=7)
    assert len(notebook.zone.guard.held) == 50


def test_an_outage_wakes_a_name_once_a_second_at_most(looked_at: list[str]) -> None:
    notebook = Notebook()
    tell(notebook, "register User 10.9.0.1\nunregister User 10.9.0.1; after 9m59.9s; trouble zookeeper")
    looked_at.clear()
    notebook.wait(100.0)
    assert len(looked_at) <= 101


def test_what_is_remembered_goes_when_the_names_are_gone() -> None:
    notebook = Notebook()
    tell(notebook, ESTATE)
    for source in notebook.seen.values():
        source.clear()
    notebook.flush()
    notebook.wait(86_400.0)
    notebook.say("release zookeeper")
    notebook.work()
    notebook.wait(86_400.0)
    zone = notebook.zone
    for mapping in (
        zone.states,
        zone.sources,
        zone.outcomes,
        zone.guard.bound,
        zone.guard.vanishing,
        zone.guard.held,
        zone.store.interfaces,
        zone.store.registrations.names,
        zone.store.sites,
        zone.store.rosters,
        zone.store.endpoints.slices,
        zone.store.by_address,
        zone.store.registrations.by_application,
        zone.store.departed,
        zone.store.registrations.overrides.by_name,
        zone.store._first_passes._amid,
        zone.store.services.by_ref,
        zone.store.services.by_cluster_ip,
        zone.store.services.declared,
        zone.memory.watching,
        zone.memory.waiting,
        zone._queue,
        zone.store._first_passes._over,
        zone.store._whole,
        zone._deadlines.times,
    ):
        assert not mapping


def test_evidence_is_not_collected_again_for_a_name_that_is_won_the_first_time(looked_at: list[str]) -> None:
    tell(Notebook(), "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register U{1..9} 10.1.0.1")
    assert sorted(looked_at) == sorted({*looked_at})


@pytest.mark.parametrize("traffic", ["mesh", "registry"])
def test_what_is_known_without_collecting_again_is_what_collecting_again_would_find(
    traffic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Notebook()
    won = []

    def compared(evidence: Evidence, winner: ObjectRef) -> Evidence:
        state = State(winner=winner, since=evidence.now)
        again = notebook.zone.evidence(evidence.interface, state, evidence.now)
        assert as_won(evidence, winner) == again
        won.append(evidence.interface.name)
        return again

    monkeypatch.setattr(zone_module, "as_won", compared)
    tell(notebook, ESTATE.replace("interfaces=D", f"interfaces=D traffic={traffic}"))
    tell(notebook, f"Service shop/late 10.96.0.9 interfaces=V7 traffic={traffic}; pods shop/late 10.1.0.9")
    assert {"U1", "P1", "D", "V7"} <= {*won}


def test_all_sites_of_a_first_reading_are_judged_before_the_first_name() -> None:
    estate = Estate([zone_settings({})])
    hosts = [f"10.9.0.{number}" for number in range(1, 10)]
    events = [Upsert(ZK, ("N", host), Provider(ZK, InterfaceId("N"), "dubbo", host, 20880)) for host in hosts]
    estate.fold([*events, Synced(ZK), Synced(KUBE)], NOON)
    turns = []
    while estate.pending:
        turns.append(len(estate.work(NOON, limit=4)))
    assert turns == [0, 0, 1]
    assert len(estate.zones[ZONE].outcomes[InterfaceId("N")].addresses) == 9
