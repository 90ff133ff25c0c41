"""The zone's clusters, and whether a Service of one can be reached from where the zone is answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from soadns.binding.services import ServiceIndex
from soadns.model import ObjectRef, Service


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

    def twin(self, services: ServiceIndex, ref: ObjectRef) -> Service | None:
        """The home Service of the same namespace and name, if it has a ClusterIP."""
        found = services.by_ref.get(ref._replace(cluster=self.home))
        return found if found is not None and found.cluster_ips else None

    def addresses(self, services: ServiceIndex, service: Service) -> tuple[str, ...]:
        """The Service's own addresses as callers of the home cluster reach them; () where only its pods have some."""
        if service.ref.cluster == self.home:
            return service.cluster_ips
        twin = self.twin(services, service.ref)
        return twin.cluster_ips if twin is not None else (*service.load_balancer, *service.external_ips)

    def reachable(self, services: ServiceIndex, service: Service) -> bool:
        """Whether anything of the Service can be answered to callers of the home cluster."""
        if service.ref.cluster == self.home or service.ref.cluster in self.flat:
            return True
        return bool(self.addresses(services, service))
