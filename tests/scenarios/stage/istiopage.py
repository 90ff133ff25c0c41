"""The tables of ``docs/istio.md`` that the tests of the mesh are held to, and that a run of them writes.

``python -m tests.scenarios.stage.istiopage`` writes them anew, of the last run of ``tests/scenarios/mesh``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.clients.page import body, written
from tests.scenarios.stage import meshevents, meshtable, nowhere, trafficrules
from tests.scenarios.stage.meshtable import Event, Row

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "istio.md"
FOLDER = ROOT / "build" / "mesh"
ROWS = "rows.json"
SHARES, SAID, NOWHERE = "shares", "what people say", "calls that lead nowhere"
MEASURED, WRITES, AWAY = "what was measured", "where soadns writes", "while a server is away"
EVENTS: Mapping[str, Iterable[Event]] = {
    MEASURED: meshevents.BY_HAND, WRITES: meshevents.WRITTEN, AWAY: meshevents.MEANWHILE,
}  # fmt: skip
"""By table: what happens, as every run is held to it, with what one found."""
PROMISED: Mapping[str, Callable[[], Iterator[str]]] = {SAID: trafficrules.promised, NOWHERE: nowhere.promised}
"""By table: what every run is held to, and nothing else."""
FOUND: Mapping[str, Callable[[Iterable[Row]], Iterator[str]]] = {
    **{name: partial(meshtable.table, events) for name, events in EVENTS.items()},
    SHARES: trafficrules.found,
}
"""By table: what a run writes."""


def read(folder: Path = FOLDER) -> list[Row]:
    """What a run wrote; nothing where there was none."""
    file = folder / ROWS
    return list(json.loads(file.read_text(encoding="utf-8"))["rows"]) if file.exists() else []


def write(rows: Iterable[Any], folder: Path = FOLDER) -> None:
    """For people, and for the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ROWS).write_text(json.dumps({"rows": list(rows)}, indent=1) + "\n", encoding="utf-8")


def text() -> str:
    """The page."""
    return PAGE.read_text(encoding="utf-8")


def drawn(page: str, rows: Iterable[Row]) -> str:
    """The page with what a run found, and what all are held to, in its tables."""
    them = list(rows)
    for table, found in FOUND.items():
        page = written(page, table, found(them))
    for table, promised in PROMISED.items():
        page = written(page, table, promised())
    return page


def wrong(rows: Iterable[Row]) -> list[str]:
    """What a run has found otherwise than is promised, or has not looked at."""
    them = list(rows)
    watched = meshtable.watched(them)
    return [
        *(why for event in meshevents.EVENTS for why in event.broken(watched)),
        *(f"{situation}: is no row of the table" for situation in meshevents.nobodys(them)),
        *(why for call in nowhere.CALLS for why in call.missing(them)),
        *trafficrules.missing(them),
    ]


def differs(page: str) -> list[str]:
    """Where the page does not say what is promised, or has figures that break it."""
    said = [table for table, promised in PROMISED.items() if body(page, table) != list(promised())]
    return [
        *(f"{table}: is not what make clients-page writes" for table in said),
        *(why for name, events in EVENTS.items() for why in meshtable.beyond(events, body(page, name))),
        *trafficrules.beyond(body(page, SHARES)),
    ]


def main(folder: Path = FOLDER) -> int:
    """Write the page anew; 1 where the tests have not found all that it is made of, or have found something else."""
    rows = read(folder)
    if found := wrong(rows):
        said = [
            f"{PAGE.name} is left as it is. In {folder / ROWS}, which make test-scenarios writes:",
            *found,
        ]
        print("\n  ".join(said), file=sys.stderr)
        return 1
    PAGE.write_text(drawn(text(), rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
