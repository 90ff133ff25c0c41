"""The EnvoyFilters by which Istio's sidecars are told of one Service's rules, and what was told before. Pure.

One object for all callers (in the root namespace) with all ports of the Service, so that their number grows with
Services, not with interfaces; and, where callers' pods mount files of rules, one in each namespace of such callers.
Istio applies what is in the root namespace and in the caller's own, by priority: of two that replace the same filter
the first one does, and the other finds nothing to replace, so those for files come first.

Objects are keyed by the UID of the Service: one that is created again has another ClusterIP, and what was written for
its predecessor matches nothing, or somebody else. The name of a listener is a ClusterIP of the Service and its port:
the first one of a family that the caller's pod has. So there is a patch for each ClusterIP, of which one matches.
Source: networking.istio.io/v1alpha3 EnvoyFilter; istio ``listener_patch.go``, ``pilot/pkg/model/envoyfilter.go``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from soadns.model import ObjectRef
from soadns.numerals import port_number
from soadns.routemodel import Target, Vip
from soadns.sidecar import dubboproxy, tiers
from soadns.sidecar.destinations import Destinations, istio_cluster
from soadns.sidecar.drdsfiles import DrdsFile, drds_file
from soadns.sidecar.tiers import Applied, PortFacts, PortTier, Subject, Wishes

Data = dict[str, Any]
API_VERSION, KIND = "networking.istio.io/v1alpha3", "EnvoyFilter"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
REFUSED = "BlackHoleCluster"
"""A cluster that every sidecar of Istio's has, without endpoints."""
MANAGED_BY, OURS = "app.kubernetes.io/managed-by", "soadns"
UID = "soadns.io/service-uid"
SERVICE = "soadns.io/service"
REFUSED_SINCE = "soadns.io/sidecars-refused-since"
"""An annotation that no rendered object has: why nothing is written, and since when (``haltnotes``)."""
FOR_ALL, FOR_FILES = 10, 5
"""Priorities; Istio begins with the lower."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is to be written for one Service."""

    service: ObjectRef
    uid: str
    ports: tuple[PortTier, ...]
    filters: tuple[Data, ...] = field(default=())
    """Whole EnvoyFilters; none at tier 0."""
    files: tuple[DrdsFile, ...] = field(default=())

    listeners: frozenset[str] = frozenset()
    """Names of the listeners that Istio has for the Service's ports."""
    hosts: frozenset[str] = frozenset()
    """Istio hosts of which Istio's own objects, and Services, have a say in it."""

    @property
    def tier(self) -> int:
        """The highest of its ports."""
        return max((3 if port.files else port.tier for port in self.ports), default=0)


def render(
    subject: Subject,
    wishes: Wishes,
    destinations: Destinations,
    applied: Applied = tiers.NOTHING,
    places: Mapping[str, Collection[int]] | None = None,
) -> Rendered:
    """The objects of one Service. ``applied`` is what is in force of them (``applied_of``).

    :param places: namespace of callers → ports that may have files there; None: all.
    """
    decided = [
        (facts, tiers.decide(subject, facts, wishes, destinations, applied, places))
        for facts in subject.ports
    ]
    patches, files = [], {}
    for facts, port in decided:
        if port.tier:
            routes = _routes(facts.vip, port.tier, destinations, file_name(subject, facts))
            patches += _patches(subject, facts, dubboproxy.inline(_cluster(subject, facts), routes))
        if port.files:
            routes = _routes(facts.vip, 2, destinations, file_name(subject, facts))
            files[port.port] = drds_file(routes)
    filters = [_filter(subject, wishes.root_namespace, FOR_ALL, patches)] if patches else []
    for namespace in wishes.namespaces:
        patches = [
            patch
            for facts, port in decided
            if namespace in port.files
            for patch in _patches(subject, facts, _from_file(subject, facts, files[port.port], wishes))
        ]
        if patches:
            filters.append(_filter(subject, namespace, FOR_FILES, patches, dict(wishes.selector)))
    return Rendered(
        subject.service.ref,
        subject.service.uid,
        tuple(port for _, port in decided),
        tuple(filters),
        tuple(files.values()),
        frozenset(name for facts in subject.ports for name in _listeners(subject, facts)),
        frozenset(host for facts in subject.ports for host in _hosts(subject, facts, destinations)),
    )


def _hosts(subject: Subject, facts: PortFacts, destinations: Destinations) -> Iterable[str]:
    """What a port stands on: its own host, those that its rules lead to, and where VirtualServices send these."""
    yield from destinations.leads(subject.host, facts.vip.port).asked
    for route in facts.vip.routes[:-1]:
        if route.target is not None and route.target.host:
            yield from destinations.leads(route.target.host, route.target.port).asked


def _routes(vip: Vip, tier: int, destinations: Destinations, name: str) -> Data:
    """The rules of a port: all of them, or at tier 1 the last."""

    def clusters(target: Target) -> dubboproxy.Clusters:
        return tiers.lead_of(target, vip, destinations).clusters

    routes = vip.routes if tier > 1 else vip.routes[-1:]
    return dubboproxy.route_configuration(routes, name, clusters, REFUSED)


