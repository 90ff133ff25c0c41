"""Every table of ``docs/istio.md``, run line by line: each rule is a test by its own sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.tables import Case, cases
from tests.unit.tiers_notation import TierBook

PAGE = Path(__file__).parents[2] / "docs" / "istio.md"
CASES = cases(PAGE, "tiers")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rule(case: Case) -> None:
    TierBook().run(case)


def test_every_case_says_something_and_every_name_is_used_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 0
    assert all(any(row.answers for row in case.rows) for case in CASES)
