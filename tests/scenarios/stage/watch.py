"""What becomes of steady calls while something happens: where they arrive, how many fail, which connections are cut."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.scenarios.stage.clients import Caller, Tally
from tests.scenarios.stage.process import eventually

EVERY_MS = 100
_LOOK_S = 0.1
_CUT_S = 12.0
"""Within so many seconds a connection is cut, or it is not: istiod takes a second or two to tell of a change, and
Envoy's drain two more."""
FEW = 10
"""Calls of a line that prove nothing."""
_FEW_S = 60.0
"""How long more are waited for."""
_ANSWERED_S = 60.0
LATE_MS, LATE_AT_MOST = 500, 2
"""Who waits for so long between two calls, though nothing happens to its connections, is on a machine where a caller
hears that much later that its connection was cut, and begins one more call meanwhile; so often, at most."""


def may_fail(failed: int, late: int) -> int:
    """How many calls of a line may fail at a cut that costs so many, where callers hear ``late`` of it."""
    return failed * (1 + late)


Place = tuple[str, int]
"""A ClusterIP and its port."""


@dataclass(frozen=True, slots=True)
class Line:
    """Calls that one caller makes all the time."""

    caller: Caller
    name: str
    """Of the steady calls; one word for people as well."""
    interface: str

    def start(self) -> None:
        self.caller.steady(self.interface, every_ms=EVERY_MS, threads=1, name=self.name)

    def answered(self) -> None:
        """Wait until it is: the first calls of a JVM may take their time."""
        found = eventually(
            lambda: self.caller.tally(self.name),
            within=_ANSWERED_S,
            until=lambda tally: bool(tally.by) and not tally.failed,
        )
        assert found.by, (self, found)


@dataclass(slots=True)
class Seen:
    """What became of the calls of a line."""

    calls: int = 0
    failed: int = 0
    by: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    gap_ms: float = 0.0
    after_s: float | None = None
    """How long after the beginning the first call arrived where calls are to arrive. None: none did."""
    for_good_s: float | None = None
    """How long after the beginning all later calls succeeded and arrived there. None: not to the end."""

    def add(self, tally: Tally, at: float, there: str) -> None:
        self.calls += tally.calls
        self.failed += tally.failed
        self.by.update(tally.by)
        self.errors.update(tally.errors)
        self.gap_ms = max(self.gap_ms, tally.longest_gap_ms)
        if self.after_s is None and there in tally.by:
            self.after_s = at
        if tally.failed or set(tally.by) - {there}:
            self.for_good_s = None
        elif self.for_good_s is None and tally.by:
            self.for_good_s = at


@dataclass(frozen=True, slots=True)
class Watched:
    """All lines, and the connections of each caller to the places that were looked at."""

    lines: Mapping[Line, Seen]
    before: Mapping[Caller, int]
    """How many connections there were when it began."""
    cut: Mapping[Caller, int]
    """How many of these are gone."""

    def of(self, caller: Caller, name: str) -> Seen:
        """What became of one line."""
        [found] = [seen for line, seen in self.lines.items() if line.caller is caller and line.name == name]
        return found

    @property
    def late(self) -> int:
        """How many times ``LATE_MS`` those waited to whom nothing happened; none of those times on a machine that gives
        everybody a turn."""
        harmed = {line.caller for line, seen in self.lines.items() if seen.failed}
        left = [
            seen.gap_ms
            for line, seen in self.lines.items()
            if line.caller not in harmed and not self.cut[line.caller]
        ]
        return min(LATE_AT_MOST, int(max(left, default=0.0) / LATE_MS))

    def __str__(self) -> str:
        rows = [
            f"{line.caller.kind:<15}{line.name:<16}{seen.calls:>6} calls {seen.failed:>4} failed, there after "
            f"{seen.after_s} s, for good after {seen.for_good_s} s, gap {seen.gap_ms} ms, {dict(seen.by)} "
            + "; ".join(f"{count}x {text[:120]}" for text, count in seen.errors.items())
            for line, seen in self.lines.items()
        ]
        rows += [
            f"{caller.kind:<15}{self.cut[caller]} of {count} connections cut"
            for caller, count in self.before.items()
        ]
        return "\n".join(rows)


def watched(
    lines: Iterable[Line],
    happens: Callable[[], object],
    *,
    there: Callable[[Line], str],
    places: Iterable[Place],
    at_least: float,
    within: float,
    cut: Collection[Caller] = (),
) -> Watched:
    """Look at steady calls from the beginning of what happens on, all the time.

    ``there``: which provider is to answer a line in the end. When it has happened it is looked on for
    ``at_least`` so many seconds, until all calls arrive there, and for a while until all connections of the
    callers in ``cut`` are gone that were there before, but no longer than ``within``; and until each line has made
    more than ``FEW`` calls.
    """
    seen = {line: Seen() for line in lines}
    callers = {line.caller: None for line in seen}
    places = list(places)
    for line in seen:
        line.caller.tally(line.name)
    before = {caller: _connections(caller, places) for caller in callers}
    began = time.monotonic()

    def look() -> None:
        for line, found in seen.items():
            found.add(line.caller.tally(line.name), round(time.monotonic() - began, 2), there(line))

    with ThreadPoolExecutor(1) as beside:  # it may take a minute, and some callers follow much sooner
        happening = beside.submit(happens)
        while not happening.done():
            look()
            time.sleep(_LOOK_S)
        happening.result()
    happened = time.monotonic()
    while True:
        look()
        took = time.monotonic() - happened
        left = took < _CUT_S and any(before[caller] & _connections(caller, places) for caller in cut)
        settled = not left and all(found.for_good_s is not None for found in seen.values())
        few = took < _FEW_S and any(found.calls <= FEW for found in seen.values())
        if not few and (took > within or (settled and took > at_least)):
            break
        time.sleep(_LOOK_S)
    after = {caller: _connections(caller, places) for caller in callers}
    return Watched(
        seen,
        {caller: len(found) for caller, found in before.items()},
        {caller: len(found - after[caller]) for caller, found in before.items()},
    )


def _connections(caller: Caller, places: Collection[Place]) -> set[tuple[Place, int]]:
    found = {((address, port), own) for _, port in places for own, address in caller.connections(port)}
    return {each for each in found if each[0] in places}


def rows(situation: str, kinds: Mapping[Caller, str], seen: Watched) -> list[dict[str, object]]:
    """What stands of it in ``build/mesh/rows.json``: one row for each line."""
    return [
        {
            "situation": situation, "program": kinds[line.caller], "line": line.name, "calls": found.calls,
            "failed": found.failed, "errors": dict(found.errors), "by": dict(found.by), "gap_ms": found.gap_ms,
            "after_s": found.after_s, "for_good_s": found.for_good_s, "connections": seen.before[line.caller],
            "cut": seen.cut[line.caller], "late": seen.late,
        }
        for line, found in seen.lines.items()
    ]  # fmt: skip
