"""What people and programs see of Envoy filters: how far each Service's callers are told of routes, and why. Pure.

The shapes are documented in ``docs/http.md`` and stable: keys are added, never renamed.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from soadns.binding.zone import Zone
from soadns.knownclusters import KnownClusters
from soadns.meshed import subject
from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Place
from soadns.sidecar import filterchecks, places, tiers
from soadns.sidecar.destinations import NOT_READ, Destinations
from soadns.sidecar.envoyfilters import REFUSED_SINCE, SERVICE, Rendered, render
from soadns.sidecar.places import Claims, Places
from soadns.sidecar.routes import RouteTable
from soadns.sidecar.tiers import Applied, PortTier, Wishes

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Meshing:
    """What filters stand on besides routes: the configuration, Istio's own objects, and what is in force."""

    wishes: Wishes
    destinations: Destinations = NOT_READ
    applied: Mapping[str, Applied] = field(default_factory=dict)
    """By UID of the Service."""
    places: Places | None = None
    """Which ports have filters and files, or may; None: nobody has looked at all Services yet."""
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Namespace of callers → names of files for which its ConfigMaps have no room, so that no filter names them."""

    def placed(self, zone: str, ports: int) -> bool:
        """Whether it is known which of so many ports of a zone may have filters and files, or there is room for all."""
        return self._known(zone) or not (self.wishes.namespaces or self._crowded(ports))

    def places_of(self, zone: str, uid: str) -> Mapping[str, frozenset[int]] | None:
        """Namespace of callers → ports of one Service that may have files there (filters: ``tiers.ALL``); None: all."""
        return self.places.of.get(uid, {}) if self.places is not None and self._known(zone) else None

    def _known(self, zone: str) -> bool:
        return self.places is not None and self.places.zone == zone

    def _crowded(self, ports: int) -> bool:
        """Whether there may be more filters than there is room for."""
        room = self.wishes.most_filters - self.wishes.most_filters // places.KEPT_SHARE
        return ports + sum(len(each.ports) for each in self.applied.values()) > room


def rendered(zone: Zone, table: RouteTable, ref: ObjectRef, meshing: Meshing) -> Rendered | None:
    """What is to be written for one Service; None where nothing can be said of it.

    Where ``meshing`` does not say who may have filters and files, all Services are looked at for that.
    """
    found = subject(zone, table, ref)
    if found is None:
        return None
    name, uid = zone.settings.name, found.service.uid
    if not meshing.placed(name, len(table.vips)):
        claims = no_claims(zone, meshing)
        for each in {vip.service for vip in table.vips.values()}:
            claim(claims, zone, table, each, meshing)
        meshing = replace(meshing, places=claims.shared_out())
    applied = meshing.applied.get(uid, tiers.NOTHING)
    return render(found, meshing.wishes, meshing.destinations, applied, meshing.places_of(name, uid))


def no_claims(zone: Zone, meshing: Meshing) -> Claims:
    """Places for filters and files of rules that nobody claims yet; what is in force has its own."""
    claims = Claims(zone.settings.name, meshing.wishes)
    for uid, applied in meshing.applied.items():
        claims.hold(uid, applied)
    return claims


def claim(claims: Claims, zone: Zone, table: RouteTable, ref: ObjectRef, meshing: Meshing) -> None:
    """Note what the ports of one Service claim."""
    found = subject(zone, table, ref)
    if found is None:
        claims.forget(ref)
        return
    applied = meshing.applied.get(found.service.uid, tiers.NOTHING)
    ports = [
        tiers.decide(found, facts, meshing.wishes, meshing.destinations, applied) for facts in found.ports
    ]
    claims.put(ref, found.service.uid, ports)


def services(table: RouteTable, *, of: ObjectRef | None, after: str, limit: int) -> list[ObjectRef]:
    """The next Services that have routes (``of``: that one alone), in order of ``cluster/namespace/name``."""
    every = {of} if of is not None else {vip.service for vip in table.vips.values()}
    return heapq.nsmallest(limit, (ref for ref in every if str(ref) > after), key=str)


def head(zone: str, meshing: Meshing) -> Data:
    """What is said beside the Services of a page."""
    return {
        "zone": zone,
        "istioRead": meshing.destinations.read,
        "most": meshing.wishes.most_filters,
        "files": {
            "namespaces": list(meshing.wishes.namespaces),
            "shards": meshing.wishes.shards,
            "most": meshing.wishes.most,
        },
    }


def known_clusters(zone: Zone, meshing: Meshing) -> KnownClusters:
    """The clusters of Istio's to which rules may lead."""
    return KnownClusters(zone, meshing.destinations, meshing.wishes.whole)


