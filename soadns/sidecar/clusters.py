"""Clusters for sidecars that have no Istio: what each target of a route is called, and its endpoints now. Pure.

Only what some route leads to has a cluster. A Service's endpoints are those to which kube-proxy would send: what its
EndpointSlices say is ready, and where nothing is, what still serves while it ends. ``lead`` and ``touch`` say what
changed, ``flush`` looks that up again and nothing else; what is there is asked of ``Known``, so nothing is kept twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Protocol

from soadns.indexes import count, place
from soadns.model import EndpointSlice, InterfaceId, ObjectRef, Service
from soadns.routemodel import Place, Target, Vip

Address = tuple[str, int]
"""IP address and port of an endpoint."""
Spot = tuple[str, str, int]
"""A provider: protocol, host and port."""
PROVIDERS = "providers|"
"""How the name of a cluster begins that the registry's providers are."""
USUAL_WEIGHT = 100
"""Of a provider that says nothing, or is answered for some time after it was lost."""


def cluster_name(target: Target) -> str:
    """What the cluster of a target is called: as Istio calls it, where Istio has one."""
    if target.cluster:
        return target.cluster
    if target.service is not None:
        return f"headless|{target.port}||{target.host}"
    return f"{PROVIDERS}{target.port}||{target.interface}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster and where its requests go; none where nothing is ready."""

    name: str
    endpoints: tuple[Address, ...]
    """Sorted; all of one address family."""
    weights: tuple[int, ...] = ()
    """The share of calls of each endpoint; () where all are alike."""


class Known(Protocol):
    """What is known of the world at this moment."""

    def service(self, ref: ObjectRef) -> Service | None:
        """A Service of any cluster."""

    def slices(self, ref: ObjectRef) -> Iterable[EndpointSlice]:
        """Its EndpointSlices."""

    def reachable(self, cluster: str, address: str) -> bool:
        """Whether an address that a cluster's EndpointSlices name means the same to callers of the home cluster."""

    def providers(self, interface: InterfaceId) -> Collection[Spot]:
        """Those of an interface that the old world answers with; none where a Service has it."""

    def weights(self, interface: InterfaceId) -> Mapping[Spot, int]:
        """The shares of calls of its providers that are registered."""


class ClusterTable:
    """The clusters of one zone. ``home``: the cluster whose ClusterIPs callers have."""

    def __init__(self, home: str, known: Known) -> None:
        self.clusters: dict[str, Cluster] = {}
        self._home = home
        self._known = known
        self._at: dict[Place, frozenset[Target]] = {}
        """Where the routes of a place lead."""
        self._targets: dict[str, dict[Target, int]] = {}
        """Cluster → its targets, and from how many places routes lead there."""
        self._of_service: dict[ObjectRef, set[str]] = {}
        self._of_interface: dict[InterfaceId, set[str]] = {}
        """Service or interface → clusters that stand on it."""
        self._dirty: set[str] = set()

    # ------------------------------------------------------------------ what it is told

    def lead(self, changed: Mapping[Place, Vip | None]) -> None:
        """Routes of these places are others now (None: they have none any more)."""
        for at, vip in changed.items():
            before = self._at.pop(at, frozenset())
            after = frozenset(
                route.target for route in (vip.routes if vip is not None else ()) if route.target is not None
            )
            if after:
                self._at[at] = after
            for target in after - before:
                self._count(target, 1)
            for target in before - after:
                self._count(target, -1)

    def touch(self, services: Iterable[ObjectRef], interfaces: Iterable[InterfaceId]) -> None:
        """These Services, their EndpointSlices, or the providers of these interfaces may have changed."""
        for ref in services:
            self._dirty.update(self._of_service.get(ref, ()))
        if self._of_interface:
            for interface in interfaces:
                self._dirty.update(self._of_interface.get(interface, ()))

    def _count(self, target: Target, by: int) -> None:
        """One place more, or fewer, has a route to a target."""
        name = cluster_name(target)
        targets = self._targets.setdefault(name, {})
        stood = target in targets
        count(targets, target, by)
        if stood == (target in targets):
            return
        self._dirty.add(name)
        if not targets:
            del self._targets[name]
        remaining = {ref for each in targets for ref in self._stands_on(each)}
        for ref in self._stands_on(target):
            place(self._of_service, ref, name, add=ref in remaining)
        if target.interface is not None:
            place(self._of_interface, target.interface, name, add=target in targets)

    def _stands_on(self, target: Target) -> tuple[ObjectRef, ...]:
        """The Services that decide about a target's endpoints."""
        if target.service is None:
            return ()
        home = self._at_home(target.service)
        return (
            (target.service, home)
            if target.kind == "remote" and home != target.service
            else (target.service,)
        )

    def _at_home(self, ref: ObjectRef) -> ObjectRef:
        return ref._replace(cluster=self._home)

    # ------------------------------------------------------------------ what follows

    def flush(self) -> dict[str, Cluster | None]:
        """Look up what was touched since the last time; returns what changed (None: it is gone)."""
        changed: dict[str, Cluster | None] = {}
        for name in sorted(self._dirty):
            targets = self._targets.get(name)
            if targets is None:
                if self.clusters.pop(name, None) is not None:
                    changed[name] = None
                continue
            # Of two Services that share a host the one at home counts: so it is where callers have its ClusterIP.
            chosen = min(targets, key=lambda t: (t.kind != "service", t.service or ("", "", "")))
            cluster = self._cluster(name, chosen)
            if self.clusters.get(name) != cluster:
                self.clusters[name] = changed[name] = cluster
        self._dirty.clear()
        return changed

    def _cluster(self, name: str, target: Target) -> Cluster:
        if target.service is not None:
            return Cluster(name, self._endpoints(target, target.service))
        assert target.interface is not None
        spots = of_providers(self._known.providers(target.interface), target.port)
        ends = _of_family({spot[1:] for spot in spots}, six=False)
        known = self._known.weights(target.interface)
        weights: dict[Address, int] = {}
        for spot in spots:
            weights[spot[1:]] = max(weights.get(spot[1:], 0), known.get(spot, USUAL_WEIGHT))
        return Cluster(name, *_shared_out(ends, weights))

    def _endpoints(self, target: Target, ref: ObjectRef) -> tuple[Address, ...]:
        service = self._known.service(ref)
        if target.kind != "remote":
            return self._inside(service, target)
        # As its interfaces are answered: by the Service of its name at home, by addresses of its own, by its pods.
        twin = self._known.service(self._at_home(ref))
        found = self._inside(twin, target) if twin is not None and twin.cluster_ips else ()
        outside = (*service.load_balancer, *service.external_ips) if service is not None else ()
        return (
            found
            or _of_family({(ip, target.port) for ip in outside}, six=False)
            or self._inside(service, target)
        )

    def _inside(self, service: Service | None, target: Target) -> tuple[Address, ...]:
        """The pods of a Service, as far as they can be reached."""
        if service is None:
            return ()
        pieces = self._known.slices(service.ref)
        found = of_slices(pieces, service, target.port, pods=target.kind == "headless")
        if service.ref.cluster != self._home:
            found = {at for at in found if self._known.reachable(service.ref.cluster, at[0])}
        return _of_family(found, six=bool(service.cluster_ips) and ":" in service.cluster_ips[0])


