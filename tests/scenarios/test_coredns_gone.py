"""Real callers while CoreDNS is killed: one of two, and all of it; with soadns beside it in their pods' resolv.conf."""

from __future__ import annotations

import math
import time
from functools import partial

import pytest

from tests.scenarios.stage import beside
from tests.scenarios.stage.beside import (
    ALL,
    ALONE,
    BESIDE,
    BUSY_S,
    CLIENTS,
    GONE_S,
    IN_THE_MOMENT,
    ONE,
    SOADNS,
    THREADS,
    TURNS_S,
    Pods,
    Rows,
)
from tests.scenarios.stage.clients import Caller, Tally
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.town import Behind, Town, at_once
from tests.stalls import Machine

ONE_S, AFTER_S = 6.0, 14.0
"""How long one is gone; how long is looked on after the return of all: SOFARPC looks a name up every ten seconds."""
TIMEOUT_MS = 5000
EVERY_MS = 100
PART_MADE = 0.4
"""Who waits for nothing makes so much of its calls, at least, on a machine that does much else."""
LOST_S = 5.0
"""So long a resolver waits for the answer to a question that went to the one that died, and then asks again."""
LEAST_ONE = int(PART_MADE * (ONE_S - LOST_S) * THREADS * 1000 / EVERY_MS)
LEAST_ALL = int(THREADS * GONE_S / (2 * TURNS_S) + PART_MADE * AFTER_S * THREADS * 1000 / EVERY_MS)
"""While all of it is gone, each thread may wait for each call."""
WHOLE = ALL.format(GONE_S)
IN_WORDS = list(CLIENTS)


def interface_of(protocol: str) -> str:
    return f"com.example.{protocol}.ByName"


class Callers:
    """Each client in a pod that asks CoreDNS alone, and in one that has soadns beside it."""

    def __init__(self, town: Town) -> None:
        self._town = town
        programs = {"bolt": "sofarpc-5.12.0", "dubbo": "dubbo-3.3.5", "rest": "rest"}
        providers = [self._provider(program, protocol) for protocol, program in programs.items()]
        at_once(Behind.start, providers)
        for protocol, provider in zip(programs, providers, strict=True):
            town.knows(interface_of(protocol), provider.service)
        self._callers: dict[tuple[str, Pods], Caller] = {}
        at_once(self._start, [(client, pods) for client in CLIENTS for pods in (ALONE, BESIDE)])

    def _provider(self, program: str, protocol: str) -> Behind:
        service = self._town.shop(f"shop-{protocol}", protocol)
        return self._town.pod(program, service, interface_of(protocol), timeout=TIMEOUT_MS)

    def _start(self, whose: tuple[str, Pods]) -> None:
        client, pods = whose
        program, protocol = CLIENTS[client]
        interface = interface_of(protocol)
        caller = self._town.caller(
            program, f"caller-{protocol}", started=False, further=pods.beside, resolver=pods.options
        )
        form = "sofa" if protocol == "bolt" else "resolve"
        if protocol == "rest":
            caller.direct[interface] = {"url": self._town.address(interface, protocol)}
        else:
            [line] = [
                line
                for line in self._town.exported("--interface", interface, "--format", form).splitlines()
                if line and not line.startswith("#")
            ]
            (caller.folder / "dubbo-resolve.properties").write_text(f"{line}\n")
            if protocol == "bolt":
                caller.direct[interface] = {"directUrl": line.partition("=")[2]}
        caller.start("-Dsun.net.inetaddr.ttl=1")  # what an outage costs is seen at once
        caller.refer(interface, **({"timeout": TIMEOUT_MS} if protocol == "rest" else {}))
        first = eventually(
            partial(caller.tries, interface), within=30.0, until=lambda answer: bool(answer["ok"])
        )
        assert first["ok"], f"{client}: {first}"
        caller.steady(interface, every_ms=EVERY_MS, threads=THREADS)
        self._callers[whose] = caller

    def tallies(self) -> dict[tuple[str, str], Tally]:
        """What became of all calls since the last look."""
        return {(client, pods.asks): caller.tally() for (client, pods), caller in self._callers.items()}


@pytest.fixture(scope="module")
def machine() -> Machine:
    """What looks on while one of two CoreDNS is killed."""
    return Machine()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, machine: Machine) -> Rows:
    town = Town(tmp_path_factory.mktemp("gone"))
    try:
        assert town.soadns[0].service.cluster_ip == SOADNS
        second = town.second_coredns()
        callers = Callers(town)
        callers.tallies()
        with machine:
            town.kill(second)
            time.sleep(ONE_S)
            one = callers.tallies()
        town.restart(second)
        callers.tallies()
        town.kill(second, town.coredns)
        time.sleep(GONE_S)
        town.restart(second, town.coredns)
        time.sleep(AFTER_S)
        whole = callers.tallies()
    finally:
        town.end()
    found = {key: {ONE: one[key], WHOLE: whole[key]} for key in whole}
    beside.write(found)
    print("\n".join(beside.table(found)))
    return found


def assert_proves(tally: Tally, least: int) -> None:
    """So many calls were made at least, and each failed or was answered by the one pod that there is."""
    assert tally.calls >= least, tally
    assert len(tally.by) == 1, tally
    assert sum(tally.by.values()) + tally.failed == tally.calls, tally


@pytest.mark.parametrize("client", IN_WORDS)
def test_one_of_two_costs_no_call_who_can_ask_soadns_and_others_those_of_its_last_moment(
    client: str, rows: Rows, machine: Machine
) -> None:
    """Until kube-proxy has taken it out, the dead one refuses a question, and may be met again by the next try.

    That is a moment; one in which the machine stands still, and kube-proxy with it, is so much longer.
    """
    longer = math.ceil(machine.outcome.longest_ms / EVERY_MS) * THREADS
    for pods, most in ((BESIDE, 0), (ALONE, IN_THE_MOMENT + longer)):
        tally = rows[client, pods.asks][ONE]
        assert_proves(tally, LEAST_ONE)
        assert tally.failed <= most, tally


@pytest.mark.parametrize("client", IN_WORDS)
def test_who_can_ask_soadns_loses_no_call_while_all_of_coredns_is_gone(client: str, rows: Rows) -> None:
    tally = rows[client, BESIDE.asks][WHOLE]
    assert_proves(tally, LEAST_ALL)
    assert tally.failed == 0, tally
    assert tally.longest_gap_ms <= BUSY_S * 1000


def test_sofarpc_does_lose_calls_where_nobody_else_can_be_asked(rows: Rows) -> None:
    """It is why: every ten seconds it looks the name up, and gives up an address that it can not confirm."""
    [sofarpc] = [client for client, (program, _) in CLIENTS.items() if program.startswith("sofarpc")]
    assert rows[sofarpc, ALONE.asks][WHOLE].failed
