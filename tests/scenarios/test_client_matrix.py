"""Unmodified clients of every framework, each by what operators can roll out: it calls by name, follows a move, and
keeps what providers say of timeout and retries.

All of them live in one town at the same time, each framework in a quarter of its own, and make each step together.
What was seen is written for ``docs/clients.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.clients import page, verdicts
from tests.clients.driving import INTERFACES, USER
from tests.scenarios.stage import moved
from tests.scenarios.stage.outcomes import MATRIX, Outcome, write
from tests.scenarios.stage.promises import DEAF, ENDING, NEVER
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
from tests.scenarios.stage.riders import AT_A_TIME, RECONNECT
from tests.scenarios.stage.town import Town, at_once
from tests.scenarios.stage.wiretap import AAAA, A, Reply, Wiretap

_, ORDER, INNER, UPPER, DEEP = INTERFACES


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
        Client(SOFARPC, "sofarpc-5.6.0", "bolt", _each(DIRECT), (RECONNECT,)),
        Client(SOFARPC, "sofarpc-5.12.0", "bolt", _each(DIRECT), (RECONNECT,)),
        Client(NODE, "sofa-rpc-node-2.10.0", "bolt", _each(HOST)),
        Client("REST over HTTP", "rest", "http", _each(URL, package="com.example.rest")),
        Client("private TCP", "private-tcp", "tcp", _each(URL, package="com.example.tcp")),
    )
}
_RESTART = "restart callers, while the old pods still serve"
CURES = {
    **dict.fromkeys(NEVER, f"a move: {_RESTART}"),
    "sofarpc-5.6.0/bolt": f"timeout: `{SOFA_TIMEOUT}` in the JVM's options",
    "sofa-rpc-node-2.10.0/bolt": "timeout: `responseTimeout` of the application's code",
}


def _together(residents: list[Resident], step: Callable[[Resident], None], at_a_time: int = 0) -> None:
    began = time.monotonic()
    at_once(step, residents, most=at_a_time)
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
            _together(everyone, Resident.call, AT_A_TIME)
        for each in everyone:
            each.saw["on the wire"] = {
                (name, kind): wire.replies[each.caller.ip, name, kind]
                for name in each.names()
                for kind in (A, AAAA)
            }
            each.saw["asked"] = {name for who, name, _ in wire.replies if who == each.caller.ip}
        _together(everyone, Resident.wait_for_answers)
        _together(everyone, Resident.appear_elsewhere, AT_A_TIME)
        _together(everyone, Resident.move)
        _together(sorted(everyone, key=lambda each: each.client.key not in NEVER), Resident.go, ENDING)
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
        framework=client.framework, version=saw["version"], program=client.program, protocol=client.protocol,
        configurations=(*dict.fromkeys(client.rolled_out.values()), *client.java), names=len(resident.interfaces),
        resolves=len(_answered(resident)), calls=len(saw["calls"]),
        generic=saw["generic"] == saw["calls"] if "generic" in saw else None,
        follows_kept_s=kept.after_s, kept_watched_s=KEPT_S, calls_kept=kept.calls,
        follows_gone_s=gone.after_s, gone_watched_s=GONE_S,
        failed_gone=gone.failed, calls_gone=gone.calls, timeout_holds=saw.get("slow"), attempts=max(saw["attempts"]),
        cure=CURES.get(client.key, ""),
    )  # fmt: skip


ADDRESS, NO_ADDRESS = Reply(rcode=0, answers=1), Reply(rcode=0, answers=0)


def _answered(resident: Resident) -> list[str]:
    """The names for which its pod was seen to ask, and got an address."""
    return [name for name in resident.names() if resident.saw["on the wire"][name, A] == {ADDRESS}]


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.registered])
def test_what_runs_is_what_is_said_to_run(name: str, residents: dict[str, Resident]) -> None:
    assert residents[name].client.version
    assert residents[name].saw["version"] == residents[name].client.version


@pytest.mark.parametrize("name", CLIENTS)
def test_every_interface_is_called_by_name_by_what_operators_roll_out(
    name: str, residents: dict[str, Resident]
) -> None:
    resident = residents[name]
    assert len(resident.interfaces) == len(INTERFACES)
    assert resident.saw["calls"] == list(resident.interfaces)
    if resident.client.framework in {DUBBO, SOFARPC}:  # the others have no generic invocation
        assert resident.saw["generic"] == list(resident.interfaces)
    assert not resident.saw["past the name"]
    if resident.client.protocol != "http":  # which has no connection between calls
        assert resident.saw["by the name"]
    if resident.client.registered:
        assert resident.saw["not safe"] == []  # tri is, and was asked for


@pytest.mark.parametrize("name", CLIENTS)
def test_every_name_is_asked_for_both_its_addresses_and_there_is_none_of_ipv6(
    name: str, residents: dict[str, Resident]
) -> None:
    resident = residents[name]
    assert _answered(resident) == resident.names()
    for owner in resident.names():
        assert resident.saw["on the wire"][owner, AAAA] == {NO_ADDRESS}, owner
    # Each has so many dots that none of the search list was tried, though ``ndots`` is 5.
    assert {name for name in resident.saw["asked"] if name.startswith("com.")} == set(resident.names())


@pytest.mark.parametrize("name", CLIENTS)
def test_a_call_that_times_out_is_made_once(name: str, residents: dict[str, Resident]) -> None:
    saw = residents[name].saw
    assert saw["attempts"] == [1] * len(saw["timed out"])
    assert len(saw["timed out"]) == (2 if residents[name].client.framework == DUBBO else 1)
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
        if residents[name].client.framework == SOFARPC:
            assert saw["slow with an option"]


@pytest.mark.parametrize("name", CLIENTS)
def test_who_follows_to_another_service(name: str, residents: dict[str, Resident]) -> None:
    resident = residents[name]
    old, new = (pod.home.name for pod in resident.pods)
    assert moved.kept(name, old, new, resident.saw["kept"]) == []
    assert moved.gone(name, old, new, resident.saw["gone"]) == []
    if name in NEVER:
        assert moved.restarted(name, new, resident.saw["after a restart"]) == []


def test_the_page_says_what_this_run_found(residents: dict[str, Resident]) -> None:
    assert residents
    draft = page.draft()
    assert verdicts.beyond_moves(draft) == []
    assert verdicts.of_moves(draft) == verdicts.of_moves(page.PAGE.read_text(encoding="utf-8"))
