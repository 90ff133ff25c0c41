"""What a running soadns says of routes and clusters over HTTP, read back into values; what ``routeviews`` writes. Pure.

For programs of soadns itself that follow another process of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from soadns.model import ObjectRef
from soadns.naming import parse_interface
from soadns.routemodel import Place, Route, Target, Vip
from soadns.sidecar.clusters import Cluster

Data = Mapping[str, Any]


class Heard:
    """All routes and clusters that one stream (``/v1/routes?watch=1&clusters=1``) has told of."""

    def __init__(self) -> None:
        self.whole = False
        """Whether it has told of everything once."""
        self.vips: dict[Place, Vip] = {}
        self.speaks: dict[Place, str] = {}
        """What is spoken at a place (``soadns.speech``)."""
        self.clusters: dict[str, Cluster] = {}

    def take(self, event: str, data: Data) -> None:
        """One event of the stream. What does not have its shape raises LookupError, TypeError or ValueError."""
        if event == "state":
            self.vips.clear()
            self.speaks.clear()
            self.clusters.clear()
        elif event != "delta":
            return
        for name in data.get("goneClusters", ()):
            self.clusters.pop(name, None)
        for each in data["clusters"]:
            self.clusters[each["name"]] = cluster(each)
        for gone in data.get("gone", ()):
            self.vips.pop((gone["address"], gone["port"]), None)
            self.speaks.pop((gone["address"], gone["port"]), None)
        for each in data["vips"]:
            found = vip(each)
            self.vips[found.place], self.speaks[found.place] = found, each["speaks"]
        self.whole = True


def cluster(data: Data) -> Cluster:
    """A cluster."""
    ends = data["endpoints"]
    weights = tuple(end["weight"] for end in ends if "weight" in end)
    return Cluster(data["name"], tuple((end["address"], end["port"]) for end in ends), weights)


def vip(data: Data) -> Vip:
    """One ClusterIP and port."""
    routes = tuple(_routes(data["routes"]))
    return Vip(data["address"], data["port"], _ref(data["service"]), data["uid"], data["host"], routes)


def _routes(rows: Iterable[Data]) -> Iterable[Route]:
    for row in rows:
        to = row["to"]
        yield Route(
            row["interface"],
            row["group"],
            row["version"],
            _target(to) if to is not None else None,
            row["why"],
            _ref(row["lives"]) if row.get("lives") else None,
        )


def _target(data: Data) -> Target:
    if data["service"] is not None:
        return Target(data["kind"], _ref(data["service"]), data["host"] or "", data["port"])
    return Target(data["kind"], None, "", data["port"], parse_interface(data["endpoints"]["of"]))


def _ref(text: str) -> ObjectRef:
    cluster_, namespace, name = text.split("/")
    return ObjectRef(cluster_, namespace, name)
