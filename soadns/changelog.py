"""What changed with which generation, so that whoever knows one can be told what is new. Pure and bounded.

A generation is a number that grows with every change of what it counts. It means something only together with the
name of the process that counts: another one, or a successor, counts for itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
MOST = 100_000
"""Changes that are remembered; whoever knows less than that is told everything."""


class ChangeLog(Generic[K]):
    """The generations of many things that have keys: a zone's routes, by place, or the resources of a sidecar.

    ``most``: changes that are remembered.
    """

    def __init__(self, most: int = MOST) -> None:
        self.generation = 0
        self._most = most
        self._changes: deque[tuple[int, frozenset[K]]] = deque()
        self._held = 0

    def note(self, changed: frozenset[K]) -> None:
        """These changed, together."""
        self.generation += 1
        self._changes.append((self.generation, changed))
        self._held += len(changed)
        while self._held > self._most:
            self._held -= len(self._changes.popleft()[1])

    def since(self, generation: int) -> frozenset[K] | None:
        """What changed after a generation; None where that is not remembered."""
        if not 0 <= self.generation - generation <= len(self._changes):
            return None
        found: set[K] = set()
        for number, changed in reversed(self._changes):
            if number <= generation:
                break
            found |= changed
        return frozenset(found)
