"""What counts of calls say of the share that they were sent by: right ones pass, and wrong ones are seen."""

from __future__ import annotations

import random

import pytest

from tests.scenarios.stage.proportions import RARE, alike, bounds, likely
from tests.scenarios.stage.trafficrules import CALLS, SHARE


def test_chances_are_those_of_the_books() -> None:
    # Ten coins: one in 1024 that all are heads; twenty: one in 1,048,576, and as rare that none is.
    assert bounds(10, 0.5) == (0, 10)
    assert bounds(20, 0.5) == (0, 20)
    assert bounds(21, 0.5) == (1, 20)
    assert 0.5**20 > RARE / 2 > 0.5**21
    # The lady who tastes eight cups of tea: one of seventy ways to be right by chance.
    assert alike(4, 4, 0, 4)
    assert not alike(20, 20, 0, 20)
    assert alike(0, 20, 0, 20)


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.5, 1.0])
def test_a_split_that_is_not_obeyed_is_seen(wrong: float) -> None:
    """All to one, the wrong way round, or as if nobody had said anything: what so many calls make of it."""
    least, most = bounds(CALLS, SHARE)
    hits = range(*bounds(CALLS, wrong)) if 0 < wrong < 1 else [round(CALLS * wrong)]
    assert not any(least <= each <= most for each in hits), (least, most)
    if wrong < 1:  # two counts are surer of less: these are too near to each other
        assert not alike(round(CALLS * wrong), CALLS, round(CALLS * SHARE), CALLS)


def test_a_split_that_is_obeyed_is_never_found_to_be_wrong() -> None:
    chance = random.Random(7)
    for _ in range(200):
        one, other = (sum(chance.random() < SHARE for _ in range(CALLS)) for _ in range(2))
        assert likely(one, CALLS, SHARE)
        assert alike(one, CALLS, other, CALLS)
