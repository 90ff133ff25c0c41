"""What Envoy's ``dubbo_proxy`` is told: the rules of one ClusterIP and port as it reads them. Pure.

Source: ``envoy/extensions/filters/network/dubbo_proxy/v3`` (route.proto, dubbo_proxy.proto) and what Envoy 1.40 does:

- Rules are tried in order, the first that matches counts. An empty group or version in one is *any*, so that *none
  given* has to be spelled: a request without a version has Dubbo's ``0.0.0`` in it, and one without a group has no
  attachment ``group``, which is compared as a header.
- What it compares as the interface is the path of the request. ``prefix*`` and ``*suffix`` are wildcards: a name that
  begins or ends so can not be told.
- A rule without a matcher for methods is refused, and the whole listener with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from soadns.routemodel import Route, Target
from soadns.sidecar.wirenames import tellable

Data = dict[str, Any]
NAME = "envoy.filters.network.dubbo_proxy"
TYPE = "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy"
ROUTES_TYPE = "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration"
ANY_METHOD: Data = {"name": {"safe_regex": {"regex": ".+"}}}
NO_GROUP: Data = {"name": "group", "string_match": {"exact": ""}, "treat_missing_header_as_empty": True}
"""Where the attachment is missing, or empty."""
NO_VERSION = "0.0.0"
"""What Dubbo writes as the version of an interface that has none."""


class Weighted(NamedTuple):
    """A cluster and its share of the requests."""

    cluster: str
    weight: int


Clusters = str | tuple[Weighted, ...]
"""One cluster, or several with their shares."""


def route_configuration(
    routes: Sequence[Route], name: str, cluster: Callable[[Target], Clusters], refused: str
) -> Data:
    """A ``MultipleRouteConfiguration``: the rules of a place in their order, each once, the one for the rest last.

    ``routes`` are those of a ``Vip``. ``cluster`` says where a target's requests go; ``refused`` is a cluster without
    endpoints, so that whoever sends what is refused has an error, and never the wrong implementation.
    """
    led = [(route, cluster(route.target) if route.target is not None else refused) for route in told(routes)]
    return {"name": name, "route_config": [rule(route, clusters) for route, clusters in _needed(led)]}


def _needed(led: Sequence[tuple[Route, Clusters]]) -> list[tuple[Route, Clusters]]:
    """The rules but those for the registry's providers that change nothing.

    Who can not be told of providers has their requests go where all others do. Written, such a rule would change the
    filter alone, and cut connections, whenever somebody gives an interface back to the registry for a while. Where a
    later rule of the interface would have its requests it stands.
    """
    *before, (rest, home) = led
    found = [(rest, home)]
    ruled = set()
    for route, clusters in reversed(before):
        if route.why != "providers" or clusters != home or route.interface in ruled:
            ruled.add(route.interface)
            found.append((route, clusters))
    return found[::-1]


def told(routes: Sequence[Route]) -> list[Route]:
    """The routes that can be told, in order: each once, and none under a name that would be a wildcard.

    The last one is ``*``, and no other: what its callers would not mean by such a name is the Service's own.
    """
    found: dict[tuple[str, str | None, str | None], Route] = {}
    for route in routes[:-1]:
        if tellable(route.interface) and f"{route.group}{route.version}".isprintable():
            found.setdefault((route.interface, route.group, route.version), route)
    return [*found.values(), routes[-1]]


def rule(route: Route, clusters: Clusters) -> Data:
    """One ``RouteConfiguration``."""
    found: Data = {"name": spelled(route), "interface": route.interface}
    if route.group:
        found["group"] = route.group
    if route.version is not None:
        found["version"] = route.version or NO_VERSION
    match: Data = {"method": ANY_METHOD}
    if route.group == "":
        match["headers"] = [NO_GROUP]
    return {**found, "routes": [{"match": match, "route": action(clusters)}]}


def spelled(route: Route) -> str:
    """A rule's name, for whoever reads Envoy's configuration: ``[group/]interface[:version]``, ``-`` is none given."""
    group, version = ("-" if part == "" else part for part in (route.group, route.version))
    text = f"{group}/{route.interface}" if group is not None else route.interface
    return f"{text}:{version}" if version is not None else text


def action(clusters: Clusters) -> Data:
    """Where a rule leads, as a ``RouteAction``."""
    if isinstance(clusters, str):
        return {"cluster": clusters}
    if len(clusters) == 1:
        return {"cluster": clusters[0].cluster}
    shares = [{"name": cluster, "weight": weight} for cluster, weight in clusters]
    return {"weighted_clusters": {"clusters": shares}}


def inline(stat_prefix: str, routes: Data) -> Data:
    """The filter with its rules in it: another rule is another listener."""
    return _filter({"stat_prefix": stat_prefix, "multiple_route_config": routes})


def from_file(stat_prefix: str, name: str, directory: str, file: str) -> Data:
    """The filter that reads its rules (those called ``name``) from a file in a folder that is mounted as a whole.

    What mounts a ConfigMap replaces a link in the folder, never the file: so it is the folder that is watched.
    """
    source = {"path": f"{directory}/{file}", "watched_directory": {"path": directory}}
    drds = {
        "route_config_name": name,
        "config_source": {"resource_api_version": "V3", "path_config_source": source},
    }
    return _filter({"stat_prefix": stat_prefix, "drds": drds})


def _filter(settings: Data) -> Data:
    return {"name": NAME, "typed_config": {"@type": TYPE, **settings}}
