"""The tables of ``docs/clients.md``, from what the tests of the clients wrote: ``python -m tests.clients.page``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.scenarios.stage.costs import FILE as TIMELINE
from tests.scenarios.stage.outcomes import MATRIX
from tests.scenarios.stage.riders import CLIENTS, NAME, REGISTRY, Client
from tests.scenarios.stage.timeline import LOSSES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clients.md"
TABLES = ("clients", "direct URLs")
COLUMNS = (
    "client", "configuration", "names", "follows, connected", "follows, pods gone", *LOSSES, "pods restarted",
    "calls per pod",
)  # fmt: skip
WAY_COLUMNS = (
    "client", "called", "calls per pod", "after a restart", "restarted: failed", "longest gap", "killed: failed",
    "longest gap ",
)  # fmt: skip
NOTHING = "–"
_FRAMEWORKS = {"dubbo": "Dubbo", "sofarpc": "SOFARPC", "sofa-rpc-node": "sofa-rpc-node"}
_WITHOUT = {"rest": "REST over HTTP", "private-tcp": "a private protocol over TCP"}

Row = Mapping[str, Any]
Rows = Mapping[tuple[str, str], Row]


def begin(table: str) -> str:
    """What stands before a table."""
    return f"<!-- begin: {table}, by make clients-page -->"


def end(table: str) -> str:
    """What stands behind it."""
    return f"<!-- end: {table} -->"


def name(client: Client) -> str:
    """A client in words."""
    if client.program in _WITHOUT:
        return _WITHOUT[client.program]
    framework, _, version = client.program.rpartition("-")
    return f"{_FRAMEWORKS[framework]} {version}, `{client.protocol}`"


def rows_of(file: Path) -> Rows:
    """What a test wrote, by program and protocol; nothing where it did not run."""
    if not file.exists():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return {(row["program"], row["protocol"]): row for row in found}


def _seconds(value: float | None, *, watched: bool) -> str:
    if value is None:
        return "not by itself" if watched else NOTHING
    return f"{value:.1f} s"


def _moves(row: Row) -> tuple[str, str, str, str]:
    if not row:
        return NOTHING, NOTHING, NOTHING, NOTHING
    gone = _seconds(row["follows_gone_s"], watched=True)
    if row["failed_gone"]:
        gone += f", {row['failed_gone']} of {row['calls_gone']} calls failed"
    return (
        ", ".join(f"`{text}`" if text.isascii() and " " not in text else text for text in row["configurations"]),
        f"{min(row['resolves'], row['calls'])} of {row['names']}",
        _seconds(row["follows_kept_s"], watched=True),
        gone,
    )  # fmt: skip


def _failed(ways: Mapping[str, Row], what: str) -> str:
    """The most of all ways by name, and by the registry."""
    by_name = max(row[what]["failed"] for way, row in ways.items() if way != REGISTRY)
    return f"{by_name} / {ways[REGISTRY][what]['failed']}"


def _shares(counts: Sequence[int]) -> str:
    whole = sum(counts) or 1
    return " : ".join(f"{count / whole:.0%}" for count in counts) or "none"


def clients(matrix: Rows, timeline: Rows) -> Iterator[str]:
    """Each client in a row, in Markdown."""
    yield from _head(COLUMNS)
    for client in CLIENTS:
        key = client.program, client.protocol
        ways = timeline.get(key, {}).get("ways")
        faults = [NOTHING] * (len(LOSSES) + 2)
        if ways:
            shares = " / ".join(_shares(ways[way]["per_pod"]) for way in (NAME, REGISTRY))
            faults = [_failed(ways, what) for what in LOSSES]
            faults.append(" / ".join(str(ways[way]["restarted"]["failed"]) for way in (NAME, REGISTRY)))
            faults.append(shares)
        yield _line(name(client), *_moves(matrix.get(key, {})), *faults)


def ways(timeline: Rows) -> Iterator[str]:
    """Each client in a row for each way in which it calls, in Markdown."""
    yield from _head(WAY_COLUMNS)
    for client in CLIENTS:
        found = timeline.get((client.program, client.protocol), {}).get("ways", {})
        for way in client.ways:
            if row := found.get(way):
                faults = [_fault(row["restarted"]), _fault(row["killed"])]
                cells = [_shares(row["per_pod"]), _shares(row["per_pod_after"]), *faults[0], *faults[1]]
            else:
                cells = [NOTHING] * (len(WAY_COLUMNS) - 2)
            yield _line(name(client), way, *cells)


def _fault(row: Row) -> tuple[str, str]:
    return f"{row['failed']} of {row['calls']}", f"{row['gap_ms'] / 1000:.1f} s"


def _head(columns: Sequence[str]) -> Iterator[str]:
    yield _line(*(column.strip() for column in columns))
    yield "|" + "---|" * len(columns)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def written(page: str, table: str, lines: Iterator[str]) -> str:
    """The page with other lines in place of a table's."""
    before, opening, rest = page.partition(begin(table))
    _, closing, after = rest.partition(end(table))
    assert opening, f"{PAGE} does not say where the table of {table} begins"
    assert closing, f"{PAGE} does not say where the table of {table} ends"
    return "\n".join([before + opening, "", *lines, "", closing + after])


def main() -> int:
    """Write the page anew; 1 where the tests have not written what it is made of."""
    if missing := [file for file in (MATRIX, TIMELINE) if not file.exists()]:
        print(f"{', '.join(map(str, missing))} not written yet: make test-scenarios", file=sys.stderr)
        if TIMELINE in missing:
            return 1
    matrix, timeline = rows_of(MATRIX), rows_of(TIMELINE)
    page = written(PAGE.read_text(encoding="utf-8"), TABLES[0], clients(matrix, timeline))
    PAGE.write_text(written(page, TABLES[1], ways(timeline)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
