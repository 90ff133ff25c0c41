"""What stands between a rendered object and the cluster: whatever is not exactly what soadns means to write is refused.

One bad EnvoyFilter can take the outbound listeners of a whole mesh, and neither the API server nor istiod refuses most
of them: an unknown field is ignored (and every call fails), a filter without a name is refused by each sidecar with all
listeners of that push, and what a sidecar refuses is noticed when its pod starts again. So nothing is searched for that
might be wrong: an object is held against the one shape that Envoy and istiod are known to take, key by key, and what
is not in it is a problem. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from soadns.routemodel import ANY
from soadns.sidecar import dubboproxy
from soadns.sidecar.drdsfiles import MOST
from soadns.sidecar.envoyfilters import API_VERSION, KIND, MANAGED_BY, OURS, SERVICE, TCP_PROXY, UID, size
from soadns.sidecar.wirenames import tellable

MOST_OCTETS = 1 << 20
"""Of one object; etcd takes 1.5 MiB."""
MOST_WEIGHT = (1 << 32) - 1
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_CLUSTER = re.compile(r"outbound\|([1-9][0-9]{0,4})\|[^|]*\|[^|\s]+|BlackHoleCluster")
Problems = Iterator[str]
Check = Callable[[Any, str], Problems]


def problems(
    found: Mapping[str, Any],
    *,
    listeners: Collection[str] | None = None,
    clusters: Container[str] | None = None,
) -> list[str]:
    """Why an EnvoyFilter or a ConfigMap of rules must not be written; nothing for one that may be.

    ``listeners`` are the names of those that the Service has (``<ClusterIP>_<port>``), ``clusters`` those that Istio
    has, as far as anybody knows (``soadns.knownclusters``); None where that is not known at all.
    """
    if not _plain(found):
        return ["it holds what JSON can not, or text that is no Unicode"]
    if found.get("kind") == "ConfigMap":
        return [*_config_map(found, clusters)]
    return [*_envoy_filter(found, listeners, clusters)]


def file_problems(key: str, text: str, *, clusters: Container[str] | None = None) -> list[str]:
    """Why one file of rules must not be written; ``clusters`` as above."""
    if not _plain(text):
        return [f"data[{key}]: it holds text that is no Unicode"]
    return [*_file(key, text, clusters)]


# --------------------------------------------------------------------------- the objects


def _envoy_filter(
    found: Mapping[str, Any], listeners: Collection[str] | None, clusters: Container[str] | None
) -> Problems:
    yield from _keys(found, "", ["apiVersion", "kind", "metadata", "spec"])
    yield from _is(found, "apiVersion", API_VERSION)
    yield from _is(found, "kind", KIND)
    yield from _metadata(found.get("metadata"), [UID], [SERVICE])
    spec = _mapping(found.get("spec"))
    yield from _keys(spec, "spec", ["priority", "configPatches"], ["workloadSelector"])
    if not isinstance(spec.get("priority"), int) or isinstance(spec.get("priority"), bool):
        yield "spec.priority is no number"
    selector = spec.get("workloadSelector")
    if selector is not None:
        yield from _keys(_mapping(selector), "spec.workloadSelector", ["labels"])
        labels = _mapping(_mapping(selector).get("labels"))
        if not labels:
            yield "spec.workloadSelector selects every pod"
        yield from _labels(labels, "spec.workloadSelector.labels")
    patches = spec.get("configPatches")
    if not isinstance(patches, list) or not patches:
        yield "spec.configPatches is no list of patches"
        return
    seen: set[str] = set()
    for index, patch in enumerate(patches):
        where = f"spec.configPatches[{index}]"
        yield from _patch(_mapping(patch), where, listeners, clusters)
        name = str(_path(patch, "match", "listener", "name"))
        if name in seen:
            yield f"{where}: listener {name} is patched twice, and the second patch finds nothing"
        seen.add(name)
    from_files = ["drds" in _mapping(_path(patch, "patch", "value", "typed_config")) for patch in patches]
    if any(from_files) and not (all(from_files) and selector is not None):
        yield "rules from a file are for selected pods alone: others do not have it, and refuse the listener"
    if (octets := size(found)) > MOST_OCTETS:
        yield f"it has {octets} octets, and at most {MOST_OCTETS} can be kept"


def _config_map(found: Mapping[str, Any], clusters: Container[str] | None) -> Problems:
    yield from _keys(found, "", ["apiVersion", "kind", "metadata", "data"])
    yield from _is(found, "apiVersion", "v1")
    yield from _metadata(found.get("metadata"), [], [])
    data = found.get("data")
    if not isinstance(data, Mapping):
        yield "data is no mapping"
        return
    for key, text in data.items():
        yield from _file(key, text, clusters)
    octets = sum(len(str(key)) + len(str(text).encode()) for key, text in data.items())
    if octets > MOST:
        yield f"data has {octets} octets, and {MOST} are as many as soadns writes"


def _file(key: str, text: object, clusters: Container[str] | None) -> Problems:
    where = f"data[{key}]"
    if not _KEY.fullmatch(key) or not key.endswith(".json"):
        yield f"{where}: it can not be a file's name"
    try:
        body = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        body = None
    yield from _keys(_mapping(body), where, ["version_info", "resources"])
    resources = _mapping(body).get("resources")
    if not isinstance(resources, list) or len(resources) != 1:
        yield f"{where}: not exactly one resource"
        return
    routes = _mapping(resources[0])
    yield from _keys(routes, where, ["@type", "name", "route_config"])
    yield from _is(routes, "@type", dubboproxy.ROUTES_TYPE, where)
    yield from _is(routes, "name", key.removesuffix(".json"), where)
    yield from _rules(routes.get("route_config"), where, clusters)


def _metadata(metadata: object, labels: list[str], annotations: list[str]) -> Problems:
    known = _mapping(metadata)
    yield from _keys(
        known, "metadata", ["name", "namespace", "labels", *(["annotations"] if annotations else [])]
    )
    for key in ("name", "namespace"):
        if not isinstance(known.get(key), str) or not _NAME.fullmatch(known[key]):
            yield f"metadata.{key}: {_short(known.get(key))} is no name of an object"
    given = _mapping(known.get("labels"))
    yield from _keys(given, "metadata.labels", [MANAGED_BY, *labels])
    yield from _is(given, MANAGED_BY, OURS, "metadata.labels")
    yield from _labels(given, "metadata.labels")
    if UID in labels and not given.get(UID):
        yield f"metadata.labels has no {UID}: nobody could tell whose it is"
    noted = _mapping(known.get("annotations"))
    yield from _keys(noted, "metadata.annotations", annotations)
    for key, text in noted.items():
        if not _text(text):
            yield f"metadata.annotations: {key}={_short(text)} is no text"


# --------------------------------------------------------------------------- one patch


def _patch(
    patch: Mapping[str, Any], where: str, listeners: Collection[str] | None, clusters: Container[str] | None
) -> Problems:
    yield from _keys(patch, where, ["applyTo", "match", "patch"])
    yield from _is(patch, "applyTo", "NETWORK_FILTER", where)
    match = _mapping(patch.get("match"))
    yield from _keys(match, f"{where}.match", ["context", "listener"])
    yield from _is(match, "context", "SIDECAR_OUTBOUND", f"{where}.match")
    listener = _mapping(match.get("listener"))
    yield from _keys(listener, f"{where}.match.listener", ["name", "filterChain"])
    yield from _listener(listener.get("name"), f"{where}.match.listener.name", listeners)
    chain = _mapping(listener.get("filterChain"))
    yield from _keys(chain, f"{where}.match.listener.filterChain", ["filter"])
    yield from _keys(_mapping(chain.get("filter")), f"{where}.match.listener.filterChain.filter", ["name"])
    yield from _is(_mapping(chain.get("filter")), "name", TCP_PROXY, where)
    done = _mapping(patch.get("patch"))
    yield from _keys(done, f"{where}.patch", ["operation", "value"])
    yield from _is(done, "operation", "REPLACE", f"{where}.patch")
    value = _mapping(done.get("value"))
    yield from _keys(value, f"{where}.patch.value", ["name", "typed_config"])
    yield from _is(value, "name", dubboproxy.NAME, f"{where}.patch.value")
    yield from _settings(_mapping(value.get("typed_config")), f"{where}.patch.value.typed_config", clusters)


def _listener(name: object, where: str, listeners: Collection[str] | None) -> Problems:
    address, _, port = name.rpartition("_") if isinstance(name, str) else ("", "", "")
    try:
        well = str(ip_address(address)) == address and 0 < int(port) < 65_536
    except ValueError:
        well = False
    if not well:
        yield f"{where}: {_short(name)} is no <ClusterIP>_<port>"
    elif listeners is not None and name not in listeners:
        yield f"{where}: the Service has no listener {name}, so that nothing would be replaced"


def _settings(settings: Mapping[str, Any], where: str, clusters: Container[str] | None) -> Problems:
    yield from _keys(settings, where, ["@type", "stat_prefix"], ["multiple_route_config", "drds"])
    yield from _is(settings, "@type", dubboproxy.TYPE, where)
    if not _text(settings.get("stat_prefix")):
        yield f"{where}.stat_prefix is missing: Envoy refuses the listener"
    if ("multiple_route_config" in settings) == ("drds" in settings):
        yield f"{where}: either multiple_route_config or drds"
    if "multiple_route_config" in settings:
        routes = _mapping(settings["multiple_route_config"])
        yield from _keys(routes, f"{where}.multiple_route_config", ["name", "route_config"])
        if not _text(routes.get("name")):
            yield f"{where}.multiple_route_config.name is missing"
        yield from _rules(routes.get("route_config"), f"{where}.multiple_route_config", clusters)
    if "drds" in settings:
        yield from _drds(_mapping(settings["drds"]), f"{where}.drds")


def _drds(drds: Mapping[str, Any], where: str) -> Problems:
    yield from _keys(drds, where, ["route_config_name", "config_source"])
    source = _mapping(drds.get("config_source"))
    yield from _keys(source, f"{where}.config_source", ["resource_api_version", "path_config_source"])
    yield from _is(source, "resource_api_version", "V3", f"{where}.config_source")
    path = _mapping(source.get("path_config_source"))
    yield from _keys(path, f"{where}.config_source.path_config_source", ["path", "watched_directory"])
    folder = _mapping(path.get("watched_directory"))
    yield from _keys(folder, f"{where}.config_source.path_config_source.watched_directory", ["path"])
    file, directory, name = path.get("path"), folder.get("path"), drds.get("route_config_name")
    if not (_text(name) and _text(directory) and str(directory).startswith("/")):
        yield f"{where}: a name and an absolute folder"
    elif file != f"{directory}/{name}.json":
        yield f"{where}: {_short(file)} is not the file of {name} in {directory}"


# --------------------------------------------------------------------------- the rules


def _rules(rules: object, where: str, clusters: Container[str] | None) -> Problems:
    """Rules in their order: the last one is for everything else, none is hidden by one before it."""
    if not isinstance(rules, list) or not rules:
        yield f"{where}.route_config has no rule: every call would fail"
        return
    seen: set[tuple[object, object, object, bool]] = set()
    for index, each in enumerate(rules):
        rule, at = _mapping(each), f"{where}.route_config[{index}]"
        yield from _keys(rule, at, ["name", "interface", "routes"], ["group", "version"])
        for key in ("name", "interface", "group", "version"):
            if key in rule and not _text(rule[key]):
                yield f"{at}.{key}: {_short(rule[key])} is no text"
        interface = rule.get("interface")
        if (interface == ANY) != (index == len(rules) - 1):
            yield f"{at}: {_short(interface)}: the rule for everything else is the last, and only that"
        elif interface != ANY and not tellable(str(interface)):
            yield f"{at}: Envoy takes {_short(interface)} for a pattern"
        routes = rule.get("routes")
        if not isinstance(routes, list) or len(routes) != 1:
            yield f"{at}.routes: not exactly one route"
            continue
        match = _mapping(_mapping(routes[0]).get("match"))
        yield from _route(_mapping(routes[0]), f"{at}.routes[0]", clusters)
        compared = (interface, rule.get("group"), rule.get("version"), "headers" in match)
        if (interface, None, None, False) in seen or compared in seen:
            yield f"{at}: a rule before it has its calls already"
        seen.add(compared)


def _route(route: Mapping[str, Any], where: str, clusters: Container[str] | None) -> Problems:
    yield from _keys(route, where, ["match", "route"])
    match = _mapping(route.get("match"))
    yield from _keys(match, f"{where}.match", ["method"], ["headers"])
    if match.get("method") != dubboproxy.ANY_METHOD:
        yield f"{where}.match.method is not the one for any method: Envoy refuses a listener without"
    if "headers" in match and match["headers"] != [dubboproxy.NO_GROUP]:
        yield f"{where}.match.headers: nothing but the lack of a group is compared"
    action = _mapping(route.get("route"))
    if set(action) == {"cluster"}:
        yield from _cluster(action["cluster"], f"{where}.route.cluster", clusters)
        return
    yield from _keys(action, f"{where}.route", ["weighted_clusters"])
    shares = _mapping(action.get("weighted_clusters"))
    yield from _keys(shares, f"{where}.route.weighted_clusters", ["clusters"])
    listed = shares.get("clusters")
    if not isinstance(listed, list) or not listed:
        yield f"{where}.route: no cluster"
        return
    total = 0
    for index, each in enumerate(listed):
        share, at = _mapping(each), f"{where}.route.weighted_clusters.clusters[{index}]"
        yield from _keys(share, at, ["name", "weight"])
        yield from _cluster(share.get("name"), at, clusters)
        weight = share.get("weight")
        if not isinstance(weight, int) or isinstance(weight, bool) or weight < 1:
            yield f"{at}.weight: {_short(weight)} is no weight"
        else:
            total += weight
    if total > MOST_WEIGHT:
        yield f"{where}.route: the weights come to more than {MOST_WEIGHT}"


def _cluster(name: object, where: str, clusters: Container[str] | None) -> Problems:
    if not isinstance(name, str) or not _CLUSTER.fullmatch(name):
        yield f"{where}: {_short(name)} is no cluster of Istio's"
    elif clusters is not None and name not in clusters:
        yield f"{where}: Istio has no cluster {name}: such calls would fail"


# --------------------------------------------------------------------------- words


def _keys(found: Mapping[str, Any], where: str, needed: list[str], allowed: Collection[str] = ()) -> Problems:
    for key in needed:
        if key not in found:
            yield f"{where}.{key} is missing".lstrip(".")
    for key in found.keys() - {*needed, *allowed}:
        yield f"{where}.{key} is not known".lstrip(".")


def _is(found: Mapping[str, Any], key: str, value: str, where: str = "") -> Problems:
    if key in found and found[key] != value:
        yield f"{where}.{key}: {_short(found[key])} is not {value}".lstrip(".")


def _labels(labels: Mapping[str, Any], where: str) -> Problems:
    for key, value in labels.items():
        if not isinstance(value, str) or not _LABEL.fullmatch(value):
            yield f"{where}: {key}={_short(value)} can not be a label"


def _text(value: object) -> bool:
    """Text with something in it that can be printed: a control character is nobody's name."""
    return isinstance(value, str) and bool(value) and value.isprintable()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _path(found: object, *keys: str) -> object:
    for key in keys:
        found = _mapping(found).get(key)
    return found


def _plain(value: object) -> bool:
    """Whether it is of JSON's types, with text that can be written as UTF-8."""
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(key) and _plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int)


def _short(value: object) -> str:
    return repr(value)[:80]
