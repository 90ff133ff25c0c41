"""Interfaces move while callers call them, and soadns itself writes what their sidecars are told, tier by tier, and
takes it back; and what stands beside their Services, or leads past them, meanwhile changes nothing, nor does a server
that is lost.

What moves is registered at both Services, and one of them is told to have it no more: calls would succeed at the other
one as well, so rules need consent (``soadns.io/moves: inline``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.scenarios.stage.cluster import NAMESPACE
from tests.scenarios.stage.istiod import ROOT
from tests.scenarios.stage.mesh import CALLERS, MOVES, MOVES_SHARED, Kind, Mesh
from tests.scenarios.stage.meshtable import CALLED
from tests.scenarios.stage.neighbours import PASSED_BY, Fresh, Twins, connect_anew
from tests.scenarios.stage.told import ALL, BOLT, DUBBO, FILES, INLINE, SETTLED_S, Story
from tests.scenarios.stage.town import Server, at_once
from tests.scenarios.stage.watch import Line
from tests.scenarios.stage.writing import Writing

T3, T1, T2, TAKEN_BACK = (
    "soadns writes T0 to T3", "soadns writes T0 to T1", "soadns writes T1 to T2: by consent",
    "soadns takes back T2, T3 to T0",
)  # fmt: skip
MOVED = "written T1, T3: moves, calls succeed where they are"
COME, REGISTRY, AGAIN = (
    "a canary and a headless twin come", "they are gone, traffic: registry", "traffic: mesh again",
)  # fmt: skip
AT_T1, AT_T2 = "written T1, T3", "written T2, T3"
BESIDE = [f"{tiers}: {what}" for tiers in (AT_T1, AT_T2) for what in (COME, REGISTRY, AGAIN)]
API_SERVER, ZOOKEEPER = SERVERS = ("API server", "ZooKeeper")
LOST = {server: [f"{AT_T2}: {server} {what}" for what in ("killed", "back")] for server in SERVERS}
BY_NAME = ("stays", "moves")
LOOKS_UP = "sofarpc-5.12.0"
OFF = f"{MOVES}=off,{MOVES_SHARED}=off"
"""Of a Service that has what moves no more."""
NAMES_S = 6.0
"""Longer than CoreDNS keeps them, and than soadns, istiod and Envoy's drain take together."""


class Told(Story):
    """The whole story, told once."""

    name = "soadns writes"

    def __init__(self, mesh: Mesh, lines: list[Line], writing: Writing) -> None:
        super().__init__(mesh, lines)
        self._writing = writing
        self.fresh: dict[tuple[str, Kind], Fresh] = {}
        dubbo = mesh.estates["dubbo"]
        self._user, self._account = dubbo.user, dubbo.account
        self.refused = mesh.town.istiod.rejected
        self._account.annotate(moves="never")  # who connects there is led nowhere
        self.watch(T3, self._begins, cut=FILES)
        self._says(T1, cut=INLINE, balancing="request")
        writing.stands(self._user, NAMESPACE, ROOT)
        self._beside(AT_T1, traffic="")
        self._unwritten(MOVED, self._moves, moved=[*FILES, *BOLT], at_least=NAMES_S)
        self._says(T2, moved=True, cut=INLINE, moves="inline")
        self._losses()
        self._beside(AT_T2, traffic=OFF, moved=True)
        by_service = [
            line for line in lines if line.name not in BY_NAME or line.caller.kind.startswith("sofa")
        ]
        self.watch(TAKEN_BACK, self._takes_back, moved=BOLT, cut=DUBBO, lines=by_service)
        self._comes_back()

    # ------------------------------------------------------------------ its steps

    def _begins(self) -> None:
        self._writing.begin()
        self._writing.stands(self._user, NAMESPACE)

    def _says(self, step: str, *, cut: Sequence[Kind], moved: bool = False, **annotations: str) -> None:
        """Somebody says so of the Service, and a filter is written for it."""

        def says() -> None:
            self._writing.when_written(self._user, lambda: self._user.annotate(**annotations))

        self.watch(step, says, moved=moved, cut=cut)

    def _unwritten(
        self,
        step: str,
        happens: Callable[[], object],
        *,
        moved: bool | Sequence[Kind],
        at_least: float = SETTLED_S,
    ) -> None:
        """What happens is no reason to write a filter."""
        before = self._writing.written(self._user)
        self.watch(step, happens, moved=moved, at_least=at_least)
        assert self._writing.written(self._user) == before != {}, step

    def _losses(self) -> None:
        """Nor is that of a server, when rules are in force."""
        before, town = self._writing.written(self._user), self.mesh.town
        servers: dict[str, Server] = {API_SERVER: town.api, ZOOKEEPER: town.zookeeper}
        for name, server in servers.items():
            self.without(name, server, begins=f"{AT_T2}: ", moved=True)
        self.all_watch()
        self._writing.at_rest()
        assert self._writing.written(self._user) == before

    def _moves(self) -> None:
        for estate in self.mesh.estates.values():
            self.mesh.town.register_again(estate.at_account)
            estate.user.annotate(traffic=OFF)

    def _takes_back(self) -> None:
        self._user.annotate(moves="never", balancing="connection")
        self._writing.stands(self._user)

    def _comes_back(self) -> None:
        self.mesh.settle_registry()
        for estate in self.mesh.estates.values():
            estate.user.annotate(traffic="")
        self.known(moved=False)

    def _beside(self, tiers: str, *, traffic: str, moved: bool = False) -> None:
        """Twins come and go, and names lead to the registry's providers; who connects then is noted."""
        twins, estates = Twins(self.mesh), self.mesh.estates.values()

        def come() -> None:
            twins.come()
            for estate in [] if moved else estates:  # what moves is registered at the canary's pod, too
                estate.account.annotate(traffic=OFF)
                self.mesh.town.register_again(estate.at_account)
            assert twins.heard(there=True)

        def registry() -> None:
            """In this order: who reached a pod's own address through the twin's listener is cut when that goes."""
            if not moved:
                self.mesh.settle_registry()
            for estate in estates:
                estate.account.annotate(traffic="")
            twins.go()
            assert twins.heard(there=False)
            for estate in estates:
                estate.user.annotate(traffic=",".join(filter(None, ["*=registry", traffic])))

        def again() -> None:
            for estate in estates:
                estate.user.annotate(traffic=traffic)

        self._unwritten(f"{tiers}: {COME}", come, moved=moved)
        old = self.mesh.estates["dubbo"].old.home.ip
        for what, happens, at in ((REGISTRY, registry, old), (AGAIN, again, self._user.cluster_ip)):
            step = f"{tiers}: {what}"
            self._unwritten(step, happens, moved=moved, at_least=NAMES_S)
            anew = at_once(lambda kind, at=at: connect_anew(self.mesh, kind, at=at), DUBBO)
            self.fresh |= {(step, kind): fresh for kind, fresh in zip(DUBBO, anew, strict=True)}


