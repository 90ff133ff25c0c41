"""One timeline of faults for all clients at once: what each of them costs those who call by name, and those who ask the
registry.

Every client calls an interface in each way in the same process and of the same pods. Names are asked for anew each
second: what an outage costs is seen at once, not only when the JVM's own cache of thirty seconds has run out.
"""

from __future__ import annotations

import pytest

from tests.clients.driving import SCRIPTS
from tests.scenarios.stage import costs as figures
from tests.scenarios.stage.riders import CLIENTS, LOCAL, NAME, REGISTRY, TWO_NAMES, Client, Crowd
from tests.scenarios.stage.timeline import (
    AFTERWARDS,
    API_SERVER,
    CALM,
    COREDNS,
    KILLED,
    LOSSES,
    RESTARTED,
    SOADNS,
    ZOOKEEPER,
    Costs,
    Timeline,
    back,
    lost,
)
from tests.scenarios.stage.town import Town

pytestmark = pytest.mark.alone

LOOKS_UP = {"rest/http", "sofarpc-5.12.0/bolt"}
"""Who looks a name up though it is connected: for each call, or every ten seconds."""
CALLS_PER_SECOND = 20
KEYS = [client.key for client in CLIENTS]


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Costs:
    town = Town(tmp_path_factory.mktemp("faults"))
    try:
        local = town.node_local()
        local.start()
        crowd = Crowd(town, "-Dsun.net.inetaddr.ttl=1", "-Dconsumer.reconnect.period=1000")
        found = Timeline(town, crowd.waves).run(crowd.riders)
    finally:
        town.end()
    figures.write(found)
    print(found)
    return found


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_the_loss_of_soadns_zookeeper_or_the_api_server_costs_no_call(client: Client, costs: Costs) -> None:
    rider = client.key, NAME
    assert costs.calls(rider, CALM)
    assert costs.failed(rider, CALM) == 0
    for what in (SOADNS, ZOOKEEPER, API_SERVER):
        assert costs.calls(rider, lost(what))
        assert costs.failed(rider, lost(what), back(what)) == 0, what


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_the_loss_of_coredns_costs_calls_of_those_alone_who_look_up_meanwhile(
    client: Client, costs: Costs
) -> None:
    rider = client.key, NAME
    if client.key in LOOKS_UP:
        assert costs.phases[back(COREDNS)][rider].by
    else:
        assert costs.failed(rider, lost(COREDNS), back(COREDNS)) == 0


@pytest.mark.parametrize("client", LOCAL, ids=[client.key for client in LOCAL])
def test_behind_nodelocal_dnscache_no_loss_costs_a_call(client: Client, costs: Costs) -> None:
    for way in client.ways:
        rider = client.key, way
        for what in LOSSES:
            assert costs.phases[lost(what)][rider].by, (way, what)
            assert costs.failed(rider, lost(what), back(what)) == 0, (way, what)


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_a_connection_that_breaks_is_replaced_by_one_to_another_pod(client: Client, costs: Costs) -> None:
    rider = client.key, NAME
    assert costs.failed(rider, AFTERWARDS) == 0
    restarted = costs.phases[RESTARTED][rider]
    assert len(restarted.by) == 2
    assert restarted.failed < restarted.calls * 0.25
    assert costs.phases[lost(SOADNS)][rider].failed == 0, "who had lost its pod"
    if client.protocol == "dubbo":
        assert restarted.failed < restarted.calls * 0.02
        assert costs.failed(rider, KILLED) < CALLS_PER_SECOND


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_by_the_registry_calls_are_spread_and_by_one_name_they_go_to_one_pod(
    client: Client, costs: Costs
) -> None:
    calm = costs.phases[CALM]
    if client.program in SCRIPTS:  # connections of each call, or of each thread
        assert set(calm[client.key, NAME].by) <= set(costs.phases[RESTARTED][client.key, NAME].by)
        return
    assert len(calm[client.key, NAME].by) == 1
    assert len(calm[client.key, REGISTRY].by) == 2
    if TWO_NAMES in client.ways:
        assert costs.failed((client.key, TWO_NAMES), CALM) == 0
