"""What an Envoy without Istio is told, as files that it watches: which there are, what is in them, in what order. Pure.

Envoy takes a file anew when another one is renamed to its name; it reads listeners and clusters as whole lists, and of
such a list what is absent is gone, even where something else in it is refused. So a list is checked before it is
written, and one that lacks too much of what was there keeps that. Endpoints and rules have a file each, so that one
that changes is read alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, NamedTuple

from soadns.routemodel import Place, Vip
from soadns.sidecar import envoy
from soadns.sidecar.clusters import Cluster
from soadns.sidecar.envoy import CLUSTERS, ENDPOINTS, LISTENERS, ROUTES, Data

Resources = dict[str, dict[str, Data]]
"""By type and name."""
LISTENERS_FILE, CLUSTERS_FILE, BOOTSTRAP_FILE = "listeners/all.json", "clusters/all.json", "bootstrap.json"
ENDPOINTS_FOLDER, ROUTES_FOLDER = "endpoints", "routes"
SHARE, MINIMUM = 0.2, 20
"""Listeners that may vanish at once without a word: as many as names may (``guard.share``, ``guard.minimum``)."""
_STEM = 150
"""Octets of a name that are found again in its file's: names may be longer than file names."""


class Write(NamedTuple):
    """One step: a file and what is in it from then on; None: it is removed."""

    path: str
    text: str | None


@dataclass(slots=True)
class Made:
    """What was made of places and clusters the last time, so that what did not change is the very same again."""

    places: dict[Place, tuple[Vip, str, dict[str, Data]]] = field(default_factory=dict)
    clusters: dict[str, tuple[Cluster, Data, Data]] = field(default_factory=dict)
    capturing: dict[bool, Data] = field(default_factory=dict)
    """By whether it is for IPv6."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where files are for Envoy, which may see them elsewhere than who writes them; and how it is set up."""

    folder: str
    setting: envoy.Setting = envoy.Setting()

    def endpoints(self, cluster: str) -> Data:
        """The config source of a cluster's endpoints."""
        return envoy.from_file(f"{self.folder}/{endpoints_file(cluster)}")

    def routes(self, place: Place) -> Data:
        """The config source of a place's rules."""
        return envoy.from_file(f"{self.folder}/{routes_file(envoy.place_name(place))}")

    def bootstrap(self, node: str, admin: int) -> Data:
        """What Envoy is started with."""
        dynamic = {
            "lds_config": envoy.from_file(f"{self.folder}/{LISTENERS_FILE}"),
            "cds_config": envoy.from_file(f"{self.folder}/{CLUSTERS_FILE}"),
        }
        return envoy.bootstrap(dynamic, node={"id": node}, admin=admin, static={})

    def resources(
        self,
        vips: Iterable[Vip],
        speaks: Mapping[Place, str],
        clusters: Iterable[Cluster],
        made: Made | None = None,
    ) -> Resources:
        """All that is told; with ``made`` only what is another object than the last time is made anew."""
        made = made if made is not None else Made()
        before, made.places, made.clusters = replace(made), {}, {}
        found: Resources = {kind: {} for kind in envoy.IN_ORDER}
        for cluster in clusters:
            name = cluster.name
            held = before.clusters.get(name)
            if held is None or held[0] is not cluster:
                held = (cluster, envoy.cluster(name, self.endpoints(name)), envoy.endpoints_of(cluster))
            made.clusters[name] = held
            found[CLUSTERS][name], found[ENDPOINTS][name] = held[1:]
        six = False
        for vip in sorted(vips, key=lambda vip: vip.place):
            spoken = speaks.get(vip.place, "")
            known = before.places.get(vip.place)
            if known is None or known[0] is not vip or known[1] != spoken:
                fresh = envoy.resources_of(vip, spoken, self.routes(vip.place))
                known = (vip, spoken, _same_again(fresh, known[2] if known is not None else {}))
            made.places[vip.place] = known
            for kind, resource in known[2].items():
                found[kind][envoy.place_name(vip.place)] = resource
            six = six or ":" in vip.address
        for of_six in (False, True)[: 1 + six]:
            each = made.capturing.setdefault(of_six, envoy.capturing(self.setting, six=of_six))
            found[LISTENERS][each["name"]] = each
        return found


def _same_again(fresh: dict[str, Data], held: Mapping[str, Data]) -> dict[str, Data]:
    """What is fresh, but by the very objects that were held where it is the same."""
    return {kind: held[kind] if held.get(kind) == each else each for kind, each in fresh.items()}


