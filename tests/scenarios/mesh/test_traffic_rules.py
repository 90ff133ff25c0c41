"""What people say with Istio's VirtualServices and DestinationRules holds for calls by interface name as for those by
Service name, at tier 0: with nothing of soadns's in the mesh.

Two callers in pods of their own call the same pods at the same time: one by the interface's name, and a control by the
name of another Service that has these pods, for which soadns does nothing. The same rules are written for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.control import DUBBO_PROXY, Control, listener
from tests.scenarios.stage.inforce import ARRIVES_S, Called, rules
from tests.scenarios.stage.istiosidecar import Sidecar
from tests.scenarios.stage.mesh import Mesh, cluster, host
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.proportions import alike, likely
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import at_once
from tests.scenarios.stage.trafficrules import (
    BY_SHARE,
    CALLS,
    DEAD,
    EJECTED,
    ITS_PODS,
    LIMIT,
    LIMITS,
    ONE_CONNECTION,
    ONE_HAS_ALL,
    REFUSED,
    SHARE,
    SPLIT,
    STAYS,
    SUBSET,
    THROWING,
    WEIGHT,
    Rule,
    detection,
    pool,
    shares,
    split,
    subsets,
)

KIND = "private-tcp"
RULED = "com.example.ruled.TrafficService"
SETTLED_S = 60.0
PATIENCE_MS = 20_000
"""Of a call, so that a machine with much to do fails none."""
CUT = "the connection was cut"
"""Who is at sending sees it as another error than who waits for the answer."""


@dataclass(frozen=True)
class Side:
    """Who calls, and where."""

    caller: Caller
    sidecar: Sidecar
    service: Service
    url: str

    @property
    def cluster(self) -> str:
        """Where its calls go."""
        return cluster(self.service)

    def asked(self, calls: int) -> Counter[str]:
        """Who answered, each call over a connection of its own; errors count by their text."""
        found: Counter[str] = Counter()
        for _ in range(calls):
            self.refer()
            found[self._call()] += 1
        return found

    def asked_at_once(self) -> Counter[str]:
        """Who answered calls over one connection."""
        self.refer()
        return Counter(self._call() for _ in range(20))

    def refer(self) -> None:
        """Make a reference, whose first call opens a connection."""
        self.caller.refer(RULED, url=self.url, timeout=PATIENCE_MS)

    def _call(self) -> str:
        said = self.caller.tries(RULED)
        if said["ok"]:
            return str(said["answer"])
        error = str(said["error"])
        return CUT if error.startswith(("ConnectionResetError", "BrokenPipeError")) else error

    @property
    def called(self) -> Called:
        """Its Service, as its Envoy has it."""
        return Called(self.sidecar, self.service)

    def counts(self, what: str) -> int:
        """A counter of Envoy's for where its calls go."""
        return self.sidecar.stat(f"cluster.{self.cluster};.{what}")


class Ruled:
    """An interface whose Service has two versions, and both sides that call them."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        town = mesh.town
        self.service = town.shop("ruled", KIND)
        self.pods = [town.register(KIND, self.service, RULED) for _ in range(2)]
        for number, pod in enumerate(self.pods, 1):
            town.label(pod, version=f"v{number}")
        town.knows(RULED, self.service)
        self.control = Control(town, KIND, KIND, self.service, self.pods)
        caller = town.caller(KIND, "ruled-caller", sidecar=True)
        named = f"tcp://{host(self.control.service)}:{self.service.port}"
        self.by_interface = Side(caller, town.sidecar(caller), self.service, town.address(RULED, KIND))
        self.by_service = Side(self.control.caller, self.control.sidecar, self.control.service, named)

    def end(self) -> None:
        self.control.end()

    def both(self, look: Callable[[Side], Counter[str]]) -> tuple[Counter[str], Counter[str]]:
        """What both sides see at the same time: by interface name, and by Service name."""
        one, other = at_once(look, self.sides)
        return one, other

    def become(self, *expected: str) -> tuple[Counter[str], Counter[str]]:
        """What both sides see when they see these, and nothing else."""
        found = eventually(
            lambda: self.both(lambda side: side.asked(20)),
            within=SETTLED_S,
            until=lambda seen: all(set(each) == set(expected) for each in seen),
        )
        assert [set(each) for each in found] == [set(expected)] * 2, found
        return found

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.by_interface, self.by_service

    def rules(self, write: Callable[[Service], list[dict[str, Any]]]) -> AbstractContextManager[None]:
        """With objects of Istio's that people write for both Services."""
        return rules(self.mesh, [side.called for side in self.sides], write)

    def ejected(self) -> list[set[str]]:
        """Which pods each side's Envoy does not call."""
        return [side.called.ejected for side in self.sides]

    @property
    def names(self) -> list[str]:
        return [pod.home.name for pod in self.pods]


@pytest.fixture(scope="module")
def ruled(mesh: Mesh) -> Iterator[Ruled]:
    found = Ruled(mesh)
    yield found
    found.end()


def held(rule: Rule, by_service: str, by_interface: str) -> None:
    """Both sides saw what the page says of this tier."""
    assert (by_service, by_interface) == (rule.by_service, rule.at(0)), rule.what


