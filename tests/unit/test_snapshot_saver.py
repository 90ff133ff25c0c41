"""Snapshots of a running control process: written beside its work, by a child that leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from soadns.control import Predecessor
from soadns.persistence import saver as saver_module
from soadns.persistence import snapshotfile
from soadns.persistence.snapshotfile import Tail
from tests.unit.notation import NOON, SOURCES, ZONE
from tests.unit.saving_process import Gate, Log, Process, hear, names, started
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

ZK, KUBE = SOURCES["zookeeper"], SOURCES["kube"]


async def test_what_happened_is_saved_beside_the_work_and_restored(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    saver = started(path, log)
    hear(saver, "User")
    running = asyncio.create_task(saver.run())
    await soon(lambda: saver._control.figures.snapshots == 1)
    running.cancel()
    again = started(path, log)
    assert again.restore(again.read()) == Predecessor(serials={ZONE: 0}, complete=frozenset({ZONE}))
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
    write = snapshotfile.write
    end = os.getpid()

    def slow(target: Path, data: bytes, *, parent: int = 0) -> None:
        if os.getpid() != end:
            target.with_name(f"{target.name}.{os.getpid()}.tmp").touch()
            gate.wait()
        write(target, data, parent=parent)

    gate = Gate()
    monkeypatch.setattr(snapshotfile, "write", slow)
    running = asyncio.create_task(saver.run())
    await soon(lambda: os.listdir(tmp_path))
    running.cancel()
    hear(saver, "New")
    saver.save_now()
    gate.open()
    again = started(path, log)
    again.restore(again.read())
    assert names(again) == ["New", "Old"]
    assert os.listdir(tmp_path) == ["snapshot"]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - there is nobody to wait for


async def test_a_child_that_writes_on_keeps_no_port_from_a_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It outlives its parent where that is killed, for as long as the disk takes."""
    saver = started(tmp_path / "snapshot", Log())
    hear(saver, "User")
    write, begun, gate = snapshotfile.write, Gate(), Gate()

    def slow(target: Path, data: bytes, *, parent: int = 0) -> None:
        begun.open()
        gate.wait()
        write(target, data, parent=parent)

    monkeypatch.setattr(snapshotfile, "write", slow)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        running = asyncio.create_task(saver.run())
        await soon(lambda: begun.opened)
    with socket.create_server(("127.0.0.1", port)):
        gate.open()
    await soon(lambda: saver._control.figures.snapshots == 1)
    running.cancel()
    again = started(tmp_path / "snapshot", Log())
    again.restore(again.read())
    assert names(again) == ["User"]


