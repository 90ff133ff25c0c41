"""Files while they change: nothing half written, moved or out of reach takes a name away."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soadns.model import Delete, Rejected, Synced, Trouble, Upsert
from soadns.sources.static import StaticSettings, StaticSource

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
            assert desk.look() == ["trouble FOLDER: Permission denied (static[].paths)"]
            assert desk.look() == []
        folder.chmod(0o755)
        with _somebody():
            assert desk.look() == ["synced"]


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
