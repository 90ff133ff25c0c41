"""What happens in a mesh, and what becomes of connections and calls: what every run is held to, and what one found.

An event is a row of a table of ``docs/istio.md`` (``meshevents.py``), made of the rows that ``Mesh.watch`` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.clients.tables import head, line
from tests.scenarios.stage.mesh import CALLERS, LINES
from tests.scenarios.stage.watch import may_fail

Row = Mapping[str, Any]
"""One line of calls in one situation, as ``watch.rows`` writes it."""
PROMISED = (
    "what happens",
    "tier",
    "callers",
    "connections cut",
    "calls failed",
    "calls of what moved that follow",
)
FOUND = ("cut", "failed", "follow after")
COLUMNS = PROMISED + FOUND
NOTHING = "–"
NONE = "**none**"
CALLED = 2
"""Connections to a Service over which a caller of Dubbo calls, at least: by the name of what stays, and by the
Service's. Others were opened for one call, and may stay when a filter is replaced: nothing was sent over them since."""
BY_NAME, BY_SERVICE = ("stays", "moves"), ("stays, by Service name", "moves, by Service name")
STAYED, MOVED = ("stays", "stays, by Service name"), ("moves", "moves, by Service name")
assert {*STAYED, *MOVED} == {*LINES}
WHO: Mapping[str, tuple[str, ...]] = {
    "all": tuple(map(str, CALLERS)),
    "Dubbo": tuple(str(kind) for kind in CALLERS if kind.protocol == "dubbo"),
    "Dubbo 2.7": ("dubbo-2.7.23",),
    "Dubbo 3.3": ("dubbo-3.3.5",),
    "Dubbo without files": ("dubbo-2.7.23", "dubbo-3.3.5"),
    "Dubbo with files": tuple(str(kind) for kind in CALLERS if kind.files),
    "Dubbo 2.7 with files": ("dubbo-2.7.23 with files",),
    "Dubbo 3.3 with files": ("dubbo-3.3.5 with files",),
    "SOFARPC 5.6": ("sofarpc-5.6.0",),
    "SOFARPC 5.12": ("sofarpc-5.12.0",),
}
"""Callers in words, and the programs that they are."""
assert {kind for kinds in WHO.values() for kind in kinds} == {*WHO["all"]}


class Cut(StrEnum):
    """How many of a caller's connections to the Service are gone afterwards."""

    NONE = NONE
    MOST = "all, or all but one"
    CALLED = "those that are called over"
    SOME = "one at least"
    ALL = "all"