def test_the_listener_is_istios_own(ruled: Ruled) -> None:
    """It is, to the last word, what Istio gives a Service that soadns does nothing for."""
    found = eventually(
        lambda: listener(ruled.by_interface.sidecar, ruled.service),
        within=ARRIVES_S,
        until=lambda said: said == ruled.control.listener(),
    )
    assert found == ruled.control.listener()
    assert DUBBO_PROXY not in found


def test_weights_and_subsets_are_obeyed(ruled: Ruled) -> None:
    first, second = ruled.names
    with ruled.rules(lambda service: [subsets(service), split(service, WEIGHT)]):
        for side in ruled.sides:
            known = f"outbound|{side.service.port}|v1|{host(side.service)}"
            assert eventually(
                lambda side=side, known=known: known in listener(side.sidecar, side.service), within=ARRIVES_S
            )
        ruled.become(first, second)
        by_interface, by_service = ruled.both(lambda side: side.asked(CALLS))
        assert set(by_interface) == set(by_service) == {first, second}, (by_interface, by_service)
        ours, theirs = by_interface[first], by_service[first]
        ruled.mesh.rows.append(shares(0, theirs, ours))
        for hits in (ours, theirs):
            assert likely(hits, CALLS, SHARE), (by_interface, by_service)
        assert alike(ours, CALLS, theirs, CALLS), (by_interface, by_service)
        held(SPLIT, BY_SHARE, BY_SHARE)
        for each in ruled.both(Side.asked_at_once):
            assert len(each) == 1, each
            assert set(each) < {first, second}
        held(ONE_CONNECTION, ONE_HAS_ALL, ONE_HAS_ALL)
    with ruled.rules(lambda service: [subsets(service), split(service, 0)]):
        ruled.become(second)
        held(SUBSET, ITS_PODS, ITS_PODS)


@pytest.mark.parametrize(("rule", "pending"), [(LIMIT, 0), (LIMITS, 1)], ids=["connections", "and who waits"])
def test_circuit_breaking_is_obeyed(rule: Rule, pending: int, ruled: Ruled) -> None:
    with ruled.rules(lambda service: [subsets(service, **pool(pending))]):
        for side in ruled.sides:
            limited = f"{side.cluster}::default_priority::max_connections::1\n"
            assert eventually(
                lambda side=side, limited=limited: limited in side.sidecar.get("/clusters"), within=ARRIVES_S
            )
        try:
            found = eventually(
                lambda: ruled.both(beside_who_holds_it),
                within=SETTLED_S,
                until=lambda seen: not any({*ruled.names} & {*each} for each in seen),
            )
            by_interface, by_service = found
            assert by_interface == by_service, "as often, and for the same reason"
            assert by_service.total() == 5
            assert not {*ruled.names} & {*by_service}, by_service
            held(rule, REFUSED, REFUSED)
            for side in ruled.sides:
                assert side.counts("upstream_cx_overflow") > 0
                side.caller.tally()
                kept = eventually(side.caller.tally, within=ARRIVES_S, until=lambda tally: tally.calls > 0)
                assert (kept.failed, len(kept.by)) == (0, 1)
        finally:
            for side in ruled.sides:
                side.caller.process.ask("stop")


def beside_who_holds_it(side: Side) -> Counter[str]:
    """What becomes of calls while another connection is open.

    Anew each time: a cluster that istiod replaces begins to count anew, too.
    """
    side.caller.process.ask("stop")
    side.refer()
    side.caller.steady(RULED, every_ms=20, threads=1)
    # Those of calls before are closed at Envoy by and by.
    holding = eventually(side.caller.tally, within=ARRIVES_S, until=lambda it: bool(it.by) and not it.failed)
    assert holding.by, holding
    assert not holding.failed, holding
    return side.asked(5)


def test_outlier_detection_ejects_the_same_pod(ruled: Ruled) -> None:
    dead = ruled.mesh.town.home("dead-ruled")  # nothing listens there
    for service in ruled.control.services:
        service.endpoint(dead.ip)
    try:
        found = eventually(
            lambda: ruled.both(lambda side: side.asked(20)),
            within=SETTLED_S,
            until=lambda seen: all({*each} > {*ruled.names} for each in seen),
        )
        by_interface, by_service = ({*each} - {*ruled.names} for each in found)
        assert by_interface == by_service != set(), found
        assert ruled.ejected() == [set(), set()]
        with ruled.rules(lambda service: [subsets(service, **detection())]):

            def ejected() -> list[set[str]]:
                """It takes a call that is led there, which is chance."""
                ruled.both(lambda side: side.asked(20))
                return ruled.ejected()

            assert (
                eventually(ejected, within=SETTLED_S, until=[{dead.ip}, {dead.ip}].__eq__) == [{dead.ip}] * 2
            )
            ruled.become(*ruled.names)
            held(DEAD, EJECTED, EJECTED)
            for service in ruled.control.services:
                service.without(dead.ip)
    finally:
        for service in ruled.control.services:
            service.without(dead.ip)


def test_errors_that_an_application_answers_eject_no_pod(ruled: Ruled) -> None:
    """Istio's own filter sees connections, and no answers."""
    with ruled.rules(lambda service: [subsets(service, **detection())]):
        for side in ruled.sides:
            assert "consecutive_5xx" in side.sidecar.cluster(side.cluster)
            side.refer()
            errors = [str(side.caller.tries(RULED, "unheard").get("error")) for _ in range(5)]
            assert all("unheard" in error for error in errors), errors
        assert ruled.ejected() == [set(), set()]
        held(THROWING, STAYS, STAYS)
