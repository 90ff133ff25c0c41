"""What else happens to Services while callers with sidecars call: canaries and headless twins come and go, calls go
back to the registry, a Service is deleted and created again; and what becomes of calls that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.stage.istiosidecar import DRAIN_S
from tests.scenarios.stage.mesh import CALLERS, MOVES, MOVES_SHARED, Kind, Mesh
from tests.scenarios.stage.neighbours import PASSED_BY, Fresh, Twins, connect_anew
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.town import at_once
from tests.scenarios.stage.watch import Line, Watched

BY_NAME = ("stays", "moves")
DUBBO = [kind for kind in CALLERS if kind.protocol == "dubbo"]
COME, GO = "a canary and a headless twin come", "a canary and a headless twin go"
REGISTRY, MESH = "traffic: registry", "traffic: mesh again"
FILTER, ANEW = "T0 to T1: the filter comes, before a Service is created again", "a Service is created again"
SETTLED_S = DRAIN_S + 2.0
UNKNOWN = "10.96.250.250"
TIMEOUT_MS = 2000
NOBODYS, NOT_THERE, NO_NAME = (
    "a ClusterIP that is nobody's", "an interface that its Service does not have", "a name that nobody has",
)  # fmt: skip
NOWHERE = {NOBODYS: "ByTwoUrls", NOT_THERE: "ByTwoNames", NO_NAME: "ByRegistry"}
"""By the interface that is called: SOFARPC takes three references to one at most."""


class Told:
    """The whole story, told once."""

    def __init__(self, mesh: Mesh, lines: list[Line]) -> None:
        self._mesh, self._lines = mesh, lines
        self._estates = list(mesh.estates.values())
        self.users = [estate.user for estate in self._estates]
        self.seen: dict[str, Watched] = {}
        self.fresh: dict[tuple[str, Kind], Fresh] = {}
        self.nowhere: dict[tuple[str, Kind], dict[str, Any]] = {}
        self.filters: list[set[str]] = []
        """Those of the Service before and after it was created again."""
        self.timeouts = {kind: self._timeouts(kind) for kind in CALLERS}
        self.unknown_names_before = self.unknown_names()
        at_once(self._call_nowhere, CALLERS)
        mesh.settle()
        if not mesh.filters_of(self.users[0]):  # files for those who mount them
            self._watch("T0 to T3: the filter comes", mesh.publish)
        self._twins()
        self._registry()
        self._create_again()

    def _watch(self, step: str, happens: Callable[[], object], at_least: float = SETTLED_S) -> None:
        self.seen[step] = self._mesh.watch(step, self._lines, happens, at_least=at_least)

    # ------------------------------------------------------------------ calls that lead nowhere

    def _call_nowhere(self, kind: Kind) -> None:
        user = self._mesh.estates[kind.protocol].user
        nobody = (
            f"com.example.nobody.of-{kind.program.replace('.', '-')}{'-files' if kind.files else ''}.{ZONE}"
        )
        for what, address in {NOBODYS: UNKNOWN, NOT_THERE: user.cluster_ip, NO_NAME: nobody}.items():
            process, interface = (
                self._mesh.callers[kind].process,
                f"com.example.{kind.protocol}.{NOWHERE[what]}",
            )
            word = "directUrl" if kind.protocol == "bolt" else "url"
            url = f"{kind.protocol}://{address}:{user.port}"
            options = {word: url, "timeout": TIMEOUT_MS, "retries": 0}
            referred = process.ask("refer", interface=interface, options=options)
            self.nowhere[what, kind] = process.call(interface) if referred["ok"] else referred

    def _timeouts(self, kind: Kind) -> int:
        """Connections that Envoy tried to make for callers without knowing whose they are, in vain."""
        return self._mesh.sidecar(kind).stat(f"cluster.{PASSED_BY};.upstream_cx_connect_timeout")

    def timed_out(self, kind: Kind) -> bool:
        return self._timeouts(kind) > self.timeouts[kind]

    def unknown_names(self) -> float:
        """Answers of soadns's that there is no such name."""
        servers = [each.server for each in self._mesh.town.soadns]
        return sum(
            server.metric(f'soadns_dns_responses_total{{rcode="NXDOMAIN",type="{kind}",zone="{ZONE}"}}')
            for server in servers if isinstance(server, Soadns) for kind in ("A", "AAAA")
        )  # fmt: skip

    # ------------------------------------------------------------------ canaries and twins

    def _twins(self) -> None:
        town, twins = self._mesh.town, Twins(self._mesh)

        def come() -> None:
            twins.come()
            for estate in self._estates:
                town.register_again(estate.at_account)

        self._watch(COME, come)

        def go() -> None:
            for estate in self._estates:
                town.deregister(estate.new, MOVES, MOVES_SHARED, quarter=estate.quarter)
            twins.go()

        self._watch(GO, go)

    # ------------------------------------------------------------------ to the registry and back

    def _registry(self) -> None:
        for step, traffic in ((REGISTRY, "registry"), (MESH, "")):

            def annotate(traffic: str = traffic) -> None:
                for user in self.users:
                    user.annotate(traffic=traffic)

            self._watch(step, annotate, 6.0)  # longer than CoreDNS keeps a name
            dubbo = self._mesh.estates["dubbo"]
            at = dubbo.old.home.ip if traffic else dubbo.user.cluster_ip
            for kind in DUBBO:
                self.fresh[step, kind] = connect_anew(self._mesh, kind, at=at)

    # ------------------------------------------------------------------ created again

    def _create_again(self) -> None:
        """With a filter, whose Service is another one then."""
        user = self._mesh.estates["dubbo"].user
        user.annotate(balancing="request")
        assert eventually(lambda: self._mesh.tier(user), within=30.0) == 1
        self._watch(FILTER, self._mesh.publish)
        self.filters.append(self._mesh.filters_of(user))

        def anew() -> None:
            for each in self.users:
                each.delete()
                each.apply()
            old = self.filters[0]
            said = eventually(
                self._mesh.exported, within=30.0,
                until=lambda said: not old & self._mesh.filters_of(user, said) and user.cluster_ip in str(said),
            )  # fmt: skip
            self._mesh.publish(said)
            self.filters.append(self._mesh.filters_of(user))

        by_name = [line for line in self._lines if line.name in BY_NAME]
        self.seen[ANEW] = self._mesh.watch(ANEW, by_name, anew, at_least=SETTLED_S, within=60.0)
        user.annotate(balancing="")


