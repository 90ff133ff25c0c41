"""Routes in the dialect of MOSN: what a request is compared with there, as its file and as its xDS have it. Pure.

MOSN compares headers, which each of its codecs makes of what the wire says. Of bolt these are ``service`` (SOFARPC's
``interface:version[:uniqueId]``) and, the same once more, ``sofa_head_target_service``; of Dubbo ``service`` (the
path), ``version`` and, at a listener that is called ``egress_dubbo`` alone, the attachments, ``group`` among them. What
is peculiar to it, and stands behind every function here (MOSN 1.2.0, ``pkg/router``):

- a rule with a prefix is one of HTTP and never matches bolt; one without compares headers alone;
- a regular expression that Go's RE2 refuses is dropped, and its rule matches everything; one is not anchored;
- a lone header ``service`` is compared literally, regular expression or not;
- virtual hosts are found by a host, which only the filter ``dubbo_stream`` sets, to the path of a Dubbo call, in lower
  case: two that differ in case alone, or a second ``*``, make the whole configuration void, without a word;
- nothing tells "none" from "any": what has no group is told by a rule for all that have one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from soadns.routemodel import ANY, Route, Target, Vip
from soadns.sidecar.clusters import PROVIDERS, Cluster, cluster_name
from soadns.sidecar.wirenames import tellable

Data = dict[str, Any]
REFUSED = "soadns-refused"
"""A cluster without hosts: who is sent there is told so at once, and never reaches a wrong implementation."""
SHARED_DUBBO = "egress_dubbo"
"""The listener whose calls MOSN decodes whole, and its router: for ClusterIPs that have no listener of their own."""
SHARED_BOLT = "egress_bolt"
"""The router of ClusterIPs that speak bolt and have no listener of their own."""
BOLT, DUBBO, SHARED, TCP = "bolt", "dubbo", "shared", "tcp"
"""Shapes of a listener. ``shared``: none of its own, so that groups are seen; ``tcp``: connections as they are."""
CONNECT_TIMEOUT = "1s"
MOST_WEIGHT = 128
"""Larger ones are this one to MOSN (``MaxHostWeight``)."""


class Header(NamedTuple):
    """One header of a request and its value, or a regular expression for it."""

    name: str
    value: str
    regex: bool = False


class Rule(NamedTuple):
    """A request with all of these headers goes to a cluster."""

    headers: tuple[Header, ...]
    cluster: str


class Host(NamedTuple):
    """A virtual host: the first rule that matches counts, and a request that none matches is refused."""

    name: str
    domains: tuple[str, ...]
    rules: tuple[Rule, ...]
    prefix: str = ""
    """``/`` where the host was found by name."""


class Router(NamedTuple):
    """What a listener's ``router_config_name`` names."""

    name: str
    hosts: tuple[Host, ...]


# --------------------------------------------------------------------------- one ClusterIP and port


def shape(vip: Vip, spoken: str) -> str:
    """The shape of a ClusterIP's listener; ``spoken`` is a word of ``soadns.speech``."""
    if spoken == BOLT:
        return BOLT
    if spoken != DUBBO:
        return TCP
    return SHARED if any(route.group is not None for route in vip.routes) else DUBBO


def router_name(address: str, port: int) -> str:
    """What the router, and the listener, of a ClusterIP and port are called."""
    return f"{address}_{port}"


def router(vip: Vip, spoken: str) -> Router:
    """The router of a ClusterIP and port; of one that is not decoded it is never asked."""
    rules: Iterable[Rule] = (Rule((), _goes(vip.routes[-1].target)),)
    if spoken == BOLT:
        rules = [rule for route in vip.routes for rule in bolt_rules(route)]
    elif spoken == DUBBO:
        rules = _dubbo_rules(vip.routes)
    return one_host(router_name(*vip.place), rules)


def empty_router(address: str, port: int) -> Router:
    """The router of a ClusterIP that is no Service's any more: MOSN forgets none, so it has to refuse."""
    return one_host(router_name(address, port), ())