def of_slices(
    slices: Iterable[EndpointSlice], service: Service, port: int, *, pods: bool = False
) -> set[Address]:
    """Where a Service's TCP port leads: to what is ready, else to what still serves while it ends (KEP-1669).

    A port of the Service and one of its EndpointSlices are the same where their names are; so a ``targetPort`` that is
    a name may be another number in each slice. With ``pods`` the port is first looked for among the pods' own: who
    calls a headless Service dials those.
    """
    pieces = list(slices)
    names = {each.name for each in service.ports if each.port == port and each.protocol == "TCP"}
    if pods and any(each.port == port for piece in pieces for each in piece.ports):
        names = {each.name for piece in pieces for each in piece.ports if each.port == port}
    ready: set[Address] = set()
    ending: set[Address] = set()
    for piece in pieces:
        numbers = {p.port for p in piece.ports if p.name in names and p.protocol == "TCP" and p.port}
        for endpoint in piece.endpoints if numbers else ():
            if endpoint.ready:
                ready.update((endpoint.address, number) for number in numbers)
            elif endpoint.serving and endpoint.terminating:
                ending.update((endpoint.address, number) for number in numbers)
    return ready or ending


def of_providers(spots: Collection[Spot], port: int) -> set[Spot]:
    """The providers that speak the protocol of a port: the one most of whose providers have it."""
    numbers: dict[str, Counter[int]] = {}
    for protocol, _, number in spots:
        numbers.setdefault(protocol, Counter())[number] += 1
    usual = {protocol: min(of, key=lambda n: (-of[n], n)) for protocol, of in numbers.items()}
    spoken = {protocol for protocol, number in usual.items() if number == port}
    return {spot for spot in spots if spot[0] in spoken}


def _shared_out(
    ends: tuple[Address, ...], weights: Mapping[Address, int]
) -> tuple[tuple[Address, ...], tuple[int, ...]]:
    """Endpoints and their weights, as small as these can be; who has none gets none while somebody has some."""
    heavy = tuple(end for end in ends if weights[end]) or ends
    found = [weights[end] for end in heavy]
    if len(set(found)) < 2:
        return heavy, ()
    least = gcd(*found)
    return heavy, tuple(weight // least for weight in found)


def _of_family(found: Collection[Address], *, six: bool) -> tuple[Address, ...]:
    """The addresses of one family, so that no pod counts twice: of the other one, where that has none."""
    alike = [at for at in found if (":" in at[0]) == six]
    return tuple(sorted(alike or found))
