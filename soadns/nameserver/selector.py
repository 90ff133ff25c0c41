"""A selector that answers datagrams itself, before it tells its event loop of anything. Standard library only.

A turn of asyncio's loop costs as much as an answer, and so does what ``selectors`` makes of an event. While there are
nothing but datagrams there need not be any of it.
"""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections.abc import Callable


class DatagramSelector(selectors.EpollSelector):
    """For ``asyncio.SelectorEventLoop``; what is served here is never seen by the loop.

    There are two epolls: one of what the loop waits for; one of what is served and of the other, which is asked first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[int, Callable[[], None]] = {}
        """By descriptor."""
        self._first = select.epoll()
        self._loops = self.fileno()
        self._first.register(self._loops, select.EPOLLIN)

    def serve(self, sock: socket.socket, answer: Callable[[], None]) -> None:
        """Call ``answer`` whenever the socket is readable, until ``leave``. It must not block, nor raise."""
        self._answers[sock.fileno()] = answer
        self._first.register(sock.fileno(), select.EPOLLIN)

    def leave(self, sock: socket.socket) -> None:
        """Serve a socket no longer; it is still open."""
        del self._answers[sock.fileno()]
        self._first.unregister(sock.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As of the base class: what else is ready, at the latest after ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        answers, poll = self._answers, self._first.poll
        while True:
            ready = poll(timeout)
            others = False
            for descriptor, _ in ready:
                if descriptor in answers:
                    answers[descriptor]()
                else:
                    others = True
            if others:
                return super().select(0)
            if not ready:
                return []
            if until is not None:
                timeout = until - time.monotonic()
                if timeout <= 0:
                    return []

    def close(self) -> None:
        """As of the base class."""
        self._first.close()
        super().close()
