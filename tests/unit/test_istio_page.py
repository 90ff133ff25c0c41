"""The tables of ``docs/istio.md`` hold what a run of the mesh found, within what every run is held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.clients.page import body
from tests.scenarios.stage import istiopage, meshevents, meshtable, nowhere
from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.meshevents import BY_HAND, EVENTS
from tests.scenarios.stage.meshtable import MOVED, Cut, Follow
from tests.scenarios.stage.nowhere import DUBBO, SOFARPC
from tests.scenarios.stage.trafficrules import TIERS, shares
from tests.scenarios.stage.watch import Line, Seen, Watched

TEXT = istiopage.text()
FIRST, BACK, *_ = EVENTS


def watched() -> Iterator[dict[str, Any]]:
    """What a run writes of steady calls that go as promised."""
    for event in EVENTS:
        for situation in event.situations:
            for kind in event.kinds:
                for line in event.lines:
                    stays = event.follow is Follow.STAY and line in MOVED
                    yield {
                        "story": event.story, "situation": situation, "program": kind, "line": line, "calls": 40,
                        "failed": 0, "errors": {}, "by": {"user-1": 40}, "for_good_s": None if stays else 2.5,
                        "connections": 3, "cut": 0 if event.cut is Cut.NONE else 3,
                    }  # fmt: skip


def whole() -> list[dict[str, Any]]:
    """The same, and all else."""
    errors = [
        {"situation": each.what, "program": kind, "error": f"RpcException: {' ... '.join(words)}"}
        for each in nowhere.CALLS
        for kinds, words in ((DUBBO, each.dubbo), (SOFARPC, each.sofarpc))
        for kind in kinds
    ]
    return [*watched(), *errors, *(shares(tier, 133, 137) for tier in TIERS)]


def test_the_page_says_what_is_promised_with_figures_that_keep_it() -> None:
    assert istiopage.differs(TEXT) == []


def test_a_run_that_went_as_promised_is_drawn_with_its_figures() -> None:
    drawn = istiopage.drawn(TEXT, whole())
    assert istiopage.wrong(whole()) == istiopage.differs(drawn) == []
    first = meshtable.stated(body(drawn, istiopage.MEASURED))[0]
    assert [first[column] for column in meshtable.FOUND] == ["0 of 12", "0 of 640", "–"]
    assert "| 3 | 133 of 150 | 137 of 150 |" in drawn
    assert drawn.partition("<!--")[0] == TEXT.partition("<!--")[0]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"failed": 1, "errors": {"RpcException": 1}}, "1 calls failed: {'RpcException': 1}"),
        ({"cut": 1}, "1 of 3 connections cut"),
        ({"calls": 0}, "nobody called"),
        ({"for_good_s": None}, "not all calls came to arrive where they should: {'user-1': 40}"),
    ],
)
def test_one_call_or_connection_breaks_a_promise(changed: dict[str, Any], why: str) -> None:
    broken = [row | (changed if row["situation"] in BACK.situations else {}) for row in watched()]
    assert len(BACK.broken(broken)) == len(BACK.kinds) * len(BACK.lines)
    assert BACK.broken(broken)[0] == f"T0: comes back, dubbo-2.7.23, stays: {why}"
    assert not FIRST.broken(broken)


@pytest.mark.parametrize(
    ("failed", "late", "is_broken"), [(1, 0, False), (2, 0, True), (2, 1, False), (3, 1, True)]
)
def test_a_cut_costs_one_call_more_where_callers_hear_late_of_it(
    failed: int, late: int, is_broken: bool
) -> None:
    rows = [row | {"failed": failed, "late": late} for row in watched()]
    for event in EVENTS:
        if event.failed is not None:
            assert bool(event.broken(rows)) == (is_broken or event.cut is Cut.NONE or not event.failed), event


def test_who_waits_though_nothing_happens_to_it_says_how_late_others_hear() -> None:
    caller, other = (cast(Caller, name) for name in ("dubbo", "sofarpc"))
    for gap_ms, failed, cut, late in (
        (499.0, 0, 0, 0), (500.0, 0, 0, 1), (1_100.0, 0, 0, 2), (9_000.0, 0, 0, 2),
        (9_000.0, 1, 0, 0), (9_000.0, 0, 1, 0),
    ):  # fmt: skip
        lines = {
            Line(caller, "stays", "com.x.A"): Seen(calls=40, failed=2, gap_ms=20_000.0),
            Line(other, "stays", "com.x.A"): Seen(calls=40, failed=failed, gap_ms=gap_ms),
        }
        assert Watched(lines, {caller: 1, other: 1}, {caller: 1, other: cut}).late == late, (
            gap_ms,
            failed,
            cut,
        )


def test_who_is_to_stay_may_not_follow_and_who_is_to_be_cut_must_be() -> None:
    found = [row | ({"by": {"account-1": 40}} if row["line"] == MOVED[1] else {}) for row in watched()]
    assert FIRST.broken(found)[0] == (
        "T0: moves, dubbo-2.7.23, moves, by Service name: answered by {'account-1'}, not {'user-1'}"
    )
    assert len(FIRST.broken(found)) == len(FIRST.kinds)
    uncut = [row | {"cut": 0} for row in watched()]
    for event in EVENTS:
        assert bool(event.broken(uncut)) == (event.cut is not Cut.NONE), event


def test_what_was_not_seen_breaks_a_promise_and_what_nobody_promised_is_named() -> None:
    strange = {**next(watched()), "situation": "the moon falls"}
    found = istiopage.wrong([strange])
    assert found[0] == "T0: moves, dubbo-2.7.23, stays: was not watched"
    assert "the moon falls: is no row of the table" in found
    assert meshevents.nobodys([strange | {"story": "of the moon"}]) == ["of the moon: the moon falls"]
    assert "a name that nobody has, sofarpc-5.6.0: did not call" in found
    assert "shares, tier 3: were not counted" in found


def test_an_error_without_its_words_breaks_a_promise() -> None:
    rows = [row | ({"error": "RpcException"} if "error" in row else {}) for row in whole()]
    found = istiopage.wrong(rows)
    assert found[0] == "a ClusterIP that is nobody's, dubbo-2.7.23: RpcException"
    assert len(found) == sum(len(DUBBO) + len(SOFARPC) * bool(each.sofarpc) for each in nowhere.CALLS)


@pytest.mark.parametrize("counts", [(133, 150), (75, 137), (14, 14)])
def test_shares_that_are_not_as_said_are_seen(counts: tuple[int, int]) -> None:
    rows = [*watched(), *(shares(tier, *counts) for tier in TIERS)]
    assert len(istiopage.differs(istiopage.drawn(TEXT, rows))) == len(TIERS)


def test_figures_and_promises_of_a_page_that_were_written_by_hand_are_seen() -> None:
    lines = list(meshtable.table(BY_HAND, watched()))
    assert meshtable.beyond(BY_HAND, lines) == []
    [first, *_], [cut, *_] = (
        [n for n, each in enumerate(lines) if word in each] for word in ("| 0 of ", "| 12 of 12")
    )
    for number, old, new in (
        (first, "| 0 of 12", "| 1 of 12"),
        (first, "**none**", "some"),
        (cut, "| 12 of", "| 0 of"),
    ):
        changed = [each.replace(old, new) if at == number else each for at, each in enumerate(lines)]
        assert changed != lines
        assert len(meshtable.beyond(BY_HAND, changed)) == 1, (old, new)


def test_a_page_is_not_made_of_half_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    istiopage.write([row for row in whole() if row.get("situation") not in BACK.situations], tmp_path)
    assert istiopage.main(tmp_path) == 1
    assert "T0: comes back, dubbo-2.7.23, stays: was not watched" in capsys.readouterr().err
    assert istiopage.text() == TEXT
