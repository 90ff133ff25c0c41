"""A hundred interfaces at once: what each suffers, and what the guard holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import pytest

from soadns.binding.history import Transition
from soadns.model import InterfaceId
from tests.situations.callers import Suffering, observe
from tests.situations.catalogue import AWAY, LATE, PAUSE, START, TOLERANCE
from tests.situations.landscape import EPOCH, REGISTRY
from tests.situations.masses import MASSES, SERVICES, Mass, hundred, names
from tests.situations.world import ZONE, World

pytestmark = pytest.mark.long

each = pytest.mark.parametrize("row", MASSES, ids=lambda row: row.name)


@dataclass(frozen=True)
class Story:
    """One run over all interfaces of a row."""

    suffered: Mapping[str, Suffering]
    held: frozenset[str]
    """At the end."""
    ever_held: frozenset[str]
    """Looked at every hundred seconds, so that what is held and returns is seen too."""
    last: Mapping[str, str]
    transitions: tuple[Transition, ...]

    def worst(self, interfaces: frozenset[str]) -> str:
        """The interface that suffers most, as text."""
        found = [(s.excess, s.changes, i) for i, s in self.suffered.items() if i in interfaces]
        excess, changes, interface = max(found)
        moves = "".join(
            f"\n  at {t.when - EPOCH:6.1f}  {t.before} -> {t.after}"
            for t in self.transitions
            if t.interface.name == interface
        )
        return (
            f"{interface}: {excess} s of excess, {changes} changes, {self.last[interface]} at the end{moves}"
        )


def play(row: Mass, *, restart: float | None = None, late: float = 0.0) -> Story:
    world = World(late={REGISTRY: late} if late else {})
    row.setup(world)
    if restart is not None:
        world.at(restart, lambda: world.restart(PAUSE))
    seen = set[str]()
    for moment in range(int(START), int(row.end), 100):
        world.at(moment, lambda: seen.update(held(world)))
    suffered = observe(world, start=START, end=row.end, interfaces=row.interfaces)
    last = {i: world.who(i) for i in row.interfaces}
    return Story(suffered, held(world), frozenset(seen), last, tuple(world.transitions))


def held(world: World) -> frozenset[str]:
    """Names whose removal the guard holds now."""
    return frozenset(interface.name for interface in world.estate.zones[ZONE].guard.held)


@cache
def plain(name: str) -> Story:
    return play(next(row for row in MASSES if row.name == name))


@each
def test_each_interface_suffers_what_the_table_says(row: Mass) -> None:
    story = plain(row.name)
    spared = frozenset(row.interfaces) - row.suffering - row.held
    for interface, suffered in story.suffered.items():
        if interface in row.suffering:
            assert abs(suffered.excess - row.excess) <= TOLERANCE, story.worst(row.suffering)
            assert suffered.changes == row.changes, story.worst(row.suffering)
        elif interface in spared:
            assert (suffered.excess, suffered.changes) == (0.0, 0), story.worst(spared)


@each
def test_the_guard_holds_exactly_what_nobody_serves_any_more(row: Mass) -> None:
    story = plain(row.name)
    assert (story.held, story.ever_held) == (row.held, row.held)


@each
def test_a_restart_amid_a_mass_makes_no_lasting_difference(row: Mass) -> None:
    without = plain(row.name)
    story = play(row, restart=row.restart)
    assert (story.last, story.held) == (without.last, without.held)
    for interface in row.suffering:
        missed = any(at >= row.restart for at in without.suffered[interface].answers)
        allowed = row.excess + TOLERANCE + (AWAY if missed else 0.0)
        assert story.suffered[interface].excess <= allowed, story.worst(row.suffering)
        assert story.suffered[interface].changes <= row.changes, story.worst(row.suffering)


@each
def test_a_replica_that_hears_of_a_mass_later_ends_alike(row: Mass) -> None:
    in_time, story = plain(row.name), play(row, late=LATE)
    assert (story.last, story.held) == (in_time.last, in_time.held)
    for interface, suffered in story.suffered.items():
        assert suffered.excess <= in_time.suffered[interface].excess + LATE * row.changes, interface


def test_held_names_go_when_their_services_had_no_endpoint_for_a_further_linger() -> None:
    """Lost at 100, due and held from 700; at 1300 the Services have been empty all the time."""
    world = World()
    next(row for row in MASSES if row.name == "dc_gone").setup(world)
    world.run_until(1295)
    assert len(held(world)) == 25
    world.run_until(1305)
    assert held(world) == frozenset()
    outcomes = world.estate.zones[ZONE].outcomes
    assert InterfaceId("s9.i9") not in outcomes
    assert InterfaceId("s9.i0") in outcomes


def test_what_moved_before_a_restart_still_counts_for_the_guard_after_it() -> None:
    """Thirty of a hundred interfaces lose all pods, half of them move at 120; alone the others are too few."""
    world = World()
    hundred(world)
    twins = [name for service in SERVICES[7:] for name in names(service, range(5))]
    world.at(11, lambda: world.service("twin"))
    world.at(11, lambda: world.pods("twin", 4, twins))
    world.at(100, lambda: [world.stop(pod) for service in SERVICES[7:] for pod in world.of(service)])
    world.at(130, lambda: world.restart(PAUSE))
    world.run_until(760)
    gone = [t for t in world.transitions if t.after == "nothing" and t.when > EPOCH + START]
    assert (gone, len(held(world))) == ([], 15)
