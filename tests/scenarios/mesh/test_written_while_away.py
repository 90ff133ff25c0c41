"""Interfaces move while ZooKeeper, soadns, istiod or the API server is away: calls go on as before until who is needed
for that is back, and then the change holds; soadns itself writes.

Dubbo's callers call by the Service's name, over connections that only their sidecars can lead elsewhere (tiers 2 and
3), and connect anew by the interface's. SOFARPC 5.12 looks that name up again by itself (both: tier 0).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pytest

from tests.scenarios.stage.cluster import NAMESPACE
from tests.scenarios.stage.istiod import ROOT
from tests.scenarios.stage.mesh import MOVES, MOVES_SHARED, Kind, Mesh
from tests.scenarios.stage.meshtable import CALLED, STAYED
from tests.scenarios.stage.neighbours import connect_anew
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.told import BOLT, DUBBO, FILES, INLINE, Story
from tests.scenarios.stage.town import Server, at_once
from tests.scenarios.stage.watch import Line
from tests.scenarios.stage.writing import Writing

SOADNS, ISTIOD, API_SERVER, ZOOKEEPER = SERVERS = ("soadns", "istiod", "API server", "ZooKeeper")
BEGINS, TAKEN_BACK, AGAIN, BACK_ONCE_MORE, BY_CONSENT = (
    "away: soadns writes T0 to T3", "away: soadns writes T2, T3 to T0", "away: soadns writes T0 to T3 again",
    "away: soadns writes T2, T3 to T0 once more", "away: soadns writes T0 to T3, and has consent to T2",
)  # fmt: skip
AWAY = {server: f"{server} away, interfaces move" for server in SERVERS}
BACK = {server: f"{server} back, interfaces moved meanwhile" for server in SERVERS}
OFF = f"{MOVES}=off,{MOVES_SHARED}=off"
"""Of a Service that has what moves no more."""
AWAY_S = 6.0
"""Longer than CoreDNS keeps names, and than soadns, istiod and Envoy's drain take together."""
ANEW_S = 40.0
"""CoreDNS and the JVM may have a name for six seconds more, after soadns has heard of the change."""
WITHIN_S = 60.0
"""After who was away is back, at most."""
LOOKS_UP = "sofarpc-5.12.0"


class Told(Story):
    """The whole story, told once."""

    name = "servers are away"

    def __init__(self, mesh: Mesh, lines: list[Line], writing: Writing) -> None:
        by_service = [line for line in lines if line.name.endswith("by Service name")]
        bolt = [line for line in lines if line.caller.kind.startswith("sofarpc")]
        super().__init__(mesh, [*{*by_service, *bolt}])
        self._writing = writing
        self.fresh: dict[tuple[str, Kind], str] = {}
        """Which pod answered who connected anew by the name of what moves."""
        dubbo = mesh.estates["dubbo"]
        self._user, self._old, self._new = dubbo.user, dubbo.old.home.name, dubbo.new.home.name
        dubbo.account.annotate(moves="never")  # who connects there is led nowhere
        self.watch(BEGINS, self._allows, cut=FILES)
        self._while_soadns_is_away()
        self._while_the_api_server_is_away()
        self.watch(TAKEN_BACK, self._takes_back, cut=DUBBO)
        self.watch(AGAIN, self._allows, cut=FILES)
        self._while_istiod_is_away()
        self.watch(BACK_ONCE_MORE, self._comes_back, cut=DUBBO)
        self.watch(BY_CONSENT, self._consents, cut=FILES)
        self._while_zookeeper_is_away()
        for estate in mesh.estates.values():
            for service in (estate.user, estate.account):
                service.annotate(moves="", traffic="")

    def _allows(self) -> None:
        self._writing.begin()
        self._user.annotate(moves="", balancing="")
        self._writing.stands(self._user, NAMESPACE)

    def _takes_back(self) -> None:
        self._user.annotate(moves="never", balancing="connection")
        self._writing.stands(self._user)

    def _comes_back(self) -> None:
        """What moves is registered at both Services from now on, and one of them is told to have it no more. No filter
        is left whose rules have just changed, and could not change again for a minute."""
        for estate in self.mesh.estates.values():
            self.mesh.town.register_again(estate.at_user)
            estate.account.annotate(traffic=OFF)
        self.known(moved=False)
        self._takes_back()

    def _consents(self) -> None:
        """Calls would succeed where they are."""
        self._user.annotate(moves="inline", balancing="")
        self._writing.stands(self._user, NAMESPACE)

    # ------------------------------------------------------------------ who is away

    def _while_soadns_is_away(self) -> None:
        self._killed(SOADNS, self.move)
        self._restarted(
            SOADNS, moved=True, cut=INLINE, until=lambda: self._writing.stands(self._user, NAMESPACE, ROOT)
        )
        self._anew(BACK[SOADNS], self._new)

    def _while_the_api_server_is_away(self) -> None:
        """It comes back. Callers with rules in the listener follow when a minute is over since these have come."""
        self._killed(API_SERVER, self.move_back, moved=True)
        self._anew(AWAY[API_SERVER], self._new)

        def rules_go() -> None:
            self._writing.rules_go(self._user)
            self.all_watch()

        self._restarted(API_SERVER, cut=INLINE, until=rules_go)
        self._anew(BACK[API_SERVER], self._old)

    def _while_istiod_is_away(self) -> None:
        """It moves, and the filter for it stands before istiod can see it."""
        self._killed(ISTIOD, lambda: self._writing.when_written(self._user, self.move), moved=[*FILES, *BOLT])
        self._anew(AWAY[ISTIOD], self._new)
        self._writing.stands(self._user, NAMESPACE, ROOT)
        self._restarted(ISTIOD, moved=True, cut=INLINE)

    def _while_zookeeper_is_away(self) -> None:
        """The other Service is told to have it no more, and rules come by that: nobody needs ZooKeeper for it."""

        def moves() -> None:
            for estate in self.mesh.estates.values():
                estate.account.annotate(traffic="")
                estate.user.annotate(traffic=OFF)
            self._writing.stands(self._user, NAMESPACE, ROOT)

        self._killed(ZOOKEEPER, moves, moved=True, cut=INLINE)
        self._anew(AWAY[ZOOKEEPER], self._new)
        self._restarted(ZOOKEEPER, moved=True)

    # ------------------------------------------------------------------ its steps

    def _servers(self, name: str) -> Collection[Server]:
        town = self.mesh.town
        servers: dict[str, Server] = {ISTIOD: town.istiod, API_SERVER: town.api, ZOOKEEPER: town.zookeeper}
        return [servers[name]] if name in servers else town.soadns

    def _killed(
        self,
        name: str,
        happens: Callable[[], object],
        *,
        moved: bool | Collection[Kind] = False,
        cut: Sequence[Kind] = (),
    ) -> None:
        """And what moves while it is away."""

        def killed() -> None:
            self.kill(*self._servers(name))
            happens()

        self.watch(AWAY[name], killed, moved=moved, at_least=AWAY_S, cut=cut)

    def _restarted(
        self,
        name: str,
        *,
        moved: bool = False,
        cut: Sequence[Kind] = (),
        until: Callable[[], object] = lambda: None,
    ) -> None:
        """``until`` ends when it holds what is to be seen of it."""

        def restarted() -> None:
            self.mesh.town.restart(*self._servers(name))
            until()

        self.watch(BACK[name], restarted, moved=moved, within=WITHIN_S, cut=cut)

    def _anew(self, step: str, expected: str) -> None:
        def calls(kind: Kind) -> str:
            return eventually(
                lambda: connect_anew(self.mesh, kind, MOVES).by,
                within=ANEW_S,
                until=lambda by: by == expected,
            )

        self.fresh |= {(step, kind): by for kind, by in zip(DUBBO, at_once(calls, DUBBO), strict=True)}


