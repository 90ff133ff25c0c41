"""How many interfaces are in which state: counted over all names, a few at a time, and not too often.

Nobody waits for that but who asked, and he not for long: with so many names that it takes longer, he is told what was
counted before.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import islice

from soadns.reports.views import FLAGS, Found, flags
from soadns.web.operations import Running

AT_ONCE = 100
"""Names that are looked at between two passes of the event loop: a millisecond."""
PAUSE_S = 5.0
SHARE = 0.02
"""Of a core that counting may take: with a hundred thousand names it is done once in a minute."""
WAIT_S = 1.0
"""How long who asks waits for it."""
Counts = Counter[tuple[str, str]]
"""By zone and state."""


class States:
    """The counts of one running process."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._counts: Counts | None = None
        self._next = 0.0
        """When it may be counted again, by the monotonic clock."""
        self._counting: asyncio.Task[None] | None = None

    @property
    def counts(self) -> Counts:
        """What was counted last; nothing before it was for the first time."""
        return self._counts if self._counts is not None else Counter()

    async def refresh(self) -> None:
        """Count anew if that is due; returns when it is done, or has taken too long."""
        if self._counting is None and time.monotonic() >= self._next:
            self._counting = asyncio.create_task(self._count())
        if (counting := self._counting) is not None:
            await asyncio.wait({counting}, timeout=WAIT_S)
            if counting.done():
                if self._counting is counting:
                    self._counting = None
                counting.result()

    async def _count(self) -> None:
        counts: Counts = Counter()
        taken = 0.0
        for zone, each in self._running.estate.zones.items():
            counts.update(dict.fromkeys(((zone, state) for state in ("bound", *FLAGS)), 0))
            names = iter(list(each.outcomes))
            while portion := list(islice(names, AT_ONCE)):
                began = time.perf_counter()
                for interface in portion:
                    if interface in each.outcomes:
                        found = flags(Found(each, interface))
                        counts[zone, "bound"] += "unbound" not in found
                        counts.update((zone, flag) for flag in found)
                taken += time.perf_counter() - began
                await asyncio.sleep(0)
        self._counts = counts
        self._next = time.monotonic() + max(PAUSE_S, taken / SHARE)
