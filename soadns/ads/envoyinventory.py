"""What an Envoy without Istio is to be told of one zone: resources, encoded once for all streams. Pure.

``follow`` brings them up to date bit by bit, with work proportional to what changed, and then makes all of it count at
once. A resource's version is made of what is in it, so that an Envoy which comes from another replica is told no more
than what is different.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from soadns.ads import wire
from soadns.ads.encoding import Encode
from soadns.ads.sharedroutes import View, lead
from soadns.changelog import ChangeLog
from soadns.indexes import place
from soadns.routemodel import Place
from soadns.routing import Routing
from soadns.sidecar import envoy
from soadns.sidecar.clusters import cluster_name
from soadns.sidecar.envoy import ADS, CLUSTERS, ENDPOINTS, LISTENERS, ROUTES, Data

AT_ONCE = 20
"""Places and clusters that are made between two pauses of ``follow``."""
MOST_CHANGES = 50_000
"""Changed resources that are remembered; a stream that knows less is told everything."""
NEVER = -1
"""The generation of who was told nothing."""
Key = tuple[str, str]
"""Type and name of a resource."""


class Resource(NamedTuple):
    """One resource as it is sent."""

    octets: bytes
    """As ``wire.delta_resource`` has it."""
    version: str


class At(NamedTuple):
    """What is known of a place besides its resources."""

    namespace: str
    clusters: frozenset[str]
    """Where its routes lead."""


class EnvoyInventory:
    """The resources of one zone."""

    def __init__(self, zone: str, routing: Routing, encode: Encode) -> None:
        self.resources: dict[Key, Resource] = {}
        self.places: dict[str, At] = {}
        """By the names of their listeners."""
        self._names: dict[str, set[str]] = {}
        """Type → names of its resources."""
        self._places_of: dict[str, set[str]] = {}
        """Namespace → places of its Services."""
        self._led: dict[str, Counter[str]] = {}
        """Namespace → clusters to which routes of its places lead, and how many places."""
        self._zone = zone
        self._routing = routing
        self._encode = encode
        self._known = NEVER
        """The generation of routes and clusters."""
        self._log: ChangeLog[Key] = ChangeLog(MOST_CHANGES)
        self._fresh: dict[Key, Resource | None] = {}
        """Made, and not counted yet; None: it is gone."""
        self._seen: dict[Place, At | None] = {}
        """Places that were looked at, likewise."""

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._log.generation

    # ------------------------------------------------------------------ it follows

    def follow(self) -> Iterator[None]:
        """Take in what changed of routes and clusters: to be run to its end, with pauses wherever it yields."""
        routing, zone = self._routing, self._zone
        generation = routing.generation(zone, clusters=True)
        changed = routing.since(zone, self._known, clusters=True) if self._known != NEVER else None
        if changed is None:
            held = {name for kind, name in self.resources if kind == ENDPOINTS}
            places = {envoy.named_place(name) for name in self.places}
            changed = frozenset(
                {*routing.tables[zone].vips, *places, *routing.clusters[zone].clusters, *held}
            )
        steps: list[Callable[[], None]] = [
            partial(self._cluster, each) if isinstance(each, str) else partial(self._vip, each)
            for each in sorted(changed, key=str)
        ]
        for number, step in enumerate(steps, 1):
            step()
            if not number % AT_ONCE:
                yield
        self._count()
        self._known = generation

    def _vip(self, at: Place) -> None:
        vip, name = self._routing.tables[self._zone].vips.get(at), envoy.place_name(at)
        told: dict[str, Data] = {}
        self._seen[at] = None
        if vip is not None:
            leads = frozenset(cluster_name(r.target) for r in vip.routes if r.target is not None)
            self._seen[at] = At(vip.service.namespace, leads)
            told = envoy.resources_of(vip, self._routing.speech[self._zone].at(at), ADS)
        for kind in (LISTENERS, ROUTES):
            self._make(kind, name, told.get(kind))

    def _cluster(self, name: str) -> None:
        found = self._routing.clusters[self._zone].clusters.get(name)
        self._make(CLUSTERS, name, envoy.cluster(name, ADS) if found is not None else None)
        self._make(ENDPOINTS, name, envoy.endpoints_of(found) if found is not None else None)

    def _make(self, kind: str, name: str, data: Data | None) -> None:
        if data is None:
            self._fresh[kind, name] = None
            return
        message = self._encode(kind.rpartition(".")[2], data)
        version = blake2b(message, digest_size=9).hexdigest()
        self._fresh[kind, name] = Resource(wire.delta_resource(kind, name, version, message), version)

    def _count(self) -> None:
        """What was made counts from now on."""
        # A route may have become known later than what this began with, and lead to a cluster that is newer still.
        for name in sorted({name for at in self._seen.values() if at is not None for name in at.clusters}):
            if (CLUSTERS, name) not in self.resources and self._fresh.get((CLUSTERS, name)) is None:
                self._cluster(name)
        for where, at in self._seen.items():
            self._put(envoy.place_name(where), at)
        changed = {key for key, made in self._fresh.items() if self.resources.get(key) != made}
        for key in changed:
            if (made := self._fresh[key]) is not None:
                self.resources[key] = made
            else:
                del self.resources[key]
            place(self._names, *key, add=made is not None)
        self._fresh.clear()
        self._seen.clear()
        if changed:
            self._log.note(frozenset(changed))

    def _put(self, name: str, at: At | None) -> None:
        """What is known of a place now."""
        if (before := self.places.pop(name, None)) is not None:
            place(self._places_of, before.namespace, name, add=False)
            lead(self._led, (before.namespace,), before.clusters, add=False)
        if at is not None:
            self.places[name] = at
            place(self._places_of, at.namespace, name, add=True)
            lead(self._led, (at.namespace,), at.clusters, add=True)

    # ------------------------------------------------------------------ it is asked

    def since(self, generation: int) -> frozenset[Key] | None:
        """The keys of what changed after a generation; None where that is not remembered."""
        return self._log.since(generation)

    def names(self, kind: str, view: View) -> set[str]:
        """The names of a type's resources, as far as somebody may see them."""
        found = self._names.get(kind, set())
        if view is None:
            return set(found)
        index = self._led if kind in (CLUSTERS, ENDPOINTS) else self._places_of
        return set[str]().union(*(index.get(namespace, ()) for namespace in view)) & found
