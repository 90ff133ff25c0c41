"""Files while they change: nothing half written, moved or out of reach takes a name away."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from soadns.commands.checks import _static
from soadns.model import Delete, Event, Rejected, Synced, Trouble, Upsert
from soadns.sources import static
from soadns.sources.manifests import Contents, read
from soadns.sources.static import StaticSettings, StaticSource
from tests.unit.waiting import soon

NOBODY = 65534
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{clusterIP: {ip}, ports: [{{port: 20880}}]}}
"""
USER, PAY = SERVICE.format(name="user", ip="10.96.0.1"), SERVICE.format(name="pay", ip="10.96.0.2")


class Desk:
    """A folder and what its source says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = StaticSource(StaticSettings("files", (str(folder),), "home"))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def look(self) -> list[str]:
        """The events of one look, as an operator would note them."""
        lines = []
        for event in self.source.poll():
            match event:
                case Upsert() | Delete():
                    lines.append(f"{'+' if isinstance(event, Upsert) else '-'} {event.key[-1]}")
                case Synced(scope=""):
                    lines.append("synced")
                case Rejected():
                    lines.append(f"rejected {event.reason}")
                case Trouble():
                    lines.append(f"trouble {event.reason.replace(str(self.folder), 'FOLDER')}")
        return lines


def test_a_file_that_is_half_written_takes_nothing_away(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER + PAY)
    assert desk.look() == ["+ user", "+ pay", "synced"]
    for half in ("", USER, USER + PAY):
        desk.write("a.yaml", half)
        assert [line for line in desk.look() if line != "synced"] == []


def test_what_a_file_lacks_twice_in_a_row_is_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER + PAY)
    desk.look()
    desk.write("a.yaml", PAY)
    assert desk.look() == []
    assert desk.look() == ["- user", "synced"]
    assert desk.look() == []


def test_what_a_file_holds_in_addition_is_there_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER)
    desk.look()
    desk.write("a.yaml", USER + PAY)
    assert desk.look() == ["+ pay", "synced"]


def test_a_file_that_an_editor_replaces_takes_nothing_away(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER)
    desk.look()
    (tmp_path / "a.yaml").rename(tmp_path / "a.yaml~")
    assert desk.look() == []
    desk.write("a.yaml", USER + PAY)
    assert desk.look() == ["+ pay", "synced"]


def test_a_file_that_is_gone_twice_in_a_row_is_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER)
    desk.write("b.yaml", PAY)
    desk.look()
    desk.write("b.yaml", "")
    desk.look()
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "b.yaml").unlink()
    assert desk.look() == []
    assert desk.look() == ["- user", "- pay", "synced"]


def test_a_folder_that_is_away_for_a_while_is_trouble_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    desk = Desk(folder)
    desk.write("a.yaml", USER)
    desk.look()
    folder.rename(tmp_path / "away")
    assert desk.look() == ["trouble FOLDER: no such file or folder (static[].paths)"]
    assert desk.look() == []
    (tmp_path / "away").rename(folder)
    assert desk.look() == ["synced"]


@contextmanager
def _somebody() -> Iterator[None]:
    """Not root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_can_not_be_listed_is_no_proof() -> None:
    with tempfile.TemporaryDirectory() as outer:
        os.chmod(outer, 0o755)
        folder = Path(outer, "manifests")
        folder.mkdir()
        desk = Desk(folder)
        desk.write("a.yaml", USER)
        with _somebody():
            assert desk.look() == ["+ user", "synced"]
        folder.chmod(0o300)
        with _somebody():
            assert desk.look() == ["trouble FOLDER: can not be read: Permission denied (static[].paths)"]
            assert desk.look() == []
        folder.chmod(0o755)
        with _somebody():
            assert desk.look() == ["synced"]


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111], ids=oct)
@pytest.mark.parametrize(
    "what", ["folder", "folder/below", "folder/a.yaml", "folder/below/a.yaml", "folder/linked"]
)
def test_what_lies_where_nothing_may_be_searched_is_trouble_and_no_proof(what: str, mode: int) -> None:
    """``folder`` loses its permissions; the source reads it, or something in it."""
    with tempfile.TemporaryDirectory() as outer:
        os.chmod(outer, 0o755)
        folder, elsewhere = Path(outer, "folder"), Path(outer, "elsewhere")
        for each in (folder, folder / "below", elsewhere):
            each.mkdir()
        for each in (folder / "a.yaml", folder / "below" / "a.yaml", elsewhere / "a.yaml"):
            each.write_text(USER)
        (folder / "linked").symlink_to(elsewhere)
        desk = Desk(Path(outer, what))
        with _somebody():
            before = desk.look()
            assert before[-1] == "synced"
        folder.chmod(mode)
        with _somebody():
            lines = [line for _ in range(4) for line in desk.look()]
        if mode == 0o111 and what != "folder":
            assert lines == [], "it may be searched, if not listed"
            return
        [told] = lines
        assert told.startswith("trouble ")
        assert told.endswith(": can not be read: Permission denied (static[].paths)")
        folder.chmod(0o755)
        with _somebody():
            assert [line for _ in range(3) for line in desk.look()] == ["synced"]


