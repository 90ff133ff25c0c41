"""How fast a registry is read: what a slow server and what a long quiet time change."""

from __future__ import annotations

from collections import Counter

import pytest

from soadns.sources import pacing
from soadns.sources.pacing import Rounds, Window


def room(window: Window) -> int:
    """How many reads may begin now."""
    begun = 0
    while window.open:
        window.begin()
        begun += 1
    for _ in range(begun):
        window.end()
    return begun


def test_a_slow_server_gets_fewer_reads_at_once_and_slowly_more_when_it_is_well() -> None:
    window = Window(64)
    found = [room(window)]
    for latency in [1.0] * 3 + [0.01] * 100:
        window.begin()
        window.end(latency)
        found.append(room(window))
    assert found[:4] == [64, 45, 32, 22]
    assert found[-1] == 32
    for _ in range(100):
        window.begin()
        window.end(9.0)
    assert room(window) == pacing.FEWEST


def test_a_connection_that_is_gone_took_its_reads_along() -> None:
    window = Window(4)
    for _ in range(4):
        window.begin()
    assert not window.open
    window.forget()
    assert room(window) == 4


@pytest.mark.parametrize(
    ("leaves", "seconds"), [(0, 0.0), (5, 0.0), (100, 0.0), (101, 0.00202), (5_000, 0.1), (50_000, 1.0)]
)
def test_large_directories_rest_between_two_reads(leaves: int, seconds: float) -> None:
    assert pacing.rest_after(leaves) == pytest.approx(seconds)


@pytest.mark.parametrize("count", [0, 1, 7, 1_799, 1_801, 20_000])
def test_everything_is_read_again_once_in_a_round_a_little_at_a_time(count: int) -> None:
    rounds = Rounds(lambda: range(count))
    portions = [rounds.next(1.0) for _ in range(int(pacing.ROUND_S))]
    seen = Counter(thing for portion in portions for thing in portion)
    assert seen.keys() == set(range(count))
    assert max(map(len, portions)) <= count / pacing.ROUND_S + 1


def test_a_round_takes_what_is_there_when_it_begins() -> None:
    there = ["a"]
    rounds = Rounds(lambda: there)
    assert rounds.next(1.0) == ["a"]
    there.append("b")
    assert [rounds.next(1.0), rounds.next(1.0)] == [["a"], ["b"]]
