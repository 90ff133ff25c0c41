"""How fast a registry is read: never faster than its server likes, and everything once in a while. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import ceil
from typing import Generic, TypeVar

T = TypeVar("T")

FEWEST = 4
"""Reads in flight that are always allowed, however slow the server."""
SLOW_S = 0.25
"""Latency from which on a server is taken to suffer."""
PACE_PER_LEAF_S = 20e-6
"""Rest between two reads of one directory, per leaf it holds: 5,000 providers are read ten times a second
at most, while a usual directory is read at once."""
REREAD_PER_S = 20_000
"""Directories per second of jitter before everything is read again after an outage."""
ROUND_S = 1_800.0
"""In which time everything is read once more though nothing was said of it."""


def rest_after(leaves: int) -> float:
    """Seconds until a directory with so many leaves may be read again."""
    return leaves * PACE_PER_LEAF_S if leaves > 100 else 0.0


class Window:
    """Reads in flight: additive increase, multiplicative decrease, so that a slow server gets fewer at once."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._size = float(most)
        self._under_way = 0

    @property
    def open(self) -> bool:
        """Whether one more read may begin."""
        return self._under_way < self._size

    def begin(self) -> None:
        """A read has begun."""
        self._under_way += 1

    def end(self, latency: float | None = None) -> None:
        """A read is over; ``latency`` in seconds if the server answered it."""
        self._under_way -= 1
        if latency is None:
            return
        if latency > SLOW_S:
            self._size = max(float(FEWEST), self._size * 0.7)
        elif self._size < self._most:
            self._size = min(self._most, self._size + 0.1)

    def forget(self) -> None:
        """The connection is gone, and all reads with it."""
        self._under_way = 0


class Rounds(Generic[T]):
    """Goes through everything again and again, a little at a time, each thing once in ``ROUND_S``.

    ZooKeeper drops the watch of a directory that its owner may not read at that moment, and says nothing when he may
    again: without this the directory would be unknown until the next lost connection.
    """

    def __init__(self, everything: Callable[[], Iterable[T]]) -> None:
        self._everything = everything
        self._left: deque[T] = deque()
        self._share = 0

    def next(self, seconds: float) -> list[T]:
        """What is due after so many seconds more."""
        if not self._left:
            self._left.extend(self._everything())
            self._share = len(self._left)
        due = min(len(self._left), ceil(self._share * seconds / ROUND_S))
        return [self._left.popleft() for _ in range(due)]
