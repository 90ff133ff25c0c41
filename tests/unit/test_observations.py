"""What counts as proof: only a Delete or a complete pass removes something."""

from __future__ import annotations

from pathlib import Path

import pytest

from soadns.binding.observations import MAX_PAUSES, MAX_REJECTED, Observations
from soadns.model import (
    Declaration,
    Delete,
    Event,
    InterfaceId,
    Key,
    ObjectRef,
    Observation,
    Provider,
    Rejected,
    Service,
    Synced,
    TrafficRule,
    Trouble,
    Upsert,
)
from soadns.sources.static import StaticSettings, StaticSource

ZK, KUBE = "zookeeper/main/dubbo", "kube/home"
REF = ObjectRef("home", "shop", "user")


def provider(name: str, host: str = "10.9.0.1") -> tuple[Key, Provider]:
    return (name, "providers", host), Provider(ZK, InterfaceId(name), "dubbo", host, 20880)


def restored(*values: tuple[Key, Observation]) -> Observations:
    """Observations that came from a snapshot of half past eleven."""
    made = Observations()
    made.restore(ZK, values, saved=1000.0)
    return made


def left(observations: Observations) -> list[str]:
    """What is still believed, by interface and host."""
    return sorted(f"{key[0]} {key[2]}" for key in observations.source(ZK).values)


A1, A2, B1 = provider("A", "10.9.0.1"), provider("A", "10.9.0.2"), provider("B", "10.9.0.1")

PROOF: dict[str, tuple[list[Event], str]] = {
    "nothing was read yet": ([], "A1 A2 B1"),
    "the source can not be read": ([Trouble(ZK, "connection lost")], "A1 A2 B1"),
    "one directory may not be read": ([Trouble(ZK, "NoAuth", scope="A")], "A1 A2 B1"),
    "a pass began and did not end": ([Upsert(ZK, *A1)], "A1 A2 B1"),
    "the source says that one is gone": ([Delete(ZK, A1[0])], "A2 B1"),
    "a directory was read completely": ([Upsert(ZK, *A1), Synced(ZK, scope="A")], "A1 B1"),
    "everything was read and nothing is there": ([Synced(ZK)], ""),
    "everything was read": ([Upsert(ZK, *A2), Upsert(ZK, *B1), Synced(ZK)], "A2 B1"),
    "everything but one directory": ([Trouble(ZK, "NoAuth", scope="A"), Synced(ZK)], "A1 A2"),
    "that directory at last": (
        [Trouble(ZK, "NoAuth", scope="A"), Synced(ZK), Upsert(ZK, *A2), Synced(ZK, scope="A")],
        "A2",
    ),
    "a node that can no longer be understood": (
        [Rejected(ZK, A1[0], "/dubbo/A", "bad", "?"), Synced(ZK)],
        "A1",
    ),
}


@pytest.mark.parametrize("situation", PROOF)
def test_what_a_snapshot_held_stays_until_it_is_disproved(situation: str) -> None:
    events, expected = PROOF[situation]
    observations = restored(A1, A2, B1)
    observations.fold(events, 2000.0)
    hosts = {"A1": "A 10.9.0.1", "A2": "A 10.9.0.2", "B1": "B 10.9.0.1"}
    assert left(observations) == [hosts[word] for word in expected.split()]


def test_a_pass_of_this_process_deletes_by_delete_only() -> None:
    observations = Observations()
    observations.fold([Upsert(ZK, *A1), Synced(ZK), Trouble(ZK, "lost"), Synced(ZK)], 1.0)
    assert left(observations) == ["A 10.9.0.1"]


def test_an_equal_value_is_no_change() -> None:
    observations = Observations()
    assert len(observations.fold([Upsert(ZK, *A1)], 1.0)) == 1
    assert observations.fold([Upsert(ZK, *A1)], 2.0) == []
    assert observations.fold([Delete(ZK, B1[0])], 3.0) == []


# ------------------------------------------------------------------------------ sync marks


