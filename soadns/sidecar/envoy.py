"""What an Envoy without Istio is told: listeners, clusters, endpoints and rules, in the shapes of its v3 API. Pure.

Connections to ClusterIPs are redirected to one listener, which hands each over to the listener of its original
destination. That one is bound to nothing and leads to the Service, as ``*`` says: connection by connection, or, where
Dubbo is spoken with hessian2, request by request by rules (``dubbo_proxy``). The rules are resources of their own
(DRDS), so that another rule changes no listener and cuts no connection.

Sources: ``envoy/config/{listener,cluster,endpoint}/v3``, ``envoy/extensions/filters/network/tcp_proxy/v3`` and
``.../dubbo_proxy/v3``, and what Envoy 1.40 does with them. The same dicts are written to files and sent over ADS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from soadns.routemodel import Place, Vip
from soadns.sidecar import dubboproxy
from soadns.sidecar.clusters import Cluster, cluster_name

Data = dict[str, Any]
_API = "type.googleapis.com/envoy"
LISTENERS = f"{_API}.config.listener.v3.Listener"
CLUSTERS = f"{_API}.config.cluster.v3.Cluster"
ENDPOINTS = f"{_API}.config.endpoint.v3.ClusterLoadAssignment"
ROUTES = f"{_API}.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TCP_PROXY = f"{_API}.extensions.filters.network.tcp_proxy.v3.TcpProxy"
IN_ORDER = (CLUSTERS, ENDPOINTS, LISTENERS, ROUTES)
"""What is added is told in this order, so that nothing is named before it is there; what goes, in the reverse one."""

REFUSED = "soadns-refused"
"""A cluster without endpoints: of what is refused, and of connections to where no listener is."""
PASSED_ON = "soadns-passed-on"
"""A cluster that leads to wherever the caller wanted to."""
RESET, PASS = "reset", "pass"
"""What becomes of a connection to where no listener is."""
CONNECT_TIMEOUT = "1s"
CONNECT_ATTEMPTS = 3
"""Endpoints that a connection is tried with: one that has just died is not in all lists yet."""
DUBBO = "dubbo"
"""Of a place whose callers all speak Dubbo with hessian2: nothing else can be looked into."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How an Envoy gets what changes, and what it does with strangers."""

    port: int = 15001
    """To which connections are redirected."""
    unmatched: str = RESET
    """``reset`` or ``pass``. What is passed on must not be redirected again: Envoy needs a user of its own for that."""


def place_name(place: Place) -> str:
    """What the listener and the rules of a ClusterIP and port are called, as Istio calls them."""
    return f"{place[0]}_{place[1]}"


def named_place(name: str) -> Place:
    """The ClusterIP and port that are called so."""
    address, _, port = name.rpartition("_")
    return address, int(port)


# --------------------------------------------------------------------------- listeners


def capturing(setting: Setting, *, six: bool = False) -> Data:
    """The listener that redirected connections come to; ``six``: over IPv6."""
    cluster = PASSED_ON if setting.unmatched == PASS else REFUSED
    return {
        "name": "soadns-outbound-6" if six else "soadns-outbound",
        "address": _address("::" if six else "0.0.0.0", setting.port),  # noqa: S104 - where REDIRECT leads to
        "use_original_dst": True,
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [_tcp_proxy("unmatched", cluster)]}],
    }


def listener(vip: Vip, speaks: str, rules: Data) -> Data:
    """The listener of a ClusterIP and port; ``rules`` is the config source of its rules, where Dubbo is spoken."""
    name = place_name(vip.place)
    return {
        "name": name,
        "address": _address(*vip.place),
        "bind_to_port": False,
        "traffic_direction": "OUTBOUND",
        "filter_chains": [
            {"filters": [_dubbo_proxy(name, rules) if speaks == DUBBO else _tcp_proxy(name, _goes(vip))]}
        ],
    }


def _goes(vip: Vip) -> str:
    """Where a place's connections go that are not looked into: to its Service, whatever is in them."""
    target = vip.routes[-1].target
    return cluster_name(target) if target is not None else REFUSED


def _dubbo_proxy(name: str, rules: Data) -> Data:
    drds = {"route_config_name": name, "config_source": rules}
    return {
        "name": dubboproxy.NAME,
        "typed_config": {"@type": dubboproxy.TYPE, "stat_prefix": name, "drds": drds},
    }


def _tcp_proxy(prefix: str, cluster: str) -> Data:
    settings: Data = {
        "@type": TCP_PROXY,
        "stat_prefix": prefix,
        "cluster": cluster,
        "max_connect_attempts": CONNECT_ATTEMPTS,
        "idle_timeout": "0s",  # a Service does not end what is silent either
    }
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": settings}


