"""Interfaces by state: counted beside what the control process has to do, and not in its way."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from soadns.reports import views
from soadns.web import states as states_module
from soadns.web.states import AT_ONCE, States
from tests.unit.notation import ZONE, Notebook

MANY = 3 * AT_ONCE + 7


def told(*rows: str) -> Notebook:
    notebook = Notebook()
    for row in rows:
        notebook.say(row)
        notebook.flush()
    return notebook


def of(notebook: Notebook) -> States:
    running: Any = SimpleNamespace(estate=notebook.estate)
    return States(running)


def crowd() -> Notebook:
    return told(f"register N{{1..{MANY}}} 10.9.0.1")


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    found: list[object] = []
    flags = views.flags

    def noted(name: Any) -> list[str]:
        found.append(name)
        return flags(name)

    monkeypatch.setattr(states_module, "flags", noted)
    return found


async def test_all_names_are_counted() -> None:
    notebook = told(
        "Service shop/user 10.96.0.1",
        "pods shop/user 10.1.0.1",
        "register User,Pay 10.1.0.1",
        "register Far 10.9.0.1",
        "Service shop/odd 10.96.0.3 interfaces=Odd traffic=off",
    )
    states = of(notebook)
    assert states.counts == {}
    await states.refresh()
    counts = {state: n for (zone, state), n in states.counts.items() if zone == ZONE}
    assert counts == {"bound": 3, "unbound": 1, "conflict": 0, "stale": 0, "held": 0, "half-boarded": 0}


async def test_between_two_portions_the_loop_has_other_work(looked_at: list[object]) -> None:
    states = of(crowd())
    counting = asyncio.create_task(states.refresh())
    figures = [0]
    while not counting.done():
        await asyncio.sleep(0)
        figures.append(len(looked_at))
    assert figures[-1] == MANY
    assert max(after - before for before, after in pairwise(figures)) == AT_ONCE


async def test_it_is_counted_again_when_that_takes_no_more_than_its_share(
    looked_at: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    states, now = of(crowd()), 1_000.0
    took = 0.0

    def later() -> float:
        nonlocal took
        took += 0.5
        return took

    monkeypatch.setattr(states_module.time, "monotonic", lambda: now)
    monkeypatch.setattr(states_module.time, "perf_counter", later)
    await states.refresh()
    counted = len(looked_at)
    taken = 0.5 * (MANY // AT_ONCE + 1)
    now += taken / states_module.SHARE - 0.1
    await states.refresh()
    assert len(looked_at) == counted
    now += 0.2
    await states.refresh()
    assert len(looked_at) == 2 * counted


async def test_who_asks_does_not_wait_for_long_and_is_told_what_there_was(
    looked_at: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states_module, "PAUSE_S", 0.0)
    monkeypatch.setattr(states_module, "SHARE", 1e9)
    notebook = crowd()
    states = of(notebook)
    await states.refresh()
    monkeypatch.setattr(states_module, "WAIT_S", 0.0)
    notebook.say("register More 10.9.0.1")
    notebook.flush()
    await asyncio.gather(states.refresh(), states.refresh())
    assert states.counts[ZONE, "bound"] == MANY
    for _ in range(MANY):
        await asyncio.sleep(0)
    assert states.counts[ZONE, "bound"] == MANY + 1
    assert len(looked_at) == 2 * MANY + 1, "of two who ask, one has it counted"


async def test_names_that_go_meanwhile_are_not_counted() -> None:
    notebook = crowd()
    states = of(notebook)
    counting = asyncio.create_task(states.refresh())
    await asyncio.sleep(0)
    notebook.zone.outcomes.clear()
    await counting
    assert states.counts[ZONE, "bound"] <= AT_ONCE
