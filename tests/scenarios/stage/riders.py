"""Who rides on a timeline of faults: every client, by the registry and by the ways in which a name can be given.

A client is one process. It calls one interface for each way, all of them of the same pods, so that what happens
happens to all ways at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.clients.driving import SCRIPTS
from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.cluster import DNS
from tests.scenarios.stage.network import NODE_LOCAL
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.town import Behind, Town, at_once

REGISTRY, NAME, CONNECTIONS, TWO_URLS, TWO_NAMES = (
    "without soadns", "by name", "several connections", "URL twice", "two names",
)  # fmt: skip
WAYS = {
    REGISTRY: "ByRegistry", NAME: "ByName", CONNECTIONS: "ByConnections", TWO_URLS: "ByTwoUrls",
    TWO_NAMES: "ByTwoNames",
}  # fmt: skip
"""By the interface that is called so, of each protocol's package."""
PLAIN = (REGISTRY, NAME)
BY_NAME = tuple(way for way in WAYS if way != REGISTRY)
CONNECTIONS_EACH = 4
PODS_EACH = 2
TIMEOUT_MS = 5000
"""Of a call, as its provider says, so that a machine with much to do fails none."""


@dataclass(frozen=True)
class Client:
    """One framework in one version that speaks one protocol."""

    program: str
    protocol: str
    family: str
    """Whose pods it calls."""
    ways: tuple[str, ...] = tuple(WAYS)
    nameserver: str = DNS
    """Whom its pod asks."""

    @property
    def key(self) -> str:
        cached = ", NodeLocal" if self.nameserver == NODE_LOCAL else ""
        return f"{self.program}/{self.protocol}{cached}"


CLIENTS = (
    Client("dubbo-2.6.12", "dubbo", "dubbo"),
    Client("dubbo-2.7.23", "dubbo", "dubbo"),
    Client("dubbo-3.2.16", "dubbo", "dubbo"),
    Client("dubbo-3.2.16", "tri", "tri"),
    Client("dubbo-3.3.5", "dubbo", "dubbo"),
    Client("dubbo-3.3.5", "tri", "tri"),
    Client("sofarpc-5.6.0", "bolt", "bolt"),
    Client("sofarpc-5.12.0", "bolt", "bolt"),
    Client("sofa-rpc-node-2.10.0", "bolt", "bolt", PLAIN),
    Client("rest", "http", "rest", PLAIN),
    Client("private-tcp", "tcp", "private-tcp", PLAIN),
)
LOCAL = (
    Client("dubbo-3.3.5", "dubbo", "dubbo", (NAME,), NODE_LOCAL),
    Client("dubbo-3.3.5", "tri", "tri", (NAME,), NODE_LOCAL),
    Client("sofarpc-5.12.0", "bolt", "bolt", BY_NAME, NODE_LOCAL),
    Client("rest", "http", "rest", PLAIN, NODE_LOCAL),
)
"""Behind NodeLocal DNSCache: those who look a name up though they are connected."""
PROVIDERS = {
    "dubbo": "dubbo-3.3.5", "tri": "dubbo-3.3.5", "bolt": "sofarpc-5.12.0", "rest": "rest",
    "private-tcp": "private-tcp",
}  # fmt: skip
"""By family: what its pods run."""


@dataclass(frozen=True)
class Rider:
    """A client that calls an interface in one way, all the time."""

    client: Client
    way: str
    caller: Caller
    interface: str

    @property
    def key(self) -> tuple[str, str]:
        return self.client.key, self.way


