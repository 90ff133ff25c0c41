"""What survives a restart, and what becomes of a file that can not be used."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import msgspec
import pytest

from soadns.binding.clusters import Clusters
from soadns.binding.estate import Estate
from soadns.model import (
    Endpoint,
    EndpointSlice,
    InterfaceId,
    Node,
    ObjectRef,
    Override,
    Port,
    Provider,
    Service,
    Synced,
    Trouble,
    Upsert,
)  # fmt: skip
from soadns.persistence import snapshot, snapshotfile
from soadns.persistence.snapshot import Snapshot
from soadns.persistence.snapshotfile import SnapshotError
from tests.unit.notation import NOON, SOURCES, ZONE, Notebook, zone_settings

ZK, KUBE = SOURCES["zookeeper"], SOURCES["kube"]

STORY = """
Service shop/user 10.96.0.1 interfaces=Pay application=user traffic=Other=off
Service shop/gray 10.96.0.2; pods shop/user 10.1.0.1 10.1.0.2; pods shop/gray 10.1.0.9
register User 10.1.0.1 10.1.0.2 10.1.0.9 app=user; register Old 10.9.0.1 dynamic=false; node n1 192.0.2.8
override Old 10.9.0.1 app=x; after 10s; unregister * 10.1.0.1; pods shop/gray none
register Shared 10.1.0.9 app=other; after 1s
"""


def told(story: str = STORY) -> Notebook:
    notebook = Notebook()
    for line in story.strip().splitlines():
        for statement in line.split(";"):
            notebook.say(statement.strip())
        notebook.flush()
    return notebook


def saved(notebook: Notebook, **identities: str) -> Snapshot:
    return snapshot.capture(
        notebook.estate, notebook.now, identities=identities, serials={ZONE: 1234567}, fed={}
    )


def file_of(notebook: Notebook) -> bytes:
    return snapshotfile.encode(saved(notebook))


# ------------------------------------------------------------------------------ content


def test_every_observation_mark_winner_clock_and_serial_comes_back() -> None:
    notebook = told()
    before = saved(notebook)
    estate = Estate([zone_settings({})])
    assert snapshot.restore(estate, snapshotfile.decode(file_of(notebook)), notebook.now, identities={}) == []
    after = snapshot.capture(estate, notebook.now, identities={}, serials={ZONE: 1234567}, fed={})
    # A source that was in sync is out of it since the snapshot.
    out = {s.name: replace(s, paused_at=before.saved) for s in before.sources}
    assert {s.name: s for s in after.sources} == out
    (one,), (other,) = before.zones, after.zones
    assert one.serial == other.serial == 1234567
    assert one.complete
    assert other.complete
    assert {i: s for i, s, _ in one.states} == {i: s for i, s, _ in other.states}
    assert one.history == other.history
    assert sorted(one.sites, key=str) == sorted(other.sites, key=str)
    assert (one.had_ready, one.departed, one.held) == (other.had_ready, other.departed, other.held)


def test_what_may_not_be_read_comes_back_unless_it_is_another_ones() -> None:
    notebook = told("register User 10.9.0.1")
    events = [Trouble(ZK, f"/dubbo/{scope}: no permission", scope, "A$B") for scope in ("A$B", "A%24B")]
    notebook.estate.fold(
        [*events, Trouble(ZK, "no interface", "x"), Trouble(KUBE, "forbidden", "Node")], NOON
    )
    data = snapshotfile.decode(snapshotfile.encode(saved(notebook, **{ZK: "zk1:2181"})))
    estate = Estate([zone_settings({})])
    snapshot.restore(estate, data, NOON, identities={ZK: "zk1:2181"})
    state = estate.observations.source(ZK)
    assert state.troubled_scopes == {event.scope: event.reason for event in events}
    assert (state.unreadable, state.scopes_of) == (
        {"A$B": "A$B", "A%24B": "A$B"},
        {"A$B": {"A$B", "A%24B"}},
    )
    assert estate.observations.source(KUBE).troubled_scopes == {}
    estate.fold([events[1], Synced(ZK)], NOON)
    assert (state.unreadable, state.scopes_of) == ({"A%24B": "A$B"}, {"A$B": {"A%24B"}})
    estate.fold([Synced(ZK)], NOON)
    assert state.unreadable == {"A%24B": "A$B"}, "what this process found is told until it ends"

    estate = Estate([zone_settings({})])
    snapshot.restore(estate, data, NOON, identities={ZK: "zk9:2181"})
    assert not estate.observations.source(ZK).troubled_scopes
    estate.work(NOON)
    assert "A$B" not in estate.zones[ZONE].take_published()


def test_the_story_above_holds_what_it_is_to_hold() -> None:
    taken = saved(told())
    kinds = {
        kind
        for source in taken.sources
        for kind in ("providers", "overrides", "services", "slices", "nodes")
        if getattr(source, kind)
    }
    assert kinds == {"providers", "overrides", "services", "slices", "nodes"}
    (zone,) = taken.zones
    assert any(site.kept for site in zone.sites)
    assert any(site.stale_until for site in zone.sites)
    assert zone.departed
    assert {str(i) for i, _, _ in zone.states} == {"User", "Pay", "Old", "Shared"}


def test_deadlines_are_wall_clock_times() -> None:
    notebook = told("register User 10.9.0.1\nunregister User 10.9.0.1")
    (zone,) = saved(notebook).zones
    ((_, state, _),) = zone.states
    assert state.seen.gone_since == NOON


def test_a_source_that_never_was_in_sync_is_not_saved() -> None:
    notebook = told("zone unsynced\nsynced zookeeper")
    assert [source.name for source in saved(notebook).sources] == [ZK]


# ------------------------------------------------------------------------------ identity

IDENTITIES = """
saved                        now                          taken over
uid-1                        uid-1                        yes
uid-1                        uid-2                        no
uid-1                        -                            yes   nobody could be asked yet
-                            uid-1                        yes
zk1:2181,zk2:2181            zk2:2181,zk3:2181            yes   an ensemble that is being replaced
zk1:2181                     zk9:2181                     no
"""


@pytest.mark.parametrize("line", IDENTITIES.strip().splitlines()[1:])
def test_a_foreign_source_is_refused(line: str) -> None:
    then, now, taken = (word.replace("-", "") if word == "-" else word for word in line.split()[:3])
    notebook = told()
    data = snapshotfile.decode(snapshotfile.encode(saved(notebook, **{KUBE: then})))
    estate = Estate([zone_settings({})])
    refused = snapshot.restore(estate, data, notebook.now, identities={KUBE: now})
    assert (refused == []) == (taken == "yes")
    assert bool(estate.observations.source(KUBE).values) == (taken == "yes")
    assert estate.observations.source(ZK).values
    if refused:
        assert refused == [f"source {KUBE}: saved from {then}, now {now}; ignored"]


# ------------------------------------------------------------------------------ the file


def _reheader(data: bytes, **changes: object) -> bytes:
    line, _, body = data.partition(b"\n")
    return json.dumps(json.loads(line) | changes).encode() + b"\n" + body


def _rebody(data: bytes, spoil: Callable[[bytes], bytes]) -> bytes:
    """Another content, with a header that is right for it."""
    line, _, body = data.partition(b"\n")
    spoilt = spoil(body)
    return _reheader(line + b"\n" + spoilt, octets=len(spoilt), sha256=hashlib.sha256(spoilt).hexdigest())


UNUSABLE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "does not begin with a snapshot header"),
    "of something else": (lambda data: b'{"a": 1}\n', "is no soadns snapshot"),
    "a list": (lambda data: b"[]\n", "is no soadns snapshot"),
    "not even text": (lambda data: bytes(range(256)), "does not begin with a snapshot header"),
    "truncated": (lambda data: data[:-1], "checksum is wrong"),
    "cut in the header": (lambda data: data[:20], "does not begin with a snapshot header"),
    "with one bit turned": (lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "checksum is wrong"),
    "older": (lambda data: _reheader(data, format=0), "has format 0, this soadns reads format"),
    "newer": (lambda data: _reheader(data, format=999), "has format 999, this soadns reads format"),
    "of another shape": (lambda data: _rebody(data, lambda body: b"\x80"), "content does not fit"),
    "with text that is none": (
        lambda data: _rebody(data, lambda body: body.replace(b"User", b"Us\xffr")),
        "content does not fit",
    ),
    "nested without end": (
        lambda data: _rebody(data, lambda body: b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0"),
        "content does not fit",
    ),
    "with a header that is nested without end": (
        lambda data: b"[" * 60_000 + b"\n",
        "does not begin with a snapshot header",
    ),
    "saved too late for a number": (
        lambda data: _reheader(data, saved=10**400),
        "does not say when it was saved",
    ),
    "saved at no moment": (lambda data: _reheader(data, saved=nan), "does not say when it was saved"),
    "saved in the end": (lambda data: _reheader(data, saved=inf), "does not say when it was saved"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_file_is_reported_and_set_aside(kind: str, tmp_path: Path) -> None:
    spoil, reason = UNUSABLE[kind]
    path = tmp_path / "snapshot"
    data = spoil(file_of(told()))
    path.write_bytes(data)
    reports: list[str] = []
    assert snapshotfile.read(path, report=reports.append) is None
    assert len(reports) == 1
    assert reason in reports[0]
    assert not path.exists()
    assert (tmp_path / "snapshot.unusable").read_bytes() == data


def test_no_file_is_no_error(tmp_path: Path) -> None:
    reports: list[str] = []
    assert snapshotfile.read(tmp_path / "snapshot", report=reports.append) is None
    assert reports == []


def test_a_file_that_can_not_be_read_is_reported(tmp_path: Path) -> None:
    reports: list[str] = []
    assert snapshotfile.read(tmp_path, report=reports.append) is None
    assert "can not be read" in reports[0]


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    for story in ("register A 10.9.0.1", "register B 10.9.0.1"):
        snapshotfile.write(path, file_of(told(story)))
    assert os.listdir(tmp_path) == ["snapshot"]
    found = snapshotfile.read(path, report=pytest.fail)
    assert found is not None
    assert [i for i, _, _ in found.zones[0].states] == [InterfaceId("B")]


def test_a_field_that_an_older_soadns_did_not_know_takes_its_default() -> None:
    header, _, body = file_of(told()).partition(b"\n")
    content = msgspec.msgpack.decode(body)
    for zone in content["zones"]:
        del zone["released"]
        zone["of-a-newer-soadns"] = 1
    for source in content["sources"]:
        del source["unreadable"]
    older = msgspec.msgpack.encode(content)
    said = {"octets": len(older), "sha256": hashlib.sha256(older).hexdigest()}
    found = snapshotfile.decode(_reheader(header + b"\n" + older, **said))
    assert [zone.released for zone in found.zones] == [[]]
    assert [source.unreadable for source in found.sources] == [{}, {}]


def test_what_a_lost_session_keeps_in_an_older_file_is_kept_for_the_services_that_have_the_address() -> None:
    notebook = told(
        "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1\nregister User 10.1.0.1\nunregister User 10.1.0.1"
    )
    older = saved(notebook)
    [zone] = older.zones
    [site] = zone.sites
    user = ObjectRef("home", "shop", "user")
    assert (site.kept, site.keepers) == ([InterfaceId("User")], [user])
    older.zones[0] = replace(zone, sites=[replace(site, keepers=[])])
    estate = Estate([notebook.settings])
    snapshot.restore(estate, older, notebook.now, identities={})
    found = estate.zones[ZONE].store.sites["10.1.0.1", 20880]
    assert (found.provided_to(user), found.provided_to(user._replace(name="pay"))) == (
        {InterfaceId("User")},
        None,
    )


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    snapshotfile.write(path, file_of(told()))
    before = path.read_bytes()
    path.with_name(f"snapshot.{os.getpid()}.tmp").mkdir()
    with pytest.raises(OSError, match="directory"):
        snapshotfile.write(path, b"new")
    assert path.read_bytes() == before


def test_a_write_that_fails_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    with pytest.raises(OSError, match="directory"):
        snapshotfile.write(tmp_path / "snapshot", b"new")
    assert os.listdir(tmp_path) == ["snapshot"]


def test_a_damaged_body_never_crashes_the_decoder() -> None:
    data = file_of(told())
    for position in range(data.index(b"\n") + 1, len(data), 97):
        with pytest.raises(SnapshotError):
            snapshotfile.decode(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])


def test_every_kind_of_observation_is_saved() -> None:
    kinds = {kind for _, kind in snapshot.KINDS}
    assert {Node, Override} < kinds
    assert len(kinds) == 5
    assert ObjectRef("home", "", "n1") in {v.ref for s in saved(told()).sources for _, v in s.nodes}


def test_names_of_a_cluster_that_is_called_otherwise_now_are_chosen_anew() -> None:
    notebook = told("Service shop/user 10.96.0.1; pods shop/user 10.1.0.1\nregister User 10.1.0.1")
    data, now = file_of(notebook), notebook.now
    settings = replace(
        notebook.settings,
        sources=frozenset({ZK, "kube/prod"}),
        cluster_sources={"prod": "kube/prod"},
        clusters=Clusters(home="prod"),
    )
    estate = Estate([settings])
    assert snapshot.restore(estate, snapshotfile.decode(data), now, identities={}) == []
    zone = estate.zones[ZONE]
    estate.work(now)
    assert (zone.complete, zone.take_published()) == (False, {})  # SERVFAIL, never an empty answer
    ref = ObjectRef("prod", "shop", "user")
    slice_ = EndpointSlice(ref, ref, (Port(20880),), (Endpoint("10.1.0.1"),))
    service = Service(ref, "uid", now, cluster_ips=("10.96.0.1",), ports=(Port(20880),))
    read = [Upsert("kube/prod", ("Service", "shop", "user"), service)]
    read += [Upsert("kube/prod", ("EndpointSlice", "shop", "user"), slice_)]
    estate.fold([*read, Synced("kube/prod")], now)
    provider = Provider(ZK, InterfaceId("User"), "dubbo", "10.1.0.1", 20880)
    estate.fold([Upsert(ZK, ("User", "providers", "1"), provider), Synced(ZK)], now)
    estate.work(now)
    records = zone.take_published()["User"]
    assert records is not None
    assert records.addresses == ("10.96.0.1",)
