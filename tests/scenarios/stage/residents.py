"""Clients that live in a town: each has providers, and a caller to which its interfaces are rolled out.

The steps are those of a migration; what was seen at each of them stands in ``Resident.saw``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.following import Followed, Following
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.quarters import TOWN, Quarter
from tests.scenarios.stage.riders import TWO_URLS, varied
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind, Town

PROPERTY, FILE, HOME, CENTRE = "-D<interface>", "resolve file", "home file", "configuration centre"
DIRECT, HOST, URL = "directUrl", "serverHost", "url"
DUBBO, SOFARPC, NODE = "Dubbo", "SOFARPC", "sofa-rpc-node"
KEPT_S = 50.0
"""Longer than CoreDNS keeps an answer (5 s), a JVM remembers an address (30 s) and SOFARPC waits before it looks again
(10 s), one after another."""
GONE_S = 75.0
"""Longer than a Java provider takes to end (14 s) and a Dubbo 3 consumer may wait then before it connects again (60
s)."""
RESTARTED_S = 30.0
PAUSE_S = 0.1
"""Between two calls of who is watched."""
TIMEOUT_MS = 10_000
"""Of all providers that have one, for all methods but ``attempts``."""
PROGRAMS_MS = 5_000
"""Of programs without a framework, as their code says it: by themselves they wait for a second, and a machine that does
much else lets somebody wait so long now and then. None of their calls may fail for that."""
ATTEMPTS_MS = 1_500
_FOREVER = 99
SOFA_TIMEOUT = f"-Dconsumer.invoke.timeout={TIMEOUT_MS}"
"""The timeout of all that a JVM calls by SOFARPC, but where code says another."""


@dataclass(frozen=True)
class Client:
    """A program that speaks a protocol, and how each of its interfaces is rolled out to it."""

    framework: str
    program: str
    protocol: str
    rolled_out: Mapping[str, str]
    java: tuple[str, ...] = ()
    """Options of the caller's JVM that operators roll out as well."""

    @property
    def name(self) -> str:
        """A label of DNS."""
        return f"{self.program.replace('.', '-')}-{self.protocol}"

    @property
    def key(self) -> str:
        return f"{self.program}/{self.protocol}"

    @property
    def version(self) -> str:
        """That its program is made of; ``''`` where there is none."""
        return self.program.rpartition("-")[2] if self.registered else ""

    @property
    def registered(self) -> bool:
        """Whether it has a registry, by which providers tell callers how to call."""
        return self.framework in {DUBBO, SOFARPC, NODE}

    @property
    def quarter(self) -> Quarter:
        return Quarter(self.name, sofa=self.framework != DUBBO) if self.registered else TOWN

    @property
    def slow_ms(self) -> int:
        """Longer than the framework's own timeout, shorter than the provider's."""
        return 3_000 if self.framework == DUBBO else 4_000


