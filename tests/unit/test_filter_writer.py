"""The publisher of EnvoyFilters over an estate that changes and an API server's store: what it writes, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.filterviews import Meshing
from soadns.mesh import filterstatus, filterwriter, renderings
from soadns.mesh.filterwriter import FilterSettings, FilterWriter
from soadns.mesh.istiod import Rejects
from soadns.mesh.istioreader import DESTINATION_RULES, ENVOY_FILTERS, VIRTUAL_SERVICES
from soadns.sidecar.tiers import Wishes
from tests.unit.notation import ZONE
from tests.unit.object_store import ObjectStore
from tests.unit.route_process import SHOP, RouteProcess

ROOT = "istio-system"
FILTERS = ENVOY_FILTERS.path(ROOT)


class Leads:
    """A Lease that is held or not, as the test says."""

    def __init__(self) -> None:
        self.holds = True
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
        for _ in range(3):
            self.writer._stir()
            await asyncio.sleep(0.03)

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
    found = Publishing(RouteProcess(rows or SHOP), store or ObjectStore(), wishes or Wishes(), **settings)
    task = asyncio.create_task(found.writer.run())
    try:
        yield found
        assert not task.done(), task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


REQUEST = Wishes(balancing="request")
USER, ACCOUNT = f"create {ROOT}/soadns-shop-user", f"create {ROOT}/soadns-shop-account"


async def test_what_is_needed_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing() as it:
        await it.wrote(USER)  # calls of what moved would fail without
        assert it.states() == ["applied"]
        monkeypatch.setattr(renderings, "SWEEP_S", 0.0)
        await it.rest()
        await it.wrote()
        assert it.writer.counts == {"applied": 1, "outdated": 0, "missing": 0, "unwanted": 0, "refused": 0}


async def test_who_has_no_lease_writes_nothing_and_who_gets_it_goes_on() -> None:
    async with publishing() as it:
        it.lease.turn(False)
        await it.until(lambda: it.states() == ["missing"] or bool(it.store.writes))
        it.store.writes.clear()
        it.store.objects.clear()
    async with publishing(wishes=REQUEST) as it:
        it.lease.turn(False)
        await it.rest()
        it.store.writes.clear()
        it.lease.turn(True)
        await it.until(lambda: it.states() == ["applied", "applied"])
    async with publishing(wishes=REQUEST, store=it.store) as successor:
        await successor.until(lambda: successor.writer.counts["applied"] == 2)
        it.store.writes.clear()
        await successor.rest()
        await successor.wrote()  # it found them as they should be


async def test_reading_alone_writes_nothing() -> None:
    async with publishing(write=False) as it:
        await it.until(lambda: it.states() == ["missing"] if not it.writer.waits_for else False)
        await it.rest()
        await it.wrote()


async def test_an_annotation_is_obeyed_without_a_change_of_routes() -> None:
    async with publishing(SHOP[0]) as it:
        await it.rest()
        await it.wrote()
        it.tell("Service shop/user balancing=request")
        await it.wrote(USER)
        it.tell("Service shop/user balancing=connection")
        await it.wrote(USER.replace("create", "delete"))


async def test_what_somebody_changes_by_hand_is_put_right_and_foreign_ones_are_left_alone() -> None:
    async with publishing(wishes=REQUEST) as it:
        await it.wrote(ACCOUNT, USER)
        [one, other] = [copy for (path, _), copy in it.store.objects.items() if path == FILTERS]
        it.store.put(FILTERS, {**one, "spec": {"priority": 77}})
        listener = {"name": "10.96.0.1_20880"}
        patch = {
            "applyTo": "NETWORK_FILTER",
            "match": {"listener": listener},
            "patch": {"operation": "REMOVE"},
        }
        theirs = {"metadata": {"name": "theirs", "namespace": ROOT}, "spec": {"configPatches": [patch]}}
        it.store.put(FILTERS, theirs)
        await it.until(lambda: it.store.objects[FILTERS, one["metadata"]["name"]]["spec"] == one["spec"])
        await it.rest()
        assert len(it.store.writes) == 1
        rows = {row["service"]: row["foreign"] for row in it.status()["services"]}
        assert rows == {"home/shop/account": [], "home/shop/user": [f"{ROOT}/theirs"]}
        assert it.store.objects[FILTERS, "theirs"]["spec"] == theirs["spec"]
        assert other["metadata"]["resourceVersion"]


async def test_rules_change_once_a_minute() -> None:
    async with publishing(f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:]) as it:
        await it.wrote(USER)
        it.tell("register com.x.Address 10.1.0.2")
        it.tell("unregister com.x.Address 10.1.0.1; after 5s")
        await it.until(lambda: it.states() == ["outdated"])
        await it.rest()
        await it.wrote()
        [row] = it.status()["services"]
        assert [found["waitsFor"] for found in row["objects"]] == ["its rules changed within the last minute"]
        it.now += 60.0
        await it.rest()
        await it.wrote(USER.replace("create", "change"))


async def test_the_filter_of_a_service_that_is_created_again_goes_at_once() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, minimum=1, share=0.0) as it:
        await it.wrote(USER)
        it.tell("after 60s; Service shop/user 10.96.0.7 new")
        await it.wrote(USER.replace("create", "delete"), USER)


async def test_removals_of_many_wait_for_somebody() -> None:
    rows = [
        f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
        for n in range(5)
    ]
    async with publishing(*rows, wishes=REQUEST, minimum=3) as it:
        await it.wrote(*(f"create {ROOT}/soadns-shop-s{n}" for n in range(5)))
        it.tell("; ".join(f"delete shop/s{n}" for n in range(4)))
        await it.until(lambda: it.writer.guard.alarm.held == 4)
        await it.rest()
        await it.wrote()
        assert "filters-held" in it.log
        assert it.writer.release() == 4
        await it.wrote(*(f"delete {ROOT}/soadns-shop-s{n}" for n in range(4)))


async def test_what_is_refused_is_told_and_keeps_nobody_waiting() -> None:
    store = ObjectStore()
    store.deny = lambda document: "not this one" if "-user-" in document["metadata"]["name"] else ""
    async with publishing(wishes=REQUEST, store=store) as it:
        await it.wrote(ACCOUNT)
        rows = {row["service"]: row["objects"][0]["refused"] for row in it.status()["services"]}
        assert rows == {"home/shop/account": None, "home/shop/user": "HTTP 422: not this one"}
        store.deny = lambda _: ""
        it.now += 31.0
        await it.rest()
        await it.wrote(USER)
        assert it.writer.counts["refused"] == 0


async def test_nothing_is_decided_before_everything_is_known() -> None:
    store = ObjectStore()
    store.absent = {"envoyfilters"}
    async with publishing(wishes=REQUEST, store=store) as it:
        await it.until(lambda: "does not have Istio's kinds" in it.writer.waits_for)
        await it.rest()
        await it.wrote()
        it.process.routing.wait_for_moves("not read yet")
        assert it.status()["waitsFor"] == "not read yet"


async def test_istios_objects_decide_as_well() -> None:
    store = ObjectStore()
    host = "user.shop.svc.cluster.local"
    rule = {
        "metadata": {"name": "user", "namespace": "shop"},
        "spec": {"host": host, "subsets": [{"name": "v2"}]},
    }
    store.put(DESTINATION_RULES.path("shop"), rule)
    async with publishing(SHOP[0], wishes=REQUEST, store=store) as it:
        await it.wrote(USER)
        route = [{"destination": {"host": host, "subset": "v2"}}]
        virtual = {
            "metadata": {"name": "user", "namespace": "shop"},
            "spec": {"hosts": [host], "tcp": [{"route": route}]},
        }
        store.put(VIRTUAL_SERVICES.path("shop"), virtual)
        await it.wrote(USER.replace("create", "change"))
        [found] = [each for (path, _), each in store.objects.items() if path == FILTERS]
        assert f"outbound|20880|v2|{host}" in str(found["spec"])


async def test_a_first_filter_is_tried_in_one_namespace() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, try_first="canary", try_for=300.0) as it:
        await it.wrote(USER.replace(ROOT, "canary"))
        it.now += 299.0
        await it.rest()
        await it.wrote()
        assert "it is tried there first" in str(it.status())
        it.now += 2.0
        await it.rest()
        await it.wrote(USER, USER.replace(ROOT, "canary").replace("create", "delete"))


async def test_what_sidecars_refuse_stops_the_rest() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, metrics=()) as it:
        await it.wrote(USER)
        it.writer.istiod.rejects = Rejects(1.0, it.now + 5.0)
        it.tell("Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3")
        await it.until(lambda: "missing" in it.states())
        await it.rest()
        await it.wrote()
        waits = [found["waitsFor"] for row in it.status()["services"] for found in row["objects"]]
        assert any("sidecars refused something" in (text or "") for text in waits)
        it.now += 10.0
        it.writer.release()
        await it.wrote(f"create {ROOT}/soadns-shop-pay")


async def test_files_are_there_before_the_filter_that_names_them() -> None:
    async with publishing(wishes=Wishes(namespaces=("web",), shards=1)) as it:
        await it.until(lambda: len(it.store.writes) >= 2)
        await it.rest()
        assert [write.rpartition("-")[0] for write in it.store.writes] == ["create web/soadns-routes", USER]
        assert len(it.writer.waiting) >= 1
        it.store.writes.clear()
        it.now += 121.0
        await it.rest()
        assert all("-files" in write for write in it.store.writes)
        assert it.store.writes