class Crowd:
    """Pods, two of each family, and all that call them."""

    def __init__(self, town: Town, *java: str) -> None:
        """``java`` are options of the callers' JVMs."""
        self._town = town
        self._java = java
        pods = {family: self._pods(family) for family in PROVIDERS}
        self.waves: list[list[Behind]] = [list(wave) for wave in zip(*pods.values(), strict=True)]
        """Each has one pod of every family."""
        for wave in self.waves:
            at_once(Behind.start, wave)
        self._services = {family: behind[0].service for family, behind in pods.items()}
        for family, service in self._services.items():
            for way in WAYS:
                town.knows(interface_of(family, way), service)
        self._resolve = {family: self._settings(family) for family in ("dubbo", "tri", "bolt")}
        self._callers: dict[tuple[str, str], Caller] = {}
        clients = CLIENTS + LOCAL
        at_once(self._start, dict.fromkeys((client.program, client.nameserver) for client in clients))
        self.riders = [self._rider(client, way) for client in clients for way in client.ways]

    def _pods(self, family: str) -> list[Behind]:
        service = self._town.shop(f"shop-{family}", family)
        interfaces = [interface_of(family, way) for way in WAYS]
        options: dict[str, object] = {"timeout": TIMEOUT_MS}
        if family in {"dubbo", "tri"}:
            options["protocol"] = family
        return [self._town.pod(PROVIDERS[family], service, *interfaces, **options) for _ in range(PODS_EACH)]

    def _settings(self, family: str) -> dict[str, str]:
        """For each interface that is called by name, what an operator makes of the line that is exported for it."""
        named = {interface_of(family, way): way for way in BY_NAME}
        words = [word for interface in named for word in ("--interface", interface)]
        text = self._town.exported(*words, "--format", "sofa" if family == "bolt" else "resolve")
        lines = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {interface: varied(lines[interface], family, way) for interface, way in named.items()}

    def _start(self, process: tuple[str, str]) -> None:
        program, nameserver = process
        caller = self._town.caller(program, f"caller-{program}", started=False, nameserver=nameserver)
        self._callers[process] = caller
        java = list(self._java)
        if program.startswith("dubbo"):
            file = caller.folder / "dubbo-resolve.properties"
            lines = self._resolve["dubbo"] | self._resolve["tri"]
            file.write_text("".join(f"{interface}={url}\n" for interface, url in lines.items()))
        elif program.startswith("sofarpc"):
            caller.direct |= {
                interface: {"directUrl": url} for interface, url in self._resolve["bolt"].items()
            }
        elif program.startswith("sofa-rpc-node"):
            url = self._resolve["bolt"][interface_of("bolt", NAME)]
            caller.direct[interface_of("bolt", NAME)] = {"serverHost": url.split("/")[2].partition("?")[0]}
        else:
            service = self._services[program]
            address = f"{service.name}.{service.namespace}.svc.cluster.local:{service.port}"
            scheme = "http" if program == "rest" else "tcp"
            caller.direct[interface_of(program, REGISTRY)] = {"url": f"{scheme}://{address}"}
            caller.direct[interface_of(program, NAME)] = {
                "url": self._town.address(interface_of(program, NAME), program)
            }
        caller.start(*java)

    def _rider(self, client: Client, way: str) -> Rider:
        rider = Rider(
            client, way, self._callers[client.program, client.nameserver], interface_of(client.family, way)
        )
        options = {"timeout": TIMEOUT_MS} if client.program in SCRIPTS else {}
        rider.caller.refer(rider.interface, **options)
        return rider


def interface_of(family: str, way: str) -> str:
    """What is called in a way, of a family."""
    return f"com.example.{family.replace('-', '')}.{WAYS[way]}"


def varied(url: str, family: str, way: str) -> str:
    """The setting of a way, made of the exported URL."""
    host = f".{ZONE}:"
    dubbo = family != "bolt"
    more = f"{'&' if '?' in url else '?'}"
    match way:
        case "several connections":
            return f"{url}{more}{'connections' if dubbo else '_CONNECTIONNUM'}={CONNECTIONS_EACH}"
        case "URL twice" | "two names":
            other = url.replace(host, f".{ZONE}.:") if way == TWO_NAMES else url
            both = [f"{each}{more}cluster=failover" if dubbo else each for each in (url, other)]
            return ";".join(both)
    return url
