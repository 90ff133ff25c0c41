"""What would make Envoy refuse a listener, or lead its requests to nowhere: looked for before anything is told. Pure.

Envoy takes a list of listeners without those that it refuses, and these may be the ones that are in force; and it does
not look whether a cluster exists that a rule leads to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from soadns.sidecar import dubboproxy
from soadns.sidecar.envoy import CLUSTERS, ENDPOINTS, LISTENERS, PASSED_ON, REFUSED, ROUTES, Data

Resources = Mapping[str, Mapping[str, Data]]


def problems(told: Resources, right: Resources | None = None) -> list[str]:
    """What is wrong, one sentence each; nothing where all can be told.

    Where nothing was wrong with ``right``, what is the very same object there is not looked at again.
    """
    fresh = told if right is None else _fresh(told, right)
    clusters = {*told[CLUSTERS], REFUSED, PASSED_ON}
    found = list(_addresses(told)) if fresh[LISTENERS] else []
    for name, listener in fresh[LISTENERS].items():
        found += [f"listener {name} {text}" for text in _chains(listener, told, clusters)]
    for name, rules in fresh[ROUTES].items():
        found += [f"rules {name} {text}" for text in _rules(name, rules, clusters)]
    for name, cluster in fresh[CLUSTERS].items():
        if cluster["name"] != name or name not in told[ENDPOINTS]:
            found.append(f"cluster {name} has no endpoints of its own name")
    for name, ends in fresh[ENDPOINTS].items():
        for end in _found(ends, "socket_address"):
            if text := _address(end):
                found.append(f"an endpoint of {name} {text}")
    return found


def _fresh(told: Resources, right: Resources) -> Resources:
    """What has to be looked at: all of it when something is gone that may still be named."""
    if any(right[kind].keys() - told[kind].keys() for kind in (CLUSTERS, ENDPOINTS, ROUTES)):
        return told
    return {
        kind: {name: each for name, each in held.items() if right[kind].get(name) is not each}
        for kind, held in told.items()
    }


def _addresses(told: Resources) -> Iterator[str]:
    seen: dict[tuple[str, int], str] = {}
    for name, listener in told[LISTENERS].items():
        at = listener["address"]["socket_address"]
        if text := _address(at):
            yield f"listener {name} {text}"
        other = seen.setdefault((at["address"], at["port_value"]), name)
        if other != name or listener["name"] != name:
            yield f"listener {name} has the address or name of {other}"


def _address(at: Data) -> str:
    try:
        right = str(ip_address(at["address"])) == at["address"] and 0 < at["port_value"] < 65_536
    except (ValueError, TypeError):
        right = False
    return "" if right else f"has the address {at['address']}:{at['port_value']}, which is none"


def _chains(listener: Data, told: Resources, clusters: set[str]) -> Iterator[str]:
    filters = [each for chain in listener["filter_chains"] for each in chain["filters"]]
    if len(filters) != 1:
        yield "has not one filter"
    for each in filters:
        settings = each["typed_config"]
        if not settings["stat_prefix"]:
            yield "has no stat_prefix"
        if each["name"] != dubboproxy.NAME:
            if settings["cluster"] not in clusters:
                yield f"leads to {settings['cluster']}, which is no cluster"
        elif settings["drds"]["route_config_name"] not in told[ROUTES]:
            yield "has no rules"


def _rules(name: str, rules: Data, clusters: set[str]) -> Iterator[str]:
    if rules["name"] != name:
        yield f"are called {rules['name']}"
    rows = rules["route_config"]
    if not rows or rows[-1]["interface"] != "*":
        yield "do not end with the one for everything else"
    if any("*" in (row["interface"][:1], row["interface"][-1:]) for row in rows[:-1]):
        yield "have one for everything else before others"
    for row in rows:
        for route in row["routes"]:
            if not route["match"].get("method"):
                yield f"compare no method for {row['name']}, which Envoy refuses"
            if (to := route["route"].get("cluster")) not in clusters:
                yield f"lead to {to}, which is no cluster"


def _found(data: Any, key: str) -> Iterator[Any]:
    """All values of a key, however deep."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key:
                yield value
            else:
                yield from _found(value, key)
    elif isinstance(data, list):
        for each in data:
            yield from _found(each, key)
