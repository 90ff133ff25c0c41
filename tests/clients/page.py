"""``docs/clients.md``: its tables, from what the tests of the clients wrote and from what they are held to.

``python -m tests.clients.page [FOLDER]``, where they wrote it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tests.clients import prose, tables
from tests.clients.tables import Figures, Row, Rows
from tests.scenarios.stage import costs, outcomes, preferences

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clients.md"
CLIENTS_TABLE, KEPT_TABLE, AWAY_TABLE, WAITS_TABLE, LOCAL_TABLE, WAYS_TABLE, PREFERRED_TABLE = (
    "clients", "what is kept", "outages", "waits", "NodeLocal DNSCache", "direct URLs", "serializations",
)  # fmt: skip
MEASURED: Mapping[str, Callable[[Figures], Iterator[str]]] = {
    CLIENTS_TABLE: tables.clients, KEPT_TABLE: tables.kept, AWAY_TABLE: tables.away, WAITS_TABLE: tables.waits,
    LOCAL_TABLE: tables.node_local, WAYS_TABLE: tables.ways, PREFERRED_TABLE: tables.preferred,
}  # fmt: skip
"""By table: what a run writes."""
PROMISED: Mapping[str, Callable[[], Iterator[str]]] = {
    "promises of losses": prose.losses, "promises of pods": prose.pods, "promises of moves": prose.moves,
    "what is set": prose.settings,
}  # fmt: skip
"""By table: what every run is held to."""


def figures(folder: Path) -> Figures:
    """What stands in a folder; a file that is not whole, as an older run wrote it, counts as none."""
    matrix, timeline = (_read(folder / file.name) for file in (outcomes.MATRIX, costs.FILE))
    preferred = preferences.read(folder / preferences.FILE.name)
    moves = [f"{outcomes.MATRIX.name}: {each}" for each in outcomes.missing(matrix)]
    faults = [f"{costs.FILE.name}: {each}" for each in costs.missing(timeline)]
    absent = [*moves, *faults, *([] if preferred else [f"{preferences.FILE.name}: all of it"])]
    return Figures(
        _by_client(() if moves else matrix["rows"]),
        _by_client(() if faults else timeline["rows"]),
        _by_client(() if faults else timeline["node_local"]),
        {} if faults else timeline["away"],
        preferred,
        tuple(absent),
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


def written(page: str, table: str, lines: Iterable[str]) -> str:
    """The page with other lines in place of a table's."""
    before, opening, rest = page.partition(begin(table))
    _, closing, after = rest.partition(end(table))
    assert opening, f"{PAGE} does not say where the table of {table} begins"
    assert closing, f"{PAGE} does not say where the table of {table} ends"
    return "\n".join([before + opening, "", *lines, "", closing + after])


def body(page: str, table: str) -> list[str]:
    """The lines of a table."""
    return page.partition(begin(table))[2].partition(end(table))[0].strip().splitlines()


def by_hand(page: str) -> str:
    """The page without its tables."""
    for table in (*MEASURED, *PROMISED):
        page = written(page, table, ())
    return page


def drawn(page: str, found: Figures) -> str:
    """The page with these figures in all its tables."""
    for table, measured in MEASURED.items():
        page = written(page, table, measured(found))
    for table, promised in PROMISED.items():
        page = written(page, table, promised())
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
