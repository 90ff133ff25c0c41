"""Keeps an inventory up to date in the event loop, in portions, and wakes the streams that stand on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from soadns.faults import AGAIN_S
from soadns.routing import Routing

AT_ONCE = 50
"""Streams that are woken in one pass of the event loop."""


class Follows(Protocol):
    """An inventory."""

    def follow(self) -> Iterator[None]:
        """Take in what changed: to be run to its end, with pauses wherever it yields."""


I = TypeVar("I", bound=Follows)  # noqa: E741 - an inventory


class Keeper(Generic[I]):
    """The inventory of one zone; ``settled`` is set while it is not amid a change."""

    def __init__(self, zone: str, inventory: I, routing: Routing) -> None:
        self.inventory = inventory
        self.settled = asyncio.Event()
        self.failed = False
        """Whether a fault of ours has ended it: nothing that it has may be told any more."""
        self._ended = 0.0
        """When it did, by the clock of ``time.monotonic``."""
        self._zone = zone
        self._routing = routing
        self._stirred = asyncio.Event()
        self._stirred.set()
        self._streams: set[asyncio.Event] = set()
        self._number = routing.listen(self._hear, clusters=True)

    def _hear(self, zone: str) -> None:
        if zone == self._zone:
            self._stirred.set()

    def join(self, stirred: asyncio.Event) -> Callable[[], None]:
        """Have an event set at every change; returns what ends that."""
        self._streams.add(stirred)
        return lambda: self._streams.discard(stirred)

    @property
    def over(self) -> bool:
        """Whether it has failed a while ago: those that come again have a new one."""
        return self.failed and time.monotonic() >= self._ended + AGAIN_S

    async def run(self) -> None:
        """Follow until cancelled. What an inventory raises is a fault of ours, and the end."""
        try:
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                self.settled.clear()
                for _ in self.inventory.follow():
                    await asyncio.sleep(0)
                self.settled.set()
                self._wake(list(self._streams))
        except Exception:
            self.failed, self._ended = True, time.monotonic()
            self.settled.set()
            self._wake(list(self._streams))
            raise
        finally:
            self._routing.leave(self._number)

    def _wake(self, streams: list[asyncio.Event]) -> None:
        for stirred in streams[:AT_ONCE]:
            stirred.set()
        if rest := streams[AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._wake, rest)
