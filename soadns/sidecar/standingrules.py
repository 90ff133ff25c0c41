"""What the rules of a Service's filters say of what has moved: for whoever lost every other trace of that. Pure.

An interface is remembered with each Service that it left, by all replicas and by what they share. Where all of that is
lost the rules still stand in the cluster, and callers still need them. Each rule is for a *wire name* that lives
elsewhere; whether it left this Service, or is but another group or version of an interface that lives here, is told by
what else is said of the name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from soadns.numerals import port_number
from soadns.routemodel import ANY
from soadns.sidecar.dubboproxy import NO_VERSION
from soadns.sidecar.envoyfilters import REFUSED


class Left(NamedTuple):
    """One wire name that is called at a port of a Service and lives elsewhere."""

    port: int
    wire: str
    variants: frozenset[tuple[str, str]]
    """Groups and versions (``''``: none) that the rules tell apart; empty where they tell none."""


def what_left(document: Mapping[str, Any], files: Mapping[str, str], host: str) -> Iterator[Left]:
    """What has left, by an EnvoyFilter of ours.

    :param files: those of rules that stand in its namespace, by their names.
    :param host: the Service's own.
    """
    for patch in _list(_path(document, "spec", "configPatches")):
        listener = _path(patch, "match", "listener", "name")
        _, _, port = listener.rpartition("_") if isinstance(listener, str) else ("", "", "")
        settings = _path(patch, "patch", "value", "typed_config")
        rules = _path(settings, "multiple_route_config", "route_config")
        file = _path(settings, "drds", "config_source", "path_config_source", "path")
        if isinstance(file, str):
            rules = _in_file(files.get(file.rpartition("/")[2], ""))
        if (number := port_number(port)) is not None:
            yield from _left(_list(rules), number, host)


def _in_file(text: str) -> object:
    try:
        resources = _list(_path(json.loads(text), "resources"))
    except ValueError:
        return None
    return _path(resources[0], "route_config") if resources else None


def _left(rules: Iterable[object], port: int, host: str) -> Iterator[Left]:
    """What has left a port of a Service, by the rules as Envoy reads them."""
    by_wire: dict[str, list[Mapping[str, Any]]] = {}
    for rule in rules:
        if isinstance(rule, Mapping) and isinstance(wire := rule.get("interface"), str) and wire != ANY:
            by_wire.setdefault(wire, []).append(rule)
    for wire, each in by_wire.items():
        leading = [rule for rule in each if {*_clusters(rule)} != {REFUSED}]
        told_apart = [rule for rule in leading if _compares(rule)]
        # Of one variant that lives here the others may never have. A rule for all of a name that leads here is for
        # what Istio has no cluster for: it is elsewhere, and can not be told.
        if leading and not any(_leads_to(rule, host) for rule in told_apart):
            yield Left(port, wire, frozenset(map(_variant, told_apart)))


def _compares(rule: Mapping[str, Any]) -> bool:
    """Whether it is for some groups or versions alone."""
    headers = any(_path(route, "match", "headers") for route in _list(rule.get("routes")))
    return "group" in rule or "version" in rule or headers


def _variant(rule: Mapping[str, Any]) -> tuple[str, str]:
    group, version = str(rule.get("group") or ""), str(rule.get("version") or "")
    return group, "" if version == NO_VERSION else version


def _leads_to(rule: Mapping[str, Any], host: str) -> bool:
    return any(cluster.rpartition("|")[2] == host for cluster in _clusters(rule))


def _clusters(rule: Mapping[str, Any]) -> Iterator[str]:
    for route in _list(rule.get("routes")):
        action = _path(route, "route")
        if isinstance(one := _path(action, "cluster"), str):
            yield one
        for share in _list(_path(action, "weighted_clusters", "clusters")):
            if isinstance(name := _path(share, "name"), str):
                yield name


def _path(found: object, *keys: str) -> object:
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _list(found: object) -> list[Any]:
    return found if isinstance(found, list) else []
