"""What filters are wanted of each Service, kept up to date with what it stands on.

Rendered again is what changed, and nothing else: Services whose routes, objects or filters did, or of which Istio's
objects say something else, at once; and a little later those at which something changed that is no route (what
providers prefer): that happens all the time, and hardly ever matters.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from soadns.binding.estate import Estate
from soadns.binding.zone import Decided
from soadns.indexes import place
from soadns.mesh.filterplan import Standing
from soadns.mesh.istioreader import IstioReader
from soadns.mesh.standing import addresses_of, service_of
from soadns.model import ObjectRef
from soadns.reports import filterviews
from soadns.reports.filterviews import Meshing
from soadns.routemodel import Place
from soadns.routing import Routing
from soadns.sidecar import places, tiers
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.envoyfilters import Rendered, applied_of
from soadns.sidecar.places import Claims
from soadns.sidecar.routes import RouteTable
from soadns.sidecar.tiers import Applied

LATER_S = 10.0
"""Between two looks at Services at which something changed that is no route."""
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
        self._by_host: dict[str, set[ObjectRef]] = {}
        self._by_listener: dict[str, set[ObjectRef]] = {}
        self.outdated = True
        """Whether Istio's objects are others than ``meshing`` has."""
        self._touched: set[ObjectRef] = set()
        """Services that changed since they were rendered."""
        self._later: set[ObjectRef] = set()
        """Services at which something changed that is no route."""
        self._looked_later = 0.0
        """When such were looked at last, by the monotonic clock."""
        self._left: list[ObjectRef] = []
        """Those that the present look at them has still to come to, the last one first."""
        self._dirty: set[str] = set()
        """UIDs of Services of which something was looked at, since ``take``."""
        self._generation = NEVER
        self._applied: dict[str, Applied] = {}
        """What is in force, by UID: what ``meshing`` has."""
        self.changes: dict[str, tuple[Applied, Applied]] = {}
        """Of which Services something else is in force since ``follow`` was called last: before, and now."""
        self._claims = Claims(zone, told.meshing.wishes)
        self._places = self._claims.shared_out()
        """Who may have filters and files, as far as Services were looked at."""
        told.meshing = replace(told.meshing, applied=self._applied)
        told.routing.on_decided(self._hear)

    def _hear(self, zone: str, decided: Decided) -> None:
        if zone != self._zone:
            return
        for ref in decided.services:
            self._touched.add(ref)
            # Whoever leads there, and whoever's filter is still at one of its addresses.
            self._touched |= self._by_host.get(self._host(ref), set())
            service = self._table.services.get(ref)
            self._dirty |= self._uids_at(service.cluster_ips if service is not None else ())
        known = self._told.estate.zones[zone].store.interfaces
        for interface in decided.interfaces:
            self._later |= self._table.concerned(interface)
            if (providers := known.get(interface)) is not None:
                self._later |= providers.rosters
        self._later |= decided.rosters
        if decided.services or (self._later and self.later_in <= 0.0):
            self._stir()

    def _uids_at(self, addresses: Iterable[str]) -> set[str]:
        return {self._reader.ours.of[name].uid for name in self._reader.ours.at(addresses)}

    @property
    def later_in(self) -> float:
        """Seconds until what is no route may be looked at."""
        return self._looked_later + LATER_S - time.monotonic()

    @property
    def waits(self) -> float | None:
        """Seconds until something is to be looked at, though nothing happens; None: nothing is."""
        return max(0.0, self.later_in) if self._later else None

    @property
    def _table(self) -> RouteTable:
        return self._told.routing.tables[self._zone]

    @property
    def _home(self) -> str:
        return self._told.estate.zones[self._zone].settings.clusters.home

    def _host(self, ref: ObjectRef) -> str:
        return self._told.estate.zones[self._zone].settings.clusters.host(ref)

    # ------------------------------------------------------------------ following

    def begin_anew(self, uids: Iterable[str]) -> None:
        """Have ``follow`` look at all Services, and at these UIDs: whoever called it last may not have come to its end.

        What was taken in by then, or was on its way to be looked at, is remembered by nobody.
        """
        self._generation, self.outdated = NEVER, True
        self._dirty.update(uids)

    async def follow(self) -> set[str]:
        """Take in what changed, and render the Services concerned; returns UIDs of all that may be wanted otherwise."""
        refs = self._learn() | self._touched
        self._touched.clear()
        routing, zone = self._told.routing, self._zone
        changed = routing.since(zone, self._generation) if self._generation != NEVER else None
        self._generation = routing.generation(zone)
        if changed is None:
            refs |= {vip.service for vip in self._table.vips.values()} | self.rendered.keys()
            refs |= {self.service_of(each) for each in self._reader.ours.of.values()}
            self._looked_later, self._left, self._later = time.monotonic(), [], set()
        else:
            refs |= self._at(changed)
        await self._render(refs)
        await self._look_later()
        dirty, self._dirty = self._dirty, set()
        return dirty

    async def _look_later(self) -> None:
        """Look at what is no route now and then; what changes meanwhile goes first, and the rest comes afterwards."""
        if not self._left and self._later and self.later_in <= 0.0:
            self._looked_later = time.monotonic()
            self._left, self._later = sorted(self._later, reverse=True), set()
        log = self._told.routing.logs[self._zone]
        while self._left and not self._touched and log.generation == self._generation:
            some, self._left = self._left[-AT_ONCE:], self._left[:-AT_ONCE]
            await self._render(some)
            await asyncio.sleep(0)
        if self._left:
            self._stir()

    def _learn(self) -> set[ObjectRef]:
        """Bring ``meshing`` up to date; returns the Services that are concerned by what is new in it."""
        ours = self._reader.ours
        self.changes = {}
        found = set()
        uids = ours.take()
        if self._generation == NEVER:  # what was told before may not have been taken in
            uids |= {each.uid for each in ours.of.values()} | self._applied.keys()
        for uid in uids:
            self._dirty.add(uid)
            standing = [ours.of[name] for name in ours.names(uid)]
            before = self._applied.get(uid, tiers.NOTHING)
            now = applied_of([each.document for each in standing], self._root).get(uid, tiers.NOTHING)
            found |= {self.service_of(each) for each in standing if each.uid not in self._by_uid}
            if now == before:
                continue
            self.changes[uid] = (before, now)
            if standing:
                self._applied[uid] = now
            else:
                self._applied.pop(uid, None)
            self._claims.hold(uid, now)
            if (rendered := self._by_uid.get(uid)) is not None:
                found.add(rendered.service)
        if self.outdated:
            self.outdated = False
            before_them, now_said = self._told.meshing.destinations, self._destinations()
            self._told.meshing = replace(self._told.meshing, destinations=now_said)
            if not before_them.read:
                found |= self.rendered.keys()
            for host in now_said.differences(before_them):
                found |= self._standing_on(host)
        return found

    def _standing_on(self, host: str) -> set[ObjectRef]:
        """The Services that an Istio host, or a wildcard of such, has a say in."""
        if not host.startswith("*"):
            return self._by_host.get(host, set())
        return {
            ref for each, refs in self._by_host.items() if each.endswith(host[1:]) for ref in refs
        }  # such objects are few

    def _at(self, changed: Iterable[Place]) -> set[ObjectRef]:
        """The Services whose routes changed."""
        found = set()
        for address, port in changed:
            if (vip := self._table.vips.get((address, port))) is not None:
                found.add(vip.service)
            else:
                found |= self._by_listener.get(f"{address}_{port}", set())
        return found

    async def _render(self, refs: Iterable[ObjectRef]) -> None:
        """Some Services, and those that have a place by that, or have it no more."""
        left = set(refs) | self._share_out()
        while left:
            await self._render_each(left)
            left = self._share_out()
        if self._told.meshing.places is not self._places:
            self._told.meshing = replace(self._told.meshing, places=self._places)

    def _share_out(self) -> set[ObjectRef]:
        """Say who may have filters and files; returns the Services of which that is another answer now."""
        before, self._places = self._places, self._claims.shared_out()
        if before is self._places:
            return set()
        uids = places.changed(before, self._places)
        return {found.service for uid in uids if (found := self._by_uid.get(uid)) is not None}

    async def _render_each(self, refs: Iterable[ObjectRef]) -> None:
        for number, ref in enumerate(sorted(refs)):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            self._render_one(ref)

    def _render_one(self, ref: ObjectRef) -> None:
        held = self.rendered.get(ref)
        named = (
            self._reader.ours.written_for(f"{ref.namespace}/{ref.name}") if ref.cluster == self._home else ()
        )
        self._dirty |= {self._reader.ours.of[name].uid for name in named}
        found = None
        if named or self._table.places_of(ref):
            zone = self._told.estate.zones[self._zone]
            meshing = replace(self._told.meshing, places=self._places)
            found = filterviews.rendered(zone, self._table, ref, meshing)
        if held is not None:
            self._index(held, add=False)
            self._dirty |= {held.uid} | self._uids_at({each.rpartition("_")[0] for each in held.listeners})
        if found is None:
            self._claims.forget(ref)
            return
        if found == held:
            found = held  # what is known of its objects holds on
        self._index(found, add=True)
        self._dirty.add(found.uid)
        self._claims.put(ref, found.uid, found.ports)

    def _index(self, each: Rendered, *, add: bool) -> None:
        if add:
            self.rendered[each.service] = self._by_uid[each.uid] = each
        else:
            del self.rendered[each.service]
            self._by_uid.pop(each.uid, None)
        for host in each.hosts:
            place(self._by_host, host, each.service, add=add)
        for listener in each.listeners:
            place(self._by_listener, listener, each.service, add=add)

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
        namespace, _, name = service_of(each).partition("/")
        return ObjectRef(self._home, namespace, name)

    def fate(self, each: Standing) -> str:
        """What became of the Service of an object: a word of ``filterplan.steps``."""
        services, ref = self._table.services, self.service_of(each)
        service = services.get(ref)
        if service is not None and service.uid != each.uid:
            return "replaced"
        if {services.holder(address) for address in addresses_of(each)} - {None, ref}:
            return "replaced"
        return "here" if service is not None else "gone"
