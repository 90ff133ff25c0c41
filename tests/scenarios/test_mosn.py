"""MOSN in pods, fed by soadns: unmodified SOFARPC and Dubbo clients call by name through it, and follow what moves.

Where a call arrived is what the provider says of itself. Clients that share a ClusterIP share a connection to it, and
that is looked at: it has the same two ends before and after.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.clients import Caller, Provider, Tally
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.sidecars import ADMIN, Mosn, redirect
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind, Town, at_once

USER, ORDER, INNER, UPPER, DEEP = INTERFACES
"""The first two are Dubbo's here, the third and the last SOFARPC's."""
GROUPED, VERSIONED = "com.example.dubbo.ByRegistry", "com.example.dubbo.ByName"
UNIQUE = "com.example.bolt.ByRegistry"
FAST = "com.example.dubbo.ByConnections"
PRIVATE = "com.example.tcp.UserService"
ADS = 15010
PORTS = (20880, 12200, 7000)
SOFA, DUBBO = "sofarpc-5.12.0", "dubbo-2.7.23"
CLIENTS = ("sofarpc-5.6.0", "sofarpc-5.12.0", "dubbo-2.7.23", "dubbo-3.3.5")
EFFECT_S = 60.0
"""soadns waits half a second before it believes a deregistration; the rest is for the first call that a JVM answers."""
PATIENCE_MS = 30_000


def sidecar(address: str) -> dict[str, Any]:
    return {"ads": {"listen": f"{address}:{ADS}"}}


class Mesh:
    """A town whose callers have a MOSN each."""

    def __init__(self, folder: Path) -> None:
        self.town = Town(folder, sidecar=sidecar)
        self.services: dict[str, Service] = {}
        self.pods: dict[str, Behind] = {}
        self.callers: dict[str, Caller] = {}
        self.mosns: dict[str, Mosn] = {}
        self.taken: dict[str, list[str]] = {}
        """What was taken out of the registry, by where it was served."""
        self.tallies: dict[tuple[str, str], Tally] = {}
        """By client and interface, what its steady calls have come to."""

    # ------------------------------------------------------------------ who is there

    def provide(self, row: tuple[str, str, str, dict[str, object], tuple[str, ...]]) -> None:
        """A Service with one pod, if there are interfaces: its name, protocol, program, options, interfaces."""
        name, protocol, program, options, interfaces = row
        self.services[name] = self.town.shop(name, protocol)
        if interfaces:
            self.pods[name] = self.town.register(program, self.services[name], *interfaces, **options)

    def accompany(self, name: str) -> Caller:
        """A caller with a MOSN beside it: its file is exported, and connections are redirected."""
        caller = self.town.caller(name, f"caller-{name.replace('.', '-')}", started=False)
        address = (caller.folder / "hosts").read_text().splitlines()[-1].split()[0]
        file = self.export(caller.app, f"{address}:{ADMIN}")
        self.mosns[name] = Mosn(caller.folder / "mosn", file, address=address, place=caller.place)
        self.town._last_to_first.callback(self.mosns[name].end)
        redirect(caller.place, PORTS)
        self.mosns[name].start()
        self.callers[name] = caller
        return caller

    def export(self, node: str, admin: str) -> str:
        ads = ",".join(f"{each.home.ip}:{ADS}" for each in self.town.soadns[:1])
        done = self.town.operator.verb(
            "export", "mosn", "--node", node, "--namespace", "shop", "--ads", ads, "--admin", admin
        )
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    # ------------------------------------------------------------------ what they do

    def by_address(self, name: str, service: str, *interfaces: str, **options: object) -> None:
        """References by a Service's ClusterIP: they share a connection there."""
        at = f"{self.services[service].cluster_ip}:{self.services[service].port}"
        for interface in interfaces:
            if name.startswith("sofa"):
                said: dict[str, object] = {"directUrl": f"bolt://{at}", "timeout": PATIENCE_MS}
            else:
                said = {
                    "url": f"dubbo://{at}/{interface}?serialization=hessian2",
                    "timeout": PATIENCE_MS,
                    "retries": 0,
                }
            self.callers[name].direct[interface] = said
            self.callers[name].refer(interface, **options)

    def arrives(self, name: str, interface: str, at: str) -> None:
        """A call arrives at a pod of a Service, before long."""
        where = self.pods[at].home.name
        got = eventually(
            lambda: self.callers[name].tries(interface),
            within=EFFECT_S,
            until=lambda a: a.get("answer") == where,
        )
        assert got.get("answer") == where, f"{name} calls {interface}: {got}, not {where}\n{self.told(name)}"

    def answered_by(self, name: str, interface: str, at: str, *, within: float = EFFECT_S) -> float:
        """Steady calls are answered by a pod of a Service before long, and by no other one from then on.

        Returns after how many seconds.
        """
        where, began = self.pods[at].home.name, time.monotonic()

        got = eventually(
            lambda: set(self._look(name)[interface].by), within=within, until=lambda by: by == {where}
        )
        assert got == {where}, f"{name} calls {interface}: {got}, not {where}\n{self.told(name)}"
        return time.monotonic() - began

    def connections(self, name: str, at: str) -> set[int]:
        """Which ports of its own a client's connections to a Service's ClusterIP have."""
        service = self.services[at]
        found = self.callers[name].connections(service.port)
        return {port for port, address in found if address == service.cluster_ip}

    def told(self, name: str) -> str:
        """What a failure shows: what soadns tells, and how the client's MOSN stands to that."""
        told = [self.town.operator.cli("routes")[1], self.town.operator.cli("mesh", "nodes")[1]]
        mosn = self.mosns[name]
        routers = [f"{service.cluster_ip}_{service.port}" for service in self.services.values()]
        told += [f"{each}: {mosn.clusters_of(each)}" for each in (*routers, "egress_dubbo", "egress_bolt")]
        return "\n".join([*told, mosn.process.tail(20)])

    def is_answered_by(self, name: str, interface: str, pod: Behind) -> None:
        """Some of the steady calls are answered by a pod before long."""

        def look() -> bool:
            latest = self._look(name)
            return pod.home.name in latest[interface].by

        assert eventually(look, within=EFFECT_S), (
            f"{name} calls {interface}: {self.tallies}\n{self.told(name)}"
        )

    def tally(self, name: str, interface: str) -> Tally:
        """What steady calls of an interface have come to."""
        self._look(name)
        return self.tallies[name, interface]

    def forget_tallies(self) -> None:
        """From now on."""
        for name in CLIENTS:
            self._look(name)
        self.tallies.clear()

    def _look(self, name: str) -> dict[str, Tally]:
        latest = {each: self.callers[name].tally(each) for each in HOMES[name[:4]][2:]}
        for each, tally in latest.items():
            self.tallies[name, each] = self.tallies.get((name, each), Tally()).plus(tally)
        return latest

    def calls(self, name: str, at: str, interface: str, **variant: str) -> str:
        """Who answers a call at a ClusterIP, or why nobody does; ``group`` and ``version`` as code says them."""
        place = f"{self.services[at].cluster_ip}:{self.services[at].port}"
        process = self.callers[name].process
        if name.startswith("sofa"):
            options: dict[str, object] = {"directUrl": f"bolt://{place}", "timeout": PATIENCE_MS}
        else:
            query = "&".join(
                f"{key}={value}" for key, value in {"serialization": "hessian2", **variant}.items()
            )
            options = {"url": f"dubbo://{place}/{interface}?{query}", "timeout": PATIENCE_MS, "retries": 0}
        said = process.ask("refer", interface=interface, options=options, **variant)
        assert said["ok"], said
        answer = process.ask("call", interface=interface, method="whoami", argument="hello", **variant)
        return str(answer.get("answer", answer.get("error")))


