"""A publisher of EnvoyFilters as tests run one: an estate, a store as the API server's, and a Lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from soadns.mesh import filterstatus
from soadns.mesh.filtersettings import FilterSettings
from soadns.mesh.filterwriter import FilterWriter
from soadns.mesh.istioreader import ENVOY_FILTERS
from soadns.mesh.renderings import NEVER
from soadns.reports.filterviews import Meshing
from soadns.sidecar.tiers import Wishes
from tests.unit.fast_time import fast_time
from tests.unit.notation import ZONE
from tests.unit.object_store import ObjectStore
from tests.unit.route_process import SHOP, RouteProcess

ROOT = "istio-system"
FILTERS = ENVOY_FILTERS.path(ROOT)


class Leads:
    """A Lease that is held or not, as the test says."""

    def __init__(self) -> None:
        self.holds = True
        self.lapsed = False
        self._hear: list[Callable[[], None]] = []

    def on_change(self, hear: Callable[[], None]) -> None:
        self._hear.append(hear)

    def turn(self, holds: bool) -> None:
        self.holds = holds
        for hear in self._hear:
            hear()


class Publishing:
    """One writer, and all around it."""

    def __init__(self, process: RouteProcess, store: ObjectStore, wishes: Wishes, **settings: Any) -> None:
        self.process, self.store, self.lease = process, store, Leads()
        self.log: list[str] = []
        process.meshing = Meshing(wishes)
        self.now = 1_800_000_000.0
        whole = {
            "zone": ZONE, "root_namespace": ROOT, "try_first": "", "try_for": 300.0, "metrics": (),
            "file_delay": 120.0, "domain": "cluster.local", "share": 0.2, "minimum": 20, "write": True,
        }  # fmt: skip
        self.writer = FilterWriter(
            store, process, self.lease, FilterSettings(**{**whole, **settings}),  # type: ignore[arg-type]
            log=lambda event, **_: self.log.append(event), now=lambda: self.now,
        )  # fmt: skip
        self.rounds = 0
        self.writer.on_round(self._count)
        self.task = asyncio.create_task(self.writer.run())

    def _count(self) -> None:
        self.rounds += 1

    async def until(self, done: Callable[[], bool]) -> None:
        for _ in range(4000):
            if done():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{self.store.writes} {self.log} {self.status()}")

    async def wrote(self, *expected: str) -> None:
        """Exactly this since the last time, names without what is different each time."""
        await self.until(lambda: len(self.store.writes) >= len(expected))
        await self.rest()
        assert [write.rpartition("-")[0] if write[-1] != "s" else write for write in self.store.writes] == [
            *expected
        ]
        self.store.writes.clear()

    async def rest(self) -> None:
        """Until it has looked at everything and had nothing to do."""
        quiet = 0
        for _ in range(100):
            before = self.rounds
            self.writer._stir()
            for _ in range(40):  # there is none while it waits for something
                await asyncio.sleep(0.005)
                if self.rounds > before:
                    break
            busy = self.rounds > before and (self.writer.looked or self.writer._sending._sent)
            quiet = 0 if busy else quiet + 1
            if quiet == 3:
                return

    async def begin_anew(self) -> None:
        """Run it again when it has ended, as the control process does after a fault."""
        await self.until(self.task.done)
        await asyncio.gather(self.task, return_exceptions=True)
        self.task = asyncio.create_task(self.writer.run())

    async def later(self, done: Callable[[], bool]) -> None:
        """Until something that takes time has happened; as much goes by as it takes."""

        def look() -> bool:
            self.now += 10.0
            self.writer._stir()
            return done()

        await self.until(look)

    def look_at_all(self) -> None:
        """Have all Services looked at, though nothing happened."""
        self.writer.renderings._generation = NEVER
        self.writer._stir()

    def tell(self, row: str) -> None:
        self.process.tell(row)

    def status(self, service: str = "") -> dict[str, Any]:
        return filterstatus.status(self.writer, service)

    def states(self) -> list[str]:
        return [found["state"] for row in self.status()["services"] for found in row["objects"]]


@asynccontextmanager
async def publishing(
    *rows: str, store: ObjectStore | None = None, wishes: Wishes | None = None, **settings: Any
) -> AsyncIterator[Publishing]:
    with fast_time():
        found = Publishing(RouteProcess(rows or SHOP), store or ObjectStore(), wishes or Wishes(), **settings)
        try:
            yield found
            assert not found.task.done(), found.task.result()
        finally:
            found.task.cancel()
            await asyncio.gather(found.task, return_exceptions=True)


REQUEST = Wishes(balancing="request")
USER, ACCOUNT = f"create {ROOT}/soadns-shop-user", f"create {ROOT}/soadns-shop-account"
