"""Interfaces move to another Service while callers call them, and come back: what that costs at each tier.

What moves is registered at one Service and no more at the other; the pods serve on. Each caller calls what moves, and
what stays, by names of their own, and another pair by the Service's name, over one connection.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.scenarios.stage.mesh import CALLERS, NEVER_LOOKS_UP, Kind, Mesh
from tests.scenarios.stage.meshtable import STAYED
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.told import BOLT, DUBBO, FILES, INLINE, Story
from tests.scenarios.stage.watch import Line

SOADNS, ISTIOD, API_SERVER, ZOOKEEPER = SERVERS = ("soadns", "istiod", "API server", "ZooKeeper")


class Told(Story):
    """The whole story, told once."""

    def __init__(self, mesh: Mesh, lines: list[Line]) -> None:
        super().__init__(mesh, lines)
        self._at_tier_0()
        self._at_tiers_2_and_3()
        self._at_tier_1()
        self.without(ZOOKEEPER, mesh.town.zookeeper)  # its providers register again all that they provide

    def _at_tier_0(self) -> None:
        self.watch("T0: moves", self.move, moved=True, within=4.0)
        self.known(moved=True)
        self.watch("T0: comes back", self.move_back, within=4.0)
        self.known(moved=False)

    def _at_tiers_2_and_3(self) -> None:
        self._publish("T0 to T3: the filter comes", cut=FILES)
        self.move()
        self.known(moved=True)
        self._publish("T0 to T2, T3: moved, rules come", moved=True, cut=INLINE)
        town = self.mesh.town
        self.without(SOADNS, *town.soadns, moved=True)
        self.without(ISTIOD, town.istiod, moved=True)
        self.without(API_SERVER, town.api, moved=True)
        self.move_back()
        self.known(moved=False)
        self.all_watch()
        self._publish("T2 to T0, T3: came back, rules go", cut=INLINE)

    def _at_tier_1(self) -> None:
        for service in self._services():
            service.annotate(balancing="request", moves="never")
        self._published("T0 to T1: the filter comes", tier=1)
        self.move()
        self.known(moved=True)
        self._publish("T1: moved, nothing changes", within=4.0)
        for service in self._services():
            service.annotate(moves="inline")
        self._published("T1 to T2: rules come", tier=2, moved=True)
        self.move_back()
        self.known(moved=False)
        for service in self._services():
            service.annotate(moves="", balancing="")
        self._published("T2 to T0: the filter goes", tier=0)

    # ------------------------------------------------------------------ its steps

    def _published(self, step: str, *, tier: int, moved: bool = False) -> None:
        """Apply what soadns says when it says this tier of the Service."""
        user = self.mesh.estates["dubbo"].user
        found = eventually(lambda: self.mesh.tier(user), within=30.0, until=lambda said: said == tier)
        assert found == tier, step
        self._publish(step, moved=moved, cut=INLINE if tier else ())

    def _publish(
        self, step: str, *, moved: bool = False, within: float = 25.0, cut: Sequence[Kind] = ()
    ) -> None:
        """Apply what soadns says; ``cut``: whose connections are to go."""
        said = self.mesh.exported()
        self.watch(step, lambda: self.mesh.publish(said), moved=moved, within=within, cut=cut)

    def _services(self) -> list[Service]:
        estate = self.mesh.estates["dubbo"]
        return [estate.user, estate.account]


@pytest.fixture(scope="module")
def told(mesh: Mesh, lines: list[Line]) -> Told:
    return Told(mesh, lines)


@pytest.mark.parametrize("kind", DUBBO, ids=str)
def test_at_tier_0_calls_stay_where_they_are_connected(kind: Kind, told: Told, mesh: Mesh) -> None:
    for step in ("T0: moves", "T0: comes back"):
        told.unharmed(step, kind)
    old = mesh.estates[kind.protocol].old.home.name
    for seen in told.of("T0: moves", kind, *STAYED, "moves, by Service name"):
        assert set(seen.by) == {old}


@pytest.mark.parametrize("kind", FILES, ids=str)
def test_at_tier_3_requests_follow_and_no_call_fails_and_no_connection_is_cut(kind: Kind, told: Told) -> None:
    for step in ("T0 to T2, T3: moved, rules come", "T2 to T0, T3: came back, rules go"):
        told.unharmed(step, kind)
        told.follows(step, kind)


@pytest.mark.parametrize("kind", INLINE, ids=str)
def test_at_tier_2_requests_follow_and_connections_are_cut_once(kind: Kind, told: Told) -> None:
    for step in (
        "T0 to T2, T3: moved, rules come",
        "T2 to T0, T3: came back, rules go",
        "T1 to T2: rules come",
    ):
        told.cut_once(step, kind)


@pytest.mark.parametrize(
    ("step", "kinds"),
    [
        ("T0 to T3: the filter comes", FILES),
        ("T0 to T1: the filter comes", INLINE),
        ("T0 to T2, T3: moved, rules come", INLINE),
        ("T1 to T2: rules come", INLINE),
        ("T2 to T0, T3: came back, rules go", INLINE),
        ("T2 to T0: the filter goes", INLINE),
    ],
)
def test_a_cut_costs_the_call_under_way_at_most(step: str, kinds: Sequence[Kind], told: Told) -> None:
    for kind in kinds:
        told.lost_little(step, kind)


@pytest.mark.parametrize("kind", INLINE, ids=str)
def test_when_the_filter_is_taken_back_calls_go_on_by_istios_own(kind: Kind, told: Told) -> None:
    step = "T2 to T0: the filter goes"
    told.follows(step, kind)
    cut, _ = told.cut(step, kind)
    assert cut > 0, "one that nobody calls over may stay with the old filter"


@pytest.mark.parametrize("kind", INLINE, ids=str)
def test_at_tier_1_a_move_changes_nothing(kind: Kind, told: Told, mesh: Mesh) -> None:
    step = "T1: moved, nothing changes"
    told.unharmed(step, kind)
    [seen] = told.of(step, kind, "moves, by Service name")
    assert set(seen.by) == {mesh.estates["dubbo"].old.home.name}


@pytest.mark.parametrize("kind", CALLERS, ids=str)
@pytest.mark.parametrize("server", SERVERS)
def test_the_loss_of_a_server_costs_no_call_and_no_connection(server: str, kind: Kind, told: Told) -> None:
    for step in (f"{server} killed", f"{server} back"):
        told.unharmed(step, kind)


@pytest.mark.parametrize("step", ["T0 to T2, T3: moved, rules come", "T1 to T2: rules come"])
@pytest.mark.parametrize("kind", BOLT, ids=str)
def test_sofarpc_is_moved_by_its_name_alone(kind: Kind, step: str, told: Told, mesh: Mesh) -> None:
    """There is no filter for it: the one looks its names up again by itself, the other stays where it is connected.

    The Service's name leads to the Service.
    """
    estate = mesh.estates[kind.protocol]
    old, new = estate.old.home.name, estate.new.home.name
    [stays, moves] = told.of(step, kind, "stays, by Service name", "moves, by Service name")
    assert set(stays.by) == set(moves.by) == {old}
    assert told.cut(step, kind)[0] == 0
    assert [seen.failed for seen in told.of(step, kind, *STAYED, "moves, by Service name")] == [0] * 3
    [moves] = told.of(step, kind, "moves")
    # It takes the new address in place of the old one before it is connected there: who calls in between is refused.
    assert moves.failed <= (0 if kind.program == NEVER_LOOKS_UP else 1)
    assert all("is not available" in error or "SofaRouteException" in error for error in moves.errors)
    [moves] = told.of("soadns killed", kind, "moves")
    assert set(moves.by) == {old if kind.program == NEVER_LOOKS_UP else new}
