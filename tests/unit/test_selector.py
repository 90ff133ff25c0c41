"""Datagrams are answered without the event loop, and keep nothing else from its turn."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from soadns.nameserver.selector import DatagramSelector


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


class Answering:
    """One who answers each datagram, and always has one more coming."""

    def __init__(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self.ours, self.theirs = pair
        self.answered = 0
        self.theirs.send(b"first")

    def __call__(self) -> None:
        self.ours.recv(100)
        self.answered += 1
        self.theirs.send(b"next")


def test_what_is_served_is_not_told(pair: tuple[socket.socket, socket.socket]) -> None:
    with DatagramSelector() as selector:
        answer = Answering(pair)
        selector.serve(pair[0], answer)
        assert selector.select(0) == []
        assert answer.answered == 1, "one look where the loop has something to do"
        selector.leave(pair[0])
        assert selector.select(0) == []
        assert answer.answered == 1


def test_a_steady_stream_does_not_outlast_the_time_given(pair: tuple[socket.socket, socket.socket]) -> None:
    with DatagramSelector() as selector:
        answer = Answering(pair)
        selector.serve(pair[0], answer)
        began = time.monotonic()
        assert selector.select(0.05) == []
        assert time.monotonic() - began >= 0.05
        assert answer.answered > 10


def test_timers_sockets_and_other_threads_get_their_turn_beside_a_steady_stream(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    selector = DatagramSelector()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        answer = Answering(pair)
        selector.serve(pair[0], answer)
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            await asyncio.sleep(0.01)
            right.send(b"for the loop")
            assert await asyncio.wait_for(loop.sock_recv(left, 100), 5) == b"for the loop"
            called = asyncio.Event()
            await asyncio.to_thread(loop.call_soon_threadsafe, called.set)
            await asyncio.wait_for(called.wait(), 5)
        assert answer.answered > 10
        selector.leave(pair[0])

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(story())