SERVICES: tuple[tuple[str, str, str, dict[str, object], tuple[str, ...]], ...] = (
    ("user", "dubbo", DUBBO, {"protocol": "dubbo"}, (USER, ORDER)),
    ("account", "dubbo", DUBBO, {}, ()),
    ("pay", "bolt", SOFA, {}, (INNER, DEEP)),
    ("till", "bolt", SOFA, {}, ()),
    ("blue", "dubbo", DUBBO, {"protocol": "dubbo", "group": "blue", "version": "1.0.0"}, (GROUPED,)),
    ("green", "dubbo", DUBBO, {"protocol": "dubbo", "group": "green", "version": "1.0.0"}, (GROUPED,)),
    ("next", "dubbo", DUBBO, {"protocol": "dubbo", "group": "blue", "version": "2.0.0"}, (GROUPED,)),
    ("one", "bolt", SOFA, {"group": "one"}, (UNIQUE,)),
    ("two", "bolt", SOFA, {"group": "two"}, (UNIQUE,)),
    ("fast", "dubbo", "dubbo-3.2.16", {"protocol": "dubbo"}, (FAST,)),
    ("tcp", "private-tcp", "private-tcp", {}, (PRIVATE,)),
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The Services are there before the files are exported."""
    found = Mesh(tmp_path_factory.mktemp("mesh"))
    try:
        at_once(found.provide, SERVICES)
        for name, _, _, _, interfaces in SERVICES:
            for interface in interfaces if name not in SPLIT else ():
                found.town.knows(interface, found.services[name])
        at_once(found.accompany, (*CLIENTS, "private-tcp"))
        yield found
    finally:
        found.town.end()


SPLIT = ("blue", "green", "next", "one", "two")
"""Services of an interface that lives in several: its name is one of them."""
HOMES = {"sofa": ("pay", "till", INNER, DEEP), "dubb": ("user", "account", USER, ORDER)}
"""By the beginning of a client's name: Service X, Service Y, and the interfaces A and B of X."""


def test_calls_by_name_arrive_and_two_interfaces_share_a_connection(mesh: Mesh) -> None:
    def come(name: str) -> None:
        home, _, a, b = HOMES[name[:4]]
        mesh.town.board(mesh.callers[name], a, by="code")
        mesh.callers[name].refer(a)
        mesh.arrives(name, a, home)
        assert mesh.services[home].cluster_ip in mesh.callers[name].connected(mesh.services[home].port)
        mesh.by_address(name, home, a, b)
        for interface in (a, b):
            mesh.arrives(name, interface, home)

    at_once(come, CLIENTS)


def test_what_moves_is_followed_on_the_same_connection_without_a_failed_call(mesh: Mesh) -> None:
    before = {}
    for name in CLIENTS:
        home, _, a, b = HOMES[name[:4]]
        for interface in (a, b):
            mesh.callers[name].steady(interface, every_ms=20, threads=1, name=interface)
        before[name] = mesh.connections(name, home)
    for row in (("account", DUBBO, (ORDER,)), ("till", SOFA, (DEEP,))):
        at, program, interfaces = row
        options: dict[str, object] = {"protocol": "dubbo"} if program == DUBBO else {}
        mesh.pods[at] = mesh.town.register(program, mesh.services[at], *interfaces, **options)

    taken = {home: mesh.town.deregister(mesh.pods[home], b) for home, _, _, b in HOMES.values()}
    assert all(taken.values())

    for name in CLIENTS:
        _, to, _, b = HOMES[name[:4]]
        mesh.answered_by(name, b, to)
    for home, to, _, b in HOMES.values():
        mesh.town.register_again(taken[home])
        mesh.taken[to] = mesh.town.deregister(mesh.pods[to], b)
    for name in CLIENTS:
        home, _, a, b = HOMES[name[:4]]
        mesh.answered_by(name, b, home)
        assert mesh.tally(name, a).failed == mesh.tally(name, b).failed == 0, mesh.tallies
        assert set(mesh.tallies[name, a].by) == {mesh.pods[home].home.name}
        assert mesh.connections(name, home) == before[name]


def test_what_changes_while_soadns_is_away_is_made_up_for_and_nobody_notices(mesh: Mesh) -> None:
    mesh.forget_tallies()
    home, to, _, moved = HOMES["sofa"]
    replica = mesh.town.soadns[0]

    mesh.town.kill(replica)
    time.sleep(2.0)
    mesh.town.register_again(mesh.taken[to])
    mesh.town.deregister(mesh.pods[home], moved)
    mesh.town.restart(replica)

    for name in CLIENTS[:2]:
        mesh.answered_by(name, moved, to, within=EFFECT_S)  # MOSN comes back after 1, 2, 4, 8 s
    for name in CLIENTS:
        for interface in HOMES[name[:4]][2:]:
            assert mesh.tally(name, interface).failed == 0, mesh.tallies


def test_back_to_the_registry_and_to_the_mesh_again(mesh: Mesh) -> None:
    mesh.forget_tallies()
    user = mesh.services["user"]
    old_world = mesh.town.pod(DUBBO, user, USER, protocol="dubbo")
    assert isinstance(old_world.server, Provider)
    old_world.server.start()  # a machine that is no endpoint of the Service

    user.annotate(traffic="registry")

    for name in CLIENTS[2:]:
        mesh.is_answered_by(name, USER, old_world)
    user.annotate(traffic="")
    for name in CLIENTS[2:]:
        mesh.answered_by(name, USER, "user")
    old_world.server.end()
    for name in CLIENTS[2:]:
        assert mesh.tally(name, USER).failed == mesh.tally(name, ORDER).failed == 0, mesh.tallies


@pytest.mark.parametrize("name", CLIENTS[2:])
def test_groups_and_versions_in_different_services(mesh: Mesh, name: str) -> None:
    for group, version, where in (
        ("blue", "1.0.0", "blue"),
        ("green", "1.0.0", "green"),
        ("blue", "2.0.0", "next"),
    ):
        assert mesh.calls(name, "blue", GROUPED, group=group, version=version) == mesh.pods[where].home.name
    assert "health upstream" in mesh.calls(name, "blue", GROUPED, group="green", version="2.0.0")
    assert "health upstream" in mesh.calls(name, "blue", GROUPED, version="1.0.0")


@pytest.mark.parametrize("name", CLIENTS[:2])
def test_unique_ids_in_different_services(mesh: Mesh, name: str) -> None:
    for unique in ("one", "two"):
        assert mesh.calls(name, "one", UNIQUE, group=unique) == mesh.pods[unique].home.name
    assert "NO_PROCESSOR" in mesh.calls(name, "one", UNIQUE, group="three")


def test_another_serialization_and_a_private_protocol_are_passed_on(mesh: Mesh) -> None:
    url = f"dubbo://{mesh.services['fast'].cluster_ip}:20880/{FAST}?prefer.serialization=fastjson2,hessian2"
    caller = mesh.callers["dubbo-3.3.5"]
    caller.refer(FAST, url=url, timeout=PATIENCE_MS, retries=0)
    assert caller.call(FAST) == mesh.pods["fast"].home.name
    private = mesh.callers["private-tcp"]
    private.start()
    mesh.town.board(private, PRIVATE)
    private.refer(PRIVATE)
    assert private.call(PRIVATE) == mesh.pods["tcp"].home.name
    assert mesh.services["tcp"].cluster_ip in private.connected(7000)


def test_mosn_has_what_it_was_told_but_for_what_only_a_new_file_brings(mesh: Mesh) -> None:
    late = {f"{mesh.services[to].cluster_ip}_{mesh.services[to].port}" for _, to, _, _ in HOMES.values()}

    def look(mosn: Mosn) -> set[tuple[str, str]]:
        data = mesh.town.operator.cli_json("mesh", "verify", f"{mosn.address}:{ADMIN}")
        return {(each["kind"], each["name"]) for each in data["differences"]}

    expected = {("listener", place) for place in late}
    for name, mosn in mesh.mosns.items():
        found = eventually(lambda at=mosn: look(at), within=10.0, until=lambda seen: seen == expected)  # type: ignore[misc]
        assert found == expected, name


def test_a_service_that_is_created_again_is_reached_at_its_new_address_and_unknown_ones_are_refused(
    mesh: Mesh,
) -> None:
    before = {home: mesh.services[home].cluster_ip for home, *_ in HOMES.values()}
    for home in before:
        mesh.services[home].delete()
        mesh.services[home].apply()
        assert mesh.services[home].cluster_ip != before[home]
    for name in CLIENTS:
        home, _, a, _ = HOMES[name[:4]]
        mesh.town.knows(a, mesh.services[home])
        mesh.by_address(name, home, a)
        mesh.arrives(name, a, home)  # no listener of its own: the file is older
        said = mesh.calls(name, home, UPPER)
        assert ("NO_PROCESSOR" if name.startswith("sofa") else "router unavailable") in said, (
            f"{name}: {said}"
        )