class Resident:
    """A client in the town."""

    def __init__(self, town: Town, client: Client) -> None:
        self._town = town
        self.client = client
        self.interfaces = tuple(client.rolled_out)
        self.main, self.twice = self.interfaces[0], self.interfaces[-1]
        """What moves, and what Dubbo calls by its URL written twice."""
        self.saw: dict[str, Any] = {}
        self.old: Service
        self.new: Service
        self.pods: list[Behind] = []
        self.caller: Caller
        self._java = list(client.java)
        self._had: set[tuple[int, str]] = set()
        """Its connections when the interface moved."""

    def __str__(self) -> str:
        return self.client.name

    # ------------------------------------------------------------------ it moves in

    def provide(self) -> None:
        """Two Services, and a provider behind the old one."""
        port = self.client.protocol if self.client.registered else self.client.program
        self.old, self.new = (self._town.shop(f"{age}-{self}", port) for age in ("old", "new"))
        self.appear(self.old)

    def appear(self, service: Service) -> None:
        """A new pod of a Service provides all interfaces."""
        said: dict[str, object] = {}
        if self.client.registered:
            said["timeout"] = TIMEOUT_MS
        if self.client.framework == DUBBO:
            said |= {"protocol": self.client.protocol, "retries": 0}
            said["parameters"] = f"attempts.timeout={ATTEMPTS_MS}"
        self.pods.append(
            self._town.register(
                self.client.program, service, *self.interfaces, quarter=self.client.quarter, **said
            )
        )

    def board(self) -> None:
        """The caller starts, with what operators have rolled out to it."""
        for interface in self.interfaces:
            self._town.knows(interface, self.old, quarter=self.client.quarter)
        self.caller = self._town.caller(
            self.client.program, f"caller-{self}", quarter=self.client.quarter, started=False
        )
        if self.client.framework == DUBBO:
            self._roll_out_to_dubbo()
        else:
            self._roll_out_to_code()
        self.start()

    def start(self, *java: str) -> None:
        """Start the caller, or start it anew."""
        self.caller.start(*self._java, *java)
        said = {} if self.client.registered else {"timeout": PROGRAMS_MS}
        # Who connects at once gives up after three seconds; the first time it loads classes meanwhile.
        first, *others = self.interfaces
        options = self.caller.direct.get(first, {}) | said
        made = eventually(
            lambda: self.caller.process.refer(first, **options),
            within=60.0,
            until=lambda made: bool(made["ok"]),
        )
        assert made["ok"], made
        for interface in others:
            self.caller.refer(interface, **said)

    def _exported(self, form: str) -> dict[str, str]:
        words = [word for name in self.interfaces for word in ("--interface", name)]
        words += ["--with-tri"] if self.client.protocol == "tri" else []
        text = self._town.exported(*words, "--format", form, quarter=self.client.quarter)
        self.saw["not safe"] = self.saw.get("not safe", []) + [
            line for line in text.splitlines() if "not safe" in line
        ]
        lines = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
        assert len(lines) == len(self.interfaces), text
        return lines

    def _roll_out_to_dubbo(self) -> None:
        lines, out = self._exported("resolve"), self.client.rolled_out
        # A single URL is never tried again by 2.6 and 2.7, whatever it says of retries.
        lines[self.twice] = varied(lines[self.twice], self.client.protocol, TWO_URLS)
        self._java += [f"-D{name}={url}" for name, url in lines.items() if out[name] == PROPERTY]
        for way, file in ((FILE, "from-soadns.properties"), (HOME, "dubbo-resolve.properties")):
            chosen = [f"{name}={url}\n" for name, url in lines.items() if out[name] == way]
            (self.caller.folder / file).write_text("".join(chosen))
        if FILE in out.values():
            self._java.append(f"-Ddubbo.resolve.file={self.caller.folder}/from-soadns.properties")
        if CENTRE in out.values():
            named = {f"dubbo.reference.{name}.url" for name, way in out.items() if way == CENTRE}
            chosen = [
                f"{key}={url}\n" for key, url in self._exported("config-center").items() if key in named
            ]
            assert len(chosen) == len(named), chosen
            self._town.configure(self.caller.app, "".join(chosen))

    def _roll_out_to_code(self) -> None:
        """Where nothing but the application's own settings can say it."""
        if not self.client.registered:
            for name in self.interfaces:
                self.caller.direct[name] = {"url": self._town.address(name, self.client.program)}
            return
        for name, url in self._exported("sofa").items():
            host = url.partition("://")[2].partition("?")[0].rstrip("/")
            given = {"serverHost": host} if self.client.framework == NODE else {"directUrl": url}
            self.caller.direct[name] = given

    # ------------------------------------------------------------------ it calls

    def names(self) -> list[str]:
        """What it looks up, as it stands on the wire."""
        zone = self.client.quarter.zone
        return [f"{interface.replace('$', '-')}.{zone}.".lower() for interface in self.interfaces]

    def call(self) -> None:
        """Each interface, as its Java interface and by generic invocation; over which connections."""
        [pod] = self.pods
        # The first ones load classes: for longer than a framework waits by itself, where much else starts.
        eventually(lambda: self.caller.tries(self.main), within=60.0, until=lambda first: bool(first["ok"]))
        if self.client.framework in {DUBBO, SOFARPC}:
            eventually(lambda: self._generic(self.main), within=60.0, until=pod.home.name.__eq__)
        self.saw["version"] = self.caller.process.framework()
        self.saw["calls"] = [name for name in self.interfaces if self.caller.call(name) == pod.home.name]
        if self.client.framework in {DUBBO, SOFARPC}:
            self.saw["generic"] = [name for name in self.interfaces if self._generic(name) == pod.home.name]
        connected = self.caller.connected(self.old.port)
        self.saw["past the name"] = pod.home.ip in connected
        self.saw["by the name"] = self.old.cluster_ip in connected

    def _generic(self, interface: str) -> str:
        said = self.caller.direct.get(interface, {})
        answer = self.caller.process.ask(
            "generic", interface=interface, method="slow", argument=10, options=said
        )
        return str(answer.get("answer", answer.get("error")))

    def wait_for_answers(self) -> None:
        """A call that takes longer than the framework's own timeout; and one that times out: how often it is made."""
        asked = [self.main, self.twice] if self.client.framework == DUBBO else [self.main]
        self.saw["timed out"] = [self.caller.tries(each, "attempts", [each, _FOREVER]) for each in asked]
        time.sleep(ATTEMPTS_MS / 1000)  # a second attempt would be made by now
        counts = [self.caller.process.call(each, "attempts", [each, 0])["answer"] - 1 for each in asked]
        self.saw["attempts"] = counts
        if not self.client.registered:
            return  # nothing tells its callers how to call
        self.saw["slow"] = self._slow(self.main)
        if not self.saw["slow"]:
            other = self.interfaces[1]
            assert self.caller.process.refer(other)["ok"]
            self.saw["slow by the registry"] = self._slow(other)
        if not self.saw["slow"] and self.client.framework == SOFARPC:
            self.start(SOFA_TIMEOUT)
            self.saw["slow with an option"] = self._slow(self.main)

    def _slow(self, interface: str) -> bool:
        """Whether a call succeeds that takes longer than the framework would wait."""
        return bool(self.caller.tries(interface, "slow", self.client.slow_ms)["ok"])

    # ------------------------------------------------------------------ it moves

    def appear_elsewhere(self) -> None:
        """New pods provide the interfaces in another Service, too. Callers stay: nothing has left the old one."""
        self.appear(self.new)

    def move(self) -> None:
        """The old pods serve on, and give all interfaces up but one: who follows, from when soadns answers the new
        Service."""
        old, _ = self.pods
        *leaving, stays = self.interfaces
        self._had = self.caller.connections(self.new.port)
        assert self.caller.call(self.main) == old.home.name  # CoreDNS and the JVM know the old address
        if self.client.registered:
            self._town.deregister(old, *leaving, quarter=self.client.quarter)
        else:
            self.old.annotate(interfaces=stays)
        self._town.knows(self.main, self.new, quarter=self.client.quarter)
        self.saw["kept"] = self._follow(KEPT_S)

    def go(self) -> None:
        """The old pods end; who does not follow is started anew."""
        with ThreadPoolExecutor(1) as meanwhile:
            ending = meanwhile.submit(self.pods[0].stop)
            self.saw["gone"] = self._follow(GONE_S, ending.done)
            ending.result()
        if self.saw["gone"].after_s is None:
            self._had = set()
            self.start()
            self.saw["after a restart"] = self._follow(RESTARTED_S)

    def _follow(self, within: float, over: Callable[[], bool] = lambda: True) -> Followed:
        """Call until it has followed and that is over which may disturb it, or for so long."""
        following = Following(self.pods[-1].home.name)
        began = time.monotonic()
        while time.monotonic() - began < within and not (following.there and over()):
            answer = self.caller.tries(self.main)
            following.note(time.monotonic() - began, answer)
            time.sleep(PAUSE_S)
        now = self.caller.connections(self.new.port)
        opened = sum(to == self.new.cluster_ip for _, to in now - self._had)
        return replace(following.found, opened=opened)
