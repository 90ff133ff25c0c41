"""First readings of sources, kept from a zone that decides already until they are over. Pure.

A zone that waits for a source decides nothing before it was read. One that does not (``required: false``, or a source
that was added to a zone at work) must not decide by the half of it that was read so far: the first page of a cluster
would give names to the wrong Service, and a pod of which one interface is read would seem to lack the others. So what
such a source says is taken in when its first reading is over, in portions, and the zone decides when all of it is in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from typing import NamedTuple

from soadns.binding.observations import Change, Observations

PORTION = 4_000
"""Changes taken in at once: the process has heartbeats to send in between."""


class Portion(NamedTuple):
    """Changes that are to be taken in together."""

    changes: list[Change]
    first: frozenset[str]
    """Sources of whose first reading they are."""
    over: frozenset[str]
    """Those of them whose first reading ends with it."""


class Arrivals:
    """What one zone does not know yet of sources in their first reading."""

    def __init__(self, observations: Observations) -> None:
        self._observations = observations
        self._withheld: set[str] = set()
        """Sources of which something was kept back."""
        self._queue: deque[tuple[Change, bool]] = deque()
        """Changes that are to be taken in, in order; whether they are of the first reading."""
        self._coming: set[str] = set()
        """Sources with changes in the queue."""

    def __bool__(self) -> bool:
        return bool(self._queue)

    def sift(
        self, changes: Sequence[Change], patient: Set[str], foreign: Set[str] = frozenset()
    ) -> list[Change]:
        """The changes that hold at once; of ``patient`` sources only those behind the first reading do.

        What a ``foreign`` source said before is not withheld when it is taken back: all of that is in the zone.
        """
        at_once = self._hurry(foreign)
        unheard = foreign & self._withheld
        over = {source for source in self._withheld if self._observations.source(source).known}
        for source in sorted(over):
            values = self._observations.source(source).values
            self._queue.extend((Change(source, key, None, value), True) for key, value in values.items())
        self._withheld -= over
        for change in changes:
            source = change.source
            if source in over:
                continue
            if source in foreign and change.after is None:
                if source not in unheard:
                    at_once.append(change)
                continue
            if source in patient and not self._observations.source(source).known:
                self._withheld.add(source)
            elif source in self._coming:
                self._queue.append((change, False))
            else:
                at_once.append(change)
        if over and self._queue:
            self._coming |= over
        return at_once

    def _hurry(self, sources: Set[str]) -> list[Change]:
        """What is queued of these sources, out of its turn."""
        found = [change for change, _ in self._queue if change.source in sources]
        if found:
            self._queue = deque(entry for entry in self._queue if entry[0].source not in sources)
            self._coming -= sources
        return found

    def take(self) -> Portion:
        """The next portion. The first reading of a source lies in one piece."""
        portion: list[Change] = []
        first = self._queue[0][1]
        while self._queue and len(portion) < PORTION and self._queue[0][1] == first:
            portion.append(self._queue.popleft()[0])
        read = frozenset(change.source for change in portion) if first else frozenset()
        goes_on = {self._queue[0][0].source} if self._queue and self._queue[0][1] else set()
        if not self._queue:
            self._coming.clear()
        return Portion(portion, read, read - goes_on)