async def test_a_child_that_outlives_its_parent_does_not_have_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parent was killed, and what a successor has saved since is newer."""
    path, write, ended = tmp_path / "snapshot", snapshotfile.write, Gate()
    successor = started(path, Log())
    hear(successor, "New")
    if not (killed := os.fork()):
        try:
            gate, saver = Gate(), started(tmp_path / "snapshot", Log())

            def slow(target: Path, data: bytes, *, parent: int = 0) -> None:
                gate.wait()  # until its parent has gone
                try:
                    write(target, data, parent=parent)
                finally:
                    ended.open()

            monkeypatch.setattr(snapshotfile, "write", slow)
            hear(saver, "Old")
            saver._fork()
        finally:
            os._exit(0)
    os.waitpid(killed, 0)  # noqa: ASYNC222 - it forks, and ends
    successor.save_now()
    await soon(lambda: ended.opened)
    again = started(path, Log())
    again.restore(again.read())
    assert names(again) == ["New"]
    assert os.listdir(tmp_path) == ["snapshot"]


async def test_another_clusters_snapshot_is_refused_and_said(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    saver = started(path, log, **{KUBE: "uid-1", ZK: "zk1"})
    hear(saver, "User")
    saver.save_now()
    again = started(path, log, **{KUBE: "uid-2", ZK: "zk1"})
    again.restore(again.read())
    assert f"snapshot-refused reason=source {KUBE}: saved from uid-1, now uid-2; ignored" in log
    assert names(again) == ["User"]


async def test_time_never_goes_back_over_a_restart(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    saver = started(path, log)
    hear(saver, "User")
    saver.save_now()
    for wall, now in ((NOON - 3600, NOON), (NOON + 3600, NOON + 3600)):
        again = started(path, log, wall)
        again.restore(again.read())
        assert again._control.now() == now


async def test_an_unusable_file_is_said_and_set_aside(tmp_path: Path) -> None:
    path, log = tmp_path / "snapshot", Log()
    path.write_bytes(b"nonsense")
    assert (saver := started(path, log)).restore(saver.read()) == Predecessor()
    assert "does not begin with a snapshot header" in log[0]
    assert os.listdir(tmp_path) == ["snapshot.unusable"]


def test_a_snapshot_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    snapshotfile.write(tmp_path / "snapshot", b"data")
    assert (tmp_path / "snapshot").stat().st_mode & 0o777 == 0o600


async def test_what_another_replica_gave_is_what_the_successor_begins_with(tmp_path: Path) -> None:
    """Nothing that this process knows replaces it, whatever happens until it ends."""
    path, log = tmp_path / "snapshot", Log()
    other = started(tmp_path / "other", log)
    hear(other, "Known")
    other.save_now()
    saver = started(path, log)
    running = asyncio.create_task(saver.run())
    found = other.read()
    assert found is not None
    assert saver.give_way(found)
    hear(saver, "Half")
    await asyncio.sleep(0.3)
    assert saver.save_now()
    running.cancel()
    again = started(path, log)
    again.restore(again.read())
    assert names(again) == ["Known"]


async def test_it_is_saved_again_where_others_may_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "REFRESH_S", 0.05)
    monkeypatch.setattr(saver_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(saver_module, "FORK_SHARE", 1.0)
    alone, shared = (
        started(tmp_path / name, Log(), listen=listen)
        for name, listen in (("a", ""), ("b", "127.0.0.1:8056"))
    )
    tasks = []
    for saver in (alone, shared):
        hear(saver, "User")
        tasks.append(asyncio.create_task(saver.run()))
    await soon(lambda: shared._control.figures.snapshots > 2)
    assert alone._control.figures.snapshots <= 2  # of what it heard
    for task in tasks:
        task.cancel()


# ------------------------------------------------------------------------------ what changed


@pytest.fixture
async def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    found = Process(tmp_path / "snapshot", monkeypatch)
    await found.saves()
    assert found.forks == 1
    yield found
    found.running.cancel()
    assert os.listdir(tmp_path) == ["snapshot"]


async def test_what_changed_goes_behind_what_there_is(process: Process) -> None:
    whole = process.path.read_bytes()
    for number in range(5):
        hear(process.saver, f"New{number}")
        await process.saves()
    assert process.forks == 1
    assert process.path.read_bytes().startswith(whole)
    assert process.names() == ["New0", "New1", "New2", "New3", "New4", "User"]
    assert process.figures.snapshot_octets == process.path.stat().st_size
    assert process.log == []


async def test_much_that_changed_at_once_is_a_new_whole(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "MOST_CHANGES", 30)
    for number in range(50):
        hear(process.saver, f"New{number}")
    await process.saves()
    assert process.forks == 2
    hear(process.saver, "More")
    await process.saves()
    assert process.forks == 2
    assert len(process.names()) == 52


async def test_changes_that_have_taken_more_room_than_the_whole_give_way_to_a_new_one(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "MIN_CHANGES", 0)
    whole = process.path.stat().st_size
    for number in range(20):
        hear(process.saver, f"New{number}")
        await process.saves()
        assert process.path.stat().st_size < 4 * (number + 2) * whole
    assert 2 <= process.forks <= 8, "the whole doubles between one and the next"
    assert len(process.names()) == 21


async def test_it_is_saved_earlier_when_more_would_have_to_be_a_whole(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "MOST_CHANGES", 30)
    monkeypatch.setattr(saver_module, "PAUSE_S", 3_600.0)
    hear(process.saver, "New")
    await process.saves()
    for number in range(5):
        hear(process.saver, f"New{number}")
    await process.saves()
    assert process.forks == 1


async def test_a_change_that_could_not_be_written_is_in_a_new_whole(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tail: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Tail, "append", full)
        hear(process.saver, "New")
        await process.saves()
    assert process.log == [
        f"snapshot-failed reason={process.path}: No space left on device hint=check space and permissions"
    ]
    assert process.forks == 2
    assert process.names() == ["New", "User"]


async def test_at_the_end_what_changed_goes_behind_what_there_is(process: Process) -> None:
    whole = process.path.read_bytes()
    process.running.cancel()
    hear(process.saver, "New")
    assert process.saver.save_now()
    assert process.path.read_bytes().startswith(whole)
    assert process.names() == ["New", "User"]


async def test_at_the_end_nothing_is_written_beside_a_change_that_is_under_way(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is begun comes to its end, later: it must not have the last word."""
    gate, begun, append = threading.Event(), threading.Event(), Tail.append

    def slow(tail: Tail, data: bytes) -> None:
        begun.set()
        gate.wait(10.0)
        append(tail, data)

    monkeypatch.setattr(Tail, "append", slow)
    hear(process.saver, "Old")
    await soon(begun.is_set)
    process.running.cancel()
    await asyncio.gather(process.running, return_exceptions=True)
    hear(process.saver, "New")
    assert process.saver.save_now()
    after = process.path.read_bytes()
    gate.set()
    await asyncio.sleep(0.1)
    assert process.path.read_bytes() == after
    assert process.names() == ["New", "Old", "User"]
