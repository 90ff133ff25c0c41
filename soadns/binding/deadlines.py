"""When each name wants to be looked at again, if nothing happens to it before. Pure."""

from __future__ import annotations

import heapq

from soadns.model import InterfaceId


class Deadlines:
    """One time per name, in Unix seconds. Setting and taking one costs the logarithm of how many there are."""

    def __init__(self) -> None:
        self.times: dict[InterfaceId, float] = {}
        self._heap: list[tuple[float, InterfaceId]] = []
        """May hold times that were set anew since; those do not count."""

    def set(self, interface: InterfaceId, at: float | None) -> None:
        """Have a name looked at then; None for never."""
        if at is None:
            self.times.pop(interface, None)
        elif self.times.get(interface) != at:
            self.times[interface] = at
            heapq.heappush(self._heap, (at, interface))

    def next(self) -> float | None:
        """The first time that is set."""
        heap = self._heap
        while heap and self.times.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def is_due(self, now: float) -> bool:
        """Whether the time of some name has come."""
        at = self.next()
        return at is not None and at <= now

    def due(self, now: float, limit: int) -> list[InterfaceId]:
        """Take up to ``limit`` of the names whose time has come."""
        found: list[InterfaceId] = []
        while len(found) < limit and self.is_due(now):
            _, interface = heapq.heappop(self._heap)
            del self.times[interface]
            found.append(interface)
        return found
