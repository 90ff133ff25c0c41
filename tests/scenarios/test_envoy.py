"""Envoy without Istio beside real Dubbo applications: an interface moves under their connections, versions and the old
world are told apart, and calls go on without soadns. Each test leaves the town as it found it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.clients import Caller, Provider, Tally
from tests.scenarios.stage.envoys import DRAIN_S, Follower, PlainEnvoy
from tests.scenarios.stage.network import OLD_WORLD
from tests.scenarios.stage.process import command_of, eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind, Town, at_once

STAYS, MOVES, OLD, OTHER, SPLIT = INTERFACES
PROVIDER = "dubbo-3.3.5"
CALLERS = {
    f"{program}, {way}": (program, way) for program in ("dubbo-2.7.23", "dubbo-3.3.5") for way in ("files", "ads")
}  # fmt: skip
"""Programs that call, and how their Envoys are told."""
ADS_PORT = 15010
LINES = {"stays": STAYS, "moves": MOVES}
EVERY_MS = 10


@dataclass
class Estate:
    """Two Services, between which ``MOVES`` moves while callers are connected to the first."""

    town: Town
    user: Service
    account: Service
    old: Behind
    new: Behind
    callers: dict[str, Caller] = field(default_factory=dict)
    envoys: dict[str, PlainEnvoy] = field(default_factory=dict)
    followers: dict[str, Follower] = field(default_factory=dict)
    at_account: list[str] = field(default_factory=list)
    """Znodes of what moves, at ``account``, while it is not there."""

    def call(self, kind: str) -> None:
        """Give an application an Envoy, references to what it calls, and start it."""
        town, (program, way) = self.town, CALLERS[kind]
        name = node(kind)
        caller = self.callers[kind] = town.caller(program, name, started=False)
        if way == "files":
            follower = self.followers[kind] = Follower(town.operator, caller.folder / "files")
            follower.start()
            bootstrap = follower.bootstrap
        else:
            servers = ",".join(f"{each.home.ip}:{ADS_PORT}" for each in town.soadns)
            folder = caller.folder / "start"
            done = town.operator.verb("export", "envoy", str(folder), "--ads", servers, "--node", name)
            assert done.returncode == 0, done.stderr
            bootstrap = folder / "bootstrap.json"
        envoy = self.envoys[kind] = PlainEnvoy(caller, bootstrap)
        envoy.start()
        at = f"{self.user.cluster_ip}_{self.user.port}"
        assert eventually(lambda: at in envoy.listeners(), within=60.0), envoy.process.tail()
        caller.start("-Dsun.net.inetaddr.ttl=1")
        for interface, url in self.urls(STAYS, MOVES, OLD).items():
            caller.direct[interface] = {"url": url, "timeout": 10_000, "retries": 0}
        for interface in (STAYS, MOVES, OLD):
            caller.refer(interface)

    def urls(self, *interfaces: str) -> dict[str, str]:
        """What soadns exports, with the name of the one Service, so that the framework shares the connection."""
        found = {}
        for name in interfaces:
            text = self.town.exported("--interface", name)
            [url] = [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]
            found[name] = re.sub("://[^:]+", f"://{host(self.user)}", url)
        return found


def node(kind: str) -> str:
    """What a caller is called, and its Envoy."""
    return "-".join(CALLERS[kind]).replace(".", "-")


def host(service: Service) -> str:
    return f"{service.name}.{service.namespace}.svc.cluster.local"


def cluster(service: Service) -> str:
    return f"outbound|{service.port}||{host(service)}"


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    town = Town(
        tmp_path_factory.mktemp("envoy"),
        linger="3s",
        sidecar=lambda ip: {"ads": {"listen": f"{ip}:{ADS_PORT}"}},
    )
    try:
        names = ("user", "account", "one", "two")
        services = dict(zip(names, (town.shop(name, "dubbo") for name in names), strict=True))
        provided = {"user": (STAYS, MOVES, OLD), "account": (MOVES, OTHER), "one": (SPLIT,), "two": (SPLIT,)}
        versions = {"one": "1.0.0", "two": "2.0.0"}

        def provide(name: str) -> Behind:
            said = {"version": versions[name]} if name in versions else {}
            return town.register(PROVIDER, services[name], *provided[name], **said)

        pods = {"user": provide("user")}
        for interface in provided["user"]:  # before anybody else has them
            town.knows(interface, services["user"], within=30.0)
        pods |= dict(zip(names[1:], at_once(provide, names[1:]), strict=True))
        found = Estate(town, services["user"], services["account"], pods["user"], pods["account"])
        found.at_account = town.deregister(found.new, MOVES)
        at_once(found.call, CALLERS)
        yield found
    finally:
        town.end()


# --------------------------------------------------------------------------- a move


@dataclass
class Seen:
    """What became of the steady calls of a caller."""

    failed: int = 0
    calls: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    by: dict[str, int] = field(default_factory=dict)
    after_s: float | None = None

    def add(self, tally: Tally) -> None:
        self.failed += tally.failed
        self.calls += tally.calls
        self.errors |= tally.errors
        for name, count in tally.by.items():
            self.by[name] = self.by.get(name, 0) + count


def connections(estate: Estate, kind: str) -> set[int]:
    """Those of a caller to the ClusterIP that both interfaces share, by its own ports."""
    found = estate.callers[kind].connections(estate.user.port)
    return {own for own, address in found if address == estate.user.cluster_ip}


def watched(estate: Estate, happens: Callable[[], None], there: Behind) -> dict[tuple[str, str], Seen]:
    """What becomes of all steady calls while something happens, until ``moves`` arrives there and for a drain more."""
    seen = {(kind, name): Seen() for kind in CALLERS for name in LINES}
    for kind, name in seen:
        estate.callers[kind].tally(name)
    before = {kind: connections(estate, kind) for kind in CALLERS}
    began = time.monotonic()
    happens()
    end = None
    while end is None or time.monotonic() < end:
        for (kind, name), found in seen.items():
            tally = estate.callers[kind].tally(name)
            found.add(tally)
            if found.after_s is None and there.home.name in tally.by:
                found.after_s = round(time.monotonic() - began, 3)
        if end is None and all(seen[kind, "moves"].after_s is not None for kind in CALLERS):
            end = time.monotonic() + DRAIN_S + 1.0
        assert time.monotonic() - began < 60.0, f"{seen}\n{estate.town.operator.cli('routes')[1]}"
        time.sleep(0.02)
    for kind in CALLERS:
        after = connections(estate, kind)
        assert before[kind], kind
        assert before[kind] <= after, f"{kind}: connections were cut: {before[kind]}, {after}"
    for key, found in seen.items():
        print(key, found)
        assert (found.failed, found.errors) == (0, {}), f"{key}: {found}"
    return seen


@pytest.fixture(scope="module")
def calling(estate: Estate) -> Estate:
    """All callers call all the time what stays and what moves, each over one connection."""
    for caller in estate.callers.values():
        for name, interface in LINES.items():
            caller.steady(interface, every_ms=EVERY_MS, threads=1, name=name)
    return estate


def test_requests_follow_an_interface_that_moves_and_no_connection_is_cut(calling: Estate) -> None:
    estate = calling
    at_user: list[str] = []

    def move() -> None:
        estate.town.register_again(estate.at_account)
        at_user.extend(estate.town.deregister(estate.old, MOVES))

    def back() -> None:
        estate.town.register_again(at_user)
        estate.town.deregister(estate.new, MOVES)

    seen = watched(estate, move, estate.new)
    for kind in CALLERS:
        assert set(seen[kind, "stays"].by) == {estate.old.home.name}
        assert len(connections(estate, kind)) == 1
        assert estate.callers[kind].call(MOVES) == estate.new.home.name
    seen = watched(estate, back, estate.old)
    for kind in CALLERS:
        assert set(seen[kind, "stays"].by) == {estate.old.home.name}
        assert estate.callers[kind].call(MOVES) == estate.old.home.name


def test_calls_go_on_without_soadns_and_envoy_starts_without_it(calling: Estate) -> None:
    estate, town = calling, calling.town
    town.kill(*town.soadns, *estate.followers.values())
    for caller in estate.callers.values():
        for name in LINES:
            caller.tally(name)
    time.sleep(2.0)
    for kind, caller in estate.callers.items():
        for name in LINES:
            seen = Seen()

            def look(caller: Caller = caller, name: str = name, seen: Seen = seen) -> int:
                seen.add(caller.tally(name))
                return seen.calls

            assert eventually(look, within=30.0)
            assert (seen.failed, set(seen.by)) == (0, {estate.old.home.name}), f"{kind}: {seen}"
    for kind, envoy in estate.envoys.items():
        if CALLERS[kind][1] == "files":
            envoy.kill()
            envoy.start()
            assert eventually(lambda k=kind: estate.callers[k].tries(STAYS)["ok"], within=60.0)  # type: ignore[misc]
    town.restart(*town.soadns, *estate.followers.values())
    for interface in (STAYS, MOVES, OLD):
        town.knows(interface, estate.user, within=30.0)


def test_an_envoy_that_was_told_by_ads_is_told_by_another_replica(calling: Estate) -> None:
    estate, town = calling, calling.town
    told = {node(kind) for kind, (_, way) in CALLERS.items() if way == "ads"}
    # Who lost both replicas comes back by and by: it may have more to wait then for the one that is left.
    assert eventually(
        lambda: {row["node"] for each in town.soadns for row in _nodes(each)} == told, within=30.0
    )
    town.kill(town.soadns[0])
    znodes: list[str] = []
    other = town.soadns[1]
    try:
        town.register_again(estate.at_account)
        znodes = town.deregister(estate.old, MOVES)
        for kind, (_, way) in CALLERS.items():
            if way == "ads":
                arrives(estate.callers[kind], MOVES, {estate.new.home.name})
        nodes = _nodes(other)
        assert {row["kind"] for row in nodes} == {"envoy"}
        assert eventually(lambda: not any(row["behind"] for row in _nodes(other)), within=30.0), _nodes(other)
        assert all(row["refusals"] == 0 for row in nodes), nodes
    finally:
        town.restart(town.soadns[0])
        town.register_again(znodes)
        town.deregister(estate.new, MOVES)
    for caller in estate.callers.values():
        arrives(caller, MOVES, {estate.old.home.name})


def _nodes(replica: Behind) -> list[dict[str, Any]]:
    assert isinstance(replica.server, Soadns)
    return list(json.loads(replica.server.http("/v1/nodes")[1])["nodes"])


def test_the_old_world_is_reached_through_the_same_envoy(estate: Estate) -> None:
    town = estate.town
    machine = Provider(
        PROVIDER, "machine", (OLD,), app="legacy", registry=town.zookeeper.hosts, at=(OLD_WORLD, 20880),
        folder=town.folder / "machine", place=town.node,
    )  # fmt: skip
    machine.start()
    try:
        assert all(caller.call(OLD) == estate.old.home.name for caller in estate.callers.values())
        estate.user.annotate(traffic=f"{OLD}=registry")
        for caller in estate.callers.values():
            arrives(caller, OLD, {estate.old.home.name, "machine"})
        estate.user.annotate(traffic="")
        for caller in estate.callers.values():
            arrives(caller, OLD, {estate.old.home.name})
        znodes = estate.town.deregister(estate.old, OLD)
        for caller in estate.callers.values():  # nobody but the old world has it: unmapped, providers
            arrives(caller, OLD, {"machine"})
            assert caller.call(STAYS) == estate.old.home.name
        estate.town.register_again(znodes)
        for caller in estate.callers.values():
            arrives(caller, OLD, {estate.old.home.name})
    finally:
        machine.end()


def arrives(caller: Caller, interface: str, names: set[str]) -> None:
    """Calls arrive at all of these providers and at no other, before long; and none fails on the way there."""
    failed: list[object] = []

    def look() -> set[str]:
        found = [caller.tries(interface) for _ in range(12)]
        failed.extend(each for each in found if not each["ok"])
        return {str(each.get("answer")) for each in found}

    got = eventually(look, within=60.0, until=lambda found: found == names)
    assert got == names, f"{caller}: {got}, expected {names}"
    assert not failed, f"{caller}: {failed}"


def test_versions_are_told_apart_and_a_third_one_is_refused(estate: Estate) -> None:
    for kind, caller in estate.callers.items():
        assert str(asked(caller, "1.0.0")["answer"]).startswith("one-")
        assert str(asked(caller, "2.0.0")["answer"]).startswith("two-")
        envoy = estate.envoys[kind]
        before = refusals(envoy)
        answer = asked(caller, "3.0.0")
        assert not answer["ok"]
        assert answer["ms"] < 5_000, "it is told at once"
        assert refusals(envoy) == before + 1


def asked(caller: Caller, version: str) -> dict[str, Any]:
    """What became of a call of a version, at the ClusterIP of the Service that has the first one."""
    said = {
        "url": f"dubbo://one.shop.svc.cluster.local:20880/{SPLIT}?version={version}",
        "timeout": 10_000,
        "retries": 0,
    }
    done = caller.process.ask("refer", interface=SPLIT, version=version, options=said)
    assert done["ok"], done
    return caller.process.ask("call", interface=SPLIT, version=version, method="whoami", argument="hello")


def refusals(envoy: PlainEnvoy) -> int:
    """Requests that led to the cluster without endpoints."""
    return envoy.stat("cluster.soadns-refused.upstream_cx_none_healthy")


def test_envoy_itself_has_a_look_at_what_is_written(estate: Estate, tmp_path: Path) -> None:
    [envoy, *_], _ = command_of("envoy")
    done = estate.town.operator.verb("export", "envoy", str(tmp_path / "files"), "--envoy", envoy)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "files" / "listeners" / "all.json").exists()


def test_connections_to_where_nothing_is_known_are_reset_at_once(estate: Estate) -> None:
    envoy = next(iter(estate.envoys.values()))
    before = envoy.stat("tcp.unmatched.downstream_cx_total")
    with envoy.place.inside(), socket.create_connection(("10.96.200.200", 20880), timeout=20) as connection:
        assert _ended(connection)
    assert envoy.stat("tcp.unmatched.downstream_cx_total") == before + 1


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
