"""What a run of the timeline is held to is found to be so only by calls that were made, and answered by pods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from tests.clients.driving import SCRIPTS
from tests.scenarios.stage import held
from tests.scenarios.stage.clients import Tally
from tests.scenarios.stage.promises import (
    BARE_FAILS,
    BARE_LEAST_S,
    LOOKS_UP,
    OPENED,
    PER_SECOND,
    fails_killed,
    fails_restarted,
    least_calls,
)
from tests.scenarios.stage.riders import BARE, BY_NAME, CLIENTS, LOCAL, NAME, REGISTRY, Client
from tests.scenarios.stage.timeline import (
    AFTERWARDS,
    CALM,
    COREDNS,
    KILLED,
    LOSSES,
    PHASES,
    RESTARTED,
    SILENT,
    SOADNS,
    ZOOKEEPER,
    Costs,
    back,
    lost,
)

SECONDS = 40.0
FIRST, SECOND = "shop-1", "shop-2"
"""Two pods: the first one is killed."""
EVERYBODY = CLIENTS + LOCAL
LOOKING = [client for client in CLIENTS if client.key in LOOKS_UP]
CONNECTED = [client for client in CLIENTS if client.key not in LOOKS_UP]
REST = [client for client in CLIENTS if client.program == "rest"]
Change = Callable[[Tally], Tally]

VERDICTS: Mapping[str, tuple[Callable[[Costs, Client], list[str]], list[Client]]] = {
    "all the time": (held.all_the_time, [*EVERYBODY]),
    "losses": (lambda costs, client: held.losses(costs, client, client.ways), [*EVERYBODY]),
    "waits": (held.waits, [*EVERYBODY]),
    "look-ups": (lambda costs, client: held.look_ups(costs, client.key), LOOKING),
    "REST waits less": (held.rest_waits_less, REST),
    "restarts": (held.restarts, [*CLIENTS]),
    "kills": (held.kills, [*CLIENTS]),
    "bare": (
        lambda costs, client: held.bare(costs, client.key),
        [client for client in CLIENTS if client.key in BARE_FAILS],
    ),
    "spread": (held.spread, [*CLIENTS]),
    "stays": (held.stays, CONNECTED),
}
EACH = [(name, client) for name, (_, clients) in VERDICTS.items() for client in clients]


def tally(client: Client, way: str, phase: str) -> Tally:
    """What an uneventful run finds."""
    calls = int(SECONDS * PER_SECOND)
    both = way == REGISTRY or phase in (RESTARTED, KILLED) or client.protocol == "http"
    failed = 0
    if way == BARE and client.key in BARE_FAILS and phase == RESTARTED:
        failed = calls - 10
    good = calls - failed
    by = {FIRST: good - 5, SECOND: 5} if both else {FIRST: good}
    gap = 100.0
    if client.key == "rest/http" and way == REGISTRY and phase == lost(COREDNS):
        gap = 20_000.0
    return Tally(calls=calls, failed=failed, by=by, longest_gap_ms=gap)


def ridden() -> Iterator[tuple[Client, str]]:
    for client in EVERYBODY:
        for way in client.ways:
            yield client, way


def run() -> Costs:
    """A run that is as promised."""
    return Costs(
        phases={
            phase: {(client.key, way): tally(client, way, phase) for client, way in ridden()}
            for phase in PHASES
        },
        away={},
        connections={(client.key, way): OPENED.get(client.key, {}).get(way, 1) for client, way in ridden()},
        seconds=dict.fromkeys(PHASES, SECONDS),
        pods={(client.key, way): frozenset({FIRST, SECOND}) for client, way in ridden()},
        killed=frozenset({FIRST}),
    )


def changed(costs: Costs, client: Client, way: str, phase: str, change: Change) -> Costs:
    """The same run, but for one tally."""
    rider = client.key, way
    there = costs.phases[phase]
    return replace(costs, phases={**costs.phases, phase: {**there, rider: change(there[rider])}})


def all_changed(costs: Costs, change: Change) -> Costs:
    """The same run with other tallies."""
    phases = {
        phase: {rider: change(found) for rider, found in there.items()}
        for phase, there in costs.phases.items()
    }
    return replace(costs, phases=phases)


@pytest.mark.parametrize(("name", "client"), EACH, ids=lambda each: getattr(each, "key", each))
def test_a_verdict_is_good_of_a_good_run_and_bad_of_one_in_which_nobody_called(
    name: str, client: Client
) -> None:
    verdict, _ = VERDICTS[name]
    costs = run()
    assert verdict(costs, client) == []
    assert verdict(all_changed(costs, lambda _: Tally()), client)


@pytest.mark.parametrize(("name", "client"), EACH, ids=lambda each: getattr(each, "key", each))
def test_a_verdict_is_bad_where_strangers_answered_or_nobody_knows_who(name: str, client: Client) -> None:
    verdict, _ = VERDICTS[name]
    elsewhere = all_changed(run(), lambda it: replace(it, by={"elsewhere": it.calls - it.failed}))
    assert verdict(elsewhere, client)
    unknown = all_changed(run(), lambda it: replace(it, by=dict.fromkeys(it.by, 1)))
    assert verdict(unknown, client)


@pytest.mark.parametrize(("name", "client"), EACH, ids=lambda each: getattr(each, "key", each))
def test_there_is_no_verdict_without_a_row(name: str, client: Client) -> None:
    verdict, _ = VERDICTS[name]
    costs = run()
    for phase in PHASES:
        costs = replace(costs, phases={**costs.phases, phase: {}})
    with pytest.raises(KeyError):
        verdict(costs, client)


def test_who_calls_has_a_pace() -> None:
    by_key = {client.key: client for client in EVERYBODY}
    dubbo, rest, local = (by_key[key] for key in ("dubbo-2.6.12/dubbo", "rest/http", "rest/http, NodeLocal"))
    for client, way in ridden():
        for phase in PHASES:
            least = least_calls(client, way, phase, SECONDS)
            assert least < SECONDS * PER_SECOND / 2
            # REST by its Service's own name waits until CoreDNS is back.
            alone = (client.key, way, phase) == (rest.key, REGISTRY, lost(COREDNS))
            assert (least == 0) == alone, (client.key, way, phase)
    assert least_calls(dubbo, NAME, lost(COREDNS), SECONDS) == SECONDS * PER_SECOND * 0.4
    assert least_calls(local, NAME, lost(COREDNS), SECONDS) == SECONDS * PER_SECOND * 0.4
    assert least_calls(rest, NAME, lost(COREDNS), 18.0) == 6
    assert least_calls(rest, NAME, lost(SILENT), SECONDS) < least_calls(rest, REGISTRY, lost(SILENT), SECONDS)
    assert least_calls(dubbo, NAME, KILLED, SECONDS) < least_calls(dubbo, NAME, CALM, SECONDS)


@pytest.mark.parametrize(("client", "way"), [each for each in ridden() if each[1] in BY_NAME])
def test_what_is_not_as_promised_is_found(client: Client, way: str) -> None:
    costs = run()

    def found(phase: str, change: Change) -> Costs:
        return changed(costs, client, way, phase, change)

    def failing(count: int) -> Change:
        def fail(it: Tally) -> Tally:
            [most, *_] = sorted(it.by, key=lambda name: -it.by[name])
            return replace(it, failed=count, by={**it.by, most: it.by[most] - count})

        return fail

    for what in LOSSES:
        for phase in (lost(what), back(what)):
            assert held.losses(found(phase, failing(1)), client, [way])
            assert held.waits(found(phase, lambda it: replace(it, longest_gap_ms=30_000.0)), client)
    if client in LOCAL:
        return
    for count, phase, verdict in (
        (fails_restarted(client), RESTARTED, held.restarts),
        (0, AFTERWARDS, held.restarts),
        (fails_killed(client, way), KILLED, held.kills),
    ):
        assert verdict(found(phase, failing(count)), client) == []
        assert verdict(found(phase, failing(count + 1)), client)
        stood = replace(found(phase, failing(count + 5)), stood_s={phase: 5 / PER_SECOND})
        assert (verdict(stood, client) == []) == (phase != AFTERWARDS), "nobody was to be taken out"
    # The pod that was killed had no calls, or the other one has none afterwards.
    assert held.kills(found(AFTERWARDS, lambda it: replace(it, by={SECOND: it.calls})), client)
    assert held.kills(found(KILLED, lambda it: replace(it, by={FIRST: it.calls})), client)
    assert held.restarts(found(RESTARTED, lambda it: replace(it, by={FIRST: it.calls})), client)
    if way == NAME and client.program not in SCRIPTS:
        assert held.spread(found(CALM, lambda it: replace(it, by={FIRST: 5, SECOND: it.calls - 5})), client)
    if client.program not in SCRIPTS:
        opened = {**costs.connections, (client.key, way): 7}
        assert held.connections(costs, client) == []
        assert held.connections(replace(costs, connections=opened), client)


def test_who_is_taken_elsewhere_is_found() -> None:
    for client in CONNECTED:
        moved = changed(run(), client, NAME, back(ZOOKEEPER), lambda it: replace(it, by={SECOND: it.calls}))
        assert held.stays(moved, client) == [f"{client.key}: {back(ZOOKEEPER)} took it elsewhere"]


def test_who_waits_for_as_long_as_soadns_is_away_is_found() -> None:
    for client in LOOKING:
        for what in (SOADNS, SILENT):
            few = changed(run(), client, NAME, lost(what), of(int(SECONDS * PER_SECOND * 0.3)))
            assert held.look_ups(few, client.key)


def of(calls: int) -> Change:
    return lambda it: replace(it, calls=calls, by={FIRST: calls} if calls else {})


@pytest.mark.parametrize("way", [NAME, REGISTRY])
@pytest.mark.parametrize("client", LOOKING, ids=lambda client: client.key)
def test_a_comparison_takes_calls_on_both_sides(client: Client, way: str) -> None:
    few = changed(run(), client, way, lost(SOADNS), of(1))
    assert any("1 calls in" in each for each in held.look_ups(few, client.key))


@pytest.mark.parametrize("key", sorted(BARE_FAILS))
def test_who_needs_no_parameters_or_is_not_helped_by_them_is_found(key: str) -> None:
    [client] = [each for each in CLIENTS if each.key == key]

    def failing(way: str, count: int) -> list[str]:
        change: Change = lambda it: replace(it, failed=count, by={FIRST: it.calls - count})  # noqa: E731
        return held.bare(changed(run(), client, way, RESTARTED, change), key)

    assert failing(BARE, 10 * PER_SECOND) == []
    few = int(BARE_LEAST_S * PER_SECOND) - 1
    assert failing(BARE, few) == [f"{key}: bare, {few} calls failed"]
    many = int(SECONDS * PER_SECOND) - 10
    assert failing(NAME, many // PER_SECOND + 1) == [
        f"{key}: {many // PER_SECOND + 1} calls failed, and bare {many}"
    ]


def test_calls_go_to_so_many_pods_as_there_are_connections() -> None:
    calls = int(SECONDS * PER_SECOND)
    three = {FIRST: calls - 100, SECOND: 50, "shop-3": 50}
    for client in CLIENTS:
        one = changed(run(), client, REGISTRY, CALM, lambda it: replace(it, by={FIRST: it.calls}))
        assert (held.spread(one, client) == []) == (client.program == "private-tcp")
        more = changed(run(), client, NAME, CALM, lambda it: replace(it, by=three))
        assert held.spread(more, client)[-1].startswith(f"{client.key}: {{")
        if client in CONNECTED:
            everywhere = all_changed(run(), lambda it: replace(it, by=three))
            assert "over one connection" in held.stays(everywhere, client)[-1]
