"""Without anything of soadns's in the mesh (tier T0): a call by interface name is in it as one by Service name."""

from __future__ import annotations

import pytest

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.mesh import CALLERS, SHARED, Kind, Mesh, cluster
from tests.scenarios.stage.process import eventually

EACH_NAME = len(INTERFACES) - len(SHARED) + 1
EACH_ADDRESS = {"sofarpc-5.12.0": 1}
"""Who has one connection for all names that lead to one address; others have one for each name."""


@pytest.mark.parametrize("kind", CALLERS, ids=str)
def test_an_interface_name_leads_through_istios_listener_to_the_right_pod(kind: Kind, mesh: Mesh) -> None:
    caller, estate, sidecar = mesh.callers[kind], mesh.estates[kind.protocol], mesh.sidecar(kind)
    assert f"{estate.user.cluster_ip}_{estate.user.port}" in sidecar.listeners()
    # The first one loads classes: for longer than a call may take, where much else starts.
    eventually(lambda: caller.tries(INTERFACES[0]), within=60.0, until=lambda first: bool(first["ok"]))
    for interface in INTERFACES:
        assert caller.call(interface) == estate.old.home.name
    assert sidecar.through()[cluster(estate.user)] == {
        estate.old.home.ip: EACH_ADDRESS.get(kind.program, EACH_NAME)
    }
    assert caller.connected(estate.user.port) == {estate.user.cluster_ip, estate.old.home.ip}, (
        "Envoy's own, too"
    )