@pytest.fixture(scope="module")
def told(mesh: Mesh, writing: Writing, lines: list[Line]) -> Told:
    return Told(mesh, lines, writing)


@pytest.mark.parametrize("server", [SOADNS, API_SERVER])
@pytest.mark.parametrize("kind", DUBBO, ids=str)
def test_calls_go_on_as_before_while_nobody_can_know_of_a_move(kind: Kind, server: str, told: Told) -> None:
    told.unharmed(AWAY[server], kind)
    told.follows(AWAY[server], kind)


@pytest.mark.parametrize("kind", INLINE, ids=str)
def test_nor_do_rules_in_the_listener_come_while_istiod_is_away(kind: Kind, told: Told) -> None:
    told.unharmed(AWAY[ISTIOD], kind)
    told.follows(AWAY[ISTIOD], kind)


@pytest.mark.parametrize("server", [ISTIOD, ZOOKEEPER])
@pytest.mark.parametrize("kind", FILES, ids=str)
def test_rules_from_files_follow_without_istiod_and_without_zookeeper(
    kind: Kind, server: str, told: Told
) -> None:
    for step in (AWAY[server], BACK[server]):
        told.unharmed(step, kind)
        told.follows(step, kind)


@pytest.mark.parametrize("server", [SOADNS, API_SERVER])
@pytest.mark.parametrize("kind", FILES, ids=str)
def test_they_follow_without_a_cut_when_who_was_missing_is_back(kind: Kind, server: str, told: Told) -> None:
    told.unharmed(BACK[server], kind)
    told.follows(BACK[server], kind)


@pytest.mark.parametrize("kind", INLINE, ids=str)
def test_rules_in_the_listener_stand_when_zookeeper_is_back(kind: Kind, told: Told) -> None:
    told.unharmed(BACK[ZOOKEEPER], kind)
    told.follows(BACK[ZOOKEEPER], kind)


@pytest.mark.parametrize(
    ("step", "kinds"),
    [
        (BACK[SOADNS], INLINE), (BACK[API_SERVER], INLINE), (BACK[ISTIOD], INLINE), (AWAY[ZOOKEEPER], INLINE),
        (BEGINS, FILES), (AGAIN, FILES), (TAKEN_BACK, DUBBO),
    ],
)  # fmt: skip
def test_rules_in_the_listener_come_or_go_then_and_connections_are_cut_once(
    step: str, kinds: Sequence[Kind], told: Told
) -> None:
    for kind in kinds:
        told.cut_once(step, kind, least=CALLED)
        told.lost_little(step, kind)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kind", BOLT, ids=str)
def test_sofarpc_follows_by_its_name_alone(kind: Kind, server: str, told: Told) -> None:
    for step in (AWAY[server], BACK[server]):
        told.follows(step, kind)
        assert told.cut(step, kind)[0] == 0
        assert [seen.failed for seen in told.of(step, kind, *STAYED, "moves, by Service name")] == [0] * 3
        [seen] = told.of(step, kind, "moves")
        assert seen.failed <= (kind.program == LOOKS_UP), seen


@pytest.mark.parametrize("kind", DUBBO, ids=str)
def test_who_connects_anew_is_led_where_the_name_leads(kind: Kind, told: Told, mesh: Mesh) -> None:
    old, new = (each.home.name for each in (mesh.estates["dubbo"].old, mesh.estates["dubbo"].new))
    expected = dict.fromkeys((BACK[SOADNS], AWAY[API_SERVER], AWAY[ISTIOD], AWAY[ZOOKEEPER]), new)
    expected[BACK[API_SERVER]] = old
    assert {step: by for (step, other), by in told.fresh.items() if other == kind} == expected