async def test_a_path_that_can_not_be_looked_at_is_trouble_from_the_first_look_on(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    settings = StaticSettings("files", (str(path),), "home")
    [trouble] = StaticSource(settings).poll()
    assert isinstance(trouble, Trouble)
    assert trouble.reason == f"{path}: can not be read: File name too long (static[].paths)"
    [finding] = await _static(settings)  # as ``soadns check`` tells it
    assert finding.problem == trouble.reason


def test_a_file_whose_target_can_not_be_looked_at_is_trouble_of_that_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER)
    desk.write("b.yaml", PAY)
    assert desk.look() == ["+ user", "+ pay", "synced"]
    (tmp_path / "b.yaml").unlink()
    (tmp_path / "b.yaml").symlink_to("b.yaml")
    [told] = desk.look()
    assert told == "trouble FOLDER/b.yaml: Too many levels of symbolic links (the last good state stays)"
    assert [desk.look() for _ in range(3)] == [[]] * 3
    (tmp_path / "b.yaml").unlink()
    desk.write("b.yaml", PAY)
    assert [line for _ in range(3) for line in desk.look()] == ["synced"]


async def test_after_a_fault_of_ours_nothing_is_forgotten_and_it_comes_into_sync_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs sources says that one failed, and runs the same again."""
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER)
    desk.write("b.yaml", PAY)
    told: list[Event] = []
    faults = iter([True])

    def reading(text: bytes, *, name: str, source: str, cluster: str) -> Contents:
        if name.endswith("b.yaml") and next(faults, False):
            raise RuntimeError("a fault of ours")
        return read(text, name=name, source=source, cluster=cluster)

    monkeypatch.setattr(static, "read", reading)
    with pytest.raises(RuntimeError):
        await desk.source.run(told.extend)
    running = asyncio.create_task(desk.source.run(told.extend))
    await soon(lambda: Synced(desk.source.source) in told)
    running.cancel()
    assert [event.key[-1] for event in told if isinstance(event, Upsert)] == ["user", "pay"]

    def bad(events: Sequence[Event]) -> None:
        raise RuntimeError("a fault of ours")

    desk.write("c.yaml", SERVICE.format(name="other", ip="10.96.0.3"))
    with pytest.raises(RuntimeError):
        await desk.source.run(bad)
    told.clear()
    running = asyncio.create_task(desk.source.run(told.extend))
    await soon(lambda: Synced(desk.source.source) in told)
    running.cancel()
    assert [event.key[-1] for event in told if isinstance(event, Upsert)] == ["other"]


def test_a_slip_in_a_kind_takes_nothing_away_until_it_is_corrected(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER + PAY)
    desk.look()
    desk.write("a.yaml", USER + PAY.replace("kind: Service", "kind: Sevice"))
    assert [desk.look() for _ in range(3)] == [["rejected unknown-kind", "synced"], [], []]
    desk.write("a.yaml", PAY.replace("kind: Service", "kind: Sevice"))
    assert [line for _ in range(3) for line in desk.look() if line in ("- user", "- pay")] == []
    desk.write("a.yaml", PAY)
    assert [line for _ in range(3) for line in desk.look() if line in ("- user", "- pay")] == ["- user"]


def test_what_was_never_understood_does_not_keep_what_is_taken_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", USER + PAY + "---\nkind: Foo\n")
    assert desk.look() == ["+ user", "+ pay", "rejected unknown-kind", "synced"]
    desk.write("a.yaml", USER + "---\nkind: Foo\n")
    desk.look()
    assert "- pay" in desk.look()
