"""The brake on mass changes of EnvoyFilters: what nobody can have meant waits for somebody who says so. Pure.

As the guard of names: when more than a share of the objects *and* at least a minimum are to be changed or removed
together, or were within the last minutes, all that are to be are held until the cause is gone or an operator releases
them. What is wrong by proof (the filter of a Service whose name or ClusterIP is somebody else's by now) is neither
counted nor held, and neither is what is new. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from soadns.mesh.filterplan import CREATE, Name, Step

WINDOW_S = 600.0
"""For how long a change counts."""


@dataclass(frozen=True, slots=True)
class FilterAlarm:
    """What the guard says now."""

    total: int
    """Objects that stand."""
    counted: int
    """Those that changed within the window, or are to."""
    held: int


class FilterGuard:
    """``share`` and ``minimum`` as in ``guard``."""

    def __init__(self, share: float, minimum: int) -> None:
        self.share = share
        self.minimum = minimum
        self._done: dict[Name, float] = {}
        """What was changed or removed, and when; the oldest first."""
        self._held: set[Name] = set()
        self._released: set[Name] = set()
        self.alarm = FilterAlarm(0, 0, 0)

    def sort_out(self, steps: Iterable[Step], total: int, now: float) -> list[Step]:
        """The steps that may be done; the others are held. ``total`` is how many objects stand."""
        every = list(steps)
        while self._done and now - self._done[oldest := next(iter(self._done))] > WINDOW_S:
            del self._done[oldest]
        pending = {step.name for step in every if _counts(step)}
        self._released &= pending
        counted = len(pending | self._done.keys())
        trips = counted >= self.minimum and counted > self.share * max(total, len(self._done))
        self._held = pending - self._released if trips else set()
        self.alarm = FilterAlarm(total, counted, len(self._held))
        return [step for step in every if not self.holds(step)]

    def holds(self, step: Step) -> bool:
        """Whether a step was held when they were sorted out last."""
        return step.name in self._held and _counts(step)

    def note(self, step: Step, now: float) -> None:
        """It was done."""
        if _counts(step) and step.name not in self._released:
            self._done.pop(step.name, None)
            self._done[step.name] = now
        self._released.discard(step.name)

    def release(self) -> int:
        """Let what is held now happen; returns how many objects that are."""
        self._released |= self._held
        return len(self._held)


def _counts(step: Step) -> bool:
    return step.kind != CREATE and not step.urgent
