"""How long the publisher of EnvoyFilters does nothing: until the next moment that counts, and for that moment alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from soadns.mesh import filterwriter
from soadns.mesh.filterplan import BURST_S
from soadns.mesh.istiod import Rejects
from soadns.sidecar.tiers import Wishes
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import REQUEST, ROOT, USER, Publishing, publishing
from tests.unit.route_process import SHOP

pytestmark = pytest.mark.long

CANARY = USER.replace(ROOT, "canary")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


async def rounds(it: Publishing) -> int:
    """How many there are within ten seconds of which the clock of what waits sees none."""
    await it.rest()
    before = it.rounds
    await asyncio.sleep(10.0)
    return it.rounds - before


async def test_a_trial_that_is_halted_is_not_looked_at_again_and_again() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, metrics=(), try_first="canary", try_for=300.0) as it:
        await it.wrote(CANARY)
        it.writer.istiod.rejects = Rejects(1.0, it.now + 5.0)
        it.now += 400.0
        assert await rounds(it) <= 1
        assert "sidecars refused something" in str(it.status())
        it.writer.release()
        await it.wrote(USER, CANARY.replace("create", "delete"))


async def test_what_was_refused_and_may_not_be_tried_again_is_not_either() -> None:
    def refused(_: dict[str, Any]) -> str:
        it.lease.turn(False)
        return "and by then another replica writes"

    async with publishing(SHOP[0]) as it:
        await it.rest()
        it.store.deny = refused
        it.tell("Service shop/user balancing=request")
        await it.until(lambda: "filter-refused" in it.log)
        it.now += 31.0
        assert await rounds(it) <= 1


async def test_nor_is_what_was_refused_and_is_held_by_now() -> None:
    rows = [
        f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
        for n in range(1, 6)
    ]
    store = ObjectStore()
    async with publishing(*rows, wishes=REQUEST, minimum=3, store=store) as it:
        await it.until(lambda: it.writer.book.counts["applied"] == 5)
        store.deny = lambda _: "not now"
        it.tell("Service shop/s1 10.96.2.1")
        await it.until(lambda: "filter-refused" in it.log)
        it.tell("; ".join(f"delete shop/s{n}" for n in range(2, 6)))
        await it.until(lambda: it.writer.guard.alarm.held == 5)
        it.now += 31.0
        assert await rounds(it) <= 1


async def test_files_of_who_may_not_write_are_not_either() -> None:
    async with publishing(SHOP[0], wishes=Wishes(balancing="request", namespaces=("shop",))) as it:
        it.store.deny = lambda _: "not now"
        await it.until(lambda: "files-not-written" in it.log)
        it.lease.turn(False)
        it.now += 31.0
        assert await rounds(it) <= 1


@pytest.mark.parametrize("late", [0.0, 0.5], ids=["exactly then", "a little later"])
async def test_what_comes_due_while_all_is_looked_at_is_not_forgotten(late: float) -> None:
    """For the next look would be in a minute."""
    async with publishing(SHOP[0], wishes=REQUEST, try_first="canary", try_for=300.0) as it:
        await it.wrote(CANARY)
        await it.rest()
        it.now += 299.0
        it.writer.on_round(lambda: setattr(it, "now", 1_800_000_300.0 + late))
        it.writer._stir()
        began = asyncio.get_running_loop().time()
        await it.until(lambda: len(it.store.writes) == 2)
        assert asyncio.get_running_loop().time() - began < 30.0


async def test_nor_is_a_minute_that_ends_then() -> None:
    async with publishing(f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:]) as it:
        await it.wrote(USER)
        it.now += BURST_S
        it.tell("register com.x.Address 10.1.0.2")
        it.tell("unregister com.x.Address 10.1.0.1; after 5s")
        await it.until(lambda: bool(it.writer.waiting))
        [(at, _)] = it.writer.waiting.values()
        it.writer.on_round(lambda: setattr(it, "now", at))
        it.writer._stir()
        began = asyncio.get_running_loop().time()
        await it.until(lambda: bool(it.store.writes))
        assert asyncio.get_running_loop().time() - began < 30.0
