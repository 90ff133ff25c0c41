"""The zone's clusters, and whether a Service of one can be reached from where the zone is answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from soadns.binding.services import ServiceIndex
from soadns.model import ObjectRef, Port, Service


class Way(NamedTuple):
    """How a Service is reached."""

    addresses: tuple[str, ...]
    """Its own as callers of the home cluster reach them; () where only its pods have some."""
    ports: tuple[Port, ...]
    """Those of its ports that are there at these."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """How the zone's clusters are reached."""

    home: str = ""
    domains: Mapping[str, str] = field(default_factory=dict)
    """Cluster name → cluster domain, ``cluster.local`` when absent."""
    flat: frozenset[str] = frozenset()
    """Remote clusters whose pod addresses are reachable from the home cluster."""

    def host(self, ref: ObjectRef) -> str:
        """The Istio host of a Service."""
        return f"{ref.name}.{ref.namespace}.svc.{self.domains.get(ref.cluster, 'cluster.local')}"

    def twin(self, services: ServiceIndex, ref: ObjectRef, ports: Set[int] = frozenset()) -> Service | None:
        """The home Service of the same namespace and name, if it has a ClusterIP and these ports."""
        found = services.by_ref.get(ref._replace(cluster=self.home))
        whole = found is not None and found.cluster_ips and ports <= {port.port for port in found.ports}
        return found if whole else None

    def way(self, services: ServiceIndex, service: Service, registered: Set[int]) -> Way:
        """How callers of the home cluster reach an interface of the Service whose providers register these ports."""
        if service.ref.cluster == self.home:
            return Way(service.cluster_ips, service.ports)
        own = {port.port for port in service.ports}
        twin = self.twin(services, service.ref, (own & registered) or own)
        outside = (*service.load_balancer, *service.external_ips)
        if twin is None and not outside and service.ref.cluster not in self.flat:
            # Better than nothing for what is answered by it already; it takes no name without any of the ports.
            twin = self.twin(services, service.ref)
        if twin is None:
            return Way(outside, service.ports)
        there = {port.port for port in twin.ports}
        return Way(twin.cluster_ips, tuple(port for port in service.ports if port.port in there))

    def reachable(self, service: Service, way: Way) -> bool:
        """Whether anything of the Service can be answered to callers of the home cluster."""
        return service.ref.cluster == self.home or service.ref.cluster in self.flat or bool(way.addresses)
