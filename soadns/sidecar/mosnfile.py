"""The file with which a MOSN starts: listeners, routers with the routes of this moment, clusters with hosts. Pure.

MOSN takes connections at one address, looks where they were meant to go, and hands them to the listener of that
ClusterIP and port; else to one of the same port at ``0.0.0.0``, else it keeps them itself. All listeners stand in
the file, for the ones that xDS brings lack what is needed here; all routers do, for a connection that comes before its
router is there is refused as long as it lives. The keys are those of MOSN 1.2.0 (``pkg/config/v2``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from soadns.addresses import print_address
from soadns.routemodel import Vip
from soadns.sidecar.clusters import Cluster, cluster_name
from soadns.sidecar.mosn import (
    BOLT,
    CONNECT_TIMEOUT,
    DUBBO,
    REFUSED,
    SHARED,
    SHARED_BOLT,
    SHARED_DUBBO,
    TCP,
    Data,
    Host,
    Router,
    router,
    router_name,
    shape,
    weighs,
    weights_of,
)

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
"""Of MOSN's log."""
XDS = "xds-grpc"
"""The cluster of whoever serves xDS."""


@dataclass(frozen=True, slots=True)
class Node:
    """One MOSN."""

    id: str
    """What it calls itself; a pod's is its name and namespace, ``web-1.shop``."""
    zone: str
    namespace: str = ""
    listen: tuple[str, int] = ("127.0.0.1", 15001)
    """Where connections are redirected to."""
    admin: tuple[str, int] = ("127.0.0.1", 34901)
    ads: tuple[tuple[str, int], ...] = ()
    """soadns's ADS servers, or none: the file alone counts then."""
    ads_tls: tuple[str, str, str] | None = None
    """Paths in the pod: CA, certificate and key."""
    log: str = "/dev/stdout"
    level: str = "WARN"
    refresh_s: int = 5
    """How often it asks, and so after what time it notices that its server is gone. That has work with each time."""


def document(
    node: Node, places: Sequence[tuple[Vip, str]], shared: Sequence[Router], clusters: Iterable[Cluster]
) -> Data:
    """The whole file; ``places`` are ClusterIPs with what is spoken there, ``shared`` the routers of all others."""
    listeners = [_egress(node), *_fallbacks(places)]
    routers = [*shared]
    for vip, spoken in places:
        routers.append(router(vip, spoken))
        if (form := shape(vip, spoken)) != SHARED:
            listeners.append(_listener(vip, form))
    found: Data = {
        "servers": [
            {
                "mosn_server_name": "soadns",
                "default_log_path": node.log,
                "default_log_level": node.level,
                "routers": [_router(each) for each in routers],
                "listeners": listeners,
            }
        ],
        "cluster_manager": {"clusters": [_cluster(Cluster(REFUSED, ())), *map(_cluster, clusters)]},
        "admin": {"address": {"socket_address": _socket(*node.admin)}},
    }
    return found | _xds(node) if node.ads else found


# --------------------------------------------------------------------------- listeners


def _egress(node: Node) -> Data:
    """The listener that takes all connections. Its name is what lets MOSN look into a Dubbo call's attachments."""
    return {
        "name": SHARED_DUBBO,
        "type": "egress",
        "address": print_address(*node.listen),
        "bind_port": True,
        "use_original_dst": "redirect",
        "filter_chains": _proxy(DUBBO, SHARED_DUBBO),
        "stream_filters": [{"type": "dubbo_stream", "config": {}}],
    }


def _fallbacks(places: Iterable[tuple[Vip, str]]) -> list[Data]:
    """A listener for each port that speaks bolt, for ClusterIPs that the file does not have."""
    ports = sorted({vip.port for vip, spoken in places if spoken == BOLT})
    return [
        {
            "name": f"0.0.0.0_{port}",
            "type": "egress",
            "address": f"0.0.0.0:{port}",
            "bind_port": False,
            "filter_chains": _proxy(BOLT, SHARED_BOLT),
        }
        for port in ports
    ]


def _listener(vip: Vip, form: str) -> Data:
    chains = _passed_on(vip) if form == TCP else _proxy(form, router_name(*vip.place))
    return {
        "name": router_name(*vip.place),
        "type": "egress",
        "address": print_address(*vip.place),
        "bind_port": False,
        "filter_chains": chains,
    }


def _proxy(protocol: str, name: str) -> list[Data]:
    config = {"downstream_protocol": protocol, "upstream_protocol": protocol, "router_config_name": name}
    return [{"filters": [{"type": "proxy", "config": config}]}]


def _passed_on(vip: Vip) -> list[Data]:
    """Connections as they are, to the Service itself: what is in them is not looked at."""
    target = vip.routes[-1].target
    name = cluster_name(target) if target is not None else REFUSED
    return [{"filters": [{"type": "tcp_proxy", "config": {"cluster": name, "routes": [{"cluster": name}]}}]}]


# --------------------------------------------------------------------------- routers and clusters


def _router(found: Router) -> Data:
    return {"router_config_name": found.name, "virtual_hosts": [virtual_host(host) for host in found.hosts]}


def virtual_host(host: Host) -> Data:
    """A virtual host as MOSN's own files, and its ``config_dump``, have it."""
    routers = []
    for rule in host.rules:
        headers = [
            {"name": h.name, "value": h.value, **({"regex": True} if h.regex else {})} for h in rule.headers
        ]
        match = ({"prefix": host.prefix} if host.prefix else {}) | ({"headers": headers} if headers else {})
        routers.append({"match": match, "route": {"cluster_name": rule.cluster}})
    return {"name": host.name, "domains": list(host.domains), "routers": routers}


def _cluster(found: Cluster) -> Data:
    hosts: list[Data] = [{"address": print_address(*endpoint)} for endpoint in found.endpoints]
    for host, weight in zip(hosts, weights_of(found), strict=False):
        host["weight"] = weight
    return {
        "name": found.name,
        "type": "EDS",
        "lb_type": "LB_LEAST_REQUEST" if weighs(found.name) else "LB_ROUNDROBIN",
        "connect_timeout": CONNECT_TIMEOUT,
        "hosts": hosts,
    }


# --------------------------------------------------------------------------- xDS


def _socket(address: str, port: int) -> Data:
    return {"address": address, "port_value": port}


def _xds(node: Node) -> Data:
    """Where it gets changes from. Without ``refresh_delay`` it would notice a lost server after ten seconds."""
    hosts = [{"endpoint": {"address": {"socket_address": _socket(*each)}}} for each in node.ads]
    cluster: Data = {
        "name": XDS,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "RANDOM",
        "load_assignment": {"cluster_name": XDS, "endpoints": [{"lb_endpoints": hosts}]},
        "http2_protocol_options": {},
    }
    if node.ads_tls is not None:
        ca, chain, key = node.ads_tls
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "tls_certificates": [
                        {"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}
                    ],
                    "validation_context": {"trusted_ca": {"filename": ca}},
                },
            },
        }
    grpc = {"envoy_grpc": {"cluster_name": XDS}}
    ads = {"api_type": "GRPC", "refresh_delay": {"seconds": node.refresh_s}, "grpc_services": [grpc]}
    metadata = {"SOADNS": "mosn", "ZONE": node.zone, "NAMESPACE": node.namespace}
    return {
        "dynamic_resources": {"ads_config": ads},
        "static_resources": {"clusters": [cluster]},
        "node": {"id": node.id, "cluster": node.namespace or "default", "metadata": metadata},
    }
