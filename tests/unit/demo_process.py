"""A control process over the example files, as far as the API and the metrics look at one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from soadns import exports
from soadns.binding.estate import Estate
from soadns.composition import wishes, zone_settings
from soadns.configfile import parse
from soadns.figures import Figures, WorkerFigures, WorkerState
from soadns.filterviews import Meshing
from soadns.model import InterfaceId, ObjectRef, Reading
from soadns.nameserver.table import READY
from soadns.nameserver.zone import ZoneData
from soadns.publishers import zonefile
from soadns.routemodel import Move
from soadns.routing import Routing
from soadns.sources.static import StaticSettings, StaticSource
from soadns.web.operations import Reloaded

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "dubbo-demo" / "files"
NOW = 1_800_000_000.0


class DemoProcess:
    """Every static source of the configuration reads the example files; nothing is reloaded."""

    def __init__(self, config: str = "static: [{name: demo, paths: [examples]}]") -> None:
        parsed = parse(config, where="test")
        self.settings = zone_settings(parsed)
        self.estate = Estate(self.settings)
        for files in parsed.static:
            source = StaticSource(StaticSettings(files.name, (str(EXAMPLES),), files.cluster))
            self.estate.fold(source.poll(), NOW)
        self.estate.work(NOW)
        self.routing = Routing(self.estate, parsed.sidecar.missing, "demo-1")
        self.routing.follow(NOW)
        for zone in self.estate.zones:
            self.routing.announce(zone, NOW)
        self.meshing = Meshing(wishes(parsed))
        self.figures = Figures()
        self.ready = True
        self.leaving = False
        self.serials = dict.fromkeys(self.estate.zones, 1)
        self.released: list[str] = []
        self.zones = {name: ZoneData(name) for name in self.estate.zones}
        for name, data in self.zones.items():
            data.start(("192.0.2.53",))
            data.apply(self.estate.zones[name].take_published(), serial=1)
            data.set_state(READY)
        self.since = NOW

    def now(self) -> float:
        return NOW

    def zone_file(self, zone: str) -> Iterator[str] | None:
        data = self.zones[zone]
        return zonefile.lines(zone, data.rrsets(), ttl=30) if data.state == READY else None

    def workers(self) -> list[WorkerState]:
        return [WorkerState(1, 1, False, 1, 0, WorkerFigures())]

    async def texts(self, source: str, interface: str) -> list[str]:
        return [f"{source}/{interface}"]

    async def direct_urls(self, zone: str, query: Mapping[str, str], *, limit: int) -> dict[str, Any]:
        return await exports.page(self, self.estate.zones[zone], query, limit=limit)

    async def survey(self, zone: str, query: Mapping[str, str], *, limit: int) -> dict[str, Any]:
        return await exports.survey(self, self.estate.zones[zone], query, limit=limit)

    def called(self, zone: str) -> set[str]:
        return set()

    async def about(
        self, zone: str, names: Collection[str], what: frozenset[str]
    ) -> list[dict[str, Reading]]:
        return []

    def release(self, source: str) -> int:
        self.released.append(source)
        return 0

    def forget(self, zone: str, service: ObjectRef, interface: InterfaceId | None) -> list[Move]:
        return self.routing.forget(zone, service, interface, NOW)

    def reload(self, *, accept_removals: bool) -> Reloaded:
        return Reloaded((), 0, "")