@pytest.fixture(scope="module")
def told(mesh: Mesh, writing: Writing, lines: list[Line]) -> Told:
    return Told(mesh, lines, writing)


@pytest.mark.parametrize(
    ("step", "kinds"), [(T3, FILES), (T1, INLINE), (T2, INLINE), (TAKEN_BACK, DUBBO)], ids=str
)
def test_what_soadns_writes_and_takes_back_cuts_connections_once(
    step: str, kinds: Sequence[Kind], told: Told
) -> None:
    for kind in kinds:
        told.cut_once(step, kind, least=CALLED)
        told.lost_little(step, kind)


@pytest.mark.parametrize("step", [T1, MOVED, T2, *BESIDE])
@pytest.mark.parametrize("kind", FILES, ids=str)
def test_who_has_files_follows_and_notices_nothing_else(kind: Kind, step: str, told: Told) -> None:
    told.unharmed(step, kind)
    told.follows(step, kind)


@pytest.mark.parametrize("step", [T3, MOVED, *BESIDE])
@pytest.mark.parametrize("kind", INLINE, ids=str)
def test_what_is_written_for_others_or_needs_no_rule_changes_nothing(
    kind: Kind, step: str, told: Told
) -> None:
    told.unharmed(step, kind)
    told.follows(step, kind)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kind", CALLERS, ids=str)
def test_with_rules_in_force_the_loss_of_a_server_costs_no_call_and_no_connection(
    kind: Kind, server: str, told: Told
) -> None:
    for step in LOST[server]:
        told.unharmed(step, kind)
        told.follows(step, kind)


@pytest.mark.parametrize("step", [T3, T1, MOVED, T2, *BESIDE, TAKEN_BACK])
@pytest.mark.parametrize("kind", BOLT, ids=str)
def test_nothing_is_written_for_sofarpc(kind: Kind, step: str, told: Told) -> None:
    told.follows(step, kind)
    assert told.cut(step, kind)[0] == 0
    for seen in told.of(step, kind, "stays, by Service name", "moves, by Service name"):
        assert (seen.failed, set(seen.by)) == (0, {told.mesh.estates["bolt"].old.home.name})


@pytest.mark.parametrize("step", BESIDE)
@pytest.mark.parametrize("kind", CALLERS, ids=str)
def test_no_call_goes_to_a_canary_or_to_another_pod(kind: Kind, step: str, told: Told) -> None:
    for line in ALL:
        [seen] = told.of(step, kind, line)
        assert len(seen.by) == 1, (line, seen)
        # Who looks its names up takes the new address before it is connected there.
        refused = kind.program == LOOKS_UP and line in BY_NAME
        assert seen.failed <= refused, (line, seen)


@pytest.mark.parametrize("tiers", [AT_T1, AT_T2])
@pytest.mark.parametrize("kind", DUBBO, ids=str)
def test_who_connects_meanwhile_reaches_the_registrys_providers_and_the_service_afterwards(
    kind: Kind, tiers: str, told: Told
) -> None:
    found = {what: told.fresh[f"{tiers}: {what}", kind] for what in (REGISTRY, AGAIN)}
    old = told.mesh.estates["dubbo"].old.home.name
    passed_by = {what: (fresh.by, fresh.through.get(PASSED_BY, 0)) for what, fresh in found.items()}
    assert passed_by == {REGISTRY: (old, 1), AGAIN: (old, 0)}


def test_no_sidecar_refused_anything(told: Told) -> None:
    assert told.mesh.town.istiod.rejected == told.refused
