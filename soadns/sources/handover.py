"""Calls that other threads hand over to the event loop, many per wake-up.

A client library with threads of its own and our loop share one interpreter: waking the loop for every result makes
the two wait for each other far longer than they work. While much is under way, results are gathered for a moment
and taken together; a single one is taken at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

GATHER_S = 0.003
"""How long results are gathered while much is under way; the first sync of a registry takes half as long by it."""


class Handover:
    """``put`` is called by any thread; everything else happens on the loop.

    ``after`` is called when what was there has run, and says whether much is under way. ``failed`` is told of an
    exception in a call; what was handed over behind it stays for the next turn.
    """

    def __init__(self, *, after: Callable[[], bool], failed: Callable[[Exception], None]) -> None:
        self._after = after
        self._failed = failed
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = False
        """Whether a turn is scheduled."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take calls on this loop from now on."""
        self._loop = loop

    def put(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have ``call`` run on the loop, in order."""
        self._calls.append((call, arguments))
        if not self._due:
            self._due = True
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._turn)
            except RuntimeError:  # the loop is closed: the process ends
                return

    def _turn(self) -> None:
        assert self._loop is not None
        busy = False
        try:
            for _ in range(len(self._calls)):
                call, arguments = self._calls.popleft()
                call(*arguments)
            busy = self._after()
        except Exception as fault:  # of ours: who runs the source is told, and starts it again
            self._failed(fault)
        if busy:
            self._loop.call_later(GATHER_S, self._turn)
            return
        self._due = False
        if self._calls and not self._due:
            # Put between the last look and the line above, by somebody who thought that a turn was due.
            self._due = True
            self._loop.call_soon(self._turn)
