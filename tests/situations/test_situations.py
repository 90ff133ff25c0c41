"""Every situation of the catalogue through the real store, binding, guard and snapshot, three times over.

As it is, with soadns restarted in the middle, and for a replica that hears of everything later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import pytest

from tests.situations.callers import Suffering, observe
from tests.situations.catalogue import AWAY, LATE, PAUSE, TOLERANCE, Situation
from tests.situations.landscape import EPOCH, REGISTRY
from tests.situations.rows import SITUATIONS
from tests.situations.world import KUBE, World

each = pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.name)


@dataclass(frozen=True)
class Story:
    """One run: what callers suffered, and what soadns did."""

    suffered: Mapping[str, Suffering]
    moves: tuple[tuple[float, str, str], ...]
    """When, interface, and from whom to whom, in order."""
    last: Mapping[str, str]
    """Who answers at the end."""

    def __str__(self) -> str:
        lines = [f"  at {when:6.1f}  {interface}: {what}" for when, interface, what in self.moves]
        lines += [
            f"  {interface}: {s.excess} s of excess, {s.changes} changes; at the end: {self.last[interface]}"
            for interface, s in self.suffered.items()
        ]
        return "\n".join(lines)


def play(row: Situation, *, restart: float | None = None, late: Mapping[str, float] | None = None) -> Story:
    world = World(late=late or {})
    row.setup(world)
    if restart is not None:
        world.at(restart, lambda: world.restart(PAUSE))
    suffered = observe(world, start=row.start, end=row.end, interfaces=row.interfaces)
    moves = tuple(
        (round(t.when - EPOCH, 2), t.interface.name, f"{t.before} -> {t.after}")
        for t in world.transitions
        if t.interface.name in row.interfaces and t.when - EPOCH > row.start
    )
    return Story(suffered, moves, {i: world.who(i) for i in row.interfaces})


@cache
def plain(name: str) -> Story:
    return play(next(row for row in SITUATIONS if row.name == name))


@each
def test_callers_suffer_what_the_table_says(row: Situation) -> None:
    story = plain(row.name)
    worst = max(suffered.excess for suffered in story.suffered.values())
    assert abs(worst - row.excess) <= TOLERANCE, f"the table says {row.excess} s of excess\n{story}"
    for suffered in story.suffered.values():
        assert suffered.changes == row.changes, f"the table says {row.changes} changes\n{story}"


@each
def test_a_restart_in_the_middle_makes_no_lasting_difference(row: Situation) -> None:
    without = plain(row.name)
    story = play(row, restart=row.restart)
    told = f"restarted at {row.restart}\n{story}\nwithout a restart\n{without}"
    assert story.last == without.last, told
    for interface, suffered in story.suffered.items():
        # Only an answer that had to change can be missed.
        missed = any(at >= row.restart for at in without.suffered[interface].answers)
        assert suffered.excess <= row.excess + TOLERANCE + (AWAY if missed else 0.0), told
        assert suffered.changes <= row.changes, told


@each
@pytest.mark.parametrize("sources", [(REGISTRY,), (KUBE,)], ids=["registry", "cluster"])
def test_a_replica_that_hears_later_ends_alike(row: Situation, sources: tuple[str, ...]) -> None:
    other = plain(row.name)
    story = play(row, late=dict.fromkeys(sources, LATE))
    told = f"{', '.join(sources)} {LATE} s late\n{story}\nin time\n{other}"
    assert story.last == other.last, told
    assert [move[1:] for move in story.moves] == [move[1:] for move in other.moves], told
    for late, in_time in zip(story.moves, other.moves, strict=True):
        assert in_time[0] <= late[0] <= in_time[0] + LATE + 0.01, told
    for interface, suffered in story.suffered.items():
        allowed = other.suffered[interface].excess + LATE * len(other.suffered[interface].answers)
        assert suffered.excess <= allowed, told


def test_every_row_has_its_own_name() -> None:
    names = [row.name for row in SITUATIONS]
    assert sorted(names) == sorted(set(names))
