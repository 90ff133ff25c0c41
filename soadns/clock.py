"""Unix seconds that never jump: what everything in the control process is timed by.

The wall clock is asked once; from then on the monotonic clock tells how much later it is. So a step of the wall clock
(a virtual machine that resumes, the first answer of a time server) neither ends a linger early nor lets the address of
a deleted Service be answered for an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """A clock that goes on steadily from the present time."""

    def __init__(
        self, *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._steady = steady
        self._begin = wall() - steady()

    def __call__(self) -> float:
        """Unix seconds."""
        return self._begin + self._steady()

    def not_before(self, moment: float) -> None:
        """Go on from ``moment`` if it is later: a predecessor saw it, so it is past."""
        self._begin += max(0.0, moment - self())
