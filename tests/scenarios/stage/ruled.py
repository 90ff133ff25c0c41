"""A Service about which people say something in Istio's words: called by interface name at each tier above 0,
and beside that by Service name, through nothing of soadns's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.control import Control, listener
from tests.scenarios.stage.inforce import ARRIVES_S, Called, rules
from tests.scenarios.stage.mesh import Kind, Mesh, cluster, host
from tests.scenarios.stage.process import eventually, frozen
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.variants import ALONE, INTERFACE, TWICE, VARIANTS, Variants

PROGRAM, PROTOCOL = "dubbo-3.3.5", "dubbo"
PLAIN, FILES = Kind(PROGRAM, PROTOCOL), Kind(PROGRAM, PROTOCOL, files=True)
FEW = 20
TIMEOUT_MS = 20_000
"""Of a call, so that a machine with much to do fails none."""
HELD_MS = 120_000
"""Of one that is held up."""
CUT_MS = 1000
"""Of one that may be cut off: who is waits for its timeout, and is not tried again."""
SETTLED_S = 60.0
"""Where istiod and the API server were away before, calls to one of two subsets fail now and then for half a minute."""
THROWS = ("slow", -1)
"""A method, and an argument that its implementation throws an exception at."""


@dataclass(frozen=True)
class Way:
    """How a caller calls by interface name."""

    tier: int
    kind: Kind
    interface: str

    def __str__(self) -> str:
        return f"T{self.tier} by interface name"


WAYS = (Way(1, PLAIN, ALONE), Way(2, PLAIN, INTERFACE), Way(3, FILES, INTERFACE))
Answers = Counter[str]
"""Who answered, and how often; errors count as ``failed``."""


class Ruled:
    """The Service, who calls it, and the control."""

    def __init__(self, mesh: Mesh, variants: Variants) -> None:
        self.mesh, self._variants = mesh, variants
        self.service = variants.services[TWICE]
        self.leads = variants.services["red"]
        """The Service that the interface's name leads to; a rule of its listener sends calls on."""
        self.subsets = [cluster(self.service, name) for name in ("v1", "v2")]
        self.names = variants.names(TWICE)
        self.addresses = [pod.home.ip for pod in variants.by[TWICE]]
        self.callers = {kind: mesh.callers[kind] for kind in (PLAIN, FILES)}
        self.control = Control(mesh.town, PROGRAM, PROTOCOL, self.service, variants.by[TWICE])
        # Before it found Istio's kinds, it looks for them twice a minute.
        assert eventually(lambda: mesh.exported(read=True)["istioRead"], within=60.0)
        self.service.annotate(balancing="request", moves="never")
        expected = {name: 1 if name == TWICE else 2 for name in VARIANTS}
        found = eventually(self._tiers, within=ARRIVES_S, until=lambda tiers: tiers == expected)
        assert found == expected
        self._publish()

    def _tiers(self) -> dict[str, int]:
        """Of each variant's Service."""
        items = self.mesh.exported(read=True)["items"]
        found = {item["service"].rpartition("/")[2]: item["ports"][0]["tier"] for item in items}
        return {name: found.get(service.name, 0) for name, service in self._variants.services.items()}

    def _publish(self) -> None:
        self.mesh.publish(self.mesh.exported(read=True))

    def end(self) -> None:
        self.service.annotate(balancing="", moves="")
        self.control.end()

    # ------------------------------------------------------------------ calls by interface name

    def refer(self, way: Way, *, timeout_ms: int = TIMEOUT_MS) -> Caller:
        """The caller of a way, which is to call in this one from now on."""
        caller = self.callers[way.kind]
        done = self._variants.refer(caller, VARIANTS[TWICE], way.interface, timeout_ms=timeout_ms)
        assert done["ok"], done
        return caller

    def asked(self, way: Way, calls: int) -> Answers:
        """Over one connection."""
        caller = self.refer(way)
        return Counter(
            str(self._variants.call(caller, VARIANTS[TWICE], way.interface).get("answer", "failed"))
            for _ in range(calls)
        )

    def throws(self, way: Way) -> str:
        """What becomes of a call at which the application throws: its error."""
        method, argument = THROWS
        words = {"interface": way.interface, "method": method, "argument": argument, **VARIANTS[TWICE]}
        return str(self.refer(way).process.ask("call", **words).get("error", ""))

    def steady(self, way: Way, name: str) -> None:
        """Call once, which is not waited for."""
        caller = self.refer(way, timeout_ms=HELD_MS)
        words = {"interface": way.interface, "as": name, **VARIANTS[TWICE]}
        assert caller.process.ask("steady", every_ms=600_000, threads=1, **words)["ok"]

    def active(self, kind: Kind, what: str) -> int:
        """A gauge of Envoy's for the Service's cluster."""
        return self.mesh.sidecar(kind).stat(f"cluster.{cluster(self.service)};.{what}")

    @property
    def called(self) -> dict[Kind | None, Called]:
        """The Service as each caller's Envoy has it; the control's is that of None."""
        found: dict[Kind | None, Called] = {
            kind: Called(self.mesh.sidecar(kind), self.service) for kind in self.callers
        }
        return found | {None: Called(self.control.sidecar, self.control.service)}

    # ------------------------------------------------------------------ calls by Service name

    def connects(self, connections: int = 1, *, timeout_ms: int = TIMEOUT_MS) -> None:
        """Have the control call over so many new connections in turn."""
        options = {
            "url": f"{PROTOCOL}://{host(self.control.service)}:{self.control.service.port}",
            "timeout": timeout_ms, "check": False, "retries": 0, "connections": connections,
        }  # fmt: skip
        words = {"interface": ALONE, "options": options, **VARIANTS[TWICE]}
        done = self.control.caller.process.ask("refer", **words)
        assert done["ok"], done

    def says(self, method: str = "whoami", argument: object = "hello") -> dict[str, Any]:
        """What becomes of one call of the control's."""
        words = {"interface": ALONE, "method": method, "argument": argument, **VARIANTS[TWICE]}
        return self.control.caller.process.ask("call", **words)

    def control_asked(self, calls: int, *, over: int = 0, timeout_ms: int = TIMEOUT_MS) -> Answers:
        """Over so many connections; 0: each over one of its own."""
        self.connects(over or calls, timeout_ms=timeout_ms)
        return Counter(str(self.says().get("answer", "failed")) for _ in range(calls))

    def control_holds(self) -> None:
        """A new process of the control's calls all the time over its only connection."""
        self.control.caller.start()
        open_ones = f"cluster.{self.control.cluster};.upstream_cx_active"
        left = eventually(lambda: self.control.sidecar.stat(open_ones), within=SETTLED_S, until=(0).__eq__)
        assert not left, "connections of the one before"
        self.connects(timeout_ms=HELD_MS)
        assert eventually(lambda: self.says()["ok"], within=SETTLED_S)
        words = {"interface": ALONE, "every_ms": 100, "threads": 1, "as": "held", **VARIANTS[TWICE]}
        assert self.control.caller.process.ask("steady", **words)["ok"]

    def control_is_refused(self) -> None:
        """Calls over further connections are."""
        before = self.control.sidecar.stat(f"cluster.{self.control.cluster};.upstream_cx_overflow")
        assert self.control_asked(2, timeout_ms=CUT_MS) == {"failed": 2}
        assert self.control.sidecar.stat(f"cluster.{self.control.cluster};.upstream_cx_overflow") > before

    def control_goes_on(self) -> None:
        """Over the connection that it holds."""
        held = self.control.caller.tally("held")
        assert not held.failed, held
        held = eventually(
            lambda: self.control.caller.tally("held"), within=SETTLED_S, until=lambda tally: tally.calls > 0
        )
        assert (held.failed, held.calls > 0) == (0, True), held

    # ------------------------------------------------------------------ what people say

    def rules(self, write: Callable[[Service], list[dict[str, Any]]]) -> AbstractContextManager[None]:
        """With objects of Istio's that people write for both Services.

        Afterwards soadns exports no filter any more that leads to what is gone: that one would be in force.
        """
        return rules(
            self.mesh, [*self.called.values()], write, withdraw=lambda: self.told(absent=self.subsets)
        )

    def told(self, *words: str, absent: Collection[str] = ()) -> None:
        """Apply what soadns exports when that has these words, as it reads them, and not those.

        When this returns, it is in force, and the connections that it costs are cut.
        """

        def looks(text: str) -> bool:
            return all(word in text for word in words) and not any(word in text for word in absent)

        exported = eventually(
            lambda: self.mesh.exported(read=True), within=ARRIVES_S, until=lambda said: looks(_filters(said))
        )
        assert looks(_filters(exported))
        assert self.control.service.name not in str(exported), "soadns does nothing for the control"
        self.mesh.publish(exported)
        sidecar = self.mesh.sidecar(PLAIN)
        for service in (self.service, self.leads):
            assert eventually(lambda service=service: looks(listener(sidecar, service)), within=ARRIVES_S)
        assert eventually(lambda: not sidecar.draining, within=ARRIVES_S)

    def become(self, *expected: str) -> None:
        """Calls at each tier, and the control's, come to be answered by all of these, and no other."""
        for who in (*WAYS, self.control):
            found = eventually(
                lambda who=who: (
                    self.asked(who, FEW)
                    if isinstance(who, Way)
                    else self.control_asked(FEW, timeout_ms=CUT_MS)
                ),
                within=SETTLED_S,
                until=lambda seen: set(seen) == set(expected),
            )
            assert set(found) == set(expected), (str(who), found)

    @contextmanager
    def held(self, *, another: bool = False) -> Iterator[None]:
        """With a call of both callers under way, and ``another`` that waits for it. The first pod answers neither
        meanwhile; all succeed when it does."""
        ways = {way.kind: way for way in WAYS}
        names = {"held": "upstream_rq_active", "waits": "upstream_rq_pending_active"}
        if not another:
            del names["waits"]
        with frozen(self._variants.by[TWICE][0].server.process):
            for name, gauge in names.items():
                for way in ways.values():
                    self.steady(way, name)
                self.waited(gauge, dict.fromkeys(ways, 1))
            yield
        for kind in ways:
            self.callers[kind].process.ask("stop")
            for name in names:
                tally = self.callers[kind].tally(name)
                assert (tally.calls, tally.failed) == (1, 0), (name, tally)

    def waited(self, gauge: str, expected: Mapping[Kind, int]) -> None:
        """Wait until Envoy has so many calls of each caller in a gauge of its own."""
        found = eventually(
            lambda: {kind: self.active(kind, gauge) for kind in expected},
            within=SETTLED_S,
            until=lambda counts: counts == expected,
        )
        assert found == expected, gauge


def _filters(exported: Mapping[str, Any]) -> str:
    """All that callers are told by what soadns exports."""
    return str([item["filters"] for item in exported["items"]]) + str(exported["configMaps"])
