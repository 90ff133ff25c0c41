"""Who may write: never two at once, whatever clocks say, and never nobody for long."""

from __future__ import annotations

import random

import pytest

from soadns.mesh.leasestate import LeaseRecord, LeaseState, LeaseTimes

TIMES = LeaseTimes(15.0)
OTHERS = LeaseRecord("other", 15.0, 3, "2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z")


def held(state: LeaseState, asked: float, now: float) -> LeaseRecord:
    record = state.next("2026-01-01T00:00:00Z")
    state.written(record, asked, now)
    return record


def test_a_lease_that_nobody_has_is_taken_at_once() -> None:
    for seen in (None, LeaseRecord("", 1.0, 3, "", "")):
        state = LeaseState("me", TIMES)
        state.see(seen, 100.0)
        assert state.may_take(100.0)
        assert not state.holds(100.0)
        assert held(state, 100.0, 100.1).holder == "me"
        assert state.holds(100.1)


def test_one_that_another_renews_is_left_to_him() -> None:
    state = LeaseState("me", TIMES)
    for second in range(100):
        state.see(LeaseRecord("other", 15.0, 3, "", f"renewed {second // 14}"), float(second))
        assert not state.may_take(float(second))


def test_one_that_is_not_renewed_any_more_is_taken_when_its_time_is_over_since_it_was_seen() -> None:
    state = LeaseState("me", TIMES)
    for now in (1000.0, 1010.0, 1014.9):  # that it is years old by its own times does not matter
        state.see(OTHERS, now)
        assert not state.may_take(now)
    state.see(OTHERS, 1015.0)
    assert state.may_take(1015.0)
    assert held(state, 1015.0, 1015.0).transitions == 4


def test_its_own_time_counts_not_that_of_who_waits() -> None:
    state = LeaseState("me", LeaseTimes(3.0))
    state.see(OTHERS, 0.0)
    assert not state.may_take(14.0)
    assert state.may_take(15.0)


def test_who_can_not_renew_steps_down_before_others_may_take_it() -> None:
    state = LeaseState("me", TIMES)
    held(state, 0.0, 4.0)  # the answer took four seconds
    assert state.holds(9.9)
    assert not state.holds(10.0), "counted from when it was asked for"


def test_a_holder_that_renews_keeps_what_it_is_known_by() -> None:
    state = LeaseState("me", TIMES)
    first = held(state, 0.0, 0.0)
    again = state.next("later")
    assert (again.transitions, again.acquired, again.renewed) == (0, first.acquired, "later")
    state.written(again, 5.0, 5.0)
    assert state.holds(14.9)


def test_who_reads_that_another_has_it_writes_nothing_from_then_on() -> None:
    state = LeaseState("me", TIMES)
    held(state, 0.0, 0.0)
    state.see(OTHERS, 1.0)
    assert not state.holds(1.0)
    assert not state.may_take(15.9)


@pytest.mark.parametrize("seed", range(40))
def test_there_are_never_two(seed: int) -> None:
    """Candidates with clocks of their own, requests that take long or are lost, and processes that stand still."""
    draw = random.Random(seed)
    lease: LeaseRecord | None = None
    version = 0
    clocks = [draw.uniform(0, 1e6) for _ in range(3)]
    states = [LeaseState(f"replica-{number}", TIMES) for number in range(3)]
    asleep = [0.0] * 3
    free_for = longest_free = 0.0
    under_way: list[tuple[float, int, LeaseRecord, int, float]] = []
    for step in range(4000):
        now = step * 0.1
        for at, number, record, on, asked in [row for row in under_way if row[0] <= now]:
            under_way.remove((at, number, record, on, asked))
            if on == version:  # compare and swap
                version, lease = version + 1, record
                if draw.random() < 0.9:  # else the answer is lost
                    states[number].written(record, asked, now + clocks[number])
        for number, state in enumerate(states):
            if now < asleep[number] or draw.random() < 0.9:
                continue
            if draw.random() < 0.01:
                asleep[number] = now + draw.uniform(0, 40)
            mine = now + clocks[number]
            state.see(lease, mine)
            if state.may_take(mine):
                late = now + draw.choice([0.0, 0.2, 3.0])
                under_way.append((late, number, state.next(f"{step}"), version, mine))
        holders = [number for number, state in enumerate(states) if state.holds(now + clocks[number])]
        assert len(holders) <= 1, f"{now}: {holders}"
        free_for = 0.0 if holders else free_for + 0.1
        longest_free = max(longest_free, free_for)
    assert version > 20
    assert longest_free < 60.0
