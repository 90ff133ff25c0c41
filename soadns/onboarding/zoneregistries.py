"""What the registries of a zone say at this moment and soadns does not keep: who calls, what governs calls, znodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from soadns.binding.estate import Estate
from soadns.model import Reading
from soadns.sources import Registry, Source
from soadns.web.operations import Refused


class ZoneRegistries:
    """Asks the registries among ``sources``; other sources have nothing of this kind."""

    def __init__(self, estate: Estate, sources: Sequence[Source]) -> None:
        self._estate = estate
        self._sources = [each for each in sources if isinstance(each, Registry)]

    async def texts(self, source: str, interface: str) -> list[str]:
        """Paths of the znodes of an interface in one of them."""
        for each in self._sources:
            if source in each.ids:
                return await each.texts(source, interface)
        return []

    def called(self, zone: str) -> set[str]:
        """Interfaces that the zone's registries have a node of, whether anybody provides them or not."""
        return set().union(*(each.names(source) for each, source in self._of(zone)))

    def roots(self, zone: str) -> list[str]:
        """Paths of the zone's registries of Dubbo in ZooKeeper; each is a configuration centre as well."""
        return list(dict.fromkeys(path for each, source in self._of(zone) for path in each.roots(source)))

    async def about(
        self, zone: str, subjects: Collection[str], what: frozenset[str]
    ) -> list[dict[str, Reading]]:
        """What each registry of the zone says of interfaces and applications. Raises Refused without a connection."""
        found = []
        for each, source in self._of(zone):
            reading = await each.about(source, subjects, what)
            if reading is None:
                raise Refused(f"{source} can not be read now: who calls, routers and configurators are there")
            found.append(reading)
        return found

    def _of(self, zone: str) -> list[tuple[Registry, str]]:
        wanted = self._estate.zones[zone].settings.sources
        return [(each, source) for each in self._sources for source in each.ids if source in wanted]