def test_a_source_is_known_when_synced_once_or_restored() -> None:
    observations = Observations()
    assert not observations.source(ZK).known
    observations.fold([Upsert(ZK, *A1), Trouble(ZK, "lost")], 1.0)
    assert not observations.source(ZK).known
    observations.fold([Synced(ZK), Trouble(ZK, "lost")], 2.0)
    assert observations.source(ZK).known
    assert restored(A1).source(ZK).known


def test_the_time_out_of_sync_is_one_interval_however_often_it_is_said() -> None:
    observations = Observations()
    events: list[tuple[float, Event]] = [
        (100.0, Synced(ZK)),
        (200.0, Trouble(ZK, "connection lost")),
        (210.0, Trouble(ZK, "connection refused")),
        (260.0, Synced(ZK)),
        (300.0, Trouble(ZK, "again")),
    ]
    for now, event in events:
        observations.fold([event], now)
    state = observations.source(ZK)
    assert state.pauses == [(0.0, 100.0), (200.0, 260.0)]
    assert (state.trouble, state.in_sync, state.paused_at) == ("again", False, 300.0)


def test_trouble_of_one_directory_is_no_trouble_of_the_source() -> None:
    observations = Observations()
    observations.fold([Synced(ZK), Trouble(ZK, "NoAuth", scope="A")], 5.0)
    state = observations.source(ZK)
    assert (state.in_sync, state.troubled_scopes) == (True, {"A": "NoAuth"})
    observations.fold([Synced(ZK, scope="A")], 6.0)
    assert state.troubled_scopes == {}


def test_what_can_not_be_read_of_an_interface_is_found_by_its_name() -> None:
    """A directory may be one of several that hold an interface (``A$B`` and ``A%24B``)."""
    observations = Observations()
    said = [("A$B", "A$B"), ("A%24B", "A$B"), ("C", "D"), ("C", "C"), ("E", "")]
    observations.fold([Trouble(ZK, "NoAuth", scope, name) for scope, name in said], 5.0)
    state = observations.source(ZK)
    assert state.unreadable == {"A$B": "A$B", "A%24B": "A$B", "C": "C"}
    assert state.scopes_of == {"A$B": {"A$B", "A%24B"}, "C": {"C"}}
    observations.fold([Synced(ZK, scope="A$B"), Synced(ZK, scope="C"), Synced(ZK, scope="E")], 6.0)
    assert state.scopes_of == {"A$B": {"A%24B"}}


def test_the_time_between_snapshot_and_first_pass_is_out_of_sync() -> None:
    observations = restored(A1)
    observations.fold([Synced(ZK)], 1600.0)
    assert observations.source(ZK).pauses == [(1000.0, 1600.0)]


def test_old_intervals_are_merged_into_one() -> None:
    observations = Observations()
    for minute in range(3 * MAX_PAUSES):
        observations.fold([Synced(ZK)], 60.0 * minute + 30)
        observations.fold([Trouble(ZK, "flaps")], 60.0 * minute + 60)
    pauses = observations.source(ZK).pauses
    assert len(pauses) == MAX_PAUSES
    assert pauses[0][0] == 0.0
    assert pauses == sorted(pauses)


# ------------------------------------------------------------------------------ rejections


def test_one_bad_thing_stops_nothing_else() -> None:
    observations = Observations()
    bad = Rejected(ZK, ("A", "providers", "x"), "/dubbo/A/providers/x", "bad-port", "port 99999")
    observations.fold([Upsert(ZK, *A1), bad, Upsert(ZK, *B1)], 1.0)
    assert left(observations) == ["A 10.9.0.1", "B 10.9.0.1"]
    assert [r.detail for r in observations.rejected_in("A")] == ["port 99999"]
    assert list(observations.rejected_in("B")) == []


def test_a_rejection_is_counted_once_and_withdrawn_when_the_thing_changes_or_goes() -> None:
    observations = Observations()
    for _ in range(3):
        observations.fold([Rejected(ZK, A1[0], "A", "bad-port", "?")], 1.0)
    state = observations.source(ZK)
    assert state.rejections == {"bad-port": 1}
    observations.fold([Upsert(ZK, *A1)], 2.0)
    assert state.rejected == {}
    observations.fold([Rejected(ZK, A1[0], "A", "bad-port", "?"), Delete(ZK, A1[0])], 3.0)
    assert (state.rejected, state.values) == ({}, {})


