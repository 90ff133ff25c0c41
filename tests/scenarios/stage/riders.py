"""Who rides on a timeline of faults: every client, by the registry and by the ways in which a name can be given.

A client is one process. It calls one interface for each way, all of them of the same pods, so that what happens
happens to all ways at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from soadns.publishers.directurls import CALLS_ON
from soadns.publishers.verdicts import DUBBO
from tests.clients.driving import INTERFACES, SCRIPTS
from tests.scenarios.stage.beside import ALONE, BESIDE, Pods
from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.cluster import DNS
from tests.scenarios.stage.network import NODE_LOCAL
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.town import Behind, Town, at_once

REGISTRY, NAME, CONNECTIONS, TWO_URLS, TWO_NAMES, BARE = (
    "without soadns", "by name", "several connections", "URL twice", "two names", "bare",
)  # fmt: skip
WAYS = {
    REGISTRY: "ByRegistry", NAME: "ByName", CONNECTIONS: "ByConnections", TWO_URLS: "ByTwoUrls",
    TWO_NAMES: "ByTwoNames", BARE: "Bare",
}  # fmt: skip
"""By the interface that is called so, of each protocol's package."""
_USER, _ORDER, _, _UPPER, _ = INTERFACES
_BARE = {"dubbo": _USER, "tri": _ORDER, "bolt": _UPPER}
"""What is called bare, where interfaces are Java's."""
PLAIN = (REGISTRY, NAME)
BY_NAME = (NAME, CONNECTIONS, TWO_URLS, TWO_NAMES)
"""The ways that operators are told of. ``BARE`` is what it would be without what they get with it: Dubbo's URL without
``CALLS_ON``, SOFARPC in a JVM without ``RECONNECT``."""
RECONNECT = "-Dconsumer.reconnect.period=1000"
REMEMBERS_S = 1
"""How long the callers' JVMs remember an address: what an outage costs is seen at once."""
CONNECTIONS_EACH = 4
PODS_EACH = 2
TIMEOUT_MS = 5000
"""Of a call, as its provider says, so that a machine with much to do fails none."""
PATIENCE_S = {"dubbo": 1.0, "bolt": 3.0, "rest": 1.0, "private-tcp": 1.0}
"""By family: when the time of a call is up if nobody says otherwise (``tri`` waits longer than ``dubbo``). The last two
have no framework: their programs wait as long as ``dubbo``."""


Process = tuple[str, str, Pods, bool]
AT_A_TIME = 4
"""So many processes start at a time, on two cores: a first call loads classes for a second or two of a core, and
SOFARPC waits for three."""


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
    pods: Pods = BESIDE
    """Whom it asks when that one does not answer, as operators are told to have it."""

    @property
    def key(self) -> str:
        cached = ", NodeLocal" if self.nameserver == NODE_LOCAL else ""
        return f"{self.program}/{self.protocol}{cached}"

    def process(self, way: str) -> Process:
        """The process that calls in a way: what it runs, whom it asks, and whether its JVM is bare."""
        return self.program, self.nameserver, self.pods, way == BARE and self.family == "bolt"


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
    Client("dubbo-3.3.5", "dubbo", "dubbo", (NAME,), NODE_LOCAL, ALONE),
    Client("dubbo-3.3.5", "tri", "tri", (NAME,), NODE_LOCAL, ALONE),
    Client("sofarpc-5.12.0", "bolt", "bolt", BY_NAME, NODE_LOCAL, ALONE),
    Client("rest", "http", "rest", PLAIN, NODE_LOCAL, ALONE),
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
    connections: int
    """How many it has to its interface's ClusterIP."""
    pods: frozenset[str]
    """By name: who provides the interface."""

    @property
    def key(self) -> tuple[str, str]:
        return self.client.key, self.way


class Crowd:
    """Pods, two of each family, and all that call them."""

    def __init__(self, town: Town) -> None:
        self._town = town
        pods = {family: self._pods(family) for family in PROVIDERS}
        self.waves: list[list[Behind]] = [list(wave) for wave in zip(*pods.values(), strict=True)]
        """Each has one pod of every family."""
        for wave in self.waves:
            at_once(Behind.start, wave)
        self._services = {family: behind[0].service for family, behind in pods.items()}
        self._pods_of = {
            family: frozenset(pod.home.name for pod in behind) for family, behind in pods.items()
        }
        for family, service in self._services.items():
            for way in WAYS:
                town.knows(interface_of(family, way), service)
        self._resolve = {family: self._settings(family) for family in ("dubbo", "tri", "bolt")}
        self.riders = [
            rider for some in at_once(self._start, _by_process().items(), most=AT_A_TIME) for rider in some
        ]

    def _pods(self, family: str) -> list[Behind]:
        service = self._town.shop(f"shop-{family}", family)
        interfaces = [interface_of(family, way) for way in WAYS]
        options: dict[str, object] = {"timeout": TIMEOUT_MS}
        if family in {"dubbo", "tri"}:
            options["protocol"] = family
        return [self._town.pod(PROVIDERS[family], service, *interfaces, **options) for _ in range(PODS_EACH)]

    def _settings(self, family: str) -> dict[str, str]:
        """For each interface that is called by name, what an operator makes of the line that is exported for it."""
        named = {interface_of(family, way): way for way in (*BY_NAME, BARE)}
        words = [word for interface in named for word in ("--interface", interface)]
        text = self._town.exported(*words, "--format", "sofa" if family == "bolt" else "resolve")
        lines = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {interface: varied(lines[interface], family, way) for interface, way in named.items()}

    def _start(self, ridden: tuple[Process, list[tuple[Client, str]]]) -> list[Rider]:
        """A process that makes its references, and a first call of each: it is at work when this returns."""
        process, ways = ridden
        caller = self._caller(*process)
        return [self._rider(caller, client, way) for client, way in ways]

    def _caller(self, program: str, nameserver: str, pods: Pods, bare: bool) -> Caller:
        caller = self._town.caller(
            program, f"caller-{program}", started=False, nameserver=nameserver, further=pods.beside,
            resolver=pods.options,
        )  # fmt: skip
        java = [f"-Dsun.net.inetaddr.ttl={REMEMBERS_S}", *([] if bare else [RECONNECT])]
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
        return caller

    def _rider(self, caller: Caller, client: Client, way: str) -> Rider:
        interface, service = interface_of(client.family, way), self._services[client.family]

        def connected() -> int:
            return sum(to == service.cluster_ip for _, to in caller.connections(service.port))

        before = connected()
        caller.refer(interface, **({"timeout": TIMEOUT_MS} if client.program in SCRIPTS else {}))
        first = eventually(
            lambda: caller.tries(interface), within=30.0, until=lambda answer: bool(answer["ok"])
        )
        assert first["ok"], f"{client.key}, {way}: {first}"
        return Rider(client, way, caller, interface, connected() - before, self._pods_of[client.family])


def _by_process() -> dict[Process, list[tuple[Client, str]]]:
    """Whoever rides, by the process that does."""
    found: dict[Process, list[tuple[Client, str]]] = {}
    for client in CLIENTS + LOCAL:
        for way in client.ways:
            found.setdefault(client.process(way), []).append((client, way))
    return found


def interface_of(family: str, way: str) -> str:
    """What is called in a way, of a family."""
    if way == BARE and family in _BARE:
        return _BARE[family]
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
        case "bare":
            said = "|".join(re.escape(f"{key}={value}") for key, value in CALLS_ON[DUBBO].items())
            return re.sub(f"(?<=[?&])(?:{said})(?:&|$)", "", url).rstrip("?&")
    return url
