"""Every table of ``docs/sidecar.md``, run line by line: each rule is a test by its own sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.routes_notation import RouteBook
from tests.unit.tables import Case, cases

PAGE = Path(__file__).parents[2] / "docs" / "sidecar.md"
CASES = cases(PAGE, "routes")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rule(case: Case) -> None:
    RouteBook().run(case)


def test_every_case_says_something_and_every_name_is_used_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(any(row.answers for row in case.rows) for case in CASES)
