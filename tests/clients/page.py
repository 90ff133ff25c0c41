"""The tables of ``docs/clients.md``, from what the tests of the clients wrote.

``python -m tests.clients.page [FOLDER]``, where they wrote it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scenarios.stage import costs, outcomes
from tests.scenarios.stage.riders import CLIENTS, LOCAL, NAME, REGISTRY, Client
from tests.scenarios.stage.timeline import LOSSES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clients.md"
CLIENTS_TABLE, WAITS_TABLE, LOCAL_TABLE, WAYS_TABLE = "clients", "waits", "NodeLocal DNSCache", "direct URLs"
RESTARTED = "pods restarted"
COLUMNS = (
    "client", "configuration", "names", "follows, connected", "follows, pods gone", *LOSSES, RESTARTED, "calls per pod",
)  # fmt: skip
WAITS_COLUMNS = ("client", *LOSSES, RESTARTED)
LOCAL_COLUMNS = ("client", "called", *LOSSES)
WAY_COLUMNS = (
    "client", "called", "calls per pod", "after a restart", "restarted: failed", "longest gap", "killed: failed",
    "longest gap ",
)  # fmt: skip
NOTHING = "–"
_FRAMEWORKS = {"dubbo": "Dubbo", "sofarpc": "SOFARPC", "sofa-rpc-node": "sofa-rpc-node"}
_WITHOUT = {"rest": "REST over HTTP", "private-tcp": "a private protocol over TCP"}

Row = Mapping[str, Any]
Rows = Mapping[tuple[str, str], Row]


@dataclass(frozen=True)
class Figures:
    """What the tests wrote, by program and protocol; nothing of those that did not run."""

    matrix: Rows
    timeline: Rows
    local: Rows
    """Behind NodeLocal DNSCache."""
    absent: tuple[str, ...]
    """What is not there, one line for each."""


def figures(folder: Path) -> Figures:
    """What stands in a folder; a file that is not whole, as an older run wrote it, counts as none."""
    matrix, timeline = (_read(folder / file.name) for file in (outcomes.MATRIX, costs.FILE))
    moves = [f"{outcomes.MATRIX.name}: {each}" for each in outcomes.missing(matrix)]
    faults = [f"{costs.FILE.name}: {each}" for each in costs.missing(timeline)]
    return Figures(
        _by_client(() if moves else matrix["rows"]),
        _by_client(() if faults else timeline["rows"]),
        _by_client(() if faults else timeline["node_local"]),
        (*moves, *faults),
    )


def _read(file: Path) -> Row:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _by_client(rows: Iterable[Row]) -> Rows:
    return {(row["program"], row["protocol"]): row for row in rows}


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


def clients(found: Figures) -> Iterator[str]:
    """Each client in a row, in Markdown."""
    yield from _head(COLUMNS)
    for client in CLIENTS:
        key = client.program, client.protocol
        ways = found.timeline.get(key, {}).get("ways")
        faults = [NOTHING] * (len(LOSSES) + 2)
        if ways:
            shares = " / ".join(_shares(ways[way]["per_pod"]) for way in (NAME, REGISTRY))
            faults = [_failed(ways, what) for what in LOSSES]
            faults.append(" / ".join(str(ways[way]["restarted"]["failed"]) for way in (NAME, REGISTRY)))
            faults.append(shares)
        yield _line(name(client), *_moves(found.matrix.get(key, {})), *faults)


def waits(found: Figures) -> Iterator[str]:
    """How long each client was without an answer, and how many calls it made meanwhile, in Markdown."""
    yield from _head(WAITS_COLUMNS)
    for client in CLIENTS:
        ways = found.timeline.get((client.program, client.protocol), {}).get("ways")
        faults = (*LOSSES, "restarted")
        yield _line(name(client), *(_waited(ways, what) if ways else NOTHING for what in faults))


def _waited(ways: Mapping[str, Row], what: str) -> str:
    """The worst of all ways by name, and by the registry."""
    by_name = [each[what] for way, each in ways.items() if way != REGISTRY]
    gap, calls = max(each["gap_ms"] for each in by_name), min(each["calls"] for each in by_name)
    registry = ways[REGISTRY][what]
    return f"{_gap(gap)}, {calls} / {_gap(registry['gap_ms'])}, {registry['calls']}"


def node_local(found: Figures) -> Iterator[str]:
    """Each client behind NodeLocal DNSCache in a row for each way in which it calls, in Markdown."""
    yield from _head(LOCAL_COLUMNS)
    for client in LOCAL:
        ways = found.local.get((client.program, client.protocol), {}).get("ways", {})
        for way in client.ways:
            cells = [", ".join(_fault(ways[way][what])) if way in ways else NOTHING for what in LOSSES]
            yield _line(name(client), way, *cells)


def ways(found: Figures) -> Iterator[str]:
    """Each client in a row for each way in which it calls, in Markdown."""
    yield from _head(WAY_COLUMNS)
    for client in CLIENTS:
        ridden = found.timeline.get((client.program, client.protocol), {}).get("ways", {})
        for way in client.ways:
            if row := ridden.get(way):
                faults = [_fault(row["restarted"]), _fault(row["killed"])]
                cells = [_shares(row["per_pod"]), _shares(row["per_pod_after"]), *faults[0], *faults[1]]
            else:
                cells = [NOTHING] * (len(WAY_COLUMNS) - 2)
            yield _line(name(client), way, *cells)


def _fault(row: Row) -> tuple[str, str]:
    return f"{row['failed']} of {row['calls']}", _gap(row["gap_ms"])


def _gap(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s"


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


def drawn(page: str, found: Figures) -> str:
    """The page with these figures in all its tables."""
    tables = {CLIENTS_TABLE: clients, WAITS_TABLE: waits, LOCAL_TABLE: node_local, WAYS_TABLE: ways}
    for table, lines in tables.items():
        page = written(page, table, lines(found))
    return page


def draft(folder: Path = outcomes.FOLDER) -> str:
    """Write the page as it would be beside the figures of a run that may not have ended, and return it."""
    text = drawn(PAGE.read_text(encoding="utf-8"), figures(folder))
    (folder / PAGE.name).write_text(text, encoding="utf-8")
    return text


def main(folder: Path = outcomes.FOLDER) -> int:
    """Write the page anew; 1 where the tests have not written all that it is made of."""
    found = figures(folder)
    if found.absent:
        said = [f"{PAGE.name} is left as it is: of its figures these are not in {folder}", *found.absent]
        print("\n  ".join(said), "They are written by: make test-scenarios", sep="\n", file=sys.stderr)
        return 1
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
