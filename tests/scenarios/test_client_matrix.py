"""Unmodified clients of every framework, each by what operators can roll out: it calls by name, follows a move, and
keeps what providers say of timeout and retries.

All of them live in one town at the same time, each framework in a quarter of its own, and make each step together.
What was seen is written for ``docs/clients.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients import page, verdicts
from tests.clients.driving import INTERFACES, USER
from tests.scenarios.stage.outcomes import MATRIX, Outcome, write
from tests.scenarios.stage.promises import BY_THEMSELVES, NEVER
from tests.scenarios.stage.residents import (
    ATTEMPTS_MS,
    CENTRE,
    DIRECT,
    DUBBO,
    FILE,
    GONE_S,
    HOME,
    HOST,
    KEPT_S,
    NODE,
    PROPERTY,
    SOFA_TIMEOUT,
    SOFARPC,
    TIMEOUT_MS,
    URL,
    Client,
    Resident,
)
from tests.scenarios.stage.town import Town
from tests.scenarios.stage.wiretap import AAAA, A, Reply, Wiretap

_, ORDER, INNER, UPPER, DEEP = INTERFACES
FEW = 10
"""Calls that may fail, of a hundred, while the old pods of a Service that an interface has left end."""


def _each(way: str, *, package: str = "com.example") -> dict[str, str]:
    return {interface.replace("com.example", package): way for interface in INTERFACES}


_MIXED = {USER: PROPERTY, ORDER: CENTRE, INNER: FILE, UPPER: FILE, DEEP: PROPERTY}
_AT_HOME = _MIXED | {INNER: HOME, UPPER: HOME}
CLIENTS = {
    client.key: client
    for client in (
        Client(DUBBO, "dubbo-2.6.12", "dubbo", _MIXED | {ORDER: FILE}),  # it has no configuration centre
        Client(DUBBO, "dubbo-2.7.23", "dubbo", _MIXED),
        Client(DUBBO, "dubbo-3.2.16", "dubbo", _MIXED),
        Client(DUBBO, "dubbo-3.2.16", "tri", _AT_HOME),
        Client(DUBBO, "dubbo-3.3.5", "dubbo", _MIXED),
        Client(DUBBO, "dubbo-3.3.5", "tri", _AT_HOME),
        Client(SOFARPC, "sofarpc-5.6.0", "bolt", _each(DIRECT)),
        Client(SOFARPC, "sofarpc-5.12.0", "bolt", _each(DIRECT)),
        Client(NODE, "sofa-rpc-node-2.10.0", "bolt", _each(HOST)),
        Client("REST over HTTP", "rest", "http", _each(URL, package="com.example.rest")),
        Client("private TCP", "private-tcp", "tcp", _each(URL, package="com.example.tcp")),
    )
}
DEAF = {"sofarpc-5.6.0/bolt", "sofa-rpc-node-2.10.0/bolt"}
"""Who takes no timeout from providers, by a direct URL as by the registry."""
_RESTART = "restart callers, while the old pods still serve"
CURES = {
    **dict.fromkeys(NEVER, f"a move: {_RESTART}"),
    "sofarpc-5.6.0/bolt": f"timeout: `{SOFA_TIMEOUT}` in the JVM's options",
    "sofa-rpc-node-2.10.0/bolt": "timeout: `responseTimeout` of the application's code",
}
AT_A_TIME = 4
"""So many programs start at a time, on two cores."""


def _together(residents: list[Resident], step: Callable[[Resident], None], at_a_time: int = 0) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(at_a_time or len(residents)) as threads:
        list(threads.map(step, residents))
    print(f"{step.__name__}: {time.monotonic() - began:.1f} s")


@pytest.fixture(scope="module")
def residents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Resident]]:
    quarters = [client.quarter for client in CLIENTS.values() if client.registered]
    town = Town(tmp_path_factory.mktemp("town"), quarters=quarters, linger="3s")
    try:
        living = {name: Resident(town, client) for name, client in CLIENTS.items()}
        everyone = list(living.values())
        _together(everyone, Resident.provide, AT_A_TIME)
        with Wiretap(town.coredns.home) as wire:
            _together(everyone, Resident.board, AT_A_TIME)
            _together(everyone, Resident.call)
        for each in everyone:
            each.saw["on the wire"] = {
                (name, kind): wire.replies[each.caller.ip, name, kind]
                for name in each.names()
                for kind in (A, AAAA)
            }
        _together(everyone, Resident.wait_for_answers)
        _together(everyone, Resident.move, AT_A_TIME)
        _together(everyone, Resident.stay)
        _together(everyone, Resident.go)
        write(MATRIX, map(_outcome, everyone))
        for each in everyone:
            print(each, each.saw["kept"], each.saw["gone"])
        yield living
    finally:
        town.end()


def _outcome(resident: Resident) -> Outcome:
    client, saw = resident.client, resident.saw
    kept, gone = saw["kept"], saw["gone"]
    return Outcome(
        framework=client.framework, version=client.version, program=client.program, protocol=client.protocol,
        configurations=tuple(dict.fromkeys(client.rolled_out.values())), names=len(resident.interfaces),
        resolves=0 if saw["past the name"] else len(saw["calls"]), calls=len(saw["calls"]),
        generic=not saw["generic"] if "generic" in saw else None,
        follows_kept_s=kept.after_s, kept_watched_s=KEPT_S, follows_gone_s=gone.after_s, gone_watched_s=GONE_S,
        failed_gone=gone.failed, calls_gone=gone.calls, timeout_holds=saw.get("slow"), attempts=saw["attempts"],
        cure=CURES.get(client.key, ""),
    )  # fmt: skip


@pytest.mark.parametrize("name", CLIENTS)
def test_every_interface_is_called_by_name_by_what_operators_roll_out(
    name: str, residents: dict[str, Resident]
) -> None:
    resident = residents[name]
    assert resident.saw["calls"] == list(resident.interfaces)
    assert resident.saw.get("generic", {}) == {}
    assert not resident.saw["past the name"]
    if resident.client.protocol != "http":  # which has no connection between calls
        assert resident.saw["by the name"]
    assert resident.saw.get("not safe", []) == []  # tri is, and was asked for


@pytest.mark.parametrize("name", CLIENTS)
def test_every_name_is_asked_for_both_its_addresses_and_there_is_none_of_ipv6(
    name: str, residents: dict[str, Resident]
) -> None:
    wire = residents[name].saw["on the wire"]
    for owner in residents[name].names():
        assert wire[owner, A] == {Reply(rcode=0, answers=1)}, owner
        assert wire[owner, AAAA] == {Reply(rcode=0, answers=0)}, owner


@pytest.mark.parametrize("name", CLIENTS)
def test_a_call_that_times_out_is_made_once(name: str, residents: dict[str, Resident]) -> None:
    saw = residents[name].saw
    assert saw["attempts"] == 1
    for call in saw["timed out"]:
        assert not call["ok"]
        if residents[name].client.framework == DUBBO:  # the method's own timeout
            assert ATTEMPTS_MS <= call["ms"] + 20 < TIMEOUT_MS


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.registered])
def test_a_providers_timeout_holds_for_boarded_callers_where_it_holds_by_the_registry(
    name: str, residents: dict[str, Resident]
) -> None:
    saw = residents[name].saw
    assert saw["slow"] == (name not in DEAF)
    if name in DEAF:
        assert not saw["slow by the registry"]
        assert saw.get("slow with an option", True)


@pytest.mark.parametrize("name", CLIENTS)
def test_who_follows_to_another_service(name: str, residents: dict[str, Resident]) -> None:
    saw = residents[name].saw
    assert (saw["kept"].after_s is not None) == (name in BY_THEMSELVES), saw["kept"]
    assert saw["kept"].failed == 0
    assert (saw["gone"].after_s is None) == (name in NEVER), saw["gone"]
    assert name in NEVER or saw["gone"].failed <= FEW, saw["gone"]
    assert saw.get("after a restart", {"ok": True})["ok"]


def test_the_page_says_what_this_run_found(residents: dict[str, Resident]) -> None:
    assert residents
    assert verdicts.of_moves(page.draft()) == verdicts.of_moves(page.PAGE.read_text(encoding="utf-8"))
