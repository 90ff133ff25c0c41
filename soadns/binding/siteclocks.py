"""The clocks of one zone's sites: when a host:port is to be looked at again, if nothing happens to it before.

Three kinds of them end by the passing of time: what registers counts as settled, what a lost session keeps or an older
application holds ends (``soadns.binding.sites``), and an address that left the endpoints of living Services is
anybody's again. None of the first two ends while the registry that spoke of the site is out of sync. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import NamedTuple

from soadns.binding.sight import StoreSettings
from soadns.binding.sites import HostPort, Site
from soadns.marks import Marks


class Due(NamedTuple):
    """What is to be looked at now."""

    sites: list[HostPort]
    hosts: list[str]
    """Addresses whose time since they left is over, unless they left once more."""


class SiteClocks:
    """Times are Unix seconds. Setting and taking one costs the logarithm of how many there are."""

    def __init__(
        self, settings: StoreSettings, sites: Mapping[HostPort, Site], changed: Marks[HostPort]
    ) -> None:
        self._settings = settings
        self._sites = sites
        self._changed = changed
        self._heap: list[tuple[float, str, HostPort]] = []
        """May hold clocks that were set anew since, and those of sites that are gone."""
        self._out_since: dict[str, float] = {}
        """Registries that are out of sync, and since when."""
        self._unsettled: dict[str, set[HostPort]] = {}
        """Registry that is out of sync → its sites that would have settled meanwhile."""

    # ------------------------------------------------------------------ setting

    def settle(self, key: HostPort, at: float) -> None:
        """Let what registers at a site count as settled then."""
        heapq.heappush(self._heap, (at, "settle", key))

    def review(self, key: HostPort, at: float) -> None:
        """Look at a site then, for a clock of its own."""
        heapq.heappush(self._heap, (at, "site", key))

    def leave(self, host: str, at: float) -> None:
        """Let an address that left the endpoints of living Services be anybody's then."""
        heapq.heappush(self._heap, (at, "departed", (host, 0)))

    # ------------------------------------------------------------------ registries out of sync

    def paused(self, registry: str) -> bool:
        """Whether no clock of its sites ends now."""
        return registry in self._out_since

    def stop(self, registry: str, now: float) -> None:
        """The registry fell out of sync."""
        self._out_since.setdefault(registry, now)

    def go_on(self, registry: str, now: float) -> None:
        """The registry is in sync again: the time since it fell out of it does not count."""
        for key in self._unsettled.pop(registry, ()):
            self.settle(key, now + self._settings.times.settle)
        since = self._out_since.pop(registry, now)
        for key, site in self._sites.items():
            if site.source == registry and (due := site.resume(since, now, self._settings.times)) is not None:
                self._changed.add(key)
                self.review(key, due)

    # ------------------------------------------------------------------ the passing of time

    def next(self) -> float | None:
        """When ``due`` has something, or None."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float, limit: int) -> Due:
        """Take so many clocks that end; marks the sites that are settled now."""
        found = Due([], [])
        while self._heap and self._heap[0][0] <= now and limit > 0:
            limit -= 1
            _, kind, key = heapq.heappop(self._heap)
            if kind == "departed":
                found.hosts.append(key[0])
            elif (site := self._sites.get(key)) is not None and (
                kind == "site" or self._settles(key, site, now)
            ):
                found.sites.append(key)
        return found

    def _settles(self, key: HostPort, site: Site, now: float) -> bool:
        if site.settled:
            return False
        due = site.changed_at + self._settings.times_of(site.source).settle
        if now < due:
            self.settle(key, due)
            return False
        if self.paused(site.source):
            self._unsettled.setdefault(site.source, set()).add(key)
            return False
        site.settled = True
        return True