def rules_of(vip: Vip) -> Data:
    """The rules of a place, for ``dubbo_proxy``."""
    return dubboproxy.route_configuration(vip.routes, place_name(vip.place), cluster_name, REFUSED)


# --------------------------------------------------------------------------- clusters


def cluster(name: str, endpoints: Data) -> Data:
    """A cluster; ``endpoints`` is the config source of its endpoints."""
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": CONNECT_TIMEOUT,
        "eds_cluster_config": {"eds_config": endpoints},
    }


def endpoints_of(found: Cluster) -> Data:
    """The endpoints of a cluster (``ClusterLoadAssignment``)."""
    ends: list[Data] = [{"endpoint": {"address": _address(*end)}} for end in found.endpoints]
    for end, weight in zip(ends, found.weights, strict=False):
        end["load_balancing_weight"] = weight
    return {"cluster_name": found.name, "endpoints": [{"lb_endpoints": ends}] if ends else []}


def always_there() -> list[Data]:
    """The clusters that every Envoy has from its start."""
    passed_on = {"name": PASSED_ON, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
    return [
        {"name": REFUSED, "type": "STATIC", "connect_timeout": CONNECT_TIMEOUT},
        passed_on | {"connect_timeout": CONNECT_TIMEOUT},
    ]


def resources_of(vip: Vip, speaks: str, rules: Data) -> dict[str, Data]:
    """What is told of a place, by type: its listener, and its rules where it has some."""
    found = {LISTENERS: listener(vip, speaks, rules)}
    return found | {ROUTES: rules_of(vip)} if speaks == DUBBO else found


def _address(ip: str, port: int) -> Data:
    return {"socket_address": {"address": str(ip_address(ip)), "port_value": port}}


# --------------------------------------------------------------------------- the start


def bootstrap(dynamic: Data, *, node: Data, admin: int, static: Data) -> Data:
    """What Envoy is started with; ``dynamic`` says where it gets the rest, by way of what is ``static``."""
    return {
        "node": {"cluster": "soadns", **node},
        "admin": {"address": _address("127.0.0.1", admin)},
        "dynamic_resources": dynamic,
        "static_resources": static | {"clusters": [*always_there(), *static.get("clusters", [])]},
    }


def from_file(path: str) -> Data:
    """The config source of what is in a file that is replaced by renaming."""
    return {"resource_api_version": "V3", "path_config_source": {"path": path}}


ADS: Data = {"ads": {}, "resource_api_version": "V3"}
"""The config source of what comes over ADS."""
ADS_CLUSTER = "soadns-ads"
_COMES_BACK: Data = {"retry_back_off": {"base_interval": "0.5s", "max_interval": "5s"}}
"""After a lost stream. By default the pauses grow to half a minute, while another replica may long be there."""


def by_ads(
    servers: Sequence[tuple[str, int]], tls: Sequence[str], setting: Setting, *, node: Data, admin: int
) -> Data:
    """What an Envoy is started with that is told everything over ADS.

    ``servers`` are host names or addresses and ports; ``tls`` are the paths of the CA's, the certificate's and the
    key's PEM files, or it is empty.
    """
    ends = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
        for host, port in servers
    ]
    cluster: Data = {
        "name": ADS_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": {"cluster_name": ADS_CLUSTER, "endpoints": [{"lb_endpoints": ends}]},
        "typed_extension_protocol_options": {
            _HTTP: {
                "@type": f"type.googleapis.com/{_HTTP}",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "20s", "timeout": "10s"}}
                },
            }
        },
    }
    if tls:
        cluster["transport_socket"] = _tls(*tls, hosts=[host for host, _ in servers])
    dynamic = {
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": ADS_CLUSTER, "retry_policy": _COMES_BACK}}],
        },
        "lds_config": ADS,
        "cds_config": ADS,
    }
    static = {"clusters": [cluster], "listeners": [capturing(setting)]}
    return bootstrap(dynamic, node=node, admin=admin, static=static)


def _tls(ca: str, certificate: str, key: str, *, hosts: Sequence[str]) -> Data:
    """The transport socket of a connection to a server that the CA says is one of these.

    Without their names whoever has a certificate of the CA, as each sidecar has, could pass for soadns.
    """
    names = [
        {"san_type": "IP_ADDRESS" if _is_ip(host) else "DNS", "matcher": {"exact": host}}
        for host in dict.fromkeys(hosts)
    ]
    sni = {} if _is_ip(hosts[0]) else {"sni": hosts[0]}
    pair = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **sni,
            "common_tls_context": {
                "tls_certificates": [pair],
                "validation_context": {
                    "trusted_ca": {"filename": ca},
                    "match_typed_subject_alt_names": names,
                },
            },
        },
    }


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
