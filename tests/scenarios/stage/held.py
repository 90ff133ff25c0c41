"""What a run of the timeline is held to: each function lists what is not as ``promises.py`` has it.

No calls prove nothing. So each of them looks first at whether a caller made enough of them in the phases that it is
about, and whether each of those failed or was answered by a pod that provides the interface.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator

from tests.clients.driving import SCRIPTS
from tests.scenarios.stage.promises import (
    BARE_LEAST_S,
    CALLS_LEFT,
    LOOKS_UP,
    OPENED,
    PER_SECOND,
    fails_killed,
    fails_restarted,
    least_calls,
    longest_s,
)
from tests.scenarios.stage.riders import BARE, BY_NAME, CLIENTS, NAME, PODS_EACH, REGISTRY, Client
from tests.scenarios.stage.timeline import (
    AFTERWARDS,
    CALM,
    COREDNS,
    KILLED,
    LOSSES,
    PHASES,
    RESTARTED,
    THREADS,
    Costs,
    back,
    lost,
)


def by_name(client: Client) -> list[str]:
    """The ways in which it calls by name, as operators are told to."""
    return [way for way in client.ways if way in BY_NAME]


def unseen(costs: Costs, client: Client, way: str, *phases: str) -> Iterator[str]:
    """Phases of which nothing can be said: too few calls, or answers of strangers, or of nobody."""
    rider = client.key, way
    for phase in phases:
        tally = costs.phases[phase][rider]
        where = f"{client.key}, {way}, {phase}"
        least = least_calls(client, way, phase, costs.seconds[phase])
        answered = sum(tally.by.values())
        if tally.calls < least:
            yield f"{where}: {tally.calls} calls in {costs.seconds[phase]:.1f} s, of at least {least}"
        if strangers := sorted(tally.by.keys() - costs.pods[rider]):
            yield f"{where}: answered by {', '.join(strangers)}"
        if answered + tally.failed != tally.calls:
            yield f"{where}: {answered} answered and {tally.failed} failed, of {tally.calls}"


def all_the_time(costs: Costs, client: Client) -> list[str]:
    """It calls in each way, from the beginning to the end."""
    return [each for way in client.ways for each in unseen(costs, client, way, *PHASES)]


def losses(costs: Costs, client: Client, ways: Iterable[str]) -> list[str]:
    """No loss costs a call."""
    found = []
    for way in ways:
        for phases in ((CALM,), *((lost(what), back(what)) for what in LOSSES)):
            found += unseen(costs, client, way, *phases)
            if failed := costs.failed((client.key, way), *phases):
                found.append(f"{client.key}, {way}, {phases[0]}: {failed} calls failed")
    return found


def waits(costs: Costs, client: Client) -> list[str]:
    """Nobody is without an answer for longer than is promised, and than the machine lets everybody wait."""
    found = []
    for what in LOSSES:
        phases = lost(what), back(what)
        # What all wait for is the machine: most of those who ask the registry notice no loss.
        still = statistics.median(costs.gap_ms((each.key, REGISTRY), *phases) for each in CLIENTS)
        for way in by_name(client):
            found += unseen(costs, client, way, *phases)
            gap = costs.gap_ms((client.key, way), *phases)
            if gap > longest_s(client, what) * 1000 + still:
                found.append(f"{client.key}, {way}, {what}: {gap / 1000:.1f} s without an answer")
    return found


def look_ups(costs: Costs, key: str) -> list[str]:
    """Look-ups wait at first, and not for as long as soadns is away."""
    [client] = [each for each in CLIENTS if each.key == key]
    assert key in LOOKS_UP
    found = []
    for what, part in CALLS_LEFT.items():
        found += unseen(costs, client, NAME, lost(what))
        found += unseen(costs, client, REGISTRY, lost(what))
        made = {way: costs.calls((key, way), lost(what)) for way in (NAME, REGISTRY)}
        if made[NAME] < part * made[REGISTRY]:
            found.append(f"{key}, {what}: {made}")
    return found


def rest_waits_less(costs: Costs, client: Client) -> list[str]:
    """While CoreDNS is away, it waits by its Service's own name for longer than by the interface's."""
    phases = lost(COREDNS), back(COREDNS)
    found = [*unseen(costs, client, NAME, *phases), *unseen(costs, client, REGISTRY, *phases)]
    gaps = {way: costs.gap_ms((client.key, way), *phases) for way in (NAME, REGISTRY)}
    return [*found, *([] if gaps[NAME] < gaps[REGISTRY] else [f"{client.key}: {gaps}"])]


def restarts(costs: Costs, client: Client) -> list[str]:
    """A connection that breaks when a pod restarts is replaced by one to another pod, soon enough."""
    found = []
    for way in by_name(client):
        rider = client.key, way
        found += unseen(costs, client, way, RESTARTED, AFTERWARDS)
        by, failed = costs.phases[RESTARTED][rider].by, costs.failed(rider, RESTARTED)
        if len(by) != PODS_EACH:
            found.append(f"{client.key}, {way}: answered by {sorted(by)} while all pods restart")
        if failed > fails_restarted(client) + meanwhile(costs, RESTARTED):
            found.append(f"{client.key}, {way}: {failed} calls failed for pods that restart")
        if failed := costs.failed(rider, AFTERWARDS):
            found.append(f"{client.key}, {way}: {failed} calls failed when all pods were there again")
    return found


def meanwhile(costs: Costs, phase: str) -> int:
    """Calls that a caller begins for which nobody can do anything: the machine stands still, and with it who is to take
    a pod out that is gone. On one core of two, callers may go on."""
    return math.ceil(costs.stood_s.get(phase, 0.0) * PER_SECOND)


def kills(costs: Costs, client: Client) -> list[str]:
    """The pod that is killed had its calls, the other one has them then, and no more fail than is promised."""
    found = []
    for way in by_name(client):
        rider = client.key, way
        found += unseen(costs, client, way, AFTERWARDS, KILLED)
        before, after = (costs.phases[phase][rider].by.keys() for phase in (AFTERWARDS, KILLED))
        if not before & costs.killed:
            found.append(f"{client.key}, {way}: no call went to the pod that was killed then")
        if not after - costs.killed:
            found.append(f"{client.key}, {way}: no call went to the pod that was left")
        failed = costs.failed(rider, KILLED)
        if failed > fails_killed(client, way) + meanwhile(costs, KILLED):
            found.append(f"{client.key}, {way}: {failed} calls failed for a pod that is killed")
    return found


def bare(costs: Costs, key: str) -> list[str]:
    """What is in every URL of Dubbo keeps calls going when pods restart: without it they fail for seconds."""
    [client] = [each for each in CLIENTS if each.key == key]
    phases = RESTARTED, AFTERWARDS
    found = [each for way in (BARE, NAME) for each in unseen(costs, client, way, *phases)]
    without, failed = (costs.failed((key, way), *phases) for way in (BARE, NAME))
    if without < BARE_LEAST_S * PER_SECOND:
        found.append(f"{key}: bare, {without} calls failed")
    if failed >= without / PER_SECOND:
        found.append(f"{key}: {failed} calls failed, and bare {without}")
    return found


def connections(costs: Costs, client: Client) -> list[str]:
    """A process opens as many connections as a URL asks for."""
    found = {way: costs.connections[client.key, way] for way in client.ways if way != REGISTRY}
    expected = {way: OPENED[client.key][way] for way in found}
    return [] if found and found == expected else [f"{client.key}: {found}, not {expected}"]


def spread(costs: Costs, client: Client) -> list[str]:
    """By the registry calls are spread over pods, and by one name they go to one, where a process has one connection.

    REST has one for each call, and the private protocol one for each thread, which may meet.
    """
    found = [each for way in client.ways for each in unseen(costs, client, way, CALM)]
    pods = {way: len(costs.phases[CALM][client.key, way].by) for way in (NAME, REGISTRY)}
    if client.protocol == "http":
        right = pods == {NAME: PODS_EACH, REGISTRY: PODS_EACH}
    elif client.program in SCRIPTS:
        right = all(1 <= count <= THREADS for count in pods.values())
    else:
        right = pods == {NAME: 1, REGISTRY: PODS_EACH}
    return found if right else [*found, f"{client.key}: {pods}"]


def stays(costs: Costs, client: Client) -> list[str]:
    """Who looks nothing up while it is connected stays with its pods, whatever else is lost."""
    rider = client.key, NAME
    phases = [phase(what) for what in LOSSES for phase in (lost, back)]
    found = list(unseen(costs, client, NAME, *phases))
    before = costs.phases[phases[0]][rider].by.keys()
    if not 1 <= len(before) <= (THREADS if client.program in SCRIPTS else 1):
        found.append(f"{client.key}: over one connection answered by {sorted(before)}")
    moved = [phase for phase in phases if costs.phases[phase][rider].by.keys() != before]
    return found + [f"{client.key}: {phase} took it elsewhere" for phase in moved]
