"""Faults of our own where names are answered without: each is said with its place, counted, and got over."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from soadns import faults
from tests.unit.waiting import soon

HERE = "test_faults.py"


def broken(text: str) -> None:
    raise ValueError(text)


def caught(text: str) -> ValueError:
    try:
        broken(text)
    except ValueError as error:
        return error
    raise AssertionError


def test_what_is_said_names_the_place_where_it_was_raised() -> None:
    said = faults.said(caught("seven"))
    assert said.startswith("ValueError: seven (")
    assert HERE in said
    assert faults.said(KeyError("never raised")) == "KeyError: 'never raised'"


def test_of_a_group_each_is_said_however_deep_it_lies() -> None:
    group = ExceptionGroup("one", [caught("a"), ExceptionGroup("two", [caught("b")])])
    first, second = faults.said(group).split("; ")
    assert first.startswith("ValueError: a (")
    assert second.startswith("ValueError: b (")


async def test_a_part_begins_anew_after_each_fault_and_no_more_after_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "AGAIN_S", 0.0)
    counts, lines, begun = Counter[str](), list[str](), 0

    def log(event: str, *, level: str = "info", **fields: object) -> None:
        lines.append(f"{event} level={level} error={fields['error']}")

    async def run() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ExceptionGroup("tasks", [caught(f"number {begun}")])

    async with asyncio.timeout(5.0):
        await faults.anew("mesh", run, counts, log)
    assert begun == 3
    assert counts == {"mesh": 2}
    assert [line.split(" (")[0] for line in lines] == [
        "mesh-failed level=error error=ValueError: number 1",
        "mesh-failed level=error error=ValueError: number 2",
    ]


async def test_a_part_that_is_cancelled_ends() -> None:
    counts = Counter[str]()
    part = asyncio.create_task(faults.anew("mesh", asyncio.Event().wait, counts, lambda *_, **__: None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    part.cancel()
    await soon(part.done)
    assert part.cancelled()
    assert not counts