def nobody(kind: Kind) -> str:
    """A name that nobody has, and nobody else asks for."""
    return f"com.example.nobody.of-{kind.program.replace('.', '-')}{'-files' if kind.files else ''}.{ZONE}"


@pytest.fixture(scope="module")
def told(mesh: Mesh, lines: list[Line]) -> Told:
    return Told(mesh, lines)


@pytest.mark.parametrize("step", [COME, GO, REGISTRY, MESH])
def test_nothing_changes_for_who_is_connected(step: str, told: Told) -> None:
    """No call failed, no connection was cut, and no call went to a canary or to a pod that is not the Service's."""
    seen = told.seen[step]
    assert {str(line.caller) for line, found in seen.lines.items() if found.failed} == set()
    assert set(seen.cut.values()) == {0}
    for line, found in seen.lines.items():
        assert len(found.by) == 1, line
        assert found.for_good_s is not None, line


@pytest.mark.parametrize("kind", DUBBO, ids=str)
def test_who_connects_meanwhile_reaches_the_registrys_providers_and_the_service_afterwards(
    kind: Kind, told: Told, mesh: Mesh
) -> None:
    old = mesh.estates["dubbo"].old.home.name
    assert told.fresh[REGISTRY, kind] == Fresh(old, {PASSED_BY: 1})
    again = told.fresh[MESH, kind]
    assert again.by == old
    assert PASSED_BY not in again.through


def test_the_filter_of_a_service_that_was_created_again_is_another_one(told: Told) -> None:
    old, new = told.filters
    assert old
    assert new
    assert not old & new


@pytest.mark.parametrize("kind", CALLERS, ids=str)
def test_callers_by_name_follow_a_service_that_was_created_again(kind: Kind, told: Told, mesh: Mesh) -> None:
    caller, estate = mesh.callers[kind], mesh.estates[kind.protocol]
    for name in BY_NAME:
        found = told.seen[ANEW].of(caller, name)
        assert found.for_good_s is not None
        assert set(found.by) == {estate.old.home.name}
    address, port = estate.user.cluster_ip, estate.user.port
    assert eventually(lambda: address in caller.connected(port), within=30.0), (
        "or it looks its name up by itself"
    )


@pytest.mark.parametrize("kind", CALLERS, ids=str)
@pytest.mark.parametrize("what", NOWHERE)
def test_a_call_that_leads_nowhere_is_an_error_that_says_of_what(
    what: str, kind: Kind, told: Told, mesh: Mesh
) -> None:
    said = told.nowhere[what, kind]
    mesh.rows.append({"situation": what, "program": str(kind), "error": said.get("error", "")})
    assert not said["ok"]
    error = said["error"]
    if what == NOBODYS:  # what kube-proxy does with what is sent there: nothing
        assert "timeout" in error
        assert f"{UNKNOWN}:" in error
    elif what == NOT_THERE:  # the provider says so
        assert f"com.example.{kind.protocol}.{NOWHERE[what]}" in error
        assert "Fail to decode request" in error or "cannot find service" in error
    else:
        assert nobody(kind) in error
        assert "UnknownHostException" in error or "is not available" in error


@pytest.mark.parametrize("kind", CALLERS, ids=str)
def test_envoy_counts_what_nobody_answers_at_a_cluster_ip(kind: Kind, told: Told) -> None:
    assert eventually(lambda: told.timed_out(kind), within=20.0)


def test_soadns_counts_names_that_nobody_has(told: Told) -> None:
    assert told.unknown_names() - told.unknown_names_before >= len(CALLERS)
