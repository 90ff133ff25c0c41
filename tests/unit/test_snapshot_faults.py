"""Saving that fails: it is said, the process goes on, and the next snapshot has everything. And of when one is."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from soadns.persistence import saver as saver_module
from soadns.persistence import snapshotfile
from soadns.persistence.snapshotfile import Tail
from tests.unit.notation import NOON
from tests.unit.saving_process import Gate, Process, hear
from tests.unit.waiting import soon

pytestmark = pytest.mark.long


@pytest.fixture
async def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    found = Process(tmp_path / "snapshot", monkeypatch)
    await found.saves()
    assert found.forks == 1
    yield found
    found.running.cancel()
    assert os.listdir(tmp_path) == ["snapshot"]


def read_only(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


async def test_a_disk_that_has_become_read_only_is_said_and_tried_again(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There even a file that does not exist can not be removed."""
    process.saver._end_tail()
    with monkeypatch.context() as patched:
        patched.setattr(snapshotfile, "write", read_only)
        patched.setattr(Path, "unlink", read_only)
        hear(process.saver, "New")
        await soon(lambda: process.figures.snapshot_failures > 1 or process.running.done())
        assert not process.running.done()
        assert process.log[0].startswith(f"snapshot-failed reason={process.path}: Read-only file system")
    await process.saves()
    assert process.names() == ["New", "User"]


async def test_at_the_end_a_disk_that_has_become_read_only_is_said(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(snapshotfile, "write", lambda path, data, parent: gate.wait())
    process.saver._end_tail()
    hear(process.saver, "New")
    await soon(lambda: process.saver._child)
    process.running.cancel()
    with monkeypatch.context() as patched:
        patched.setattr(snapshotfile, "write", read_only)
        patched.setattr(Path, "unlink", read_only)
        assert not process.saver.save_now()
    assert process.figures.snapshot_failures == 1


async def test_where_no_process_can_be_made_that_is_said_and_tried_again(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counted as saved when it was tried is in the next whole."""

    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(saver_module, "MOST_CHANGES", 0)
        patched.setattr(os, "fork", full)
        hear(process.saver, "New")
        await soon(lambda: process.figures.snapshot_failures or process.running.done())
        assert not process.running.done()
    assert "no process to write it: Resource temporarily unavailable" in process.log[0]
    await process.saves()
    assert process.forks == 2
    assert process.names() == ["New", "User"]


async def test_who_could_not_give_way_saves_on(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child that was writing had been ended for that."""
    found = process.saver.read()
    assert found is not None
    gate = Gate()
    control = os.getpid()

    def stuck(path: Path, data: bytes, *, parent: int = 0) -> None:
        if os.getpid() == control:
            read_only()
        gate.wait()

    with monkeypatch.context() as patched:
        patched.setattr(snapshotfile, "write", stuck)
        process.saver._end_tail()
        hear(process.saver, "New")
        await soon(lambda: process.saver._child)
        assert not process.saver.give_way(found)
    await process.saves()
    assert process.names() == ["New", "User"]
    assert process.figures.snapshot_failures == 1


async def test_a_change_that_the_disk_does_not_take_is_said_as_long_as_that_lasts_and_nothing_follows_it(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume that hangs tells nobody: what waits for it for ever is no failure of its own, and none that is over."""
    gate, append, appended = threading.Event(), Tail.append, 0

    def hangs(tail: Tail, data: bytes) -> None:
        nonlocal appended
        appended += 1
        gate.wait(10.0)
        append(tail, data)

    monkeypatch.setattr(Tail, "append", hangs)
    monkeypatch.setattr(saver_module, "CHILD_S", 0.05)
    hear(process.saver, "Old")
    await soon(lambda: process.figures.snapshot_failures)
    hear(process.saver, "New")
    await soon(lambda: process.figures.snapshot_failures >= 4)
    assert {line.partition(" for ")[0] for line in process.log} == {
        f"snapshot-failed reason={process.path}: not written"
    }
    assert (appended, process.forks) == (1, 1)
    monkeypatch.setattr(saver_module, "CHILD_S", 60.0)
    gate.set()
    await process.saves(2)
    assert process.names() == ["New", "Old", "User"]
    told = process.figures.snapshot_failures
    await asyncio.sleep(0.2)
    assert process.figures.snapshot_failures == told == len(process.log)


async def test_a_child_that_no_signal_ends_is_told_of_and_the_loop_goes_on(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one that waits for a disk within the kernel."""
    gate = Gate()
    write = snapshotfile.write

    def stuck(path: Path, data: bytes, *, parent: int = 0) -> None:
        gate.wait()
        write(path, data, parent=parent)

    with monkeypatch.context() as patched:
        patched.setattr(snapshotfile, "write", stuck)
        patched.setattr(saver_module, "CHILD_S", 0.05)
        patched.setattr(saver_module, "KILL_S", 0.05)
        patched.setattr(os, "kill", lambda pid, number: None)
        process.saver._end_tail()
        hear(process.saver, "New")
        await soon(lambda: process.figures.snapshot_failures >= 3)
        assert process.forks == 2
        found = process.saver.read()
        assert found is not None
        assert not process.saver.give_way(found), "the child would have the last word"
        assert "does not end" in process.log[-1]
        gate.open()
        await process.saves()
    assert process.names() == ["New", "User"]


def test_where_a_file_took_its_place_is_on_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the folder knows is lost with the power (fsync(2)); a file system that can not sync one is no fault."""
    synced: list[tuple[bool, bool]] = []
    path, fsync = tmp_path / "snapshot", os.fsync

    def noted(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((folder, path.exists()))
        fsync(descriptor)
        if folder and len(synced) > 2:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", noted)
    before = os.listdir("/proc/self/fd")
    snapshotfile.write(path, b"data")
    assert synced == [(False, False), (True, True)]
    snapshotfile.write(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert len(synced) == 4
    assert len(os.listdir("/proc/self/fd")) == len(before)


# ------------------------------------------------------------------------------ of when it is


async def test_a_whole_is_of_when_its_child_was_made(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, write = [NOON + 10], snapshotfile.write
    gate = Gate()

    def slow(path: Path, data: bytes, *, parent: int = 0) -> None:
        gate.wait()
        write(path, data, parent=parent)

    monkeypatch.setattr(process.saver._control, "now", lambda: moment[0])
    with monkeypatch.context() as patched:
        patched.setattr(snapshotfile, "write", slow)
        process.saver._end_tail()
        hear(process.saver, "New")
        await soon(lambda: process.saver._child)
        moment[0] += 50
        gate.open()
        await process.saves()
    found = process.saver.read()
    assert found is not None
    assert process.figures.snapshot_at == found.saved == NOON + 10


async def test_a_change_is_of_when_it_was_taken(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    moment, append = [NOON + 10], Tail.append

    def slow(tail: Tail, data: bytes) -> None:
        moment[0] += 50
        append(tail, data)

    monkeypatch.setattr(process.saver._control, "now", lambda: moment[0])
    monkeypatch.setattr(Tail, "append", slow)
    hear(process.saver, "New")
    await process.saves()
    found = process.saver.read()
    assert found is not None
    assert process.figures.snapshot_at == found.saved == NOON + 10
