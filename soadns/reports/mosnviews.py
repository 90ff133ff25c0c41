"""The file of a MOSN, from the routes of this moment. Pure.

``gather`` looks at what is known, ``file`` at nothing but what that found, so that it may run in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from soadns.addresses import parse_address
from soadns.binding.zone import Zone
from soadns.numerals import port_number
from soadns.routemodel import Route, Vip
from soadns.routing import Routing
from soadns.sidecar import mosn, mosnfile
from soadns.sidecar.clusters import Cluster
from soadns.speech import BOLT, DUBBO, spoken


def node_of(query: Mapping[str, str], zone: str) -> mosnfile.Node:
    """The node that is asked for. Raises ValueError."""
    name = query.get("node", "")
    if not name or not name.isprintable() or len(name) > 253:
        raise ValueError("which node: node=web-1.shop, at most 253 characters")
    node = mosnfile.Node(name, zone, namespace=query.get("namespace", ""))
    node = replace(node, listen=_address(query, "listen") or node.listen)
    node = replace(node, admin=_address(query, "admin") or node.admin)
    if text := query.get("ads", ""):
        node = replace(node, ads=tuple(map(_server, text.split(","))))
    if text := query.get("adsTls", ""):
        paths = text.split(",")
        if len(paths) != 3 or not all(paths):
            raise ValueError(f"adsTls={text}: expected the paths CA,CERT,KEY as they are in the pod")
        node = replace(node, ads_tls=(paths[0], paths[1], paths[2]))
    if text := query.get("logLevel", ""):
        if text not in mosnfile.LEVELS:
            raise ValueError(f"logLevel={text}: known are {', '.join(mosnfile.LEVELS)}")
        node = replace(node, level=text)
    return replace(node, log=query.get("log", "") or node.log)


def _address(query: Mapping[str, str], key: str) -> tuple[str, int] | None:
    """``ADDRESS:PORT``, or None where there is none. Raises ValueError."""
    text = query.get(key, "")
    address = parse_address(text) if text else None
    if text and address is None:
        raise ValueError(f"{key}={text}: expected ADDRESS:PORT")
    return address


def _server(text: str) -> tuple[str, int]:
    """``HOST:PORT``, where the host may be a name. Raises ValueError."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = port_number(port)
    if not host or number is None:
        raise ValueError(f"ads={text}: expected HOST:PORT")
    return host, number


@dataclass(slots=True)
class Gathered:
    """What a file is made of."""

    places: list[tuple[Vip, str]] = field(default_factory=list)
    """ClusterIPs, and what is spoken there."""
    dubbo: dict[str, Mapping[str, Sequence[Route]]] = field(default_factory=dict)
    """By what a wire name is looked up by."""
    bolt: dict[str, Sequence[Route]] = field(default_factory=dict)
    clusters: dict[str, Cluster] = field(default_factory=dict)


def gather(zone: Zone, routing: Routing, namespaces: frozenset[str], found: Gathered) -> Iterator[None]:
    """Look at all routes, or those of Services of some namespaces, with pauses wherever it yields."""
    table = routing.tables[zone.settings.name]
    for at in sorted(table.vips):
        vip = table.vips.get(at)  # it may be gone by now
        if vip is not None and (not namespaces or vip.service.namespace in namespaces):
            found.places.append((vip, spoken(zone, table, vip.service, vip.port)))
            yield
    seen: set[str] = set()
    keys: dict[str, list[str]] = {}
    for wire in sorted(table.wires.of):
        interfaces = table.wires.variants(wire)
        for key in mosn.host_keys(wire, (interface.name for interface in interfaces)):
            keys.setdefault(key, []).append(wire)
        homes = {ref.namespace for i in interfaces if (ref := table.home_of(i)) is not None}
        if namespaces and namespaces.isdisjoint(homes):
            continue
        seen.add(wire)
        if routes := table.anywhere.routes(wire, BOLT):
            found.bolt[wire] = routes
        yield
    for key, wires in sorted(keys.items()):
        if routed := {w: r for w, r in table.anywhere.routes_by(key, wires, DUBBO).items() if w in seen}:
            found.dubbo[key] = routed
        yield
    found.clusters = dict(routing.clusters[zone.settings.name].clusters)


def file(node: mosnfile.Node, found: Gathered) -> mosn.Data:
    """The file; of clusters it has those that it leads to."""
    shared = [mosn.shared_dubbo(found.dubbo), mosn.shared_bolt(found.bolt)]
    routers = [mosn.router(vip, word) for vip, word in found.places]
    names = {r.cluster for each in (*shared, *routers) for host in each.hosts for r in host.rules} - {
        mosn.REFUSED
    }
    clusters = [found.clusters.get(name) or Cluster(name, ()) for name in sorted(names)]
    return mosnfile.document(node, found.places, shared, clusters)