def _from_file(subject: Subject, facts: PortFacts, file: DrdsFile, wishes: Wishes) -> Data:
    name = file_name(subject, facts)
    return dubboproxy.from_file(_cluster(subject, facts), name, wishes.directory, file.key)


def _cluster(subject: Subject, facts: PortFacts) -> str:
    return istio_cluster(subject.host, facts.vip.port)


def _listeners(subject: Subject, facts: PortFacts) -> list[str]:
    """Istio names it by a ClusterIP and the port of the Service."""
    return [f"{address}_{facts.vip.port}" for address in subject.service.cluster_ips]


def _patches(subject: Subject, facts: PortFacts, value: Data) -> list[Data]:
    """The same for the listener that a port has in each sidecar."""
    chain = {"filter": {"name": TCP_PROXY}}
    return [
        {
            "applyTo": "NETWORK_FILTER",
            "match": {"context": "SIDECAR_OUTBOUND", "listener": {"name": name, "filterChain": chain}},
            "patch": {"operation": "REPLACE", "value": value},
        }
        for name in _listeners(subject, facts)
    ]


def _filter(
    subject: Subject,
    namespace: str,
    priority: int,
    patches: list[Data],
    selector: Mapping[str, str] | None = None,
) -> Data:
    service = subject.service
    spec: Data = {"priority": priority}
    if selector:
        spec["workloadSelector"] = {"labels": dict(selector)}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": object_name(subject) + ("" if priority == FOR_ALL else "-files"),
            "namespace": namespace,
            "labels": {MANAGED_BY: OURS, UID: service.uid},
            "annotations": {SERVICE: f"{service.ref.namespace}/{service.ref.name}"},
        },
        "spec": {**spec, "configPatches": patches},
    }


def object_name(subject: Subject) -> str:
    """The name of a Service's EnvoyFilter; another Service of the same name, before or after it, has another one."""
    _, namespace, name = subject.service.ref
    return f"soadns-{namespace}-{name}-{_mark(subject)}"


def file_name(subject: Subject, facts: PortFacts) -> str:
    """The name of the rules of one port, wherever they stand."""
    _, namespace, name = subject.service.ref
    return f"{namespace}.{name}.{facts.vip.port}.{_mark(subject)}"


def _mark(subject: Subject) -> str:
    """What tells a Service from others of its name, before it and after it."""
    return hashlib.sha256(subject.service.uid.encode()).hexdigest()[:8]


# --------------------------------------------------------------------------- what is in force


def applied_of(objects: Iterable[Mapping[str, Any]], root_namespace: str) -> dict[str, Applied]:
    """By UID of the Service: what EnvoyFilters of ours, as the API server has them, say is in force."""
    ports: dict[str, dict[int, int]] = {}
    files: dict[str, dict[str, frozenset[int]]] = {}
    for each in objects:
        uid, namespace = uid_of(each), _path(each, "metadata", "namespace")
        if not uid or not isinstance(namespace, str):
            continue
        told = _ports(each)
        if from_file := frozenset(port for port, tier in told.items() if tier == 3):
            held = files.setdefault(uid, {})
            held[namespace] = held.get(namespace, frozenset()) | from_file
        if namespace == root_namespace:
            inline = {port: tier for port, tier in told.items() if tier < 3}
            ports.setdefault(uid, {}).update(inline)
    return {uid: Applied(ports.get(uid, {}), files.get(uid, {})) for uid in ports.keys() | files.keys()}


def uid_of(found: Mapping[str, Any]) -> str:
    """The UID of the Service that an object of ours is for; ``''`` of anybody else's."""
    labels = _path(found, "metadata", "labels")
    if not isinstance(labels, Mapping) or labels.get(MANAGED_BY) != OURS:
        return ""
    uid = labels.get(UID)
    return uid if isinstance(uid, str) else ""


def _ports(found: Mapping[str, Any]) -> dict[int, int]:
    """Port → tier of an EnvoyFilter of ours."""
    patches = _path(found, "spec", "configPatches")
    tiers_of: dict[int, int] = {}
    for patch in patches if isinstance(patches, list) else ():
        listener = _path(patch, "match", "listener", "name")
        settings = _path(patch, "patch", "value", "typed_config")
        _, _, port = listener.rpartition("_") if isinstance(listener, str) else ("", "", "")
        number = port_number(port)
        if number is None or not isinstance(settings, Mapping):
            continue
        rules = _path(settings, "multiple_route_config", "route_config")
        many = isinstance(rules, list) and len(rules) > 1
        tiers_of[number] = 3 if "drds" in settings else 2 if many else 1
    return tiers_of


def _path(found: object, *keys: str) -> object:
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def size(found: Mapping[str, Any]) -> int:
    """The octets of an object as JSON, which is about what etcd holds of it."""
    return len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode())
