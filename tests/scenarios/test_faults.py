"""One timeline of faults for all clients at once: what each of them costs those who call by name, and those who ask the
registry.

Every client calls an interface in each way in the same process and of the same pods. Names are asked for anew each
second: what an outage costs is seen at once, not only when the JVM's own cache of thirty seconds has run out.
"""

from __future__ import annotations

import statistics

import pytest

from tests.clients import page, verdicts
from tests.clients.driving import SCRIPTS
from tests.scenarios.stage import costs as figures
from tests.scenarios.stage.promises import CALLS_LEFT, FAILS, LOOKS_UP, longest_s
from tests.scenarios.stage.riders import BY_NAME, CLIENTS, LOCAL, NAME, REGISTRY, TWO_NAMES, Client, Crowd
from tests.scenarios.stage.timeline import (
    AFTERWARDS,
    CALM,
    COREDNS,
    DOWN_S,
    KILLED,
    LOSSES,
    RESTARTED,
    THREADS,
    ZOOKEEPER,
    Costs,
    Timeline,
    back,
    lost,
)
from tests.scenarios.stage.town import Town

pytestmark = pytest.mark.alone

CALLS_PER_SECOND = 20
KEYS = [client.key for client in CLIENTS]
AWAY_S = {"dubbo": 0.15, "http": 0.5, "tcp": 0.5, "bolt": 4.0, "tri": 7.5}
"""By protocol: for how long calls by name may fail when a pod ends in good order. `dubbo` connects with the next call,
bolt looks after its connections once a second, tri waits a second and then longer and longer (in 3.2.16 up to seven).
"""


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


def by_name(client: Client) -> list[str]:
    """The ways in which it calls by name."""
    return [way for way in client.ways if way in BY_NAME]


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_the_loss_of_all_but_coredns_costs_no_call(client: Client, costs: Costs) -> None:
    for way in by_name(client):
        rider = client.key, way
        assert costs.calls(rider, CALM)
        assert costs.failed(rider, CALM) == 0
        for what in LOSSES:
            if what != COREDNS:
                assert costs.phases[back(what)][rider].by, (way, what)
                assert costs.failed(rider, lost(what), back(what)) == 0, (way, what)


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_the_loss_of_coredns_costs_calls_of_those_alone_who_look_up_meanwhile(
    client: Client, costs: Costs
) -> None:
    for way in by_name(client):
        rider = client.key, way
        failed = costs.failed(rider, lost(COREDNS), back(COREDNS))
        # SOFARPC gives an address up that it can not confirm, and takes it again at the next look.
        assert failed <= (DOWN_S[COREDNS] * CALLS_PER_SECOND if client.key in FAILS else 0), way
        # Afterwards it is as before: this phase follows.
        assert costs.failed(rider, lost(ZOOKEEPER)) == 0, way


@pytest.mark.parametrize("client", CLIENTS + LOCAL, ids=[client.key for client in CLIENTS + LOCAL])
def test_nobody_waits_longer_for_an_answer_than_is_promised(client: Client, costs: Costs) -> None:
    for what in LOSSES:
        phases = lost(what), back(what)
        # What all wait for is the machine: most of those who ask the registry notice no loss.
        still = statistics.median(costs.gap_ms((each.key, REGISTRY), *phases) for each in CLIENTS)
        for way in by_name(client):
            gap = costs.gap_ms((client.key, way), *phases)
            assert gap <= longest_s(client, what) * 1000 + still, (way, what)


@pytest.mark.parametrize("key", sorted(LOOKS_UP))
def test_look_ups_wait_at_first_and_not_for_as_long_as_soadns_is_away(key: str, costs: Costs) -> None:
    for what, part in CALLS_LEFT.items():
        made = {way: costs.calls((key, way), lost(what)) for way in (NAME, REGISTRY)}
        assert made[NAME] >= part * made[REGISTRY], (what, made)


def test_rest_waits_for_coredns_by_name_as_it_does_without_soadns(costs: Costs) -> None:
    """It looks up for each call, and it is the same CoreDNS."""
    gaps = {way: costs.gap_ms(("rest/http", way), lost(COREDNS), back(COREDNS)) for way in (NAME, REGISTRY)}
    assert gaps[NAME] <= gaps[REGISTRY] + 10_000
    failed = {way: costs.failed(("rest/http", way), lost(COREDNS), back(COREDNS)) for way in gaps}
    assert failed[NAME] <= failed[REGISTRY] + CALLS_PER_SECOND


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
    assert (
        restarted.failed <= 2 * AWAY_S[client.protocol] * CALLS_PER_SECOND
    )  # both pods, one after the other
    if client.protocol == "dubbo":
        assert costs.failed(rider, KILLED) < CALLS_PER_SECOND


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_by_the_registry_calls_are_spread_and_by_one_name_they_go_to_one_pod(
    client: Client, costs: Costs
) -> None:
    calm = costs.phases[CALM]
    if client.protocol == "http":  # a connection of each call
        assert len(calm[client.key, NAME].by) == len(calm[client.key, REGISTRY].by) == 2
        return
    if client.program in SCRIPTS:  # a connection of each thread
        return
    assert len(calm[client.key, NAME].by) == 1
    assert len(calm[client.key, REGISTRY].by) == 2
    if TWO_NAMES in client.ways:
        assert costs.failed((client.key, TWO_NAMES), CALM) == 0


@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.key not in LOOKS_UP], ids=lambda client: client.key
)
def test_who_is_connected_stays_with_its_pods_whatever_else_is_lost(client: Client, costs: Costs) -> None:
    before = costs.phases[lost(LOSSES[0])][client.key, NAME].by.keys()
    assert 1 <= len(before) <= (THREADS if client.program in SCRIPTS else 1)
    for what in LOSSES:
        for phase in (lost(what), back(what)):
            assert costs.phases[phase][client.key, NAME].by.keys() == before, phase


def test_the_page_says_what_this_run_found(costs: Costs) -> None:
    assert costs
    found = verdicts.of_faults(page.draft())
    assert verdicts.broken(found) == []
    assert found == verdicts.of_faults(page.PAGE.read_text(encoding="utf-8"))
