"""What changed since a snapshot: a successor that begins with both knows what one that begins with a whole one does.

That it does in every story of ``docs/binding.md`` and ``docs/situations.md``, and whatever the order of events, is
looked at where those restart (``saved_file``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from soadns.binding.estate import Estate
from soadns.model import InterfaceId, Provider, Synced, Upsert
from soadns.persistence import changes, snapshotfile
from soadns.persistence.snapshot import Snapshot
from soadns.persistence.snapshotfile import SnapshotError, Tail
from tests.unit.notation import NOON, SOURCES, ZONE, Notebook, zone_settings
from tests.unit.routes_notation import RouteBook
from tests.unit.saved_file import SavedFile, plain

ZK = SOURCES["zookeeper"]
STORY = """
Service shop/user 10.96.0.1 interfaces=Pay; pods shop/user 10.1.0.1 10.1.0.2; register User,Old 10.1.0.1 10.1.0.2
register Far 10.9.0.1
Service shop/next 10.96.0.2; pods shop/next 10.1.0.3; after 10s
"""


def tell(notebook: Notebook, text: str) -> None:
    for line in text.strip().splitlines():
        for statement in line.split(";"):
            notebook.say(statement.strip())
        notebook.flush()


def told(*more: str) -> Notebook:
    notebook = Notebook()
    tell(notebook, STORY)
    for text in more:
        tell(notebook, text)
    return notebook


@pytest.mark.parametrize(
    "text",
    [
        "register User 10.1.0.3; unregister User 10.1.0.1; unregister User 10.1.0.2; after 10s",
        "unregister Far 10.9.0.1; after 1h",
        "delete shop/user; pods shop/user gone",
        "pods shop/user none; after 5s; pods shop/user 10.1.0.1",
        "register User 10.1.0.1 app=other; register User 10.1.0.1 app=more; after 1s",
        "register User,Old 10.1.0.1 10.1.0.2 app=one; after 10s; register New 10.1.0.1 app=other",
        "trouble zookeeper; unregister * 10.1.0.1; after 5s",
        "register User 10.1.0.1 app=a; after 2m; register User 10.1.0.1 app=b; after 1s; trouble zookeeper; after 9s\n"
        "synced zookeeper",
        "Service shop/user 10.96.0.9 new",
        "override User 10.1.0.1; node n1 192.0.2.1",
        "forbidden Secret Other; readable Other",
        "register N{10..59} 10.9.0.1; after 1s; unregister N{10..59} 10.9.0.1; after 10m; release zookeeper",
        "register N{10..59} 10.9.0.1; after 1s; unregister N{10..59} 10.9.0.1; after 10m; register N12 10.9.0.1",
    ],
)
def test_a_change_is_what_became_another_and_nothing_else(text: str) -> None:
    notebook = told()
    notebook.saved.read(notebook.estate, notebook.now)
    wholes = notebook.saved.wholes
    tell(notebook, text)
    notebook.saved.read(notebook.estate, notebook.now)
    assert notebook.saved.wholes == wholes


def test_an_interface_that_may_not_be_read_is_said_once_and_until_it_may() -> None:
    notebook = told("forbidden Secret Other")
    notebook.saved.read(notebook.estate, notebook.now)
    tell(notebook, "register New 10.9.0.7")
    [source] = (
        each for each in notebook.saved.read(notebook.estate, notebook.now).sources if each.name == ZK
    )
    assert source.unreadable == {name: (name, "no permission") for name in ("Secret", "Other")}
    tell(notebook, "readable Other; register New 10.9.0.8")
    written = notebook.saved.save(notebook.estate, notebook.now)
    assert b"Secret" not in written
    [source] = (
        each for each in notebook.saved.read(notebook.estate, notebook.now).sources if each.name == ZK
    )
    assert source.unreadable == {"Secret": ("Secret", "no permission")}


def test_where_nothing_happened_nothing_is_said_of_anything() -> None:
    notebook = told()
    assert changes.count(notebook.estate, {}) == 0
    tell(notebook, "after 1d")
    assert changes.count(notebook.estate, {}) == 0


def test_nobody_who_does_not_save_notes_anything() -> None:
    notebook = told()
    notebook.start(notebook.settings)
    estate = type(notebook.estate)([notebook.settings])
    estate.fold([], notebook.now)
    assert changes.count(estate, {}) is None
    assert all(not len(each) for each in changes._marks(estate, {}))


def test_what_was_said_before_a_source_was_in_sync_is_saved_when_it_is() -> None:
    estate, file = Estate([zone_settings({})]), SavedFile()
    file.read(estate, NOON)
    estate.fold([Upsert(ZK, ("N", "1"), Provider(ZK, InterfaceId("N"), "dubbo", "10.9.0.1", 20880))], NOON)
    assert file.read(estate, NOON).sources == []
    estate.fold([Synced(ZK)], NOON)
    [source] = file.read(estate, NOON).sources
    assert len(source.providers) == 1


@pytest.mark.parametrize("text", ["identified other"])
def test_what_another_cluster_is_known_by_is_a_new_whole(text: str) -> None:
    notebook = told("restart; identified same")
    wholes = notebook.saved.wholes
    notebook.say(text)
    notebook.saved.read(notebook.estate, notebook.now)
    assert notebook.saved.wholes == wholes + 1


def test_moves_come_and_go_with_it() -> None:
    book = RouteBook()
    tell(book, STORY)
    tell(book, "register User 10.1.0.3; unregister User 10.1.0.1; unregister User 10.1.0.2; after 10s")
    [move] = book.saved.read(book.estate, book.now).moves[ZONE]
    assert move.interface == InterfaceId("User")
    book.say("forget shop/user User")
    assert book.saved.read(book.estate, book.now).moves == {}


# ------------------------------------------------------------------------------ the file


class Seldom(SavedFile):
    """Nothing is saved of itself."""

    def save(self, estate: Estate, now: float) -> bytes:
        return b""


def steps() -> tuple[bytes, list[tuple[bytes, Snapshot]]]:
    """A whole, and changes with what they come to."""
    notebook = Notebook(saved=Seldom())
    tell(notebook, STORY)
    file = SavedFile()
    whole, found = file.save(notebook.estate, notebook.now), []
    for text in ("register New 10.9.0.7", "unregister Far 10.9.0.1; after 1h", "delete shop/next"):
        tell(notebook, text)
        change = file.save(notebook.estate, notebook.now)
        found.append((change, snapshotfile.decode(file.data)))
    assert file.data == b"".join((whole, *(change for change, _ in found)))
    return whole, found


ENDS: dict[str, Callable[[bytes], bytes]] = {
    "before it begins": lambda change: b"",
    "amid its length": lambda change: change[:3],
    "amid its content": lambda change: change[: len(change) // 2],
    "one octet early": lambda change: change[:-1],
    "with a bit turned": lambda change: change[:-9] + bytes([change[-9] ^ 4]) + change[-8:],
    "with zeros, as disks have where nothing was written": lambda change: bytes(len(change)),
    "with something else": lambda change: bytes(range(256)),
}


@pytest.mark.parametrize("how", ENDS)
def test_what_is_not_written_to_its_end_ends_what_is_believed(how: str, tmp_path: Path) -> None:
    whole, [(first, state), (second, _), (third, _)] = steps()
    path, reports = tmp_path / "snapshot", list[str]()
    spoilt = ENDS[how](second)
    for behind in (b"", third):
        path.write_bytes(whole + first + spoilt + (behind if spoilt else b""))
        reports.clear()
        found = snapshotfile.read(path, report=reports.append)
        assert found is not None
        assert plain(found) == plain(state)
        rest = len(spoilt) + len(behind) if spoilt else 0
        said = (
            f"snapshot {path} ends with {rest} octets that are no whole change; what is before them is used"
        )
        assert reports == ([said] if rest else [])
        assert path.exists()


def test_changes_of_another_shape_are_not_guessed_at() -> None:
    whole, _ = steps()
    with pytest.raises(SnapshotError, match="content does not fit"):
        snapshotfile.decode(whole + snapshotfile.encode_changes({"touched": 1}))  # type: ignore[arg-type]


def test_a_file_of_before_there_were_changes_is_read() -> None:
    whole, _ = steps()
    line, _, body = whole.partition(b"\n")
    header = json.loads(line) | {"format": 2}
    del header["octets"]
    older = json.dumps(header).encode() + b"\n" + body
    assert plain(snapshotfile.decode(older)) == plain(snapshotfile.decode(whole))
    with pytest.raises(SnapshotError, match="checksum"):
        snapshotfile.decode(older + b"\0")


@pytest.mark.parametrize("octets", [None, -1, "all"])
def test_a_header_that_does_not_say_how_long_it_is_is_damaged(octets: object) -> None:
    whole, _ = steps()
    line, _, body = whole.partition(b"\n")
    with pytest.raises(SnapshotError, match="how long"):
        snapshotfile.decode(json.dumps(json.loads(line) | {"octets": octets}).encode() + b"\n" + body)


def test_a_tail_stays_with_its_own_file(tmp_path: Path) -> None:
    """Somebody who is still writing does not write behind what took its place."""
    whole, [(first, state), *_] = steps()
    path = tmp_path / "snapshot"
    snapshotfile.write(path, whole)
    tail = Tail(path)
    tail.append(first)
    assert (tail.whole, tail.octets) == (len(whole), len(whole) + len(first))
    found = snapshotfile.read(path, report=pytest.fail)
    assert found is not None
    assert plain(found) == plain(state)
    snapshotfile.write(path, whole)
    tail.append(first)
    tail.close()
    assert path.read_bytes() == whole
