"""A control process over the example files, as far as the API and the metrics look at one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from soadns.ads.inventory import Inventory
from soadns.ads.peers import Peer
from soadns.ads.push import Push, Told
from soadns.ads.wire import CDS, EDS, RDS
from soadns.binding.estate import Estate
from soadns.composition import wishes, zone_settings
from soadns.figures import Figures, WorkerFigures, WorkerState
from soadns.model import InterfaceId, ObjectRef, Reading
from soadns.nameserver.table import READY
from soadns.nameserver.zone import ZoneData
from soadns.onboarding import exports
from soadns.publishers import zonefile
from soadns.reports.filterviews import Meshing
from soadns.routemodel import Move
from soadns.routing import Routing
from soadns.settings.configfile import parse
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

    def mesh_status(self, service: str) -> dict[str, Any]:
        return {"share": None, "istio": None}

    def mesh_figures(self) -> dict[str, Any]:
        return self.mesh_status("")

    def standing(self) -> list[dict[str, Any]] | None:
        return None

    async def filter_changes(self, zone: str, of: ObjectRef | None) -> list[dict[str, Any]] | None:
        return None

    async def route_files(self, zone: str) -> dict[str, Any] | None:
        return None

    def zone_file(self, zone: str) -> Iterator[str] | None:
        data = self.zones[zone]
        return zonefile.lines(zone, data.rrsets(), ttl=30) if data.state == READY else None

    def workers(self) -> list[WorkerState]:
        return [WorkerState(1, 1, False, 1, 0, WorkerFigures())]

    def nodes(self) -> list[dict[str, Any]] | None:
        """One MOSN that has acknowledged everything."""
        versions = {kind: f"demo-1.{n}" for n, kind in enumerate((CDS, EDS, RDS), 1)}
        told = {kind: Told(version, version[-1], version) for kind, version in versions.items()}
        zone = next(iter(self.estate.zones))
        inventory = Inventory(self.estate.zones[zone], self.routing, lambda *_: b"")
        push = Push(inventory, None, "demo-1", known=0, told=told, pushes=3)
        return [Peer("web-1.shop", "mosn", zone, "shop", "ipv4:10.1.0.9:40404", NOW, push, 4096).plain()]

    async def texts(self, source: str, interface: str) -> list[str]:
        return [f"{source}/{interface}"]

    async def direct_urls(self, zone: str, query: Mapping[str, str], *, limit: int) -> dict[str, Any]:
        return await exports.page(self, self.estate.zones[zone], query, limit=limit)

    async def survey(self, zone: str, query: Mapping[str, str], *, limit: int) -> dict[str, Any]:
        return await exports.survey(self, self.estate.zones[zone], query, limit=limit)

    async def rehearse(self, files: Sequence[tuple[str, str]], cluster: str) -> dict[str, Any]:
        """Echoes what it is asked."""
        return {
            "cluster": cluster,
            "rejected": [],
            "passedOver": {},
            "objects": [],
            "zones": [],
            "asked": files,
        }

    def called(self, zone: str) -> set[str]:
        return set()

    def roots(self, zone: str) -> list[str]:
        return []

    async def about(
        self, zone: str, names: Collection[str], what: frozenset[str]
    ) -> list[dict[str, Reading]]:
        return []

    def release(self, source: str) -> int:
        self.released.append(source)
        return 0

    def forget(self, zone: str, service: ObjectRef, interface: InterfaceId | None) -> list[Move]:
        return self.routing.forget(zone, service, interface, NOW)

    async def settle(self, within: float) -> str:
        return ""

    def reload(self, *, accept_removals: bool) -> Reloaded:
        return Reloaded((), 0, "")
