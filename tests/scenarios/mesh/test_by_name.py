"""Without anything of soadns's in the mesh (tier T0): a call by interface name is in it as one by Service name."""

from __future__ import annotations

import pytest

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.mesh import CALLERS, SHARED, Kind, Mesh, cluster

pytestmark = pytest.mark.alone

CONNECTIONS = {"dubbo": len(INTERFACES) - len(SHARED) + 1, "bolt": 1}
"""Dubbo has one for each name, SOFARPC one for each address."""


@pytest.mark.parametrize("kind", CALLERS, ids=str)
def test_an_interface_name_leads_through_istios_listener_to_the_right_pod(kind: Kind, mesh: Mesh) -> None:
    caller, estate, sidecar = mesh.callers[kind], mesh.estates[kind.protocol], mesh.sidecar(kind)
    assert f"{estate.user.cluster_ip}_{estate.user.port}" in sidecar.listeners()
    for interface in INTERFACES:
        assert caller.call(interface) == estate.old.home.name
    assert sidecar.through()[cluster(estate.user)] == {estate.old.home.ip: CONNECTIONS[kind.protocol]}
    assert caller.connected(estate.user.port) == {estate.user.cluster_ip, estate.old.home.ip}, (
        "Envoy's own, too"
    )
