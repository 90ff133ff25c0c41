"""The programs of ``tests/clients`` in pods: providers that start again, callers for which operators set options."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tests.clients import driving
from tests.scenarios.stage.places import Place

JAVA = ("-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m")
"""Of every JVM: nothing is left in /tmp when it is killed, and many of them start soon on two cores."""


_ESTABLISHED = "01"


@dataclass(frozen=True)
class Tally:
    """What became of a consumer's steady calls in some time."""

    calls: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    by: dict[str, int] = field(default_factory=dict)
    """How many each provider answered."""
    slowest_ms: float = 0.0
    longest_gap_ms: float = 0.0
    """The longest time without a call that succeeded."""

    def plus(self, later: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.calls + later.calls,
            self.failed + later.failed,
            dict(Counter(self.errors) + Counter(later.errors)),
            dict(Counter(self.by) + Counter(later.by)),
            max(self.slowest_ms, later.slowest_ms),
            max(self.longest_gap_ms, later.longest_gap_ms),
        )


class Provider:
    """A provider; every start is a new process."""

    def __init__(
        self,
        kind: str,
        name: str,
        interfaces: Sequence[str],
        *,
        app: str,
        registry: str,
        at: tuple[str, int],
        folder: Path,
        place: Place,
        java: Sequence[str] = (),
        more: Sequence[str] = (),
    ) -> None:
        """``java`` are further options of its JVM, at every start."""
        self.kind = kind
        self.name = name
        self._arguments: dict[str, Any] = {
            "registry": registry, "bind": at[0], "port": at[1], "folder": folder, "application": app,
            "interfaces": interfaces, "more": more, "java": [*JAVA, *java], "place": place,
        }  # fmt: skip
        self.process: driving.Provider
        self._running = False

    def start(self) -> None:
        """Start it, and wait until it is exported and registered."""
        self.process = driving.Provider(self.kind, self.name, **self._arguments)
        self._running = True
        self.process.ready(within=300.0)  # a whole wave starts while everybody calls

    def end(self) -> None:
        """End it, whatever it does."""
        if self._running:
            self.process.kill()


class Caller:
    """A consumer; what it was told to refer to it refers to no more after a restart."""

    def __init__(
        self,
        kind: str,
        app: str,
        *,
        registry: str,
        folder: Path,
        place: Place,
        java: Sequence[str] = (),
        more: Sequence[str] = (),
        ip: str = "",
    ) -> None:
        """``java`` are further options of its JVM, at every start; ``ip`` is the address of its pod."""
        self.kind = kind
        self.app = app
        self.ip = ip
        self.folder = folder
        self.place = place
        self._java = [*JAVA, *java]
        self.direct: dict[str, dict[str, Any]] = {}
        """What its code says of an interface, where nothing else can."""
        self._arguments: dict[str, Any] = {
            "registry": registry, "folder": folder, "application": app, "more": more, "place": place,
        }  # fmt: skip
        self.process: driving.Consumer
        self._running = False

    def __str__(self) -> str:
        return f"{self.app} ({self.kind})"

    def start(self, *java: str) -> None:
        """Start it, or start it anew; ``java`` are options of its JVM, in place of those that it had."""
        if self._running:
            self.process.stop()
        self.process = driving.Consumer(self.kind, java=[*self._java, *java], **self._arguments)
        self._running = True

    def end(self) -> None:
        """End it, whatever it does."""
        if self._running:
            self.process.kill()

    def refer(self, interface: str, **options: Any) -> None:
        """Make a reference, as the application's code does."""
        self._done(self.process.refer(interface, **self.direct.get(interface, {}), **options), interface)

    def tries(self, interface: str, method: str = "whoami", argument: object = "hello") -> dict[str, Any]:
        """What became of one call."""
        return self.process.call(interface, method, argument)

    def call(self, interface: str, method: str = "whoami", argument: object = "hello") -> str:
        """The answer of one call, which must succeed: who answered."""
        return str(self._done(self.tries(interface, method, argument), interface)["answer"])

    def connected(self, port: int) -> set[str]:
        """To which addresses its pod has connections at a port of the other side."""
        return {address for _, address in self.connections(port)}

    def connections(self, port: int) -> set[tuple[int, str]]:
        """Its pod's connections to a port of the other side: which port of its own, and where to."""
        found = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.process.pid}/net/{table}").read_text().splitlines()[1:]:
                local, remote, state = line.split()[1:4]
                address, _, number = remote.partition(":")
                if state == _ESTABLISHED and int(number, 16) == port:
                    # The last word of the address, of which IPv4 in IPv6 has four, in the machine's byte order.
                    other = str(ip_address(int(address[-8:], 16).to_bytes(4, sys.byteorder)))
                    found.add((int(local.partition(":")[2], 16), other))
        return found

    def steady(self, interface: str, *, every_ms: int, threads: int, name: str = "") -> None:
        """Call all the time from now on; a name keeps them apart from other steady calls."""
        said = {"interface": interface, "every_ms": every_ms, "threads": threads, "as": name}
        self._done(self.process.ask("steady", **said), interface)

    def tally(self, name: str = "") -> Tally:
        """What became of the steady calls of a name since the last look."""
        found = self._done(self.process.ask("tally", **{"as": name}), "")
        return Tally(**{field: found[field] for field in Tally.__dataclass_fields__})

    def _done(self, answer: dict[str, Any], interface: str) -> dict[str, Any]:
        assert answer["ok"], f"{self}, {interface}: {answer['error']}\n{self.process.tail()}"
        return answer