def one_host(name: str, rules: Iterable[Rule]) -> Router:
    """A router whose rules hold whatever the host is."""
    return Router(name, (Host(name, ("*",), tuple(rules)),))


def bolt_rules(route: Route) -> list[Rule]:
    """One route as rules for bolt: the usual version of SOFARPC first, which is quick, and then any."""
    cluster = _goes(route.target)
    if route.interface == ANY:
        return [Rule((), cluster)]
    usual = f"{route.interface}:{route.version or '1.0'}" + (f":{route.group}" if route.group else "")
    version = literally(route.version) if route.version else "[^:]*"
    unique = "(:.*)?" if route.group is None else f":{literally(route.group)}" if route.group else ""
    any_version = f"^{literally(route.interface)}:{version}{unique}$"
    return [
        Rule((Header("service", usual),), cluster),
        Rule((Header("sofa_head_target_service", any_version, regex=True),), cluster),
    ]


def _dubbo_rules(routes: Sequence[Route]) -> list[Rule]:
    """The routes of one place as rules for Dubbo, where no group is seen: what depends on one is refused."""
    blind = {route.interface for route in routes if route.group is not None}
    found: dict[Rule, None] = {}
    for route in routes:
        service = () if route.interface == ANY else (Header("service", route.interface),)
        if route.interface in blind:
            found[Rule(service, REFUSED)] = None
            continue
        for version in _versions(route.version):
            found[Rule((*service, *version), _goes(route.target))] = None
    return list(found)


def _versions(version: str | None) -> list[tuple[Header, ...]]:
    """A version as the wire may have it: none is ``0.0.0``, or nothing."""
    if version is None:
        return [()]
    return [(Header("version", text),) for text in ((version,) if version else ("0.0.0", ""))]


def _goes(target: Target | None) -> str:
    return cluster_name(target) if target is not None else REFUSED


def literally(text: str) -> str:
    """A regular expression that matches a text and nothing else; RE2 takes any sign of ASCII behind a backslash."""
    return "".join(c if c.isalnum() or c == "_" or not c.isascii() else f"\\{c}" for c in text)


# --------------------------------------------------------------------------- what all of them share


def host_keys(wire: str, interfaces: Iterable[str]) -> set[str]:
    """By which keys a wire name is looked up among the hosts of ``egress_dubbo``.

    Where attachments are seen, ``service`` is the interface that is said there, and not the path that was called.
    """
    return {key.lower() for key in (wire, *interfaces) if tellable(key)}


def shared_host(key: str, wires: Mapping[str, Sequence[Route]]) -> Host:
    """The virtual host of a key; ``wires`` are the wire names that are looked up by it, with their routes.

    That is one, mostly. Those that differ in case alone are told apart by the header; of several paths of one
    interface the first counts, unless the interface is called by its own name as well.
    """
    named = {wire: routes for wire, routes in wires.items() if wire.lower() == key}
    if not named:
        return _host_of(key, [((), wires[min(wires)])])
    own = {wire: (Header("service", wire),) if len(named) > 1 else () for wire in sorted(named)}
    return _host_of(key, [(header, named[wire]) for wire, header in own.items()])


def _host_of(key: str, wires: Sequence[tuple[tuple[Header, ...], Sequence[Route]]]) -> Host:
    """Groups are seen there. A request without one must not be taken for one with any other.

    So before the first rule for those stands one for all groups that have no rule, which leads where the last one does.
    """
    rules: list[Rule] = []
    for own, routes in wires:
        rest, fenced = routes[-1], False
        for each in routes:
            group: tuple[Header, ...] = ()
            if each.group:
                group = (Header("group", each.group),)
            elif each.group == "" and not fenced:
                fenced = True
                others = REFUSED if rest.group is not None else _goes(rest.target)
                rules.append(Rule((*own, Header("group", ".+", regex=True)), others))
            rules += [
                Rule((*own, *group, *version), _goes(each.target)) for version in _versions(each.version)
            ]
    return Host(key, (key,), tuple(rules), prefix="/")


