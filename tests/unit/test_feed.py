"""What control learns of a worker: the figures of all processes that were it, over both of its channels."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from soadns.nameserver import frames, journal
from soadns.nameserver.feed import Feed, Publisher
from soadns.nameserver.report import Report
from soadns.nameserver.table import Delta
from tests.unit.holdings import some
from tests.unit.journals import publisher
from tests.unit.waiting import soon

Ends = tuple[Feed, Publisher, list[socket.socket]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A feed, its publisher, and the ends of its channels that worker processes would have."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    found = publisher()
    feed = Feed([ours for ours, _ in pairs], found)
    found.feeds = [feed]
    yield feed, found, [theirs for _, theirs in pairs]
    for pair in pairs:
        for sock in pair:
            sock.close()


def report(pid: int, udp: int, **more: Any) -> bytes:
    """What a worker process says every half a second."""
    said = Report(
        pid,
        replies={("rpc.test", "udp", 1, 1, 0): udp},
        durations={"rpc.test": ([udp] + [0] * 16, 0.001)},
        udp=udp,
        processor_s=0.5,
    )
    return frames.encode(frames.STATS, 1, replace(said, **more).encode())


async def test_figures_of_all_processes_that_were_a_worker_are_added_once(ends: Ends) -> None:
    feed, _, (left, right) = ends
    feed.start()
    # One process; its successor beside it, and then alone; a third on the first one's channel.
    told = [
        (left, 11, 5),
        (left, 11, 7),
        (right, 12, 1),
        (left, 11, 8),
        (right, 12, 4),
        (left, 13, 2),
        (left, 13, 3),
    ]
    for channel, pid, udp in told:
        channel.send(report(pid, udp))
        await soon(lambda pid=pid: feed.state.pid == pid)
    await soon(lambda: feed.state.figures.queries["udp"] == 8 + 4 + 3)
    state = feed.state
    assert (state.processes, state.figures.processor_s) == (3, 1.5)
    assert state.figures.replies == {("rpc.test", "udp", 1, 1, 0): 15}
    assert state.figures.durations["rpc.test"].slots[0] == 15
    feed.stop()


async def test_handshakes_that_failed_are_added_and_certificates_are_as_they_are_now(ends: Ends) -> None:
    feed, _, (left, right) = ends
    feed.start()
    assert feed.state.certificate_refused is None, "nobody speaks TLS"
    left.send(report(11, 1, handshakes={"alert": 2}, certificate_refused=True))
    await soon(lambda: feed.state.certificate_refused is True)
    right.send(report(12, 1, handshakes={"alert": 1, "protocol": 5}, certificate_refused=False))
    await soon(lambda: feed.state.certificate_refused is False)
    assert feed.state.figures.handshakes == {"alert": 3, "protocol": 5}
    feed.stop()


async def test_what_the_sockets_had_no_room_for_is_not_added_up(ends: Ends) -> None:
    """They outlive the processes, and their own count does."""
    feed, _, (left, right) = ends
    feed.start()
    left.send(report(11, 1, overflowed=7))
    right.send(report(12, 1, overflowed=9))
    await soon(lambda: feed.state.processes == 2)
    assert feed.state.overflowed in (7, 9)
    feed.stop()


async def test_a_worker_is_behind_until_it_has_applied_what_was_written(ends: Ends) -> None:
    feed, found, (left, _) = ends
    feed.start()
    applied: list[int] = []
    found.on_applied = applied.append
    generation = found.publish(Delta({b"a\0\1": some()}))
    assert frames.decode(left.recv(100)).kind == frames.CHANGED
    assert feed.state.behind
    left.send(frames.encode(frames.APPLIED, generation))
    await soon(lambda: applied == [generation])
    assert not feed.state.behind
    feed.stop()


async def test_nobody_waits_for_a_worker_that_is_silent(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, found, (left, _) = ends
    monkeypatch.setattr("soadns.nameserver.feed.SILENT_S", 0.05)
    feed.start()
    applied: list[int] = []
    found.on_applied = applied.append
    left.send(frames.encode(frames.APPLIED, 1))
    await soon(lambda: applied == [1])
    await asyncio.sleep(0.1)
    found.note_applied()
    assert applied == [1]
    feed.stop()


async def test_nonsense_from_a_worker_is_passed_over(ends: Ends) -> None:
    feed, _, (left, _) = ends
    feed.start()
    left.send(b"nonsense")
    left.send(report(11, 5))
    await soon(lambda: feed.state.pid == 11)
    feed.stop()


async def test_amid_a_first_sync_the_whole_table_is_not_written_again_and_again(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MIN_CHANGES", 500)
    _, control, _ = ends

    async def epoch_after(numbers: range, *, more: bool) -> int:
        for number in numbers:
            control.publish(Delta({b"\x04%04d\0\0\x01" % number: some(b"x" * 100)}), more=more)
        await soon(lambda: not control._journal.writing)
        return control._journal.epoch

    begun = await epoch_after(range(1), more=False)
    assert await epoch_after(range(1, 100), more=True) == begun
    assert await epoch_after(range(100, 101), more=False) == begun + 1
    monkeypatch.setattr(journal, "MAX_CHANGES", 10_000)
    assert await epoch_after(range(101, 400), more=True) > begun + 1
