"""Kubernetes objects in the API's shapes, turned into the values of :mod:`soadns.model`. Pure.

Says what each absence means and what rejects an object. The shapes are those of ``soadns.sources.kubeshapes``; how
they are read from bytes or plain objects is ``soadns.sources.kubeobjects``.
"""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import ip_address

from soadns.model import Endpoint, EndpointSlice, Node, ObjectRef, Port, Service
from soadns.sources import kubeshapes
from soadns.sources.annotations import parse as parse_annotations

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""Label by which an EndpointSlice names its Service (discovery.k8s.io/v1, LabelServiceName)."""

_CANONICAL_V4 = re.compile(
    r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
)


class BadFieldError(ValueError):
    """A field whose value rejects its object; ``reason`` is a slug, the text says what is wrong for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _address(text: str, field: str) -> str:
    """Normal form of an IP address. Nearly all are canonical IPv4: a tenth of the cost of ``ipaddress``."""
    if _CANONICAL_V4.fullmatch(text):
        return text
    try:
        return str(ip_address(text))
    except ValueError:
        raise BadFieldError("bad-address", f"{field} holds {text[:60]!r}, which is no IP address") from None


def _seconds(text: str | None) -> float:
    """RFC 3339 text as Unix seconds; absent or null is 0."""
    if not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadFieldError(
            "bad-time",
            f"metadata.creationTimestamp {text[:40]!r} is no RFC 3339 time such as 2026-01-31T08:00:00Z",
        )
    return moment.timestamp()


def service(raw: kubeshapes.Service, cluster: str) -> Service:
    """The Service, with what its annotations say. Raises BadFieldError."""
    meta = raw.metadata
    spec = raw.spec or kubeshapes.ServiceSpec()
    given = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    balancer = raw.status.load_balancer if raw.status is not None else None
    parsed = parse_annotations(meta.annotations or {})
    return Service(
        ref=ObjectRef(cluster, meta.namespace, meta.name),
        uid=meta.uid,
        created=_seconds(meta.creation_timestamp),
        type=spec.type or "ClusterIP",
        cluster_ips=tuple(_address(ip, "spec.clusterIPs") for ip in given if ip not in ("", "None")),
        headless="None" in given,
        ports=tuple(_service_port(port) for port in spec.ports or ()),
        external_ips=tuple(_address(ip, "spec.externalIPs") for ip in spec.external_ips or ()),
        load_balancer=tuple(
            _address(entry.ip, "status.loadBalancer.ingress")
            for entry in (balancer.ingress if balancer is not None else None) or ()
            if entry.ip
        ),
        external_name=(spec.external_name or "").lower().rstrip("."),
        terminating=meta.deletion_timestamp is not None,
        labels=tuple(sorted(meta.labels.items())) if meta.labels else (),
        application=parsed.application,
        declaration=parsed.declaration,
        traffic=parsed.traffic,
        balancing=parsed.balancing,
        moves=parsed.moves,
        problems=parsed.problems,
    )


def _service_port(raw: kubeshapes.ServicePort) -> Port:
    target = raw.port if raw.target_port in (None, 0, "") else raw.target_port  # absent: the port itself
    return Port(
        raw.port,
        raw.name or "",
        str(target),
        raw.protocol or "TCP",
        raw.node_port or 0,
        raw.app_protocol or "",
    )


def endpoint_slice(raw: kubeshapes.EndpointSlice, cluster: str) -> EndpointSlice | None:
    """The slice; None for one without a Service or without IP addresses. Raises BadFieldError."""
    meta = raw.metadata
    name = (meta.labels or {}).get(SERVICE_NAME_LABEL)
    if not name or raw.address_type not in ("IPv4", "IPv6"):
        return None
    return EndpointSlice(
        ref=ObjectRef(cluster, meta.namespace, meta.name),
        service=ObjectRef(cluster, meta.namespace, name),
        # A port without a number stands for every port (EndpointPort.port); 0 says so here.
        ports=tuple(
            Port(
                port.port or 0,
                port.name or "",
                protocol=port.protocol or "TCP",
                app_protocol=port.app_protocol or "",
            )
            for port in raw.ports or ()
        ),
        endpoints=tuple(found for entry in raw.endpoints or () for found in _endpoints(entry)),
    )


def _endpoints(raw: kubeshapes.Endpoint) -> list[Endpoint]:
    conditions = raw.conditions or kubeshapes.EndpointConditions()
    ready = conditions.ready is not False  # null means true (EndpointConditions.ready)
    terminating = conditions.terminating is True
    serving = conditions.serving is not False  # likewise (EndpointConditions.serving)
    return [
        Endpoint(_address(address, "endpoints[].addresses"), ready, terminating, serving)
        for address in raw.addresses or ()
    ]


def node(raw: kubeshapes.Node, cluster: str) -> Node:
    """The Node with its addresses within and without the cluster. Raises BadFieldError."""
    entries = (raw.status.addresses if raw.status is not None else None) or ()
    return Node(
        ref=ObjectRef(cluster, "", raw.metadata.name),
        addresses=tuple(
            _address(entry.address, "status.addresses")
            for entry in entries
            if entry.type in ("InternalIP", "ExternalIP")
        ),
    )
