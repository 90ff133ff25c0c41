"""What comes to stand beside the Services of a mesh, or leads calls past them, and what is to change nothing for who is
connected."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.cluster import DNS
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.mesh import STAYS, Estate, Kind, Mesh
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import name_of

NAMED_S = 30.0
"""Replicas of soadns answer anew by then, and CoreDNS, which keeps a name for five seconds."""
REMEMBERED_S = 1.1
"""A JVM of these callers knows a name for a second."""
PASSED_BY = "PassthroughCluster"
"""Istio's, for what it does not know."""


class Twins:
    """Beside each Service a canary, whose pod provides what moves, and a headless twin with the Service's own pod."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._estates: list[Estate] = [*mesh.estates.values()]
        self._twins: list[Service] = []
        self._canaries: list[Service] = []
        for user in (estate.user for estate in self._estates):
            port = {"name": f"beside-{user.port}", "port": user.port, "protocol": "TCP"}
            self._twins.append(mesh.town.service(f"{user.name}-twin", port, clusterIP="None"))
            self._canaries.append(mesh.town.service(f"{user.name}-canary", port))

    def come(self) -> None:
        """They have pods."""
        for estate, twin, canary in zip(self._estates, self._twins, self._canaries, strict=True):
            twin.endpoint(estate.old.home.ip)
            canary.endpoint(estate.new.home.ip)

    def go(self) -> None:
        """They are deleted."""
        for each in (*self._twins, *self._canaries):
            each.delete_with_endpoints()

    def heard(self, *, there: bool) -> bool:
        """Whether all sidecars come to have the twins' listeners, or to have none of them: one for each pod's address,
        through which goes who calls that address past the Service."""

        def has(kind: Kind) -> bool:
            estate = self._mesh.estates[kind.protocol]
            return f"{estate.old.home.ip}_{estate.user.port}" in self._mesh.sidecar(kind).listeners()

        return eventually(lambda: {has(kind) for kind in self._mesh.callers} == {there}, within=60.0)


def _leads(mesh: Mesh, caller: Caller, name: str, address: str) -> None:
    """Wait until CoreDNS keeps nothing else of a name, nor the JVM of a caller."""
    for each in mesh.town.soadns:
        assert isinstance(each.server, Soadns)
        each.server.answers(f"{name}.", address, within=NAMED_S)
    found = eventually(
        lambda: dig(53, f"{name}.", server=DNS, recurse=True, place=caller.place).data,
        within=NAMED_S,
        until=(address,).__eq__,
    )
    assert found == (address,), name
    time.sleep(REMEMBERED_S)


@dataclass(frozen=True)
class Fresh:
    """A call over a connection that was made for it, by the interface's name."""

    by: str
    through: dict[str, int]
    """Clusters of Envoy's, and how many connections each has made meanwhile."""


def connect_anew(mesh: Mesh, kind: Kind, interface: str = STAYS, *, at: str = "") -> Fresh:
    """One call of an interface that callers call by its own name, when that leads to an address."""
    caller, sidecar = mesh.callers[kind], mesh.sidecar(kind)
    if at:
        _leads(mesh, caller, name_of(interface), at)
    before = sidecar.connections_made()
    caller.refer(interface, connections=1)
    answer, after = caller.call(interface), sidecar.connections_made()
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return Fresh(answer, {name: count for name, count in grown.items() if count})
