"""The Services of one zone by what binding asks of them: ClusterIP, declaration, application, exposure.

Pure and incremental: a change of one Service or Node touches its own entries and answers with a ``Touched`` of
what else must be looked at again. Endpoint addresses are not here (``soadns.binding.rosters``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from soadns.binding.exposures import Exposures, outside
from soadns.binding.sites import HostPort
from soadns.indexes import place
from soadns.model import InterfaceId, Node, ObjectRef, Service

MAX_VACATED = 65_536
"""Addresses remembered after a Service gave them up; they matter for seconds only (``recreateGrace``)."""


@dataclass(slots=True)
class Touched:
    """What a change reaches beyond the Service itself."""

    services: set[ObjectRef] = field(default_factory=set)
    """Services that hold one of its ClusterIPs, or held an address that it takes."""
    interfaces: set[InterfaceId] = field(default_factory=set)
    """Interfaces that it declares or declared."""
    applications: set[str] = field(default_factory=set)
    hosts: frozenset[str] = frozenset()
    """Addresses of Nodes that came or went."""
    places: set[HostPort] = field(default_factory=set)
    """host:ports at which other Services are exposed now."""


class ServiceIndex:
    """Services, and who holds what."""

    def __init__(self) -> None:
        self.by_ref: dict[ObjectRef, Service] = {}
        self.by_cluster_ip: dict[str, set[ObjectRef]] = {}
        self.declared: dict[InterfaceId, set[ObjectRef]] = {}
        self.everything: dict[str, set[ObjectRef]] = {}
        """Application → Services that declare ``*`` for it."""
        self.applications: dict[str, set[ObjectRef]] = {}
        self.exposures = Exposures()
        self._vacated: dict[str | HostPort, set[ObjectRef]] = {}
        """ClusterIPs and outside places that Services gave up, until another one takes them; the oldest first."""

    def update(self, ref: ObjectRef, before: Service | None, after: Service | None) -> Touched:
        """Replace one Service (None: it does not exist, or the zone does not see it)."""
        touched = Touched()
        if before is not None:
            self._place(before, touched, add=False)
        if after is not None:
            self.by_ref[ref] = after
            self._place(after, touched, add=True)
        else:
            del self.by_ref[ref]
        places_before, places_after = outside(before), outside(after)
        for place_ in places_before - places_after:
            self._vacate(place_, ref)
        for place_ in places_after - places_before:
            touched.services |= self._vacated.pop(place_, set())
        touched.places = self.exposures.service(ref, after)
        return touched

    def node(self, ref: ObjectRef, node: Node | None) -> Touched:
        """Replace one Node (None: it is gone)."""
        return Touched(hosts=self.exposures.node(ref, node))

    def _place(self, service: Service, touched: Touched, *, add: bool) -> None:
        ref = service.ref
        for ip in service.cluster_ips:
            place(self.by_cluster_ip, ip, ref, add=add)
            touched.services |= self.by_cluster_ip.get(ip, set())
            if add:
                touched.services |= self._vacated.pop(ip, set())
            else:
                self._vacate(ip, ref)
        declaration = service.declaration
        if declaration is not None:
            for interface in declaration.interfaces:
                place(self.declared, interface, ref, add=add)
            touched.interfaces.update(declaration.interfaces)
        if service.application:
            place(self.applications, service.application, ref, add=add)
            touched.applications.add(service.application)
            if declaration is not None and declaration.everything:
                place(self.everything, service.application, ref, add=add)

    def _vacate(self, address: str | HostPort, ref: ObjectRef) -> None:
        self._vacated.setdefault(address, set()).add(ref)
        if len(self._vacated) > MAX_VACATED:
            del self._vacated[next(iter(self._vacated))]
