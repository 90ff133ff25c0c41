"""What MOSN is to be told of one zone: resources, encoded once for all streams, and what changed of them. Pure.

``follow`` brings them up to date bit by bit, with work proportional to what changed, and then makes all of it count at
once: no routes are told before the clusters that they lead to. What is gone is told as empty, for MOSN forgets nothing
by itself: a router that leads nowhere, a cluster without hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from soadns.ads.encoding import Encode
from soadns.ads.sharedroutes import SharedRoutes, View
from soadns.ads.wire import CDS, EDS, RDS, resource
from soadns.binding.zone import Zone
from soadns.changelog import ChangeLog
from soadns.routemodel import Place
from soadns.routing import Routing
from soadns.sidecar import mosn
from soadns.sidecar.clusters import Cluster
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
        self._encode = encode
        self._shared = SharedRoutes(self._table, encode)
        self._known = NEVER
        """The generation of the routes."""
        self._places: dict[Place, str] = {}
        """Places that have routers, and the namespaces of their Services."""
        self._log: ChangeLog[Key] = ChangeLog(MOST_CHANGES)
        self._fresh: dict[Key, Made] = {}
        """Made, and not counted yet."""

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
        if changed is None:
            held = {name for kind, name in self.resources if kind == EDS}
            changed = frozenset(
                {*self._routing.clusters[self._name].clusters, *held, *self._table.vips, *self._places}
            )
        places = {each for each in changed if not isinstance(each, str)}.union(*map(self._at, wires))
        steps: list[Callable[[], None]] = [partial(self._shared.look_at, wire) for wire in sorted(wires)]
        steps += [partial(self._place, at) for at in sorted(places)]
        steps += [partial(self._cluster, name) for name in sorted(c for c in changed if isinstance(c, str))]
        for number, step in enumerate(steps, 1):
            step()
            if not number % AT_ONCE:
                yield
        self._count()
        self._known = generation

    def _at(self, wire: str) -> tuple[Place, ...]:
        """The places of Services at which a wire name is called: what is spoken there may have changed with it."""
        homes = [self._table.home_of(interface) for interface in self._table.variants_of(wire)]
        return tuple(at for ref in homes if ref is not None for at in self._table.places_of(ref))

    def _place(self, at: Place) -> None:
        vip = self._table.vips.get(at)
        if vip is not None:
            self._places[at] = vip.service.namespace
            made = mosn.router(vip, spoken(self._zone, self._table, vip.service, vip.port))
        elif at in self._places:
            made = mosn.empty_router(*at)
        else:
            return
        leads = frozenset(rule.cluster for host in made.hosts for rule in host.rules) - {mosn.REFUSED}
        octets = self._encode("RouteConfiguration", mosn.route_configuration(made))
        self._fresh[RDS, made.name] = Made(resource(RDS, octets), leads, self._places[at])

    def _cluster(self, name: str) -> None:
        found = self._routing.clusters[self._name].clusters.get(name)
        if found is None and (EDS, name) not in self.resources:
            return
        self._make_cluster(found or Cluster(name, ()))

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
        leads.update(name for each in shared for name in self._shared.whole(each, None).clusters)
        for name in sorted(leads):
            if (EDS, name) not in self.resources and (EDS, name) not in self._fresh:
                self._make_cluster(self._routing.clusters[self._name].clusters.get(name) or Cluster(name, ()))
        changed = {(RDS, name) for name in shared}
        for key, made in self._fresh.items():
            held = self.resources.get(key)
            if held is None or held.octets != made.octets:
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
        if found is None or (kind == RDS and view is not None and found.namespace not in view):
            return None
        return found

    def led_to(self, view: View) -> set[str] | None:
        """The clusters that somebody needs; None: all."""
        if view is None:
            return None
        routers = [
            each for (kind, _), each in self.resources.items() if kind == RDS and each.namespace in view
        ]
        shared = [self._shared.whole(name, view).clusters for name in self._shared.names]
        return set().union(*(each.clusters for each in routers), *shared)
