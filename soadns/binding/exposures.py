"""Where Services can be reached from outside their cluster: the index of evidence 3.

External and load-balancer IPs with the Service's ports, and the addresses of its cluster's Nodes with its node
ports. Pure. The two halves of a node port are joined when somebody asks, so that a Node costs its addresses and a
Service its ports, however many there are of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from soadns.binding.sites import HostPort
from soadns.indexes import count, place
from soadns.model import Node, ObjectRef, Service


class Exposures:
    """host:port ↔ the Services exposed there, for one zone."""

    def __init__(self) -> None:
        self._at: dict[HostPort, set[ObjectRef]] = {}
        """External and load-balancer addresses."""
        self._of: dict[ObjectRef, frozenset[HostPort]] = {}
        self._on_nodes: dict[tuple[str, int], set[ObjectRef]] = {}
        """(cluster, node port) → Services."""
        self._node_ports: dict[ObjectRef, frozenset[int]] = {}
        self._nodes: dict[ObjectRef, frozenset[str]] = {}
        """Node → its addresses."""
        self._node_at: dict[str, set[ObjectRef]] = {}
        """Address → Nodes (of several clusters, perhaps)."""
        self.hosts: dict[str, int] = {}
        """Addresses at which something may be exposed, counted: a quick no for all others."""

    def __bool__(self) -> bool:
        return bool(self._at) or bool(self._on_nodes)

    def at(self, place_: HostPort) -> Set[ObjectRef]:
        """Services exposed at a host:port."""
        host, port = place_
        found: Set[ObjectRef] = self._at.get(place_, frozenset())
        for node in self._node_at.get(host, ()):
            found = found | self._on_nodes.get((node.cluster, port), frozenset())
        return found

    def of(self, ref: ObjectRef) -> Iterator[HostPort]:
        """Where a Service is exposed."""
        yield from self._of.get(ref, ())
        yield from self._with_nodes(ref.cluster, self._node_ports.get(ref, frozenset()))

    def _with_nodes(self, cluster: str, ports: frozenset[int]) -> Iterator[HostPort]:
        if ports:
            for node, addresses in self._nodes.items():
                if node.cluster == cluster:
                    yield from ((address, port) for address in addresses for port in ports)

    def is_node(self, host: str) -> bool:
        """Whether an address is that of a Node."""
        return host in self._node_at

    def node(self, ref: ObjectRef, node: Node | None) -> frozenset[str]:
        """Take in a Node (None: it is gone); returns the addresses that came or went."""
        before = self._nodes.pop(ref, frozenset())
        after = frozenset(node.addresses) if node is not None else frozenset()
        if after:
            self._nodes[ref] = after
        for address in before ^ after:
            place(self._node_at, address, ref, add=address in after)
            count(self.hosts, address, 1 if address in after else -1)
        return before ^ after

    def service(self, ref: ObjectRef, service: Service | None) -> set[HostPort]:
        """Take in a Service (None: it is gone); returns the host:ports where it came or went."""
        before, before_ports = self._of.pop(ref, frozenset()), self._node_ports.pop(ref, frozenset())
        after, after_ports = outside(service), _node_ports(service)
        if after:
            self._of[ref] = after
        if after_ports:
            self._node_ports[ref] = after_ports
        for key in before ^ after:
            place(self._at, key, ref, add=key in after)
            count(self.hosts, key[0], 1 if key in after else -1)
        for port in before_ports ^ after_ports:
            place(self._on_nodes, (ref.cluster, port), ref, add=port in after_ports)
        return {*(before ^ after), *self._with_nodes(ref.cluster, before_ports ^ after_ports)}


def outside(service: Service | None) -> frozenset[HostPort]:
    """Where a Service is reached by its external and load-balancer IPs."""
    if service is None:
        return frozenset()
    addresses = (*service.external_ips, *service.load_balancer)
    return frozenset((address, port.port) for address in addresses for port in service.ports)


def _node_ports(service: Service | None) -> frozenset[int]:
    if service is None:
        return frozenset()
    return frozenset(port.node_port for port in service.ports if port.node_port)
