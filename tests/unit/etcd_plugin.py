"""What CoreDNS's plugin ``etcd`` answers by, in small: tests/scenarios/test_skydns.py holds the real one to it.

After coredns/coredns:plugin/etcd/etcd.go, plugin/etcd/msg/service.go and plugin/backend_lookup.go of 1.15.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

PREFIX = "/skydns"


class Plugin:
    """One that reads keys and values; names are without their final dot."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(sorted(keys.items()))

    def answer(self, name: str, kind: str) -> tuple[str, set[str]]:
        """Code and data of an answer to A, AAAA, SRV or TXT."""
        name = name.lower()
        path = "/".join([PREFIX, *reversed(name.split("."))])
        found = {key: value for key, value in self._keys.items() if key.startswith(f"{path}/")}
        found = found or {key: value for key, value in self._keys.items() if key == path}
        if not found:
            return "NXDOMAIN", set()
        services = [(key, json.loads(value)) for key, value in found.items()]
        included = [one for one in services if one[1].get("host") or (kind == "TXT" and one[1].get("text"))]
        return "NOERROR", {data for _, one in _group(included) for data in _data(name, kind, one)}


def _group(services: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    if not services:
        return []
    lengths = [0] * len(services)
    group, slashes = services[0][1].get("group", ""), services[0][0].count("/")
    for index, (key, one) in enumerate(services):
        lengths[index] = count = key.count("/")
        if count < slashes:
            if not one.get("group"):
                break
            slashes, group = count, one["group"]
    if not group:
        return services
    kept = []
    for index, (key, one) in enumerate(services):
        own = one.get("group", "")
        if own and lengths[index] == slashes and own != group:
            return services
        if not own or own == group:
            kept.append((key, one))
    return kept


def _data(name: str, kind: str, one: dict[str, Any]) -> set[str]:
    host = one.get("host", "")
    if kind == "SRV":
        if one.get("port") == -1:
            return set()
        assert "targetstrip" in one, "what is no loop would be chased"
        return {f"{one['port']} {'.'.join(host.lower().split('.')[one['targetstrip'] :])}"}
    try:
        address = ip_address(host)
    except ValueError:
        if one.get("text"):
            return {one["text"]} if kind == "TXT" else set()
        loop = host.lower() == name or host.lower().endswith(f".{name}")
        assert loop, f"{name} would be an alias of {host}"
        return set()
    return {host} if kind == ("A" if address.version == 4 else "AAAA") else set()