class Follow(StrEnum):
    """Where calls arrive in the end."""

    HERE = NOTHING
    """Where they arrived before: nothing has moved for them."""
    STAY = "none over an open connection"
    WAIT = "none until then"
    ALL = "all"
    BY_NAME = "those by its own name"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens, for some callers."""

    what: str
    tier: str
    who: str
    situations: tuple[str, ...]
    """As they were watched; what is promised holds in each of them."""
    cut: Cut = Cut.NONE
    failed: int | None = 0
    """So many calls of each interface fail at most in each situation; None: nothing is promised."""
    follow: Follow = Follow.HERE
    failing: tuple[str, ...] = tuple(LINES)
    """The lines of calls that ``failed`` is for; of others none may fail."""
    lines: tuple[str, ...] = tuple(LINES)
    """Those that were watched."""
    story: str = ""
    """Which of those that are told it belongs to."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The programs that call."""
        return WHO[self.who]

    def promised(self) -> tuple[str, ...]:
        """The first cells of its row."""
        if self.failed is None:
            failed = "some, or none"
        elif not self.failed:
            failed = NONE
        else:
            of = {MOVED[:1]: "what moved", BY_NAME: "each by its own name"}.get(
                self.failing, "each interface"
            )
            failed = f"at most {self.failed} of {of}"
        return self.what, self.tier, self.who, self.cut, failed, self.follow

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """Its rows."""
        return [
            row
            for row in rows
            if row.get("story", "") == self.story
            and row["situation"] in self.situations
            and row["program"] in self.kinds
            and row["line"] in self.lines
        ]

    def broken(self, rows: Iterable[Row]) -> list[str]:
        """What a run has found, or not looked at, against what is promised."""
        mine = self.of(rows)
        seen = {(row["situation"], row["program"], row["line"]) for row in mine}
        wanted = [(s, kind, line) for s in self.situations for kind in self.kinds for line in self.lines]
        missing = [f"{', '.join(each)}: was not watched" for each in wanted if each not in seen]
        found = [
            f"{row['situation']}, {row['program']}, {row['line']}: {why}"
            for row in mine
            for why in self._not_as(row)
        ]
        return [*missing, *found, *self._followed(mine)]

    def _not_as(self, row: Row) -> Iterator[str]:
        """What is not as promised in one row."""
        cut, connections = row["cut"], row["connections"]
        least, whole = {
            Cut.NONE: (0, 0), Cut.MOST: (max(connections - 1, 1), connections), Cut.SOME: (1, connections),
            Cut.CALLED: (CALLED, connections), Cut.ALL: (connections, connections),
        }[self.cut]  # fmt: skip
        if not least <= cut <= whole:
            yield f"{cut} of {connections} connections cut"
        if not row["calls"]:
            yield "nobody called"
        late = row.get("late", 0) if self.cut is not Cut.NONE else 0
        allowed = may_fail(self.failed or 0, late) if row["line"] in self.failing else 0
        if self.failed is not None and row["failed"] > allowed:
            yield f"{row['failed']} calls failed: {dict(row['errors'])}"
        elsewhere = row["line"] in MOVED and self.follow is Follow.STAY
        if row["for_good_s"] is None and not elsewhere:
            yield f"not all calls came to arrive where they should: {dict(row['by'])}"

    def _followed(self, mine: Sequence[Row]) -> Iterator[str]:
        """What was not to follow, and was answered elsewhere than what stays: by the Service's name."""
        by = {(row["situation"], row["program"], row["line"]): {*row["by"]} for row in mine}
        for (situation, program, name), pods in by.items() if self.follow is Follow.STAY else ():
            stays = by.get((situation, program, STAYED[1]))
            if name == MOVED[1] and pods != stays:
                yield f"{situation}, {program}, {name}: answered by {pods}, not {stays}"

    def found(self, rows: Iterable[Row]) -> tuple[str, ...]:
        """The last cells of its row."""
        mine = self.of(rows)
        if not mine:
            return (NOTHING,) * len(FOUND)
        each = {(row["situation"], row["program"]): (row["cut"], row["connections"]) for row in mine}
        cut, connections = (sum(counts) for counts in zip(*each.values(), strict=True))
        failed, calls = (sum(row[key] for row in mine) for key in ("failed", "calls"))
        follow = [
            row["for_good_s"]
            for row in mine
            if row["line"] in MOVED and self.follow in (Follow.ALL, Follow.BY_NAME)
        ]
        after = max((seconds for seconds in follow if seconds is not None), default=None)
        return (
            f"{cut} of {connections}",
            f"{failed} of {calls:,}",
            NOTHING if after is None else f"{after:.1f} s",
        )


def watched(rows: Iterable[Row]) -> list[Row]:
    """The rows of calls that were watched, of all that is written."""
    return [row for row in rows if "line" in row]


def table(events: Iterable[Event], rows: Iterable[Row]) -> Iterator[str]:
    """In Markdown, line by line; without figures where there are no rows."""
    mine = watched(rows)
    yield from head(COLUMNS)
    for event in events:
        yield line(*event.promised(), *event.found(mine))


def stated(lines: Sequence[str]) -> list[dict[str, str]]:
    """The cells of such a table."""
    cells = [[cell.strip() for cell in each.strip("|").split(" | ")] for each in lines]
    first, _, *rest = cells
    assert tuple(first) == COLUMNS, first
    return [dict(zip(COLUMNS, row, strict=True)) for row in rest]


def beyond(events: Iterable[Event], lines: Sequence[str]) -> list[str]:
    """Where such a table does not say what is promised, or has figures that break it."""
    found = []
    for event, cells in zip(events, stated(lines), strict=True):
        said = " ".join(cells.values())
        if tuple(cells[column] for column in PROMISED) != event.promised():
            found.append(f"promises otherwise: {said}")
        cut, connections = _of(cells["cut"])
        failed, calls = _of(cells["failed"])
        least = {Cut.NONE: 0, Cut.ALL: connections}.get(event.cut, 1)
        most = 0 if event.cut is Cut.NONE else connections
        times = len(event.situations) * len(event.kinds) * len(event.failing)
        if not (connections and least <= cut <= most and calls):
            found.append(f"connections: {said}")
        if event.failed is not None and failed > event.failed * times:
            found.append(f"calls: {said}")
    return found


def _of(cell: str) -> tuple[int, int]:
    """``3 of 1,200``."""
    part, _, whole = cell.replace(",", "").partition(" of ")
    return int(part), int(whole)
