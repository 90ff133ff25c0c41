"""What becomes of the filters of a Service is told as Events of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.mesh import filterwriter
from soadns.mesh.events import Events
from soadns.mesh.filternews import FilterNews
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import ACCOUNT, FILTERS, REQUEST, ROOT, USER, Publishing, publishing
from tests.unit.route_process import SHOP


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


class Telling:
    """A writer whose news are written, to a store of their own."""

    def __init__(self, it: Publishing) -> None:
        self.it = it
        self.store = ObjectStore()
        self.events = Events(
            self.store, it.lease, "soadns-0", log=lambda *_, **__: None, now=lambda: it.now  # type: ignore[arg-type]
        )  # fmt: skip
        FilterNews(it.writer, self.events)

    def told(self) -> list[str]:
        rows = self.store.objects.values()
        return sorted(
            f"{each['regarding']['name']} {each['type']} {each['reason']} {each['note']}" for each in rows
        )

    async def tells(self, *starts: str) -> list[dict[str, Any]]:
        """Exactly this since the last time, by how each begins; the Events."""

        def same() -> bool:
            return len(self.told()) == len(starts) and all(map(str.startswith, self.told(), sorted(starts)))

        for _ in range(400):
            if same():
                break
            await asyncio.sleep(0.005)
        await self.it.rest()
        assert same(), self.told()
        found = list(self.store.objects.values())
        self.store.objects.clear()
        return found


@asynccontextmanager
async def telling(*rows: str, **settings: Any) -> AsyncIterator[Telling]:
    async with publishing(*rows, **settings) as it:
        found = Telling(it)
        await it.rest()
        task = asyncio.create_task(found.events.run())
        try:
            yield found
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_tier_that_changes_is_told_with_what_was_and_why() -> None:
    async with telling(SHOP[0]) as news:
        news.it.tell("Service shop/user balancing=request")
        await news.it.wrote(USER)
        [found] = await news.tells(
            "user Normal SidecarTier port 20880: tier 1, and was tier 0: balancing by request is asked for (by annot"
        )
        [uid] = news.it.writer.meshing.applied
        assert found["regarding"]["uid"] == uid
        news.it.tell("Service shop/user balancing=connection")
        await news.it.wrote(USER.replace("create", "delete"))
        await news.tells("user Normal SidecarTier port 20880: tier 0, and was tier 1: ")


async def test_who_gets_the_lease_tells_nothing_of_what_stands() -> None:
    async with telling(wishes=REQUEST) as before:
        await before.it.wrote(ACCOUNT, USER)
    async with telling(wishes=REQUEST, store=before.it.store) as news:
        await news.it.until(lambda: news.it.writer.book.counts["applied"] == 2)
        await news.it.rest()
        await news.tells()


async def test_what_is_refused_and_what_is_in_the_way_is_told_once() -> None:
    store = ObjectStore()
    store.deny = lambda document: "not this one" if "-user-" in document["metadata"]["name"] else ""
    async with telling(SHOP[0], wishes=REQUEST, store=store) as news:
        await news.it.until(lambda: bool(news.it.writer.book.refused))
        listener = {"name": "10.96.0.1_20880"}
        patch = {
            "applyTo": "NETWORK_FILTER",
            "match": {"listener": listener},
            "patch": {"operation": "REMOVE"},
        }
        theirs = {"metadata": {"name": "theirs", "namespace": ROOT}, "spec": {"configPatches": [patch]}}
        store.put(FILTERS, theirs)
        await news.tells(
            f"user Warning FilterRefused EnvoyFilter {ROOT}/soadns-shop-user-",
            f"user Warning ForeignFilter EnvoyFilter {ROOT}/theirs is on the same listener",
        )
        await news.it.rest()
        await news.tells()


async def test_what_is_held_is_told_at_each_service() -> None:
    rows = [
        f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
        for n in range(5)
    ]
    async with telling(*rows, wishes=REQUEST, minimum=3) as news:
        await news.it.until(lambda: news.it.writer.book.counts["applied"] == 5)
        await news.it.rest()
        news.store.objects.clear()
        for n in range(4):
            news.it.tell(f"Service shop/s{n} balancing=connection")
        await news.it.until(lambda: news.it.writer.guard.alarm.held == 4)
        await news.tells(*(f"s{n} Warning FilterHeld EnvoyFilter {ROOT}/soadns-shop-s{n}-" for n in range(4)))
