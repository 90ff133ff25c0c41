"""What people say with Istio's VirtualServices and DestinationRules holds for calls by interface name as for those by
Service name.

Each caller is asked in both ways, over connections of its own for each call: at a TCP port Istio decides once for each
connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.scenarios.stage.mesh import Mesh, cluster, host, istio
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import Service

pytestmark = pytest.mark.alone

KIND = "private-tcp"
RULED = "com.example.ruled.TrafficService"
CALLS = 60
BY_NAME, BY_SERVICE = "by interface name", "by Service name"
WAYS = (BY_NAME, BY_SERVICE)


class Ruled:
    """An interface whose Service has two versions, and a caller for each way."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.service = mesh.town.shop("ruled", KIND)
        self.pods = [mesh.town.register(KIND, self.service, RULED) for _ in range(2)]
        for number, pod in enumerate(self.pods, 1):
            mesh.town.label(pod, version=f"v{number}")
        mesh.town.knows(RULED, self.service)
        self.caller = mesh.town.caller(KIND, "ruled-caller", sidecar=True)
        self.urls = {
            BY_NAME: mesh.town.address(RULED, KIND),
            BY_SERVICE: f"tcp://{host(self.service)}:{self.service.port}",
        }

    def asked(self, way: str, calls: int = CALLS) -> Counter[str]:
        """Who answered, each call over a connection of its own; errors count as ``failed``."""
        found: Counter[str] = Counter()
        for _ in range(calls):
            self.caller.refer(RULED, url=self.urls[way])
            found[str(self.caller.tries(RULED).get("answer", "failed"))] += 1
        return found

    @contextmanager
    def rules(self, *documents: dict[str, Any]) -> Iterator[None]:
        """With objects of Istio's that people write; they are gone afterwards."""
        self.mesh.apply(*documents)
        try:
            yield
        finally:
            for document in documents:
                self.mesh.town.api.delete(document)
            found = eventually(lambda: self.asked(BY_SERVICE, 20), within=10.0, until=self.spread)
            assert self.spread(found), found

    def spread(self, answers: Counter[str]) -> bool:
        """Whether calls reached all pods and none failed."""
        return set(answers) == self.names

    @property
    def names(self) -> set[str]:
        return {pod.home.name for pod in self.pods}


@pytest.fixture(scope="module")
def ruled(mesh: Mesh) -> Ruled:
    return Ruled(mesh)


def subsets(service: Service, **policy: Any) -> dict[str, Any]:
    named = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    spec: dict[str, Any] = {"host": host(service), "subsets": named}
    return istio("DestinationRule", "ruled", spec | ({"trafficPolicy": policy} if policy else {}))


def split(service: Service, first: int) -> dict[str, Any]:
    route = [
        {"destination": {"host": host(service), "subset": name}, "weight": weight}
        for name, weight in (("v1", first), ("v2", 100 - first))
    ]
    return istio("VirtualService", "ruled", {"hosts": [host(service)], "tcp": [{"route": route}]})


def test_a_weighted_split_between_subsets_is_obeyed(ruled: Ruled) -> None:
    first, second = (pod.home.name for pod in ruled.pods)
    with ruled.rules(subsets(ruled.service), split(ruled.service, 90)):
        sidecar = ruled.mesh.town.sidecar(ruled.caller)
        eventually(lambda: cluster(ruled.service, "v1") in sidecar.get("/clusters"), within=10.0)
        eventually(lambda: "v1" in sidecar.get("/config_dump?resource=dynamic_listeners"), within=10.0)
        for way in WAYS:
            found = ruled.asked(way)
            assert found["failed"] == 0, (way, found)
            assert found[first] > 2 * found[second] > 0, (way, found)
    with ruled.rules(subsets(ruled.service), split(ruled.service, 0)):
        for way in WAYS:
            found = eventually(
                lambda way=way: ruled.asked(way, 20), within=10.0, until=lambda seen: set(seen) == {second}
            )
            assert set(found) == {second}, (way, found)


@pytest.mark.parametrize("way", WAYS)
def test_circuit_breaking_is_obeyed(way: str, ruled: Ruled) -> None:
    with ruled.rules(subsets(ruled.service, connectionPool={"tcp": {"maxConnections": 1}})):
        limited = f"{cluster(ruled.service)}::default_priority::max_connections::1\n"
        sidecar = ruled.mesh.town.sidecar(ruled.caller)
        assert eventually(lambda: limited in sidecar.get("/clusters"), within=10.0)
        ruled.caller.refer(RULED, url=ruled.urls[way])
        ruled.caller.steady(RULED, every_ms=20, threads=1)  # it holds the one connection
        try:
            found = eventually(
                lambda: ruled.asked(way, 5), within=10.0, until=lambda seen: set(seen) == {"failed"}
            )
            assert set(found) == {"failed"}, found
            ruled.caller.tally()
            held = eventually(ruled.caller.tally, within=5.0, until=lambda tally: tally.calls > 0)
            assert (held.failed, len(held.by)) == (0, 1)
        finally:
            ruled.caller.process.ask("stop")


@pytest.mark.parametrize("way", WAYS)
def test_outlier_detection_is_obeyed(way: str, ruled: Ruled) -> None:
    dead = ruled.mesh.town.home(f"dead-{WAYS.index(way)}")  # nothing listens there
    ruled.service.endpoint(dead.ip)
    try:
        found = eventually(lambda: ruled.asked(way, 20), within=10.0, until=lambda seen: seen["failed"] > 0)
        assert found["failed"] > 0
        detection = {"consecutive5xxErrors": 1, "interval": "100ms", "baseEjectionTime": "60s"}
        with ruled.rules(subsets(ruled.service, outlierDetection=detection | {"maxEjectionPercent": 100})):
            found = eventually(lambda: ruled.asked(way, 40), within=10.0, until=ruled.spread)
            assert ruled.spread(found), found
            ruled.service.without(dead.ip)
    finally:
        ruled.service.without(dead.ip)
