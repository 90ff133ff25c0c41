"""All zones over all sources: one fold of events, fanned out. Pure, like the zones themselves.

Whoever drives it makes the same three calls: ``fold`` (events came), ``work`` (advance
names) and ``next_clock`` (when to call ``work`` again if nothing comes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soadns.binding.history import Transition
from soadns.binding.observations import Observations
from soadns.binding.store import ALL
from soadns.binding.zone import Zone
from soadns.binding.zonesettings import ZoneSettings
from soadns.model import Event, Identified, Synced, Trouble


class Estate:
    """Observations and zones."""

    def __init__(self, zones: Iterable[ZoneSettings]) -> None:
        self.observations = Observations()
        self.zones = {settings.name: Zone(settings, self.observations) for settings in zones}
        for settings in (zone.settings for zone in self.zones.values()):
            for source in settings.sources:
                self.observations.source(source)

    def fold(self, events: Sequence[Event], now: float) -> None:
        """Take in events of any sources, in order."""
        sources = {event.source for event in events}
        before = {source: self.observations.source(source).in_sync for source in sources}
        # The pass that ends with this batch is a first one, too.
        first = frozenset(source for source in sources if not self.observations.source(source).known)
        foreign = frozenset(
            e.source for e in events if isinstance(e, Identified) and self.observations.is_foreign(e)
        )
        changes = self.observations.fold(events, now)
        lost = [s for s in sources if before[s] and not self.observations.source(s).in_sync]
        # What a snapshot says of scopes ends with the first whole pass, or with the source being another one.
        scoped = {
            e.source
            for e in events
            if isinstance(e, Synced | Identified) or (isinstance(e, Trouble) and e.scope)
        }
        for zone in self.zones.values():
            if scoped & zone.settings.sources:
                zone.scopes_changed()
            for source in lost:
                zone.sync_changed(source, now, in_sync=False)
            for source in sorted(foreign):
                zone.disown(source, now)
            zone.apply(changes, now, first=first, foreign=foreign)
            for source in sources:
                if not before[source] and self.observations.source(source).in_sync:
                    zone.sync_changed(source, now, in_sync=True)

    def work(self, now: float, *, limit: int = ALL) -> list[tuple[str, Transition]]:
        """Advance all zones; returns (zone, transition) pairs."""
        return [
            (name, transition)
            for name, zone in self.zones.items()
            for transition in zone.work(now, limit=limit)
        ]

    @property
    def pending(self) -> bool:
        """Whether ``work`` has something to do now."""
        return any(zone.pending for zone in self.zones.values())

    @property
    def unjudged(self) -> bool:
        """Whether sites of a first reading are being judged: ``fold`` would do that first, all at once."""
        return any(zone.unjudged for zone in self.zones.values())

    def next_clock(self) -> float | None:
        """When ``work`` has something to do by the passing of time alone."""
        times = [t for t in (zone.next_clock() for zone in self.zones.values()) if t is not None]
        return min(times, default=None)
