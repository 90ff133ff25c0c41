"""Which of Istio's clusters there are, as far as it can be known from Services and DestinationRules. Pure.

A rule that leads to a cluster which sidecars do not have fails each of its calls, and nobody refuses it. Istio has one
for each TCP port of each Service, and one more for each subset. What soadns can not see is taken to be there: other
hosts (ServiceEntries), and Services of namespaces that it does not read whole.
"""

from __future__ import annotations

from collections.abc import Container

from soadns.binding.zone import Zone
from soadns.model import ObjectRef
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.envoyfilters import REFUSED

Scope = frozenset[str] | None
"""Namespaces all of whose Services are read; None: all."""


class KnownClusters(Container[str]):
    """All that are not known to be missing, by their names. ``whole`` is what the sources of the zone read."""

    def __init__(self, zone: Zone, destinations: Destinations, whole: Scope) -> None:
        self._zone = zone
        self._destinations = destinations
        self._whole = whole

    def __contains__(self, name: object) -> bool:
        """Whether a cluster is there, or may be."""
        if name == REFUSED:
            return True
        _, number, subset, host = str(name).split("|")
        ports = self._ports(host)
        if ports is None:
            return True
        if int(number) not in ports:
            return False
        return not subset or not self._destinations.read or subset in self._destinations.subsets(host)

    def _ports(self, host: str) -> set[int] | None:
        """The TCP ports of a host's Services, in whatever cluster; None where it is not known."""
        clusters = self._zone.settings.clusters
        name, _, rest = host.partition(".")
        namespace = rest.partition(".")[0]
        refs = [
            ObjectRef(cluster, namespace, name)
            for cluster in self._zone.settings.cluster_sources or {clusters.home}
        ]
        refs = [ref for ref in refs if clusters.host(ref) == host]
        if not refs or not self._sees(namespace):
            return None
        services = self._zone.store.services.by_ref
        found = [services[ref] for ref in refs if ref in services]
        return {port.port for service in found for port in service.ports if port.protocol == "TCP"}

    def _sees(self, namespace: str) -> bool:
        """Whether all Services of a namespace are known."""
        store = self._zone.settings.store
        if store.selector or (store.namespaces and namespace not in store.namespaces):
            return False
        return self._whole is None or namespace in self._whole
