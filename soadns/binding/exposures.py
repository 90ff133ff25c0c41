"""Where Services can be reached from outside their cluster: the index of evidence 3.

External and load-balancer IPs with the Service's ports, and the addresses of its cluster's Nodes with its node
ports. Pure; a change of one Service or Node touches the Services concerned and says which host:ports changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from soadns.binding.indexes import place
from soadns.model import Node, ObjectRef, Service

HostPort = tuple[str, int]


class Exposures:
    """host:port ↔ the Services exposed there, for one zone."""

    def __init__(self) -> None:
        self._at: dict[HostPort, set[ObjectRef]] = {}
        self._of: dict[ObjectRef, frozenset[HostPort]] = {}
        self._nodes: dict[ObjectRef, Node] = {}

    def __bool__(self) -> bool:
        return bool(self._at)

    def at(self, place_: HostPort) -> Set[ObjectRef]:
        """Services exposed at a host:port."""
        return self._at.get(place_, frozenset())

    def of(self, ref: ObjectRef) -> frozenset[HostPort]:
        """Where a Service is exposed."""
        return self._of.get(ref, frozenset())

    def node(self, ref: ObjectRef, node: Node | None, services: Iterable[Service]) -> set[HostPort]:
        """Take in a Node (None: it is gone); returns the host:ports whose Services changed."""
        if node is not None:
            self._nodes[ref] = node
        else:
            self._nodes.pop(ref, None)
        changed: set[HostPort] = set()
        for service in services:
            if service.ref.cluster == ref.cluster and any(port.node_port for port in service.ports):
                changed |= self.service(service.ref, service)
        return changed

    def service(self, ref: ObjectRef, service: Service | None) -> set[HostPort]:
        """Take in a Service (None: it is gone); returns the host:ports whose Services changed."""
        before = self._of.get(ref, frozenset())
        after = self._places(service) if service is not None else frozenset()
        for key in before - after:
            place(self._at, key, ref, add=False)
        for key in after - before:
            place(self._at, key, ref, add=True)
        if after:
            self._of[ref] = after
        else:
            self._of.pop(ref, None)
        return set(before ^ after)

    def _places(self, service: Service) -> frozenset[HostPort]:
        outside = (*service.external_ips, *service.load_balancer)
        keys = {(ip, port.port) for ip in outside for port in service.ports}
        node_ports = [port.node_port for port in service.ports if port.node_port]
        if node_ports:
            keys.update(
                (ip, port)
                for node in self._nodes.values()
                if node.ref.cluster == service.ref.cluster
                for ip in node.addresses
                for port in node_ports
            )
        return frozenset(keys)
