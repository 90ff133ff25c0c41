"""Routes follow what zones decide: over random estates, in any order of events, and over restarts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.routemodel import Place, Vip
from soadns.routing import Routing
from soadns.sidecar.clusters import Cluster
from tests.unit.notation import ZONE
from tests.unit.test_order_of_events import Instant, Replica, history_of, in_two_orders

pytestmark = pytest.mark.long


def settle(routing: Routing, now: float) -> None:
    routing.follow(now)
    while routing.pending:
        routing.follow(now)


class Routed(Replica):
    """A replica whose routes follow it, as in the control process."""

    routing: Routing | None = None

    def work(self) -> None:
        if self.routing is None or self.routing._estate is not self.estate:
            before = {} if self.routing is None else self.routing.moves
            self.routing = Routing(self.estate, "closed", "replica")
            self.routing.begin(before)
        super().work()
        settle(self.routing, self.now)

    @property
    def vips(self) -> dict[Place, Vip]:
        assert self.routing is not None
        return self.routing.tables[ZONE].vips

    @property
    def clusters(self) -> dict[str, Cluster]:
        assert self.routing is not None
        return self.routing.clusters[ZONE].clusters

    def built_at_once(self) -> tuple[dict[Place, Vip], dict[str, Cluster]]:
        """Routes and clusters of another process that is told what is there, and what has moved."""
        assert self.routing is not None
        other = Routing(self.estate, "closed", "other")
        self.zone._decided.update(self.zone.outcomes)
        other.begin(self.routing.moves)
        settle(other, self.now)
        other.announce(ZONE, self.now)
        return other.tables[ZONE].vips, other.clusters[ZONE].clusters


@given(history_of(gaps=(0.0, 6.0, 61.0, 700.0)), st.randoms(use_true_random=False))
def test_routes_do_not_depend_on_the_order_within_an_instant(
    instants: list[Instant], chance: random.Random
) -> None:
    one, other = Routed(), Routed()
    for _ in in_two_orders(instants, chance, one, other):
        assert one.vips == other.vips
        assert one.clusters == other.clusters
        assert one.routing.moves == other.routing.moves  # type: ignore[union-attr]


@given(history_of(gaps=(0.0, 6.0, 61.0, 700.0)))
def test_routes_that_followed_are_those_of_what_is_there(instants: list[Instant]) -> None:
    replica = Routed()
    for gap, batch in instants:
        replica.go_on(gap, batch)
    assert replica.built_at_once() == (replica.vips, replica.clusters)


@given(history_of(gaps=(6.0, 61.0, 700.0)))
def test_a_restart_changes_no_route(instants: list[Instant]) -> None:
    replica = Routed()
    for gap, batch in instants:
        replica.go_on(gap, batch)
    replica.wait_until(replica.now + 3600.0)
    before, clusters, moves = replica.vips, replica.clusters, replica.routing.moves  # type: ignore[union-attr]
    replica.restart()
    replica.wait_until(replica.now + 3600.0)
    assert replica.routing.moves == moves  # type: ignore[union-attr]
    assert replica.vips == before
    assert replica.clusters == clusters
