"""Which ports may have filters, and files of rules, for answers about filters where nobody keeps filters in a cluster.

Who keeps them knows it (``soadns.mesh``). Else all Services of the zone have to be looked at, so that is remembered for
a moment.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from soadns.reports import filterviews
from soadns.reports.filterviews import Meshing
from soadns.web.operations import Running

AT_ONCE = 10
"""Services that are looked at in one turn of the event loop."""
FOR_S = 10.0
"""How long it counts: what providers prefer, and annotations, change without a change of routes."""


@dataclass(frozen=True, slots=True)
class _Known:
    generation: int
    before: Meshing
    """What it was made from."""
    after: Meshing
    at: float
    """By the monotonic clock."""


class Placements:
    """What filters stand on, with all that is asked of it."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._known: dict[str, _Known] = {}

    async def meshing(self, name: str) -> Meshing:
        """For the Services of one zone."""
        running, before = self._running, self._running.meshing
        zone, table = running.estate.zones[name], running.routing.tables[name]
        if before.placed(name, len(table.vips)):
            return before
        generation, known = running.routing.generation(name), self._known.get(name)
        fresh = known is not None and time.monotonic() - known.at < FOR_S
        if known is not None and fresh and known.generation == generation and known.before is before:
            return known.after
        claims = filterviews.no_claims(zone, before)
        for number, ref in enumerate({vip.service for vip in table.vips.values()}):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)  # what comes from sources is not to wait for all of them
            filterviews.claim(claims, zone, table, ref, before)
        after = replace(before, places=claims.shared_out())
        self._known[name] = _Known(generation, before, after, time.monotonic())
        return after