def endpoints_file(cluster: str) -> str:
    """The file of a cluster's endpoints."""
    return f"{ENDPOINTS_FOLDER}/{_file(cluster)}"


def routes_file(name: str) -> str:
    """The file of a place's rules."""
    return f"{ROUTES_FOLDER}/{_file(name)}"


def _file(name: str) -> str:
    """A file name in which a name is found again; no two names have the same."""
    stem = re.sub(r"[^A-Za-z0-9._$-]", "_", name)[:_STEM]
    return f"{stem}-{blake2b(name.encode(), digest_size=6).hexdigest()}.json"


# --------------------------------------------------------------------------- from one state to the next


def held(before: Resources, after: Resources) -> int:
    """How many listeners vanish, if those are so many that nobody can have meant it; else 0."""
    vanishing = len(before[LISTENERS].keys() - after[LISTENERS].keys())
    return vanishing if vanishing >= MINIMUM and vanishing > SHARE * len(before[LISTENERS]) else 0


def kept(before: Resources, after: Resources) -> Resources:
    """What comes after, and nothing of what was before gone."""
    return {kind: before[kind] | after[kind] for kind in envoy.IN_ORDER}


def steps(before: Resources, after: Resources) -> list[Write]:
    """What has to be written, in this order: nothing is named before it is there, or goes while it is named."""
    return [
        *_each(ENDPOINTS, before, after),
        *_list(CLUSTERS, before[CLUSTERS], kept(before, after)[CLUSTERS]),
        *_each(ROUTES, before, after),
        *_list(LISTENERS, before[LISTENERS], after[LISTENERS]),
        *_removed(ROUTES, before, after),
        *_list(CLUSTERS, kept(before, after)[CLUSTERS], after[CLUSTERS]),
        *_removed(ENDPOINTS, before, after),
    ]


def _removed(kind: str, before: Resources, after: Resources) -> list[Write]:
    file = routes_file if kind == ROUTES else endpoints_file
    return [Write(file(name), None) for name in sorted(before[kind].keys() - after[kind].keys())]


def _each(kind: str, before: Resources, after: Resources) -> list[Write]:
    file = routes_file if kind == ROUTES else endpoints_file
    known = before[kind]
    changed = sorted(
        name for name, told in after[kind].items() if (held := known.get(name)) is not told and held != told
    )
    return [Write(file(name), text_of(kind, [after[kind][name]])) for name in changed]


def _list(kind: str, before: Mapping[str, Data], after: Mapping[str, Data]) -> list[Write]:
    file = LISTENERS_FILE if kind == LISTENERS else CLUSTERS_FILE
    return [Write(file, text_of(kind, list(after.values())))] if before != after else []


def as_one(told: Resources) -> Data:
    """All of it as one configuration, in which nothing is read from elsewhere: for an Envoy that is to have a look."""
    clusters = [
        {**{key: each[key] for key in ("name", "connect_timeout")}, "type": "STATIC"}
        | {"load_assignment": told[ENDPOINTS][name]}
        for name, each in told[CLUSTERS].items()
    ]
    listeners = [_inline(each, told[ROUTES]) for each in told[LISTENERS].values()]
    return {"static_resources": {"listeners": listeners, "clusters": [*envoy.always_there(), *clusters]}}


def _inline(listener: Data, rules: Mapping[str, Data]) -> Data:
    """A listener with its rules in it."""
    [[chain]] = [each["filters"] for each in listener["filter_chains"]]
    settings = dict(chain["typed_config"])
    if "drds" in settings:
        settings["multiple_route_config"] = rules[settings.pop("drds")["route_config_name"]]
    return listener | {"filter_chains": [{"filters": [chain | {"typed_config": settings}]}]}


def text_of(kind: str, resources: list[Data]) -> str:
    """A file's text (``DiscoveryResponse``)."""
    return json.dumps({"resources": [{"@type": kind, **each} for each in resources]}) + "\n"


def read(kind: str, text: str) -> list[Data]:
    """The resources of a file of one type. Raises ValueError where it is not one of these."""
    data: Any = json.loads(text)
    try:
        resources = [dict(each) for each in data["resources"]]
        if any(each.pop("@type") != kind for each in resources):
            raise ValueError("it holds resources of another type")
        for each in resources:
            name_of(kind, each)
    except (LookupError, TypeError, AttributeError):
        raise ValueError("it is no list of resources") from None
    return resources


def name_of(kind: str, resource: Data) -> str:
    """What a resource is known by."""
    return str(resource["cluster_name" if kind == ENDPOINTS else "name"])
