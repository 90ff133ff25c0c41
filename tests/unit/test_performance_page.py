"""The page of figures holds what the benchmark writes: every server in every case, and the pictures it draws."""

from __future__ import annotations

import re

from tests.bench import report
from tests.bench.cases import cases
from tests.bench.contenders import NAMES


def test_every_server_stands_in_every_case() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    body = page.partition(report.BEGIN)[2].partition(report.END)[0]
    header = f"| {' | '.join(report.COLUMNS)} |"
    lines = body[body.index(header) :].strip().splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
    expected = [
        (f"{case.mix} over {case.transport.upper()}", str(case.concurrency), f"{case.names:,}", server)
        for case in cases(full=False)
        for server in NAMES
    ]
    assert sorted(row[:4] for row in rows) == sorted(expected)
    for row in rows:
        assert len(row) == len(report.COLUMNS), row
        figures = [cell for cell in row[4:] if cell]
        assert all(re.fullmatch(r"[\d,]+(\.\d+)?", cell) for cell in figures), row


def test_the_page_shows_the_pictures_that_are_drawn() -> None:
    shown = set(re.findall(r"!\[[^]]+\]\((\S+)\)", report.PAGE.read_text(encoding="utf-8")))
    assert shown == {f"pictures/{path.name}" for path in report.PICTURES.glob("*.png")}
    assert len(shown) == 3
