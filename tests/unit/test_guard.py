"""The brake, by its counts: when it trips, what it holds, what ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soadns.binding.guard import Guard
from soadns.model import InterfaceId
from tests.unit.notation import DEFAULTS

ZK, SECOND, KUBE = "zookeeper/main/dubbo", "zookeeper/second/dubbo", "kube/home"


def names(count: int, prefix: str = "I") -> list[InterfaceId]:
    return [InterfaceId(f"{prefix}{i}") for i in range(count)]


def guard(bound: int, vanishing: int, *sources: str, **settings: float) -> Guard:
    """A guard that knows so many names, the first of them vanishing."""
    made = Guard(replace(DEFAULTS.guard, **settings), lambda _, since, now: now - since)
    for index, name in enumerate(names(bound)):
        made.note(name, sources or (ZK,), bound=True, vanishing=index < vanishing)
    return made


def may_go(
    made: Guard, name: InterfaceId, sources: tuple[str, ...], now: float, empty_for: float | None = None
) -> bool:
    """With every source in sync all the time."""
    return made.may_go(name, sources, now, empty_for=empty_for, elapsed=lambda since: now - since)


TRIPS = """
bound  vanishing   trips
  100         20   no      a fifth is not more than a fifth
  100         21   yes     more than a fifth, and at least twenty
   90         19   no      fewer than twenty
   50         19   no      fewer than twenty, whatever their share
   20         20   yes     all of them
 1000        200   no
 1000        201   yes
"""


def test_it_trips_above_a_fifth_and_from_twenty_on() -> None:
    for line in TRIPS.strip().splitlines()[1:]:
        bound, vanishing, trips = line.split()[:3]
        assert guard(int(bound), int(vanishing)).trips(ZK, 0.0) == (trips == "yes"), line


def test_a_name_of_two_sources_counts_in_both() -> None:
    made = guard(30, 30, ZK, KUBE)
    for name in names(970, "J"):
        made.note(name, (KUBE,), bound=True, vanishing=False)
    assert made.trips(ZK, 0.0)
    assert not made.trips(KUBE, 0.0)
    assert not may_go(made, names(1)[0], (ZK, KUBE), 0.0)


def test_one_source_in_trouble_does_not_hold_the_removals_of_another() -> None:
    made = guard(30, 30, ZK)
    for name in names(100, "J"):
        made.note(name, (SECOND,), bound=True, vanishing=name.name == "J0")
    assert not may_go(made, names(1)[0], (ZK,), 0.0)
    assert may_go(made, InterfaceId("J0"), (SECOND,), 0.0)


def test_what_is_held_stays_held_when_the_count_falls() -> None:
    made = guard(100, 30)
    held, *others = names(30)
    assert not may_go(made, held, (ZK,), 0.0)
    for name in others:
        made.note(name, (ZK,), bound=True, vanishing=False)
    assert not made.trips(ZK, 1.0)
    assert not may_go(made, held, (ZK,), 1.0)
    assert [(a.source, a.bound, a.vanishing, a.held) for a in made.alarms(1.0)] == [(ZK, 100, 1, 1)]


def test_a_name_that_comes_back_is_no_longer_held() -> None:
    made = guard(100, 30)
    name = names(1)[0]
    may_go(made, name, (ZK,), 0.0)
    made.note(name, (ZK,), bound=True, vanishing=False)
    assert made.held == {}
    assert [alarm.held for alarm in made.alarms(0.0)] == [0]


def test_a_release_lets_what_is_pending_go_and_nothing_later() -> None:
    made = guard(100, 30)
    assert made.release(ZK) == set(names(30))
    assert may_go(made, names(1)[0], (ZK,), 0.0)
    later = names(31)[-1]
    made.note(later, (ZK,), bound=True, vanishing=True)
    assert not may_go(made, later, (ZK,), 0.0)


def test_a_released_name_that_came_back_is_held_the_next_time() -> None:
    made = guard(100, 30)
    made.release(ZK)
    name = names(1)[0]
    made.note(name, (ZK,), bound=True, vanishing=False)
    made.note(name, (ZK,), bound=True, vanishing=True)
    assert not may_go(made, name, (ZK,), 0.0)


def test_corroboration_takes_a_further_linger_without_any_endpoint() -> None:
    made = guard(100, 30)
    name = names(1)[0]
    assert not may_go(made, name, (ZK,), 0.0, empty_for=600.0)
    assert made.next_look(name, 0.0, lambda since: 0.0 - since) == pytest.approx(600.0)
    assert not may_go(made, name, (ZK,), 599.0, empty_for=1199.0)
    assert not may_go(made, name, (ZK,), 600.0, empty_for=599.0)
    assert may_go(made, name, (ZK,), 600.0, empty_for=1200.0)


def test_by_time_alone_only_where_configured() -> None:
    name = names(1)[0]
    never = guard(100, 30)
    may_go(never, name, (ZK,), 0.0)
    assert not may_go(never, name, (ZK,), 1e9)
    timed = guard(100, 30, release_after=3600.0)
    may_go(timed, name, (ZK,), 0.0)
    assert not may_go(timed, name, (ZK,), 3599.0)
    assert may_go(timed, name, (ZK,), 3600.0)


def test_changes_of_winner_by_vanishing_are_counted_for_a_linger() -> None:
    made = guard(100, 10)
    for index, name in enumerate(names(21, "J")):
        made.note(name, (ZK,), bound=True, vanishing=False)
        made.note_move(name, (ZK,), float(index))
    assert made.count(ZK, 20.0) == 31
    assert made.count(ZK, 600.0) == 31
    assert made.count(ZK, 610.5) == 20
    assert made.count(ZK, 1e6) == 10


def test_a_name_that_moved_and_vanishes_counts_once() -> None:
    made = guard(0, 0)
    name = names(1)[0]
    made.note(name, (ZK,), bound=True, vanishing=False)
    made.note_move(name, (ZK,), 0.0)
    assert made.count(ZK, 1.0) == 1
    made.note(name, (ZK,), bound=True, vanishing=True)
    assert made.count(ZK, 1.0) == 1
    made.note_move(name, (ZK,), 100.0)
    assert made.count(ZK, 650.0) == 1
    made.note(name, (ZK,), bound=False, vanishing=False)
    assert made.count(ZK, 650.0) == 1
    assert made.count(ZK, 701.0) == 0


def test_time_that_does_not_count_lets_nothing_go() -> None:
    made = guard(100, 30, release_after=3600.0)
    name = names(1)[0]
    may_go(made, name, (ZK,), 0.0)
    assert not made.may_go(name, (ZK,), 9000.0, empty_for=9000.0, elapsed=lambda since: 599.0)
    assert made.next_look(name, 9000.0, lambda since: 599.0) == pytest.approx(9001.0)
    assert made.may_go(name, (ZK,), 9001.0, empty_for=9001.0, elapsed=lambda since: 600.0)
    assert not made.may_go(name, (ZK,), 9001.0, empty_for=None, elapsed=lambda since: 600.0)
    assert made.may_go(name, (ZK,), 90000.0, empty_for=None, elapsed=lambda since: 3600.0)


def test_a_change_of_winner_counts_longer_while_the_source_is_out_of_sync() -> None:
    made = Guard(DEFAULTS.guard, lambda _, since, now: min(now, 100.0) - since)
    name = names(1)[0]
    made.note(name, (ZK,), bound=True, vanishing=False)
    made.note_move(name, (ZK,), 0.0)
    assert made.count(ZK, 1e6) == 1
