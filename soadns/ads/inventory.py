"""What MOSN is to be told of one zone: resources, encoded once for all streams, and what changed of them. Pure.

``follow`` brings them up to date bit by bit, with work proportional to what changed, and then makes all of it count at
once: no routes are told before the clusters that they lead to. What is gone is told as empty, for MOSN forgets nothing
by itself: a router that leads nowhere, a cluster without hosts. The ClusterIP that a Service had before it was created
again leads to it as its new one does: MOSN cuts no connection, so nobody who is connected would ever look again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from soadns.ads.encoding import Encode
from soadns.ads.sharedroutes import SharedRoutes, View, lead
from soadns.ads.wire import CDS, EDS, RDS, resource
from soadns.binding.zone import Zone
from soadns.changelog import ChangeLog
from soadns.model import ObjectRef
from soadns.routemodel import Place, Vip
from soadns.routing import Routing
from soadns.sidecar import mosn
from soadns.sidecar.clusters import Cluster
from soadns.sidecar.wires import NOBODY
from soadns.speech import spoken

AT_ONCE = 20
"""Resources that are made between two pauses of ``follow``."""
MOST_CHANGES = 50_000
"""Changed resources that are remembered; a stream that knows less is told everything."""
NEVER = -1
"""The generation of who was told nothing."""
Key = tuple[str, str]
"""Type and name of a resource."""


class Resource(NamedTuple):
    """One resource as it is sent."""

    octets: bytes
    """As ``wire.resource`` has it."""
    generation: int
    """At which it became what it is."""
    clusters: frozenset[str] = frozenset()
    """Where a router leads."""
    namespace: str = ""
    """Whose router it is."""
    empty: bool = False
    """Whether it is the endpoints of a cluster that has none."""


class Made(NamedTuple):
    """A resource before it counts."""

    octets: bytes
    clusters: frozenset[str] = frozenset()
    namespace: str = ""
    empty: bool = False


class Inventory:
    """The resources of one zone."""

    def __init__(self, zone: Zone, routing: Routing, encode: Encode) -> None:
        self.resources: dict[Key, Resource] = {}
        self._zone = zone
        self._name = zone.settings.name
        self._routing = routing
        self._table = routing.tables[self._name]
        self._table.plan_anew()
        self._encode = encode
        self._shared = SharedRoutes(self._table, encode)
        self._known = NEVER
        """The generation of the routes."""
        self._places: dict[Place, ObjectRef] = {}
        """Places that have routers, and whose they are, or were."""
        self._left: dict[tuple[ObjectRef, int], set[Place]] = {}
        """Services and ports → places that were theirs, and are nobody's."""
        self._were: dict[str, set[str]] = {}
        """Routers → namespaces of Services that had the place, before one of another namespace took it."""
        self._log: ChangeLog[Key] = ChangeLog(MOST_CHANGES)
        self._fresh: dict[Key, Made] = {}
        """Made, and not counted yet."""
        self._led: dict[str, Counter[str]] = {}
        """Namespaces → clusters to which routers of its Services lead, and how many of these."""

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._log.generation

    # ------------------------------------------------------------------ it follows

    @property
    def behind(self) -> bool:
        """Whether ``follow`` has something to do."""
        return self._known != self._routing.generation(self._name, clusters=True) or self._table.replanned

    def follow(self) -> Iterator[None]:
        """Take in what changed of routes and clusters: to be run to its end, with pauses wherever it yields."""
        generation = self._routing.generation(self._name, clusters=True)
        wires, changed = self._table.take_planned(), None
        if self._known != NEVER:
            changed = self._routing.since(self._name, self._known, clusters=True)
        if changed is not None:
            changed |= self._routing.former(self._name, self._known)
        else:
            held = {name for kind, name in self.resources if kind == EDS}
            clusters = self._routing.clusters[self._name].clusters
            known = {*self._table.vips, *self._table.former.vips, *self._places}
            changed = frozenset({*clusters, *held, *known})
        places = {each for each in changed if not isinstance(each, str)}.union(
            *(self._at(*each) for each in wires.items())
        )
        steps: list[Callable[[], None]] = [
            partial(self._shared.look_at, wire, some)
            for wire in sorted(wires)
            for some in _portions(sorted(wires[wire]))
        ]
        steps += [partial(self._place, at) for at in sorted(places)]
        steps += [partial(self._cluster, name) for name in sorted(c for c in changed if isinstance(c, str))]
        for number, step in enumerate(steps, 1):
            step()
            if not number % AT_ONCE:
                yield
        self._count()
        self._known = generation

    def _at(self, wire: str, names: Iterable[str]) -> set[Place]:
        """The places at which interfaces are called by a wire name: what is spoken there may have changed with it."""
        known, table = self._table.wires.of.get(wire, NOBODY), self._table
        homes = {table.home_of(interface) for name in names for interface in known.of(name)}
        return {at for ref in homes if ref is not None for at in table.places_of(ref)}

    def _place(self, at: Place) -> None:
        vip, (_, port) = self._table.vips.get(at), at
        before = self._places.get(at)
        if vip is None:
            vip = self._table.former.vips.get(at)
        if before is not None and vip is not None and before != vip.service:
            self._left.get((before, port), set()).discard(at)
            if before.namespace != vip.service.namespace:
                self._were.setdefault(mosn.router_name(*at), set()).add(before.namespace)
        if vip is not None:
            self._places[at] = vip.service
            self._left.get((vip.service, port), set()).discard(at)
            self._route(at, vip)
        elif before is not None:
            self._left.setdefault((before, port), set()).add(at)
        else:
            return
        owner = self._places[at]
        if left := self._left.get((owner, port)):
            heirs = (self._table.vips[each] for each in self._table.places_of(owner) if each[1] == port)
            heir = next(heirs, None)
            for each in sorted(left):
                self._route(each, heir)

    def _route(self, at: Place, vip: Vip | None) -> None:
        """Make the router of a place, which leads where a Service's ClusterIP does, or nowhere."""
        if vip is not None:
            address, port = at
            of_it = replace(vip, address=address)
            made = mosn.router(of_it, spoken(self._zone, self._table, vip.service, port))
        else:
            made = mosn.empty_router(*at)
        leads = frozenset(rule.cluster for host in made.hosts for rule in host.rules) - {mosn.REFUSED}
        octets = self._encode("RouteConfiguration", mosn.route_configuration(made))
        self._fresh[RDS, made.name] = Made(resource(RDS, octets), leads, self._places[at].namespace)

    def _cluster(self, name: str) -> None:
        found = self._known_cluster(name)
        if found is None and (EDS, name) not in self.resources:
            return
        self._make_cluster(found or Cluster(name, ()))

    def _known_cluster(self, name: str) -> Cluster | None:
        tables = (self._routing.clusters[self._name], self._routing.former_clusters[self._name])
        return next((found for table in tables if (found := table.clusters.get(name)) is not None), None)

    def _make_cluster(self, found: Cluster) -> None:
        if (CDS, found.name) not in self.resources:
            told = self._encode("Cluster", mosn.cluster(found.name))
            self._fresh[CDS, found.name] = Made(resource(CDS, told))
        hosts = self._encode("ClusterLoadAssignment", mosn.load_assignment(found))
        self._fresh[EDS, found.name] = Made(resource(EDS, hosts), empty=not found.endpoints)

    def _count(self) -> None:
        """What was made counts from now on."""
        # A route may have become known later than what this began with, and lead to a cluster that is newer still.
        generation = self.generation + 1
        shared = self._shared.settle(generation)
        leads = {name for made in self._fresh.values() for name in made.clusters}
        leads.update(*shared.values())
        for name in sorted(leads):
            if (EDS, name) not in self.resources and (EDS, name) not in self._fresh:
                self._make_cluster(self._known_cluster(name) or Cluster(name, ()))
        changed = {(RDS, name) for name in shared}
        for key, made in self._fresh.items():
            held = self.resources.get(key)
            if held is None or held.octets != made.octets:
                if held is not None:
                    lead(self._led, (held.namespace,), held.clusters, add=False)
                lead(self._led, (made.namespace,), made.clusters, add=True)
                self.resources[key] = Resource(
                    made.octets, generation, made.clusters, made.namespace, made.empty
                )
                changed.add(key)
        self._fresh.clear()
        if changed:
            self._log.note(frozenset(changed))

    # ------------------------------------------------------------------ it is asked

    def since(self, generation: int) -> frozenset[Key]:
        """The keys of what changed after a generation, or all."""
        changed = self._log.since(generation)
        return (
            frozenset({*self.resources, *((RDS, name) for name in self._shared.names)})
            if changed is None
            else changed
        )

    def get(self, key: Key, view: View) -> Resource | None:
        """A resource as somebody may see it; None where they may not."""
        kind, name = key
        if kind == RDS and name in self._shared.names:
            whole = self._shared.whole(name, view)
            return Resource(resource(RDS, whole.octets), whole.generation, whole.clusters)
        found = self.resources.get(key)
        if found is None or kind != RDS or view is None or found.namespace in view:
            return found
        if view.isdisjoint(self._were.get(name, ())):
            return None
        # They may have been told where it led before, and may not be told where it leads now.
        address, _, port = name.rpartition("_")
        octets = self._encode(
            "RouteConfiguration", mosn.route_configuration(mosn.empty_router(address, int(port)))
        )
        return Resource(resource(RDS, octets), found.generation)

    def changed(self, name: str) -> int:
        """The generation at which a router for every interface changed last; costs nothing, unlike ``get`` of it."""
        return self._shared.changed(name)

    def led_to(self, view: View) -> set[str] | None:
        """The clusters that somebody needs; None: all."""
        if view is None:
            return None
        return set().union(*(self._led.get(each, ()) for each in view), self._shared.led_to(view))


def _portions(names: Sequence[str]) -> list[Sequence[str]]:
    """Those who share a wire name, so many at a time that nobody waits long; one portion at least."""
    return [names[at : at + AT_ONCE] for at in range(0, max(1, len(names)), AT_ONCE)]
