"""MOSN in pods, fed by soadns: unmodified SOFARPC and Dubbo clients call by name through it, and follow what moves.

Where a call arrived is what the provider says of itself. Clients that share a ClusterIP share a connection to it, and
that is looked at: it has the same two ends before and after.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.clients import Caller, Tally
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.sidecars import Mosn, redirect
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind, Town, at_once

USER, ORDER, INNER, UPPER, DEEP = INTERFACES
"""The first two are Dubbo's here, the third and the last SOFARPC's."""
GROUPED, VERSIONED = "com.example.dubbo.ByRegistry", "com.example.dubbo.ByName"
UNIQUE = "com.example.bolt.ByRegistry"
PRIVATE = "com.example.tcp.UserService"
ADS = 15010
PORTS = (20880, 12200, 7000)
SOFA, DUBBO = "sofarpc-5.12.0", "dubbo-2.7.23"
CLIENTS = ("sofarpc-5.6.0", "sofarpc-5.12.0", "dubbo-2.7.23", "dubbo-3.3.5")
EFFECT_S = 15.0
"""soadns waits half a second before it believes a deregistration; the rest is for busy machines."""


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
        file = self.export(caller.app)
        self.mosns[name] = Mosn(caller.folder / "mosn", file, place=caller.place)
        self.town._last_to_first.callback(self.mosns[name].end)
        redirect(caller.place, PORTS)
        self.mosns[name].start()
        self.callers[name] = caller
        return caller

    def export(self, node: str) -> str:
        ads = ",".join(f"{each.home.ip}:{ADS}" for each in self.town.soadns[:1])
        done = self.town.operator.verb("export", "mosn", "--node", node, "--namespace", "shop", "--ads", ads)
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    # ------------------------------------------------------------------ what they do

    def by_address(self, name: str, service: str, *interfaces: str, **options: object) -> None:
        """References by a Service's ClusterIP: they share a connection there."""
        at = f"{self.services[service].cluster_ip}:{self.services[service].port}"
        for interface in interfaces:
            if name.startswith("sofa"):
                said: dict[str, object] = {"directUrl": f"bolt://{at}", "timeout": 3000}
            else:
                said = {
                    "url": f"dubbo://{at}/{interface}?serialization=hessian2",
                    "timeout": 3000,
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

    def answered_by(self, name: str, interface: str, at: str) -> float:
        """Steady calls are answered by a pod of a Service before long, and by no other one from then on.

        Returns after how many seconds.
        """
        where, began = self.pods[at].home.name, time.monotonic()

        def look() -> set[str]:
            latest = {each: self.callers[name].tally(each) for each in HOMES[name[:4]][2:]}
            for each, tally in latest.items():
                self.tallies[name, each] = self.tallies.get((name, each), Tally()).plus(tally)
            return set(latest[interface].by)

        got = eventually(look, within=EFFECT_S, until=lambda by: by == {where})
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

    def leads(self, at: str, interface: str, to: str) -> None:
        """soadns says so of requests at a Service's ClusterIP."""
        place = f"{self.services[at].cluster_ip}:{self.services[at].port}"

        def look() -> str:
            _, text = self.town.operator.cli("resolve", place, interface, "-o", "json")
            return str(json.loads(text).get("service")) if text.startswith("{") else text

        got = eventually(look, within=EFFECT_S, until=lambda said: said == self.services[to].ref)
        assert got == self.services[to].ref


SERVICES: tuple[tuple[str, str, str, dict[str, object], tuple[str, ...]], ...] = (
    ("user", "dubbo", DUBBO, {"protocol": "dubbo"}, (USER, ORDER)),
    ("account", "dubbo", DUBBO, {}, ()),
    ("pay", "bolt", SOFA, {}, (INNER, DEEP)),
    ("till", "bolt", SOFA, {}, ()),
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The Services are there before the files are exported."""
    found = Mesh(tmp_path_factory.mktemp("mesh"))
    try:
        at_once(found.provide, SERVICES)
        for name, _, _, _, interfaces in SERVICES:
            for interface in interfaces:
                found.town.knows(interface, found.services[name])
        at_once(found.accompany, CLIENTS)
        yield found
    finally:
        found.town.end()


HOMES = {"sofa": ("pay", "till", INNER, DEEP), "dubb": ("user", "account", USER, ORDER)}
"""By the beginning of a client's name: Service X, Service Y, and the interfaces A and B of X."""


def test_calls_by_name_arrive_and_two_interfaces_share_a_connection(mesh: Mesh) -> None:
    def come(name: str) -> None:
        home, _, a, b = HOMES[name[:4]]
        mesh.town.board(mesh.callers[name], a, by="code" if name.startswith("sofa") else "property")
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
        mesh.town.deregister(mesh.pods[to], b)
    for name in CLIENTS:
        home, _, a, b = HOMES[name[:4]]
        mesh.answered_by(name, b, home)
        assert mesh.tallies[name, a].failed == mesh.tallies[name, b].failed == 0, mesh.tallies
        assert set(mesh.tallies[name, a].by) == {mesh.pods[home].home.name}
        assert mesh.connections(name, home) == before[name]