def item(each: Rendered, clusters: Container[str], meshing: Meshing) -> Data:
    """One Service. ``problems`` is why its objects must not be written: Istio's own objects say what can not be."""
    problems = [
        text
        for one in each.filters
        for text in filterchecks.problems(one, listeners=each.listeners, clusters=clusters)
    ]
    for file in each.files:
        problems += filterchecks.file_problems(file.key, file.text, clusters=clusters)
    return {
        "service": str(each.service),
        "uid": each.uid,
        **ports_data(each, meshing),
        "filters": list(each.filters),
        "files": [{"name": file.key, "text": file.text} for file in each.files],
        "problems": problems,
    }


def standing(documents: list[Data] | None, of: ObjectRef | None) -> list[Data] | None:
    """EnvoyFilters of ours as they stand in the cluster (of one Service alone), without what the API server adds."""
    if documents is None:
        return None
    name = f"{of.namespace}/{of.name}" if of is not None else ""
    found = map(as_written, documents)
    return [each for each in found if not name or each["metadata"]["annotations"].get(SERVICE) == name]


def as_written(document: Data) -> Data:
    """An EnvoyFilter of ours without what the API server adds, or is noted beside it."""
    metadata = {key: dict(document["metadata"].get(key) or {}) for key in ("labels", "annotations")}
    metadata["annotations"].pop(REFUSED_SINCE, None)
    where = {key: document["metadata"].get(key) for key in ("name", "namespace")}
    head = {key: document.get(key) for key in ("apiVersion", "kind")}
    return {**head, "metadata": {**where, **metadata}, "spec": document.get("spec")}


def ports_data(each: Rendered, meshing: Meshing) -> Data:
    """``ports`` of one Service, and the highest ``tier`` of them. Where a file finds no room, nobody is at tier 3."""
    ports = [_port_data(port, each, meshing) for port in each.ports]
    return {"tier": max((3 if port["files"] else port["tier"] for port in ports), default=0), "ports": ports}


def _port_data(port: PortTier, each: Rendered, meshing: Meshing) -> Data:
    file = f"{each.service.namespace}.{each.service.name}.{port.port}."
    lacking = [ns for ns in port.files if any(key.startswith(file) for key in meshing.left_out.get(ns, ()))]
    if lacking:
        said = f"there is no room in the ConfigMaps of {', '.join(lacking)} for its file: raise "
        full = [port.full, f"{said}sidecar.istio.files.shards, the mounts first"]
        files = tuple(ns for ns in port.files if ns not in lacking)
        port = replace(port, files=files, full="; ".join(filter(None, full)))
    return {
        "port": port.port,
        "tier": port.tier,
        "why": port.why,
        "files": list(port.files),
        "untold": list(port.untold),
        "lost": list(port.lost),
        "harm": port.harm or None,
        "full": port.full or None,
        "crowded": port.crowded or None,
    }


def of_place(zone: Zone, table: RouteTable, at: Place, meshing: Meshing) -> Data | None:
    """What ``resolve`` says of tiers: that of the port at which the call is; None where there is none."""
    ref = table.services.holder(at[0])
    found = rendered(zone, table, ref, meshing) if ref is not None else None
    told = ports_data(found, meshing)["ports"] if found is not None else []
    ports = [port for port in told if port["port"] == at[1]]
    return ports[0] if ports else None


def of_interface(zone: Zone, table: RouteTable, interface: InterfaceId, meshing: Meshing) -> list[Data]:
    """What ``explain`` says of tiers: those of the ports at which the interface is called, or has rules."""
    places = {vip.place: vip.service for vip, _ in table.ruled_at(interface)}
    ref = table.service_of(interface)
    if ref is not None:
        places |= dict.fromkeys(table.places_of(ref), ref)
    found = {ref: rendered(zone, table, ref, meshing) for ref in sorted(set(places.values()))}
    return [
        {"service": str(ref), **port}
        for ref, each in found.items()
        for port in (ports_data(each, meshing)["ports"] if each is not None else ())
    ]
