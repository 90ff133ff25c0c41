"""What a running control process is asked by HTTP: what it holds, and what the registries and the cluster say now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from soadns.control import Control
from soadns.figures import WorkerState
from soadns.model import ObjectRef
from soadns.nameserver.table import READY
from soadns.onboarding import exports
from soadns.onboarding.zoneregistries import ZoneRegistries
from soadns.publishers import zonefile
from soadns.rehearsals.rehearsing import Rehearsals
from soadns.reports.filterviews import Meshing
from soadns.web.operations import Running


class Sidecars(Protocol):
    """Who serves sidecars."""

    def peers(self) -> list[dict[str, Any]]:
        """Those that are connected."""


class Inquiries(Running):
    """Answers of one control process; none of them changes it."""

    def __init__(self, control: Control) -> None:
        self.estate = control.estate
        self.routing = control.routing
        self.figures = control.figures
        self.sidecars: Sidecars | None = None
        """The ADS server, where there is one."""
        self._control = control
        self._registries = ZoneRegistries(control.estate, control.sources)
        self._rehearsals = Rehearsals(control)

    @property
    def meshing(self) -> Meshing:
        """What filters stand on, as it is now: another one whenever Istio's objects or filters are."""
        return self._control.meshing

    @property
    def leaving(self) -> bool:
        """Whether it is about to end: nobody should begin to ask it."""
        return self._control.leaving

    @property
    def ready(self) -> bool:
        """Whether every zone has been complete once."""
        return self._control.ready

    @property
    def serials(self) -> dict[str, int]:
        """Serial by zone."""
        return self._control.serials

    def now(self) -> float:
        """Unix seconds, by that process's clock."""
        return self._control.now()

    def workers(self) -> Sequence[WorkerState]:
        """Every worker, as its feed sees it."""
        return [feed.state for feed in self._control.publisher.feeds]

    async def texts(self, source: str, interface: str) -> list[str]:
        """Paths of the znodes of an interface, read now."""
        return await self._registries.texts(source, interface)

    async def direct_urls(self, zone: str, query: Mapping[str, str], *, limit: int) -> dict[str, Any]:
        """A page of direct URLs (``soadns.onboarding.exports``)."""
        return await exports.page(self._registries, self.estate.zones[zone], query, limit=limit)

    async def survey(self, zone: str, query: Mapping[str, str], *, limit: int) -> dict[str, Any]:
        """A page of the survey (``soadns.onboarding.exports``)."""
        return await exports.survey(self._registries, self.estate.zones[zone], query, limit=limit)

    async def rehearse(self, files: Sequence[tuple[str, str]], cluster: str) -> dict[str, Any]:
        """What would change if manifests were applied (``soadns.rehearsals.rehearsing``)."""
        return await self._rehearsals.rehearse(files, cluster)

    def zone_file(self, zone: str) -> Iterator[str] | None:
        """The lines of a zone's master file, as it is now; they may be read in another thread.

        None while names may exist that are not known here: whoever loads a file denies what it does not hold.
        """
        data, ttl = self._control.zones[zone], self.estate.zones[zone].settings.ttl
        return zonefile.lines(zone, data.rrsets(), ttl=ttl) if data.state == READY else None

    def mesh_status(self, service: str) -> dict[str, Any]:
        """What is written to the cluster, and how that stands; ``share`` and ``istio`` are None where nothing is."""
        mesh = self._control.mesh
        return mesh.status(service) if mesh is not None else {"share": None, "istio": None}

    def mesh_figures(self) -> dict[str, Any]:
        """The same as far as metrics show it."""
        mesh = self._control.mesh
        return mesh.figures() if mesh is not None else {"share": None, "istio": None}

    def standing(self) -> list[dict[str, Any]] | None:
        """Our EnvoyFilters as they stand in the cluster; None where they are not read, or not yet."""
        mesh = self._control.mesh
        return mesh.standing() if mesh is not None else None

    async def filter_changes(self, zone: str, of: ObjectRef | None) -> list[dict[str, Any]] | None:
        """What is to be written (``soadns.mesh.filterchanges``); None where nobody keeps the filters of the zone."""
        mesh = self._control.mesh
        return await mesh.filter_changes(zone, of) if mesh is not None else None

    async def route_files(self, zone: str) -> dict[str, Any] | None:
        """The ConfigMaps with files of rules, as they should be; None likewise."""
        mesh = self._control.mesh
        return await mesh.route_files(zone) if mesh is not None else None

    def nodes(self) -> list[dict[str, Any]] | None:
        """The sidecars that are connected; None where nobody can connect."""
        return self.sidecars.peers() if self.sidecars is not None else None