def test_a_malformed_annotation_is_counted_once_for_each_time_it_is_written() -> None:
    observations = Observations()
    bad = Upsert(KUBE, ("Service", "shop", "user"), Service(REF, "uid", problems=("interfaces: bad name",)))
    other = Upsert(KUBE, bad.key, Service(REF, "uid", problems=("interfaces: empty",)))
    good = Upsert(KUBE, bad.key, Service(REF, "uid"))
    for event, count in ((bad, 1), (bad, 1), (other, 2), (good, 2), (bad, 3)):
        observations.fold([event], 1.0)
        assert observations.source(KUBE).rejections == {"annotation": count}


def test_the_texts_of_rejections_are_bounded_their_count_is_not() -> None:
    observations = Observations()
    many = [Rejected(ZK, ("A", "providers", str(i)), "A", "bad-port", "?") for i in range(MAX_REJECTED + 5)]
    observations.fold(many, 1.0)
    state = observations.source(ZK)
    assert len(state.rejected) == MAX_REJECTED
    assert state.rejections == {"bad-port": MAX_REJECTED + 5}


# ------------------------------------------------------------------------------ annotations

GOOD = Service(
    REF,
    "1",
    application="user",
    declaration=Declaration((InterfaceId("A"),)),
    traffic=(TrafficRule("*", "off"),),
)
MALFORMED: dict[str, Service] = {
    "application": Service(REF, "1", application=None, declaration=Declaration(), traffic=()),
    "declaration": Service(REF, "1", application="", declaration=None, traffic=()),
    "traffic": Service(REF, "1", application="", declaration=Declaration(), traffic=None),
}


@pytest.mark.parametrize("annotation", MALFORMED)
def test_a_malformed_annotation_keeps_its_last_good_value_the_others_change(annotation: str) -> None:
    observations = Observations()
    observations.fold([Upsert(KUBE, ("Service", "shop", "user"), GOOD)], 1.0)
    observations.fold([Upsert(KUBE, ("Service", "shop", "user"), MALFORMED[annotation])], 2.0)
    (found,) = observations.source(KUBE).values.values()
    for name in MALFORMED:
        source = GOOD if name == annotation else Service(REF, "1")
        assert getattr(found, name) == getattr(source, name)


def test_a_re_created_service_has_no_last_good_value() -> None:
    observations = Observations()
    again = Service(REF, "2", traffic=None)
    key = ("Service", "shop", "user")
    observations.fold([Upsert(KUBE, key, GOOD), Upsert(KUBE, key, again)], 1.0)
    (found,) = observations.source(KUBE).values.values()
    assert found == Service(REF, "2")


# ------------------------------------------------------------------------------ files

SERVICE_FILE = """
apiVersion: v1
kind: Service
metadata: {name: user, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{port: 20880}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {clusterIP: 10.96.0.2, ports: [{port: 20880}]}
"""


def test_an_object_of_a_file_that_can_no_longer_be_understood_keeps_its_last_good_value(
    tmp_path: Path,
) -> None:
    file = tmp_path / "services.yaml"
    source = StaticSource(StaticSettings("demo", (str(file),), "home"))
    observations = Observations()

    def names() -> list[str]:
        for _ in range(2):
            observations.fold(source.poll(), 1.0)
        return sorted(v.ref.name for v in observations.source(source.source).values.values())

    file.write_text(SERVICE_FILE)
    assert names() == ["pay", "user"]
    file.write_text(SERVICE_FILE.replace("{clusterIP: 10.96.0.1, ports: [{port: 20880}]}", "broken"))
    assert names() == ["pay", "user"]
    assert len(observations.source(source.source).rejected) == 1
    file.write_text(SERVICE_FILE.partition("---")[2])
    assert names() == ["pay"]
    assert observations.source(source.source).rejected == {}
