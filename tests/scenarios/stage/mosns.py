"""A town whose callers have a MOSN each, fed by soadns: its Services, who provides what there, and who calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.clients import Caller, Tally
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.sidecars import ADMIN, Mosn, redirect
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind, Town

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
BY_NAME = "by name"
"""The steady calls over a connection that was made by the interface's name; all others share one by the ClusterIP."""
AWAY_S = 10.0
"""How long a server is away: longer than names are kept, and than MOSN takes to notice."""
UNKNOWN = "10.96.250.250"
"""A ClusterIP that is nobody's."""


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
        self.old_addresses: dict[str, str] = {}
        """ClusterIPs of the homes, as they were at first."""
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

    def answered_by(self, name: str, interface: str, at: str, *, within: float = EFFECT_S) -> None:
        """Steady calls are answered by a pod of a Service before long, and by no other one from then on."""
        where = self.pods[at].home.name

        def settled(latest: Tally) -> bool:
            return set(latest.by) == {where} and not latest.failed

        got = eventually(lambda: self._look(name)[interface], within=within, until=settled)
        assert settled(got), f"{name} calls {interface}: {got}, not {where}\n{self.told(name)}"

    def connections(self, name: str, at: str) -> set[int]:
        """Which ports of its own a client's connections to a Service's ClusterIP have."""
        service = self.services[at]
        found = self.callers[name].connections(service.port)
        return {port for port, address in found if address == service.cluster_ip}

    def all_connections(self) -> dict[str, set[int]]:
        """The same of all clients, to their homes; each has some."""
        found = {name: self.connections(name, HOMES[name[:4]][0]) for name in CLIENTS}
        assert all(found.values()), found
        return found

    def move(self, interface: str, at: str, to: str) -> None:
        """An interface is registered at one Service from now on, where it had been before, and no more at another."""
        self.town.register_again(self.taken[to])
        self.taken[at] = self.town.deregister(self.pods[at], interface)
        assert self.taken[at]

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

    def tally(self, name: str, line: str) -> Tally:
        """What steady calls have come to, of an interface or by name."""
        self._look(name)
        return self.tallies[name, line]

    def unharmed(self, *names: str) -> None:
        """No steady call of these clients has failed, of those at a ClusterIP."""
        for name in names or CLIENTS:
            for line in HOMES[name[:4]][2:]:
                assert self.tally(name, line).failed == 0, self.tallies

    def forget_tallies(self) -> None:
        """From now on."""
        for name in CLIENTS:
            self._look(name)
        self.tallies.clear()

    def _look(self, name: str) -> dict[str, Tally]:
        latest = {each: self.callers[name].tally(each) for each in (*HOMES[name[:4]][2:], BY_NAME)}
        for each, tally in latest.items():
            self.tallies[name, each] = self.tallies.get((name, each), Tally()).plus(tally)
        return latest

    def calls(self, name: str, at: str, interface: str, **variant: str) -> str:
        """Who answers a call at a Service, or at an address, or why nobody does.

        ``group`` and ``version`` are as code says them.
        """
        service = self.services[at if at in self.services else HOMES[name[:4]][0]]
        place = f"{service.cluster_ip if at in self.services else at}:{service.port}"
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
        return self.calls_again(name, interface, **variant)

    def calls_again(self, name: str, interface: str, **variant: str) -> str:
        """The same of what it has referred to by now."""
        words = {"interface": interface, "method": "whoami", "argument": "hello", **variant}
        answer = self.callers[name].process.ask("call", **words)
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


SPLIT = ("blue", "green", "next", "one", "two")
"""Services of an interface that lives in several: its name is one of them."""
HOMES = {"sofa": ("pay", "till", INNER, DEEP), "dubb": ("user", "account", USER, ORDER)}
"""By the beginning of a client's name: Service X, Service Y, and the interfaces A and B of X."""
