"""Protocols over HTTP (REST, Triple): the host that a call names is the interface, of which Istio knows nothing.

Where a port's name says nothing to Istio, it looks at the bytes and at the address that was meant: any host is right.
A port that is named ``http-`` or ``grpc-`` is shared by all Services, calls being told apart by host: then the name of
the interface leads past the mesh, until a ServiceEntry makes it known and a VirtualService says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.mesh import Mesh, cluster, host, istio
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind

PASSED_BY = "PassthroughCluster"
KINDS = {
    # program: what it speaks, an interface, and a port's name that Istio knows
    "rest": ("rest", "com.example.rest.HostService", "http-rest"),
    "dubbo-3.3.5": ("tri", "com.example.tri.ByName", "grpc-tri"),
}


@dataclass
class Served:
    """An interface over HTTP, and who calls it."""

    mesh: Mesh
    interface: str
    known: str
    service: Service
    pod: Behind
    caller: Caller

    def went(self, where: str) -> bool:
        """Whether ten calls, which all must succeed, opened connections or were sent by this cluster alone."""
        sidecar = self.mesh.town.sidecar(self.caller)
        before = sidecar.requests()
        for _ in range(10):
            assert self.caller.call(self.interface) == self.pod.home.name
        after = sidecar.requests()
        grown = {name for name, count in after.items() if count > before.get(name, 0)}
        return grown - {"xds-grpc"} == {where}


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, mesh: Mesh) -> Iterator[Served]:
    program = request.param
    protocol, interface, known = KINDS[program]
    town = mesh.town
    service = town.shop(f"host-{protocol}", protocol)
    options = {"protocol": protocol} if protocol == "tri" else {}
    pod = town.register(program, service, interface, **options)
    town.knows(interface, service)
    caller = town.caller(program, f"host-caller-{protocol}", sidecar=True)
    if protocol == "tri":
        [url] = dict(
            line.split("=", 1)
            for line in town.exported("--interface", interface).splitlines()
            if not line.startswith("#")
        ).values()
    else:
        url = town.address(interface, protocol)
    caller.direct[interface] = {"url": url}
    caller.refer(interface)
    yield Served(mesh, interface, known, service, pod, caller)
    caller.end()
    pod.stop()


def reaches(served: Served, where: str) -> None:
    """Before long all calls succeed and go by this cluster."""

    def look() -> str:
        try:
            return "" if served.went(where) else "elsewhere"
        except AssertionError as error:  # a connection that is cut, since its listener has changed
            return str(error)

    why = eventually(look, within=60.0, until=lambda error: not error)
    assert not why, f"{why}\n{served.mesh.town.sidecar(served.caller).requests()}"


def test_at_a_port_whose_name_says_nothing_any_host_reaches_the_service(served: Served) -> None:
    reaches(served, cluster(served.service))


def test_at_a_port_that_istio_knows_the_interface_passes_by_the_mesh_until_istio_is_told_whose_it_is(
    served: Served,
) -> None:
    served.service.rename_port(served.known)
    served.mesh.town.knows(served.interface, served.service)
    reaches(served, PASSED_BY)
    name = f"{served.interface}.{ZONE}".lower()
    protocol = "GRPC" if served.known.startswith("grpc") else "HTTP"
    port = {"number": served.service.port, "name": served.known, "protocol": protocol}
    entry = {"hosts": [name], "ports": [port], "resolution": "NONE", "location": "MESH_INTERNAL"}
    route = {"destination": {"host": host(served.service)}}
    documents = [
        istio("VirtualService", served.service.name, {"hosts": [name], "http": [{"route": [route]}]}),
        istio("ServiceEntry", served.service.name, entry),
    ]
    virtual_service, service_entry = documents
    served.mesh.apply(virtual_service)
    try:
        reaches(served, PASSED_BY)  # of hosts that it does not know Istio takes port 80 alone
        served.mesh.apply(service_entry)
        reaches(served, cluster(served.service))
    finally:
        for document in documents:
            served.mesh.town.api.delete(document)
