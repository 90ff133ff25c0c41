"""One timeline of faults for all clients at once: what each of them costs those who call by name, and those who ask the
registry.

Every client calls an interface in each way in the same process and of the same pods. Names are asked for anew each
second: what an outage costs is seen at once, not only when the JVM's own cache of thirty seconds has run out.
"""

from __future__ import annotations

import pytest

from tests.clients import page, verdicts
from tests.clients.driving import SCRIPTS
from tests.scenarios.stage import costs as figures
from tests.scenarios.stage import held
from tests.scenarios.stage.promises import BARE_FAILS, LEAST_DOWN_S, LOOKS_UP
from tests.scenarios.stage.riders import CLIENTS, LOCAL, Client, Crowd
from tests.scenarios.stage.timeline import DOWN_S, KILLED, LOSSES, RESTARTED, Costs, Timeline
from tests.scenarios.stage.town import Town

pytestmark = pytest.mark.alone

KEYS = [client.key for client in CLIENTS]
BEHIND = [client.key for client in LOCAL]


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Costs:
    town = Town(tmp_path_factory.mktemp("faults"))
    try:
        local = town.node_local()
        local.start()
        crowd = Crowd(town)
        found = Timeline(town, crowd.waves).run(crowd.riders)
    finally:
        town.end()
    figures.write(found)
    print(found)
    return found


@pytest.mark.parametrize("what", LOSSES)
def test_each_loss_lasts(what: str, costs: Costs) -> None:
    away = costs.away[what]
    assert LEAST_DOWN_S <= DOWN_S[what] <= away.down_s <= away.back_s


@pytest.mark.parametrize("client", CLIENTS + LOCAL, ids=KEYS + BEHIND)
def test_everybody_calls_in_all_ways_from_beginning_to_end(client: Client, costs: Costs) -> None:
    assert held.all_the_time(costs, client) == []


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_no_loss_costs_a_call(client: Client, costs: Costs) -> None:
    assert held.losses(costs, client, held.by_name(client)) == []


@pytest.mark.parametrize("client", LOCAL, ids=BEHIND)
def test_behind_nodelocal_dnscache_no_loss_costs_a_call(client: Client, costs: Costs) -> None:
    assert held.losses(costs, client, client.ways) == []


@pytest.mark.parametrize("client", CLIENTS + LOCAL, ids=KEYS + BEHIND)
def test_nobody_waits_longer_for_an_answer_than_is_promised(client: Client, costs: Costs) -> None:
    assert held.waits(costs, client) == []


@pytest.mark.parametrize("key", sorted(LOOKS_UP))
def test_look_ups_wait_at_first_and_not_for_as_long_as_soadns_is_away(key: str, costs: Costs) -> None:
    assert held.look_ups(costs, key) == []


def test_rest_waits_for_coredns_by_its_services_name_and_asks_soadns_by_the_interfaces(costs: Costs) -> None:
    """It looks up for each call, and in the same pod."""
    [rest] = [client for client in CLIENTS if client.program == "rest"]
    assert held.rest_waits_less(costs, rest) == []


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_a_connection_that_breaks_is_replaced_by_one_to_another_pod(client: Client, costs: Costs) -> None:
    assert held.restarts(costs, client) == []


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_a_pod_that_is_killed_costs_no_more_calls_than_is_promised(client: Client, costs: Costs) -> None:
    """With its URL twice, or with two names, less where that is a cure."""
    assert held.kills(costs, client) == []


@pytest.mark.parametrize("key", sorted(BARE_FAILS))
def test_what_is_in_every_url_of_dubbo_keeps_calls_going_when_pods_restart(key: str, costs: Costs) -> None:
    assert held.bare(costs, key) == []


@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.program not in SCRIPTS], ids=lambda client: client.key
)
def test_so_many_connections_are_opened_as_a_url_asks_for(client: Client, costs: Costs) -> None:
    assert held.connections(costs, client) == []


@pytest.mark.parametrize("client", CLIENTS, ids=KEYS)
def test_by_the_registry_calls_are_spread_and_by_one_name_they_go_to_one_pod(
    client: Client, costs: Costs
) -> None:
    assert held.spread(costs, client) == []


@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.key not in LOOKS_UP], ids=lambda client: client.key
)
def test_who_is_connected_stays_with_its_pods_whatever_else_is_lost(client: Client, costs: Costs) -> None:
    assert held.stays(costs, client) == []


def test_the_page_says_what_this_run_found(costs: Costs) -> None:
    assert costs
    found = verdicts.of_faults(page.draft())
    assert verdicts.broken(found) == []
    restarted, killed = (held.meanwhile(costs, phase) for phase in (RESTARTED, KILLED))
    assert verdicts.beyond_faults(page.draft(), restarted=restarted, killed=killed) == []
    assert found == verdicts.of_faults(page.PAGE.read_text(encoding="utf-8"))
