"""A selector that answers datagrams itself, before it tells its event loop of anything. Standard library only.

A turn of asyncio's loop costs as much as an answer. While there is nothing but datagrams there need not be any.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable


class DatagramSelector(selectors.EpollSelector):
    """For ``asyncio.SelectorEventLoop``; what is served here is never seen by the loop."""

    def serve(self, sock: socket.socket, answer: Callable[[], None]) -> None:
        """Call ``answer`` whenever the socket is readable, until ``unregister``. It must not block, nor raise."""
        self.register(sock, selectors.EVENT_READ, _Answering(answer))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As of the base class: what else is ready, at the latest after ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = super().select(timeout)
            others = []
            for event in ready:
                data = event[0].data
                if isinstance(data, _Answering):
                    data.answer()
                else:
                    others.append(event)
            if others or not ready:
                return others
            if until is not None:
                timeout = until - time.monotonic()
                if timeout <= 0:
                    return others


class _Answering:
    """What tells a served socket from those of the loop."""

    __slots__ = ("answer",)

    def __init__(self, answer: Callable[[], None]) -> None:
        self.answer = answer
