"""Snapshots of a running control process: written beside its work, by a child that leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from soadns import saver as saver_module
from soadns import snapshot
from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.config import Config
from soadns.control import Control, Predecessor
from soadns.model import InterfaceId, Provider, Synced, Upsert
from soadns.saver import Saver
from tests.unit.journals import publisher
from tests.unit.notation import NOON, SOURCES, ZONE, zone_settings
from tests.unit.waiting import soon

ZK, KUBE = SOURCES["zookeeper"], SOURCES["kube"]


class Log(list[str]):
    """Keeps the lines of a log."""

    def __call__(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.append(" ".join([event, *(f"{name}={value}" for name, value in fields.items())]))


def started(path: Path, log: Log, at: float = NOON, **identities: str) -> Saver:
    """A control process without sources, at noon, that restores what there is."""
    estate = Estate([zone_settings({})])
    clock = Clock(wall=lambda: at, steady=lambda: 0.0)
    control = Control(Config(), estate, publisher(), [], log=log, clock=clock)
    return Saver(control, path, dict(identities), log=log)


def hear(saver: Saver, name: str) -> None:
    """A provider appears; both sources are in sync."""
    provider = Provider(ZK, InterfaceId(name), "dubbo", "10.9.0.1", 20880)
    control = saver._control
    control.estate.fold([Upsert(ZK, (name, "providers", "1"), provider), Synced(ZK), Synced(KUBE)], NOON)
    control.estate.work(NOON)
    control.changed.set()


def names(saver: Saver) -> list[str]:
    return sorted(i.name for i in saver._control.estate.zones[ZONE].states)


async def test_what_happened_is_saved_beside_the_work_and_restored(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    saver = started(path, log)
    hear(saver, "User")
    running = asyncio.create_task(saver.run())
    await soon(lambda: saver._control.figures.snapshots == 1)
    running.cancel()
    again = started(path, log)
    assert again.restore() == Predecessor(serials={ZONE: 0}, complete=frozenset({ZONE}))
    assert names(again) == ["User"]
    assert os.listdir(tmp_path) == ["snapshot"]


async def test_the_first_snapshot_waits_until_everything_was_read_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "LOOK_S", 0.01)
    monkeypatch.setattr(saver_module, "FIRST_S", 0.3)
    saver = started(tmp_path / "snapshot", Log())
    saver._control.changed.set()
    running = asyncio.create_task(saver.run())
    await asyncio.sleep(0.1)
    assert saver._control.figures.snapshots == 0
    await soon(lambda: saver._control.figures.snapshots == 1)
    running.cancel()


async def test_a_failed_write_is_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(saver_module, "FORK_SHARE", 1.0)  # a machine at work may take long to fork
    folder, log = tmp_path / "state", Log()
    saver = started(folder / "snapshot", log)
    hear(saver, "User")
    running = asyncio.create_task(saver.run())
    await soon(lambda: saver._control.figures.snapshot_failures)
    assert log[-1].startswith(f"snapshot-failed reason={folder}/snapshot: No such file or directory")
    folder.mkdir()
    await soon(lambda: saver._control.figures.snapshots)
    running.cancel()


async def test_the_last_snapshot_is_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is still writing at the end must not replace what is saved then."""
    path, log = tmp_path / "snapshot", Log()
    saver = started(path, log)
    hear(saver, "Old")
    write = snapshot.write
    end = os.getpid()

    def slow(target: Path, data: bytes) -> None:
        if os.getpid() != end:
            target.with_name(f"{target.name}.{os.getpid()}.tmp").touch()
            os.read(gate, 1)
        write(target, data)

    gate, opener = os.pipe()
    monkeypatch.setattr(snapshot, "write", slow)
    running = asyncio.create_task(saver.run())
    await soon(lambda: os.listdir(tmp_path))
    running.cancel()
    hear(saver, "New")
    saver.save_now()
    os.write(opener, b"x")
    os.close(opener)
    os.close(gate)
    again = started(path, log)
    again.restore()
    assert names(again) == ["New", "Old"]
    assert os.listdir(tmp_path) == ["snapshot"]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - there is nobody to wait for


async def test_another_clusters_snapshot_is_refused_and_said(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    saver = started(path, log, **{KUBE: "uid-1", ZK: "zk1"})
    hear(saver, "User")
    saver.save_now()
    again = started(path, log, **{KUBE: "uid-2", ZK: "zk1"})
    again.restore()
    assert f"snapshot-refused reason=source {KUBE}: saved from uid-1, now uid-2; ignored" in log
    assert names(again) == ["User"]


async def test_time_never_goes_back_over_a_restart(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    saver = started(path, log)
    hear(saver, "User")
    saver.save_now()
    for wall, now in ((NOON - 3600, NOON), (NOON + 3600, NOON + 3600)):
        again = started(path, log, wall)
        again.restore()
        assert again._control.now() == now


async def test_an_unusable_file_is_said_and_set_aside(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    path.write_bytes(b"nonsense")
    assert started(path, log).restore() == Predecessor()
    assert "does not begin with a snapshot header" in log[0]
    assert os.listdir(tmp_path) == ["snapshot.unusable"]


def test_a_snapshot_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    from soadns import snapshot

    snapshot.write(tmp_path / "snapshot", b"data")
    assert (tmp_path / "snapshot").stat().st_mode & 0o777 == 0o600
