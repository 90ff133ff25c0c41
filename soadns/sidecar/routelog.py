"""Which routes changed with which generation, so that whoever knows one can be told what is new. Pure and bounded.

A generation is a number that grows with every change of a zone's routes. It means something only together with the
name of the process that counts: another one, or a successor, counts for itself.
"""

from __future__ import annotations

from collections import deque

from soadns.routemodel import Place

MOST = 100_000
"""Changed places that are remembered; whoever knows less than that is told everything."""


class RouteLog:
    """The generations of one zone's routes."""

    def __init__(self) -> None:
        self.generation = 0
        self._changes: deque[tuple[int, frozenset[Place]]] = deque()
        self._held = 0

    def note(self, places: frozenset[Place]) -> None:
        """These changed, together."""
        self.generation += 1
        self._changes.append((self.generation, places))
        self._held += len(places)
        while self._held > MOST:
            self._held -= len(self._changes.popleft()[1])

    def since(self, generation: int) -> frozenset[Place] | None:
        """What changed after a generation; None where that is not remembered."""
        if not 0 <= self.generation - generation <= len(self._changes):
            return None
        found: set[Place] = set()
        for number, places in reversed(self._changes):
            if number <= generation:
                break
            found |= places
        return frozenset(found)
