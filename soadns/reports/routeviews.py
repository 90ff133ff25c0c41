"""What people and sidecars see of the routes: plain data for HTTP and the command line. Pure.

The shapes are documented in ``docs/http.md`` and ``docs/sidecar.md`` and stable: keys are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soadns.addresses import print_address
from soadns.model import InterfaceId, ObjectRef
from soadns.reports.views import when
from soadns.routemodel import Move, Place, Route, Target, Vip
from soadns.routing import Routing
from soadns.sidecar.clusters import Cluster, cluster_name

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Which of a zone's routes are asked for; what is empty does not narrow it down."""

    service: str = ""
    """``cluster/namespace/name``, or ``namespace/name`` of the home cluster."""
    address: str = ""
    port: int = 0

    def holds(self, vip: Vip) -> bool:
        """Whether a place is in it."""
        return self.takes(vip.place, vip.service)

    def takes(self, at: Place, service: ObjectRef) -> bool:
        """Whether a place is in it while a Service has it."""
        return (
            self.service in ("", str(service), "/".join(service[1:]))
            and self.address in ("", at[0])
            and self.port in (0, at[1])
        )

    def found(self, vips: Mapping[Place, Vip]) -> list[Vip]:
        """What is asked for of a zone's routes, in order."""
        if self.address and self.port:
            vip = vips.get((self.address, self.port))
            return [vip] if vip is not None and self.holds(vip) else []
        return [vip for vip in ordered(vips.values()) if self.holds(vip)]


def ordered(vips: Iterable[Vip]) -> list[Vip]:
    """In order of address and port."""
    return sorted(vips, key=lambda vip: vip.place)


def state(zone: str, routing: Routing, vips: Iterable[Vip], *, clusters: bool = False) -> Data:
    """All that is asked for, as it is now; ``clusters`` counts the generations of these as well."""
    return {**_head(zone, routing, whole=clusters), "vips": vips_data(zone, routing, vips)}


def delta(
    zone: str,
    routing: Routing,
    since: int,
    changed: Iterable[Place | str],
    part: Part,
    *,
    clusters: bool = False,
) -> Data:
    """What changed after a generation: places and clusters as they are now, and those that are no more.

    For who follows one Service a place is no more when another one has it. Some of these may have come and gone in
    between: who never heard of one passes over it.
    """
    table, places = routing.tables[zone], sorted(at for at in changed if not isinstance(at, str))
    vips = [vip for at in places if (vip := table.vips.get(at)) is not None and part.holds(vip)]
    left = {each.place for each in routing.left(zone, since, clusters=clusters) if part.takes(*each)}
    gone = sorted(left.difference(vip.place for vip in vips))
    told: Data = {
        **_head(zone, routing, whole=clusters),
        "since": since,
        "vips": vips_data(zone, routing, vips),
        "gone": [{"address": address, "port": port} for address, port in gone],
    }
    if clusters:
        held = routing.clusters[zone].clusters
        names = sorted(name for name in changed if isinstance(name, str))
        told["clusters"] = [cluster_data(held[name]) for name in names if name in held]
        told["goneClusters"] = [name for name in names if name not in held]
    return told


def _head(zone: str, routing: Routing, *, whole: bool = False) -> Data:
    return {
        "zone": zone,
        "replica": routing.replica,
        "generation": routing.generation(zone, clusters=whole),
        "missing": routing.tables[zone].missing,
    }


def clusters(zone: str, routing: Routing, name: str = "") -> list[Cluster]:
    """The clusters that routes lead to, or one of them, in order."""
    found = routing.clusters[zone].clusters
    return [found[each] for each in ([name] if name else sorted(found)) if each in found]


def cluster_data(cluster: Cluster) -> Data:
    """One cluster and its endpoints now."""
    ends: list[dict[str, Any]] = [{"address": address, "port": port} for address, port in cluster.endpoints]
    for end, weight in zip(ends, cluster.weights, strict=False):
        end["weight"] = weight
    return {"name": cluster.name, "endpoints": ends}


def vips_data(zone: str, routing: Routing, vips: Iterable[Vip]) -> list[Data]:
    """Places, and what is spoken there."""
    speech = routing.speech[zone]
    return [vip_data(vip, speech.at(vip.place)) for vip in vips]


def vip_data(vip: Vip, speaks: str) -> Data:
    """One ClusterIP and port; ``speaks`` is a word of ``soadns.speech``."""
    return {
        "address": vip.address,
        "port": vip.port,
        "service": str(vip.service),
        "uid": vip.uid,
        "host": vip.host,
        "speaks": speaks,
        "routes": [route_data(route) for route in vip.routes],
    }


