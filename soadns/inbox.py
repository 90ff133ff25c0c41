"""Events that came and are not folded yet, in the batches in which they came. Pure.

What came as one batch holds in one instant. Batches are folded together while they are few events; a large one takes
several folds, and nobody may decide anything by a part of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from soadns.model import Event


class Inbox:
    """A queue of batches; ``at_once`` is how many events are folded together."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._batches: deque[list[Event]] = deque()
        """The first one without what was taken of it already."""
        self.amid = False
        """Whether a part of a batch was taken, and not its end."""

    def __bool__(self) -> bool:
        return bool(self._batches)

    def put(self, batch: Sequence[Event]) -> None:
        """Add a batch that is not empty."""
        self._batches.append(list(batch))

    def take(self) -> list[Event]:
        """The next events to be folded together: whole batches, or a part of a large one."""
        events: list[Event] = []
        while self._batches and len(events) + len(self._batches[0]) <= self._at_once:
            events += self._batches.popleft()
        self.amid = not events and bool(self._batches)
        if self.amid:
            events = self._batches[0][: self._at_once]
            del self._batches[0][: self._at_once]
        return events
