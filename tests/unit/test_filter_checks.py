"""No filter that could hurt gets past: each mistake is made in a good one, and refused.

Letters are those by which mistakes are known to be told late or not at all by the API server, istiod and Envoy.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from soadns.routemodel import Route
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.drdsfiles import config_maps, shared_out
from soadns.sidecar.envoyfilters import render
from soadns.sidecar.filterchecks import problems
from tests.unit.filter_cases import ACCOUNT, WISHES, cluster, facts, moved, subject, to
from tests.unit.test_destinations import route, rule, virtual

Data = dict[str, Any]
LISTENERS = {"10.96.0.1_20880"}
A = moved("com.x.A")
SPLIT = Destinations([virtual(route(("user", "v1", 90), ("user", "v2", 10)))], [rule("v1", "v2")])


def good() -> Data:
    """Rules of every kind in one filter."""
    variants = [
        Route("com.x.B", "blue", "1.0", to(ACCOUNT), "variant"),
        Route("com.x.B", "", "", to(ACCOUNT), "variant"),
        Route("com.x.B", None, None, None, "missing"),
    ]
    [found] = render(subject(facts(A, *variants, failing=[A])), WISHES, SPLIT).filters
    return copy.deepcopy(found)


def good_file_filter() -> Data:
    found = render(subject(facts(A)), replace(WISHES, namespaces=("web",)), SPLIT).filters[-1]
    return copy.deepcopy(found)


def good_config_map() -> Data:
    made = render(subject(facts(A)), replace(WISHES, namespaces=("web",)), SPLIT)
    [found] = config_maps(shared_out(made.files, 1).data, "web", {"app.kubernetes.io/managed-by": "soadns"})
    return found


def patch(found: Data) -> Data:
    return found["spec"]["configPatches"][0]  # type: ignore[no-any-return]


def value(found: Data) -> Data:
    return patch(found)["patch"]["value"]  # type: ignore[no-any-return]


def settings(found: Data) -> Data:
    return value(found)["typed_config"]  # type: ignore[no-any-return]


def rules(found: Data) -> list[Data]:
    return settings(found)["multiple_route_config"]["route_config"]  # type: ignore[no-any-return]


def match(found: Data, index: int = 0) -> Data:
    return rules(found)[index]["routes"][0]["match"]  # type: ignore[no-any-return]


def action(found: Data, index: int = 0) -> Data:
    return rules(found)[index]["routes"][0]["route"]  # type: ignore[no-any-return]


def regex(found: Data) -> Data:
    match(found)["method"] = copy.deepcopy(match(found)["method"])
    return match(found)["method"]["name"]["safe_regex"]  # type: ignore[no-any-return]


def test_good_ones_are_written() -> None:
    assert problems(good(), listeners=LISTENERS) == []
    assert problems(good_file_filter(), listeners=LISTENERS) == []
    assert problems(good_config_map()) == []
    known = {cluster(ACCOUNT), *(f"outbound|20880|v{i}|user.shop.svc.cluster.local" for i in (1, 2))}
    assert problems(good(), clusters={*known, "BlackHoleCluster"}) == []


Mistake = Callable[[Data], object]
MISTAKES: dict[str, Mistake] = {
    "a: a typo in an enum": lambda f: patch(f).update(applyTo="NETWORK_FILTERS"),
    "b: an unknown type": lambda f: settings(f).update({"@type": "type.googleapis.com/x.DubboProxy"}),
    "b2: a filter that Envoy lacks": lambda f: value(f).update(name="envoy.filters.network.dubbo"),
    "b3: a type that Envoy lacks": lambda f: settings(f).update(
        {"@type": "type.googleapis.com/envoy.extensions.filters.network.generic_proxy.v3.GenericProxy"}
    ),
    "c: an unknown field": lambda f: settings(f).update(route_conf=[]),
    "c: an unknown field of a rule": lambda f: rules(f)[0].update(grp="blue"),
    "c: an unknown field of a match": lambda f: match(f).update(header=[]),
    "d: no method": lambda f: match(f).clear(),
    "d: an empty prefix": lambda f: match(f).update(method={"name": {"prefix": ""}}),
    "e: no stat_prefix": lambda f: settings(f).pop("stat_prefix"),
    "e: an empty stat_prefix": lambda f: settings(f).update(stat_prefix=""),
    "f: a listener that does not exist": lambda f: patch(f)["match"]["listener"].update(
        name="10.96.0.9_20880"
    ),
    "f: a listener of all addresses": lambda f: patch(f)["match"]["listener"].update(name="0.0.0.0"),
    "f: the port of a pod": lambda f: patch(f)["match"]["listener"].update(name="10.96.0.1_1"),
    "f: no listener at all": lambda f: patch(f)["match"].pop("listener"),
    "g: no cluster": lambda f: action(f).clear(),
    "g: a cluster by a wrong name": lambda f: action(f).update(cluster="account"),
    "h: inserted, not replaced": lambda f: patch(f)["patch"].update(operation="INSERT_BEFORE"),
    "i: a value without a name": lambda f: value(f).pop("name"),
    "i: a value with an empty name": lambda f: value(f).update(name=""),
    "j: no operation": lambda f: patch(f)["patch"].pop("operation"),
    "j: no value": lambda f: patch(f)["patch"].pop("value"),
    "k: a number for a text": lambda f: rules(f)[0].update(interface=5),
    "k: a text for a number": lambda f: f["spec"].update(priority="10"),
    "k: a text for a list": lambda f: rules(f)[0].update(routes="x"),
    "k: true for a number": lambda f: f["spec"].update(priority=True),
    "l: selector and targetRefs": lambda f: f["spec"].update(
        workloadSelector={"labels": {"a": "b"}}, targetRefs=[{"kind": "Service", "name": "x"}]
    ),
    "m: an unknown field of the spec": lambda f: f["spec"].update(priorty=5),
    "n: a bad regular expression": lambda f: regex(f).update(regex="("),
    "n: one that is not RE2": lambda f: regex(f).update(regex="(?=a).+"),
    "another context": lambda f: patch(f)["match"].update(context="ANY"),
    "another filter": lambda f: patch(f)["match"]["listener"]["filterChain"]["filter"].update(name="x"),
    "any filter": lambda f: patch(f)["match"]["listener"].pop("filterChain"),
    "no patch": lambda f: f["spec"].update(configPatches=[]),
    "the same listener twice": lambda f: f["spec"]["configPatches"].append(copy.deepcopy(patch(f))),
    "rules inline and from a file": lambda f: settings(f).update(drds={}),
    "rules from nowhere": lambda f: settings(f).pop("multiple_route_config"),
    "no rule": lambda f: rules(f).clear(),
    "no rule for everything else": lambda f: rules(f).pop(),
    "the rule for everything else before others": lambda f: rules(f).insert(0, rules(f).pop()),
    "a pattern": lambda f: rules(f)[0].update(interface="com.x.*"),
    "a rule twice": lambda f: rules(f).insert(0, copy.deepcopy(rules(f)[0])),
    "any variant before one of them": lambda f: rules(f).insert(1, rules(f).pop(3)),
    "a rule without an interface": lambda f: rules(f)[0].pop("interface"),
    "an empty group, which is any": lambda f: rules(f)[0].update(group=""),
    "an empty version, which is any": lambda f: rules(f)[0].update(version=""),
    "a version that is a number": lambda f: rules(f)[0].update(version=1.0),
    "a name that can not be printed": lambda f: rules(f)[0].update(interface="com.x\n"),
    "half a character": lambda f: rules(f)[0].update(interface="com.x.\ud800"),
    "another header": lambda f: match(f).update(headers=[{"name": "x", "present_match": True}]),
    "no weight": lambda f: action(f, -1)["weighted_clusters"]["clusters"][0].pop("weight"),
    "a weight of nothing": lambda f: action(f, -1)["weighted_clusters"]["clusters"][0].update(weight=0),
    "weights beyond measure": lambda f: action(f, -1)["weighted_clusters"]["clusters"][0].update(
        weight=1 << 32
    ),
    "no cluster of several": lambda f: action(f, -1)["weighted_clusters"].update(clusters=[]),
    "both kinds of clusters": lambda f: action(f, -1).update(cluster=cluster(ACCOUNT)),
    "not ours": lambda f: f["metadata"]["labels"].pop("app.kubernetes.io/managed-by"),
    "nobody's": lambda f: f["metadata"]["labels"].pop("soadns.io/service-uid"),
    "a label that can be none": lambda f: f["metadata"]["labels"].update({"soadns.io/service-uid": "a b"}),
    "a name that can be none": lambda f: f["metadata"].update(name="soadns_user"),
    "a name without end": lambda f: f["metadata"].update(name="a" * 254),
    "no namespace": lambda f: f["metadata"].pop("namespace"),
    "another kind": lambda f: f.update(kind="VirtualService"),
    "another version": lambda f: f.update(apiVersion="networking.istio.io/v1"),
    "a status": lambda f: f.update(status={}),
    "too large": lambda f: rules(f)[0].update(name="x" * (1 << 20)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused(mistake: str) -> None:
    found = good()
    MISTAKES[mistake](found)
    assert problems(found, listeners=LISTENERS)


def test_a_cluster_that_istio_does_not_have_is_refused_where_that_is_known() -> None:
    [said] = {text.partition(": ")[2] for text in problems(good(), clusters=CLUSTERS - {cluster(ACCOUNT)})}
    assert said == f"Istio has no cluster {cluster(ACCOUNT)}: such calls would fail"


CLUSTERS = {
    "BlackHoleCluster",
    cluster(ACCOUNT),
    *(f"outbound|20880|v{i}|user.shop.svc.cluster.local" for i in (1, 2)),
}
FILE_MISTAKES: dict[str, Mistake] = {
    "for pods that do not have the file": lambda f: f["spec"].pop("workloadSelector"),
    "for all pods": lambda f: f["spec"]["workloadSelector"].update(labels={}),
    "from Istio, which has none": lambda f: settings(f)["drds"].update(config_source={"ads": {}}),
    "a file that is not followed": lambda f: settings(f)["drds"]["config_source"]["path_config_source"].pop(
        "watched_directory"
    ),
    "a file of another name": lambda f: settings(f)["drds"].update(route_config_name="x"),
    "a relative path": lambda f: settings(f)["drds"]["config_source"].update(
        path_config_source={"path": "x", "watched_directory": {"path": "."}}
    ),
}


@pytest.mark.parametrize("mistake", FILE_MISTAKES)
def test_a_mistake_of_a_filter_with_a_file_is_refused(mistake: str) -> None:
    found = good_file_filter()
    FILE_MISTAKES[mistake](found)
    assert problems(found, listeners=LISTENERS)


def test_a_damaged_file_is_refused() -> None:
    [(key, text)] = good_config_map()["data"].items()
    body = json.loads(text)
    damaged = [
        text[:-5],
        "",
        json.dumps({**body, "resources": body["resources"] * 2}),
        json.dumps({**body, "resources": []}),
        json.dumps({**body, "resources": [{**body["resources"][0], "name": "other"}]}),
        json.dumps({**body, "resources": [{**body["resources"][0], "route_config": []}]}),
        json.dumps({**body, "nonce": "x"}),
    ]
    for each in damaged:
        assert problems({**good_config_map(), "data": {key: each}})
    assert problems({**good_config_map(), "data": {"a/b.json": text}})
    assert problems({**good_config_map(), "data": {f"{i}{key}": "x" * 1024 for i in range(1024)}})


def test_nothing_that_is_damaged_anywhere_gets_past() -> None:
    """Every key of the object is taken away, renamed or given a value of another kind, one at a time."""
    for make in (good, good_file_filter):
        for path in list(paths(make())):
            for change in (take_away, rename, other_kind):
                found = make()
                change(found, path)
                unimportant = path[-1] in OTHERS.get(change, ())
                if not unimportant:
                    assert problems(found, listeners=LISTENERS), (path, change.__name__)


def paths(found: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The way to every key of an object."""
    here: list[tuple[object, ...]] = []
    entries = (
        found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    )
    for key, each in entries:
        if isinstance(found, dict):
            here.append((*path, key))
        here += paths(each, (*path, key))
    return here


def at(found: Any, path: tuple[object, ...]) -> Any:
    for key in path[:-1]:
        found = found[key]
    return found


def take_away(found: Data, path: tuple[object, ...]) -> None:
    del at(found, path)[path[-1]]


def rename(found: Data, path: tuple[object, ...]) -> None:
    holder = at(found, path)
    holder[f"{path[-1]}x"] = holder.pop(path[-1])


def other_kind(found: Data, path: tuple[object, ...]) -> None:
    holder = at(found, path)
    holder[path[-1]] = random.Random(1).choice([5, 1.5]) if isinstance(holder[path[-1]], str) else "x"


OTHERS: dict[object, set[object]] = {
    take_away: {"group", "version", "headers"},
    rename: {"soadns.io/routes"},
    other_kind: {"priority", "weight"},
}
"""With these changes an object is another good one."""