def route_data(route: Route) -> Data:
    """One rule; what it does not compare is ``null``."""
    return {
        "interface": route.interface,
        "group": route.group,
        "version": route.version,
        "why": route.why,
        "lives": str(route.lives) if route.lives is not None else None,
        "to": target_data(route.target) if route.target is not None else None,
    }


def target_data(target: Target) -> Data:
    """Where a rule leads; ``cluster`` is ``null`` where Istio has none that could be named."""
    of = str(target.service) if target.service is not None else str(target.interface)
    return {
        "kind": target.kind,
        "service": str(target.service) if target.service is not None else None,
        "host": target.host or None,
        "port": target.port,
        "cluster": target.cluster or None,
        "endpoints": {
            "from": "endpointslices" if target.service is not None else "registry",
            "of": of,
            "cluster": cluster_name(target),
        },
    }


def resolved(zone: str, routing: Routing, at: Place, wire: tuple[str, str, str]) -> Data:
    """Where one request goes; ``wire`` is its interface, group and version as the wire has them."""
    interface, group, version = wire
    data: Data = {
        "zone": zone,
        "address": at[0],
        "port": at[1],
        "interface": interface,
        "group": group,
        "version": version,
    }
    vip = routing.tables[zone].find(*at)
    if vip is None:
        return data | {"error": _unknown(zone, routing, at)}
    route = vip.route(interface, group, version)
    to = target_data(route.target) if route.target is not None else {}
    return data | {
        "at": str(vip.service),
        "rule": route_data(route),
        "service": to.get("service"),
        "host": to.get("host"),
        "istioPort": to["port"] if to.get("host") else None,
        "cluster": to.get("cluster"),
        "endpoints": to.get("endpoints"),
        "refused": route.target is None,
        "unclear": list(routing.tables[zone].wires.unclear_at(vip.service, interface)),
    }


def _unknown(zone: str, routing: Routing, at: Place) -> str:
    address, port = at
    services = routing.tables[zone].services
    ref = services.holder(address)
    if ref is None:
        return f"{address} is no ClusterIP of a Service that {zone} sees: a sidecar passes such calls on as they are"
    ports = ", ".join(map(str, services.ports(ref))) or "none"
    return f"{ref} has {address}, but no port {port} (TCP: {ports})"


def of_interface(zone: str, routing: Routing, interface: InterfaceId) -> Data:
    """What ``explain`` says of routes: where requests of an interface do not simply go to whoever has the ClusterIP."""
    if reason := routing.unready(zone):
        missing = routing.tables[zone].missing
        return {"unready": reason, "missing": missing, "rules": [], "unclear": [], "untold": []}
    table = routing.tables[zone]
    rules = [
        {"at": print_address(vip.address, vip.port), "service": str(vip.service), **route_data(route)}
        for vip, routes in table.ruled_at(interface)
        for route in routes
    ]
    return {
        "unready": None,
        "missing": table.missing,
        "rules": rules,
        "unclear": [
            {"wire": each.wire, "service": str(each.service), "others": list(each.others)}
            for each in table.wires.unclear_of(interface)
        ],
        "untold": list(table.wires.untold_of(interface)),
    }


def moves(zone: str, routing: Routing) -> Data:
    """What has moved: interfaces that callers of a Service may still send to it."""
    return {"zone": zone, "moves": [move_data(zone, routing, move) for move in routing.tables[zone].moves]}


def move_data(zone: str, routing: Routing, move: Move) -> Data:
    """One move; ``to`` is the Service that has the interface now, ``null`` where none has."""
    return {
        "service": str(move.service),
        "interface": str(move.interface),
        "wires": list(move.wires),
        "addresses": list(move.addresses),
        "ports": [{"protocol": p.protocol, "port": p.port} for p in move.ports],
        "since": when(move.since),
        "to": _to(routing.tables[zone].service_of(move.interface)),
    }


def _to(ref: ObjectRef | None) -> str | None:
    return str(ref) if ref is not None else None


def service_ref(text: str, home: str) -> ObjectRef | None:
    """A Service as people type it: ``cluster/namespace/name``, or ``namespace/name`` of the home cluster."""
    parts = text.split("/")
    if len(parts) == 2:
        parts.insert(0, home)
    return ObjectRef(*parts) if len(parts) == 3 and all(parts) else None
