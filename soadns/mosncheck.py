"""Whether a MOSN has what it was told: its ``config_dump`` beside the file that it would be given now. Pure.

MOSN acknowledges what it refuses, so its admin port is the only one who knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from soadns.sidecar.mosn import Data


class Difference(NamedTuple):
    """One thing that is not as it was told."""

    kind: str
    """``router``, ``cluster`` or ``listener``."""
    name: str
    what: str
    """``missing``, ``other routes`` or ``other hosts``."""
    cure: str


PUSH = "it is sent over ADS: does this MOSN have a stream (soadns mesh nodes)?"
FILE = "a new file and SIGHUP, or a restart"


def differences(told: Data, dump: Mapping[str, Any]) -> list[Difference]:
    """All of them. ``told`` is the file of ``/v1/mosn``, ``dump`` is MOSN's ``config_dump``.

    The whole one: asked for its clusters alone, a MOSN that a newer Go has built hangs up.
    """
    routers, clusters, listeners = (dump.get(key) or {} for key in ("routers", "cluster", "listener"))
    [server] = told["servers"]
    found = []
    for router in server["routers"]:
        name = router["router_config_name"]
        if name not in routers:
            found.append(Difference("router", name, "missing", PUSH))
        elif _router(router) != _router(routers[name]):
            found.append(Difference("router", name, "other routes", PUSH))
    for cluster in told["cluster_manager"]["clusters"]:
        name = cluster["name"]
        if name not in clusters:
            found.append(Difference("cluster", name, "missing", PUSH))
        elif _hosts(cluster) != _hosts(clusters[name]):
            found.append(Difference("cluster", name, "other hosts", PUSH))
    names = {listener["name"] for listener in server["listeners"]}
    return found + [
        Difference("listener", name, "missing", FILE) for name in sorted(names - listeners.keys())
    ]


def _router(router: Mapping[str, Any]) -> dict[tuple[str, ...], list[Any]]:
    """Rules by domains: keys that MOSN adds, and what is empty, do not count."""
    hosts = router.get("virtual_hosts") or ()
    return {
        tuple(host.get("domains") or ()): [_rule(each) for each in host.get("routers") or ()]
        for host in hosts
    }


def _rule(router: Mapping[str, Any]) -> tuple[str, frozenset[tuple[str, str, bool]], str]:
    match = router.get("match") or {}
    headers = frozenset(
        (each.get("name", ""), each.get("value", ""), bool(each.get("regex")))
        for each in match.get("headers") or ()
    )
    return match.get("prefix", ""), headers, (router.get("route") or {}).get("cluster_name", "")


def _hosts(cluster: Mapping[str, Any]) -> set[str]:
    return {host["address"] for host in cluster.get("hosts") or ()}
