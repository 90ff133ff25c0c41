"""The page for operators shows the figures that the tests hold soadns to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.situations.tables import many_names, one_name

PAGE = Path(__file__).parents[2] / "docs" / "situations.md"


@pytest.mark.parametrize("table", [one_name, many_names], ids=lambda table: table.__name__)
def test_the_page_has_the_table_of_the_catalogue(table) -> None:
    missing = [line for line in table().splitlines() if line not in PAGE.read_text().splitlines()]
    assert not missing, "print the tables with: python -m tests.situations\n" + "\n".join(missing)
    assert table() in PAGE.read_text(), "the rows are there, in another order or with others between"


def test_the_page_has_no_row_that_is_not_run() -> None:
    printed = (one_name() + many_names()).splitlines()
    stray = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and line not in printed]
    assert not stray
