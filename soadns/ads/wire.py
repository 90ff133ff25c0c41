"""Messages of xDS as octets. Pure.

What is sent is put together from pieces that were encoded once, for all streams: of a protocol buffer, the octets of
its fields may stand one after another in any order, and those of a repeated field add up (the encoding guide).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
EDS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = "type.googleapis.com/envoy.config.listener.v3.Listener"
RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
DRDS = "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration"
KINDS = {CDS: "clusters", EDS: "endpoints", LDS: "listeners", RDS: "routes", DRDS: "routes"}
"""Types and what people call them."""


def field(number: int, octets: bytes) -> bytes:
    """One field of a message: a text, octets, or a message."""
    return varint(number << 3 | 2) + varint(len(octets)) + octets


def varint(value: int) -> bytes:
    """A number as protocol buffers have it."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def resource(kind: str, message: bytes) -> bytes:
    """A message as one of the ``resources`` of a DiscoveryResponse: google.protobuf.Any."""
    return field(2, field(1, kind.encode()) + field(2, message))


def response(version: str, kind: str, nonce: str, resources: Iterable[bytes]) -> bytes:
    """envoy.service.discovery.v3.DiscoveryResponse; ``resources`` are as ``resource`` made them."""
    head = field(1, version.encode()) + field(4, kind.encode()) + field(5, nonce.encode())
    return head + b"".join(resources)


def delta_resource(kind: str, name: str, version: str, message: bytes) -> bytes:
    """A message as one of the ``resources`` of a DeltaDiscoveryResponse: envoy.service.discovery.v3.Resource."""
    packed = field(1, kind.encode()) + field(2, message)
    return field(2, field(3, name.encode()) + field(1, version.encode()) + field(2, packed))


def delta_response(
    version: str, kind: str, nonce: str, resources: Iterable[bytes], gone: Iterable[str]
) -> bytes:
    """envoy.service.discovery.v3.DeltaDiscoveryResponse; ``resources`` are as ``delta_resource`` made them."""
    head = field(1, version.encode()) + field(4, kind.encode()) + field(5, nonce.encode())
    return head + b"".join(resources) + b"".join(field(6, name.encode()) for name in gone)


def router_of_hosts(name: str, hosts: Iterable[bytes]) -> bytes:
    """RouteConfiguration of virtual hosts that are encoded already."""
    return field(1, name.encode()) + b"".join(field(2, host) for host in hosts)


def host_of_domains(domains: Sequence[str], routes: bytes) -> bytes:
    """VirtualHost named by the first of its domains; ``routes`` is a virtual host that has nothing else."""
    told = b"".join(field(2, domain.encode()) for domain in domains)
    return field(1, domains[0].encode()) + told + routes


def router_of_routes(name: str, routes: Iterable[bytes]) -> bytes:
    """RouteConfiguration with one virtual host for everything; ``routes`` are virtual hosts that have nothing else."""
    return router_of_hosts(name, [field(1, name.encode()) + field(2, b"*") + b"".join(routes)])
