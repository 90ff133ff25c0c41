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
    """``missing``, ``other routes``, ``other hosts``, ``other protocol``, ``other cluster`` or ``left over``."""
    cure: str


PUSH = "it is sent over ADS: does this MOSN have a stream (soadns mesh nodes)?"
PASSES_ON = "tcp_proxy"
"""The filter of a listener that does not look into what it is sent."""
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
    return found + _listeners({listener["name"]: listener for listener in server["listeners"]}, listeners)


def _listeners(told: Mapping[str, Data], has: Mapping[str, Any]) -> list[Difference]:
    """Those that are not as the file would have them now: a MOSN has the listeners of the file that it began with.

    One that looks into calls asks its router, which is pushed, so that one too many does no harm. One that passes
    connections on does so to the cluster that its file says, whosever the ClusterIP is by now.
    """
    found = []
    for name in sorted(told.keys() | has.keys()):
        if name not in has:
            found.append(Difference("listener", name, "missing", FILE))
            continue
        filters, wanted = _filters(has[name]), _filters(told[name]) if name in told else None
        if filters == wanted:
            continue
        clusters = [to for kind, to in filters if kind == PASSES_ON]
        cure = f"{FILE}; until then it passes connections on to {', '.join(clusters)}" if clusters else FILE
        if wanted is None:
            what = "left over" if clusters else ""
        else:
            what = "other protocol" if [k for k, _ in filters] != [k for k, _ in wanted] else "other cluster"
        if what:
            found.append(Difference("listener", name, what, cure))
    return found


def _filters(listener: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a listener does with a connection: the protocol that it looks into, or that it passes it on and where to."""
    filters = [each for chain in listener.get("filter_chains") or () for each in chain.get("filters") or ()]
    configs = [(each.get("type", ""), each.get("config") or {}) for each in filters]
    return [
        (kind, config.get("cluster", ""))
        if kind == PASSES_ON
        else (config.get("downstream_protocol", ""), "")
        for kind, config in configs
    ]


def _router(router: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Rules by domain, whichever share a host: keys that MOSN adds, and what is empty, do not count."""
    hosts = router.get("virtual_hosts") or ()
    rules = [[_rule(each) for each in host.get("routers") or ()] for host in hosts]
    domains = [host.get("domains") or () for host in hosts]
    return {domain: each for some, each in zip(domains, rules, strict=True) for domain in some}


def _rule(router: Mapping[str, Any]) -> tuple[str, frozenset[tuple[str, str, bool]], str]:
    match = router.get("match") or {}
    headers = frozenset(
        (each.get("name", ""), each.get("value", ""), bool(each.get("regex")))
        for each in match.get("headers") or ()
    )
    return match.get("prefix", ""), headers, (router.get("route") or {}).get("cluster_name", "")


def _hosts(cluster: Mapping[str, Any]) -> set[tuple[str, int]]:
    """Addresses and weights; none is 1 to MOSN."""
    return {(host["address"], host.get("weight") or 1) for host in cluster.get("hosts") or ()}
