"""What filters are wanted of each Service, kept up to date with what it stands on.

Rendered again is what changed: Services whose routes, objects or filters did, all of them when Istio's objects are
others, and all of them now and then, for what else a filter stands on (what providers prefer) says nothing by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from soadns import filterviews
from soadns.binding.estate import Estate
from soadns.filterviews import Meshing
from soadns.mesh.filterplan import Name, Standing, listeners_of
from soadns.mesh.istioreader import IstioReader
from soadns.model import ObjectRef
from soadns.routemodel import Place
from soadns.routing import Routing
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.envoyfilters import SERVICE, Rendered, applied_of
from soadns.sidecar.routes import RouteTable

SWEEP_S = 60.0
"""Between two looks at all Services."""
AT_ONCE = 10
"""Services that are rendered in one turn of the event loop."""
NEVER = -1


class Told(Protocol):
    """The control process, as far as filters stand on it."""

    estate: Estate
    routing: Routing
    meshing: Meshing


class Renderings:
    """The filters of one zone's Services as they are wanted.

    :param stir: called when something is to be rendered.
    """

    def __init__(
        self,
        told: Told,
        zone: str,
        root_namespace: str,
        domain: str,
        reader: IstioReader,
        *,
        stir: Callable[[], None],
    ) -> None:
        self._told = told
        self._zone = zone
        self._root = root_namespace
        self._domain = domain
        self._reader = reader
        self._stir = stir
        self.rendered: dict[ObjectRef, Rendered] = {}
        self._by_uid: dict[str, Rendered] = {}
        self.outdated = True
        """Whether Istio's objects are others than ``meshing`` has."""
        self._touched: set[ObjectRef] = set()
        """Services that changed since they were rendered."""
        self._generation = NEVER
        self._swept = -SWEEP_S
        told.routing.on_services(self._touch)

    def _touch(self, zone: str, services: Iterable[ObjectRef]) -> None:
        if zone == self._zone:
            self._touched.update(services)
            self._stir()

    @property
    def _table(self) -> RouteTable:
        return self._told.routing.tables[self._zone]

    @property
    def _home(self) -> str:
        return self._told.estate.zones[self._zone].settings.clusters.home

    # ------------------------------------------------------------------ following

    async def follow(self, standing: Mapping[Name, Standing]) -> None:
        """Take in what changed, and render the Services concerned; ``standing`` are our objects as they are."""
        every = {vip.service for vip in self._table.vips.values()}
        every |= {self.service_of(each) for each in standing.values()}
        whole = self.outdated or time.monotonic() - self._swept >= SWEEP_S
        refs = self._learn(standing) | self._touched
        self._touched.clear()
        log = self._told.routing.logs[self._zone]
        changed = log.since(self._generation) if self._generation != NEVER else None
        self._generation = log.generation
        if whole or changed is None:
            self._swept = time.monotonic()
            await self._render(every)
            for ref in self.rendered.keys() - every:
                self._forget(ref)
        else:
            refs |= self._at(changed) | (every - self.rendered.keys())
            await self._render(refs & (every | self.rendered.keys()))

    def _learn(self, standing: Mapping[Name, Standing]) -> set[ObjectRef]:
        """Bring ``meshing`` up to date; returns the Services of which something else is in force now."""
        before = self._told.meshing
        applied = applied_of([each.document for each in standing.values()], self._root)
        self._told.meshing = replace(before, applied=applied)
        if self.outdated:
            self.outdated = False
            self._told.meshing = replace(self._told.meshing, destinations=self._destinations())
        uids = {
            uid
            for uid in applied.keys() | before.applied.keys()
            if applied.get(uid) != before.applied.get(uid)
        }
        return {ref for ref, each in self.rendered.items() if each.uid in uids}

    def _at(self, changed: Iterable[Place]) -> set[ObjectRef]:
        """The Services whose routes changed."""
        vips = self._table.vips
        refs = {vips[at].service for at in changed if at in vips}
        if gone := {f"{address}_{port}" for address, port in changed if (address, port) not in vips}:
            refs |= {ref for ref, each in self.rendered.items() if not gone.isdisjoint(each.listeners)}
        return refs

    async def _render(self, refs: Iterable[ObjectRef]) -> None:
        zone = self._told.estate.zones[self._zone]
        for number, ref in enumerate(sorted(refs)):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            self._forget(ref)
            found = filterviews.rendered(zone, self._table, ref, self._told.meshing)
            if found is not None:
                self.rendered[ref] = self._by_uid[found.uid] = found

    def _forget(self, ref: ObjectRef) -> None:
        if (before := self.rendered.pop(ref, None)) is not None:
            self._by_uid.pop(before.uid, None)

    def _destinations(self) -> Destinations:
        suffix = f".svc.{self._domain}"

        def ports(host: str) -> tuple[int, ...]:
            name, _, namespace = host.removesuffix(suffix).partition(".")
            return self._table.services.ports(ObjectRef(self._home, namespace, name))

        return Destinations(
            self._reader.virtual_services.values.values(),
            self._reader.destination_rules.values.values(),
            domain=self._domain,
            ports=ports,
        )

    # ------------------------------------------------------------------ questions

    def of(self, uid: str) -> Rendered | None:
        """What is wanted of the Service with that UID."""
        return self._by_uid.get(uid)

    def service_of(self, each: Standing) -> ObjectRef:
        """The Service for which an object of ours was written."""
        text = str((each.document["metadata"].get("annotations") or {}).get(SERVICE) or "")
        namespace, _, name = text.partition("/")
        return ObjectRef(self._home, namespace, name)

    def fate(self, each: Standing) -> str:
        """What became of the Service of an object: a word of ``filterplan.steps``."""
        services = self._table.services
        service = services.get(self.service_of(each))
        if service is not None:
            return "here" if service.uid == each.uid else "replaced"
        holders = {services.holder(listener.rpartition("_")[0]) for listener in listeners_of(each.document)}
        return "replaced" if holders - {None} else "gone"
