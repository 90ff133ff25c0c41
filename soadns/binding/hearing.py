"""How far one zone hears its sources now, and what it may conclude from their silence. Pure.

Nothing is decided before every required source was known once; what a source that is out of sync could say is neither
held against a name nor replaced by a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from soadns.binding.observations import Observations, heard
from soadns.binding.state import Rules, State
from soadns.binding.zonesettings import ZoneSettings
from soadns.model import ObjectRef


class Hearing:
    """The sources of one zone, for the names that stand on them (``sources``: the ids of one name's)."""

    def __init__(self, settings: ZoneSettings, observations: Observations) -> None:
        self._settings = settings
        self._observations = observations
        self._at_once = replace(settings.rules, linger=0.0, recreate_grace=0.0, unready=0.0)
        self._all = tuple(sorted(settings.sources))
        self.needed = settings.sources - settings.optional
        """Sources without which the zone does not start."""

    @property
    def awaited(self) -> list[str]:
        """Required sources nobody has heard yet: what they may know is not denied, complete or not."""
        return sorted(source for source in self.needed if not self._observations.source(source).known)

    @property
    def unreadable(self) -> list[str]:
        """Names of interfaces that a registry holds and soadns may not read."""
        sources = [self._observations.source(source) for source in sorted(self._settings.sources)]
        return [name for source in sources for name in source.unreadable.values()]

    def rules(self, sources: Sequence[str]) -> Rules:
        """The zone's rules; files are edited on purpose, so a name that stands on them alone does not linger."""
        only_files = sources and self._settings.immediate.issuperset(sources)
        return self._at_once if only_files else self._settings.rules

    def outages(self, sources: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
        """When one of a name's sources, or for a name without any one of the zone's, was out of sync."""
        return self._observations.outages(sources or self._all)

    def elapsed(self, source: str, since: float, now: float) -> float:
        """Seconds since then during which a source was in sync."""
        return heard(self._observations.outages((source,)), since, now)

    def unheard(self, sources: Sequence[str], state: State) -> frozenset[str]:
        """Clusters whose Services may not take the name, because nobody can say where their pods are now."""
        clusters = self._settings.cluster_sources
        out = {source for source in clusters.values() if not self._observations.source(source).in_sync}
        if not out:
            return frozenset()
        if state.deleted_at is not None:
            # It can not stay where it is. Where its registries are away, too, there is no fresher word than the last.
            registries = set(sources) - set(clusters.values())
            if not any(self._observations.source(source).in_sync for source in registries):
                return frozenset()
        return frozenset(cluster for cluster, source in clusters.items() if source in out)

    def stands_on(
        self, registries: Mapping[str, int], before: Sequence[str], winner: ObjectRef | None
    ) -> tuple[str, ...]:
        """The sources of a name: registries that provide it now (or did last), and the winner's cluster."""
        found = set(registries)
        clusters = self._settings.cluster_sources
        if not found:
            found = set(before) - set(clusters.values())
        if winner is not None and (source := clusters.get(winner.cluster)):
            found.add(source)
        return tuple(sorted(found))
