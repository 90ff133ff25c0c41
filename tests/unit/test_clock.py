"""Steps of the wall clock are none of soadns's."""

from __future__ import annotations

from soadns.clock import Clock


def test_a_step_of_the_wall_clock_changes_nothing_and_time_goes_on() -> None:
    wall, steady = [1_000_000_000.0], [50.0]
    clock = Clock(wall=lambda: wall[0], steady=lambda: steady[0])
    assert clock() == 1_000_000_000.0
    for step in (3600.0, -7200.0):
        wall[0] += step
        before = clock()
        steady[0] += 1.5
        assert clock() == before + 1.5


def test_it_goes_on_from_what_a_predecessor_saw() -> None:
    clock = Clock(wall=lambda: 1000.0, steady=lambda: 0.0)
    clock.not_before(990.0)
    assert clock() == 1000.0
    clock.not_before(1060.0)
    assert clock() == 1060.0
