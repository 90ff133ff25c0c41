"""What people and programs see of Envoy filters: how far each Service's callers are told of routes, and why. Pure.

The shapes are documented in ``docs/http.md`` and stable: keys are added, never renamed.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soadns.binding.zone import Zone
from soadns.meshed import subject
from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Place
from soadns.sidecar import filterchecks, tiers
from soadns.sidecar.destinations import NOT_READ, Destinations
from soadns.sidecar.envoyfilters import SERVICE, Rendered, render
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


def rendered(zone: Zone, table: RouteTable, ref: ObjectRef, meshing: Meshing) -> Rendered | None:
    """What is to be written for one Service; None where nothing can be said of it."""
    found = subject(zone, table, ref)
    if found is None:
        return None
    applied = meshing.applied.get(found.service.uid, tiers.NOTHING)
    return render(found, meshing.wishes, meshing.destinations, applied)


def services(table: RouteTable, *, of: ObjectRef | None, after: str, limit: int) -> list[ObjectRef]:
    """The next Services that have routes (``of``: that one alone), in order of ``cluster/namespace/name``."""
    every = {of} if of is not None else {vip.service for vip in table.vips.values()}
    return heapq.nsmallest(limit, (ref for ref in every if str(ref) > after), key=str)


def head(zone: str, meshing: Meshing) -> Data:
    """What is said beside the Services of a page."""
    return {
        "zone": zone,
        "istioRead": meshing.destinations.read,
        "files": {"namespaces": list(meshing.wishes.namespaces), "shards": meshing.wishes.shards},
    }


def item(each: Rendered) -> Data:
    """One Service. ``problems`` is why its objects must not be written; nothing of the kind is known to come up."""
    problems = [text for one in each.filters for text in filterchecks.problems(one, listeners=each.listeners)]
    return {
        "service": str(each.service),
        "uid": each.uid,
        "tier": each.tier,
        "ports": [port_data(port) for port in each.ports],
        "filters": list(each.filters),
        "files": [{"name": file.key, "text": file.text} for file in each.files],
        "problems": problems,
    }


def standing(documents: list[Data] | None, of: ObjectRef | None) -> list[Data] | None:
    """EnvoyFilters of ours as they stand in the cluster (of one Service alone), without what the API server adds."""
    if documents is None:
        return None
    name = f"{of.namespace}/{of.name}" if of is not None else ""
    found = []
    for each in documents:
        metadata = {key: each["metadata"].get(key) or {} for key in ("labels", "annotations")}
        if not name or metadata["annotations"].get(SERVICE) == name:
            where = {key: each["metadata"].get(key) for key in ("name", "namespace")}
            head = {key: each.get(key) for key in ("apiVersion", "kind")}
            found.append({**head, "metadata": {**where, **metadata}, "spec": each.get("spec")})
    return found


def port_data(port: PortTier) -> Data:
    """One port."""
    return {
        "port": port.port,
        "tier": port.tier,
        "why": port.why,
        "files": list(port.files),
        "untold": list(port.untold),
        "lost": list(port.lost),
        "harm": port.harm or None,
    }


def of_place(zone: Zone, table: RouteTable, at: Place, meshing: Meshing) -> Data | None:
    """What ``resolve`` says of tiers: that of the port at which the call is; None where there is none."""
    ref = table.services.holder(at[0])
    found = rendered(zone, table, ref, meshing) if ref is not None else None
    ports = [port_data(port) for port in found.ports if port.port == at[1]] if found is not None else []
    return ports[0] if ports else None


def of_interface(zone: Zone, table: RouteTable, interface: InterfaceId, meshing: Meshing) -> list[Data]:
    """What ``explain`` says of tiers: those of the ports at which the interface is called, or has rules."""
    places = {vip.place: vip.service for vip, _ in table.ruled_at(interface)}
    ref = table.service_of(interface)
    if ref is not None:
        places |= dict.fromkeys(table.places_of(ref), ref)
    found = {ref: rendered(zone, table, ref, meshing) for ref in sorted(set(places.values()))}
    return [
        {"service": str(ref), **port_data(port)}
        for ref, each in found.items()
        for port in (each.ports if each is not None else ())
    ]