def shared_dubbo(wires: Mapping[str, Mapping[str, Sequence[Route]]]) -> Router:
    """``egress_dubbo``: by each key the wire names that are looked up by it, with their routes.

    One domain that is a pattern would make all of the router void, or take what it has no host for.
    """
    hosts = (shared_host(key, wires[key]) for key in sorted(wires) if tellable(key))
    return Router(SHARED_DUBBO, (NO_HOST, *gathered(hosts)))


def gathered(hosts: Iterable[Host]) -> list[Host]:
    """Hosts that have the same rules as one host with all of their domains, in the order in which they come.

    A host costs MOSN some kilobytes with each push, a further domain of one hardly anything; and the interfaces of a
    Service have the same rules until one of them moves.
    """
    alike: dict[tuple[tuple[Rule, ...], str], Host] = {}
    domains: dict[tuple[tuple[Rule, ...], str], list[str]] = {}
    for host in hosts:
        rules = (host.rules, host.prefix)
        alike.setdefault(rules, host)
        domains.setdefault(rules, []).extend(host.domains)
    return [host._replace(domains=tuple(domains[rules])) for rules, host in alike.items()]


def shared_bolt(wires: Mapping[str, Sequence[Route]]) -> Router:
    """``egress_bolt``: wire names with their routes."""
    told = [wire for wire in sorted(wires) if tellable(wire)]
    return one_host(SHARED_BOLT, [r for wire in told for each in wires[wire] for r in bolt_rules(each)])


NO_HOST = Host("unknown", ("*",), (), prefix="/")
"""What no Service has: it is refused."""

# --------------------------------------------------------------------------- xDS


def route_configuration(router: Router) -> Data:
    """envoy.config.route.v3.RouteConfiguration."""
    return {"name": router.name, "virtual_hosts": [virtual_host(host) for host in router.hosts]}


def virtual_host(host: Host) -> Data:
    """envoy.config.route.v3.VirtualHost."""
    routes = [route(rule, host.prefix) for rule in host.rules]
    return {"name": host.name, "domains": list(host.domains), "routes": routes}


def route(rule: Rule, prefix: str) -> Data:
    """envoy.config.route.v3.Route. Of the matchers of a header MOSN knows these two, which are deprecated."""
    headers = [
        {"name": h.name, "safe_regex_match": {"regex": h.value}}
        if h.regex
        else {"name": h.name, "exact_match": h.value}
        for h in rule.headers
    ]
    match: Data = {"prefix": prefix, "headers": headers} if headers else {"prefix": prefix}
    return {"match": match, "route": {"cluster": rule.cluster}}


def weighs(name: str) -> bool:
    """Whether hosts of a cluster may have weights: those that the registry's providers are."""
    return name.startswith(PROVIDERS)


def weights_of(found: Cluster) -> tuple[int, ...]:
    """The weights of a cluster's hosts, as far as MOSN tells them apart; () where all are alike."""
    most = max(found.weights, default=0)
    scale = min(1.0, MOST_WEIGHT / most) if most else 1.0
    return tuple(max(1, round(weight * scale)) for weight in found.weights)


def cluster(name: str) -> Data:
    """envoy.config.cluster.v3.Cluster: sent once; the hosts that it has stay its own.

    Of the policies that xDS has, MOSN obeys weights with this one alone, divided by the requests that are under way.
    """
    eds = {"eds_config": {"ads": {}, "resource_api_version": "V3"}}
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": eds,
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST" if weighs(name) else "ROUND_ROBIN",
    }


def load_assignment(found: Cluster) -> Data:
    """envoy.config.endpoint.v3.ClusterLoadAssignment, of one locality: of several MOSN takes the last."""
    hosts: list[Data] = [
        {"endpoint": {"address": {"socket_address": {"address": _host(address), "port_value": port}}}}
        for address, port in found.endpoints
    ]
    for host, weight in zip(hosts, weights_of(found), strict=False):
        host["load_balancing_weight"] = weight
    return {"cluster_name": found.name, "endpoints": [{"lb_endpoints": hosts}] if hosts else []}


def _host(address: str) -> str:
    """MOSN puts ``:port`` behind it as it stands."""
    return f"[{address}]" if ":" in address else address
