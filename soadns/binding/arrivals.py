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

PORTION = 250
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
        self._withheld: dict[str, deque[Change]] = {}
        """Source in its first reading → what it said so far, in order."""
        self._queue: deque[tuple[str, deque[Change]]] = deque()
        """Changes that are to be taken in, in order: those of a source's first reading with its name, later ones with
        ``''``. None is empty."""
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
        over = [source for source in self._withheld if self._observations.source(source).known]
        for change in changes:
            source = change.source
            if source in self._withheld:
                self._withheld[source].append(change)
            elif source in foreign and change.after is None:
                at_once.append(change)
            elif source in patient and not self._observations.source(source).known:
                self._withheld[source] = deque([change])
            elif source in self._coming:
                self._append(change)
            else:
                at_once.append(change)
        for source in sorted(over):
            self._queue.append((source, self._withheld.pop(source)))
            self._coming.add(source)
        return at_once

    def _append(self, change: Change) -> None:
        if self._queue[-1][0]:
            self._queue.append(("", deque()))
        self._queue[-1][1].append(change)

    def _hurry(self, sources: Set[str]) -> list[Change]:
        """What is queued of these sources, out of its turn."""
        if not sources & self._coming:
            return []
        found: list[Change] = []
        queue, self._queue = self._queue, deque()
        for reading, changes in queue:
            found += (change for change in changes if change.source in sources)
            if rest := deque(change for change in changes if change.source not in sources):
                self._queue.append((reading, rest))
        self._coming = self._coming - sources if self._queue else set()
        return found

    def take(self) -> Portion:
        """The next portion. The first reading of a source lies in one piece."""
        reading, changes = self._queue[0]
        portion = [changes.popleft() for _ in range(min(PORTION, len(changes)))]
        if not changes:
            self._queue.popleft()
        if not self._queue:
            self._coming.clear()
        read = frozenset({reading} if reading else ())
        return Portion(portion, read, frozenset() if changes else read)
