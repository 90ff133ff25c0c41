"""The publisher of EnvoyFilters after it ended amid its work: it begins anew, and nothing is lost by that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from soadns.mesh import filterwriter, renderings
from soadns.mesh.eventbook import Happening, Regarding
from soadns.mesh.events import Events
from soadns.mesh.filterbook import FilterBook
from soadns.mesh.filterplan import BURST_S
from soadns.mesh.sharedmoves import CONFIG_MAPS
from soadns.model import ObjectRef
from soadns.reports import filterviews
from soadns.reports.filterviews import Meshing
from soadns.sidecar.tiers import Wishes
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import REQUEST, ROOT, USER, Leads, Publishing, publishing
from tests.unit.route_process import SHOP

pytestmark = pytest.mark.long

MANY = [
    f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
    for n in range(1, 7)
]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)
    monkeypatch.setattr(renderings, "AT_ONCE", 2)


class FaultError(Exception):
    """One of our own."""


def fail() -> None:
    raise FaultError


@contextmanager
def when_rendered(monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[], object]) -> Iterator[None]:
    """Have something happen once, while a Service is rendered."""

    def asked(zone: Any, table: Any, ref: ObjectRef, meshing: Meshing) -> Any:
        if ref.name == name and not happened:
            happened.append(name)
            do()
        return rendered(zone, table, ref, meshing)

    rendered, happened = filterviews.rendered, list[str]()
    monkeypatch.setattr(filterviews, "rendered", asked)
    yield
    assert happened


async def filled(store: ObjectStore) -> None:
    """With the filters of many."""
    async with publishing(*MANY, wishes=REQUEST, store=store) as it:
        await it.wrote(*(f"create {ROOT}/soadns-shop-s{n}" for n in range(1, 7)))


async def test_a_fault_over_the_first_look_takes_no_filter_away(monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(store := ObjectStore())
    with when_rendered(monkeypatch, "s5", fail):
        async with publishing(*MANY, wishes=REQUEST, store=store) as it:
            await it.begin_anew()
            await it.rest()
            await it.wrote()
            assert it.states() == ["applied"] * 6


async def test_nor_does_one_of_a_sibling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which ends all of it while the first look waits for others' turns."""
    await filled(store := ObjectStore())
    sites: list[Publishing] = []
    with when_rendered(monkeypatch, "s5", lambda: sites[0].task.cancel()):
        async with publishing(*MANY, wishes=REQUEST, store=store) as it:
            sites.append(it)
            await it.begin_anew()
            it.tell("Service shop/s2 balancing=connection")
            await it.wrote(f"delete {ROOT}/soadns-shop-s2")
            assert it.states() == ["applied"] * 5


async def test_what_changed_before_a_fault_and_until_it_is_over_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with publishing(*MANY, wishes=REQUEST) as it:
        await it.wrote(*(f"create {ROOT}/soadns-shop-s{n}" for n in range(1, 7)))
        await it.rest()
        with when_rendered(monkeypatch, "s3", fail):
            it.tell("Service shop/s3 balancing=connection; delete shop/s4")
            await it.until(it.task.done)
        it.tell(
            "delete shop/s5; Service shop/s9 10.96.1.9; pods shop/s9 10.1.1.9; register com.x.S9 10.1.1.9"
        )
        await it.begin_anew()
        await it.wrote(
            *(f"delete {ROOT}/soadns-shop-s{n}" for n in (3, 4, 5)), f"create {ROOT}/soadns-shop-s9"
        )


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
async def test_what_was_rendered_before_a_fault_and_not_looked_at_is(
    last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Service that is gone is rendered by nobody again, and its filter must not be created."""

    def faulty(book: FilterBook, uid: str, *arguments: Any) -> None:
        if last:
            look(book, uid, *arguments)
        monkeypatch.setattr(FilterBook, "look", look)
        raise FaultError

    look = FilterBook.look
    async with publishing(*MANY, wishes=REQUEST) as it:
        it.lease.turn(False)
        await it.until(lambda: it.writer.book.counts["missing"] == 6)
        monkeypatch.setattr(FilterBook, "look", faulty)
        it.tell("delete shop/s1; delete shop/s2; delete shop/s3")
        await it.begin_anew()
        await it.until(lambda: it.writer.book.counts["missing"] == 3)
        it.lease.turn(True)
        await it.wrote(*(f"create {ROOT}/soadns-shop-s{n}" for n in (4, 5, 6)))
        assert it.writer.book.counts == {
            "applied": 3, "outdated": 0, "missing": 0, "unwanted": 0, "refused": 0,
        }  # fmt: skip


async def test_what_was_read_of_filters_before_a_fault_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told once, and half of it was taken in: no tier is lowered by that."""
    await filled(store := ObjectStore())
    applied_of = renderings.applied_of

    def faulty(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise FaultError
        return applied_of(*arguments)

    calls: list[int] = []
    monkeypatch.setattr(renderings, "applied_of", faulty)
    async with publishing(*MANY, store=store) as it:  # nobody asks for them any more
        await it.begin_anew()
        await it.rest()
        await it.wrote()
        assert it.states() == ["applied"] * 6


async def test_rules_that_were_being_written_count_as_changed() -> None:
    """Nobody knows whether they were, so they change again when a minute is over."""

    class Broken(ObjectStore):
        async def apply(self, path: str, body: Any, *, manager: str, dry_run: bool = False) -> bytes:
            answer = await super().apply(path, body, manager=manager, dry_run=dry_run)
            if self.writes[-1:] == [changed] and not dry_run:
                fail()
            return answer

    changed = ""
    async with publishing(f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:], store=Broken()) as it:
        await it.wrote(USER)
        [changed] = [f"change {ROOT}/{name}" for _, name in it.store.objects]
        it.now += 600.0
        it.tell("register com.x.Address 10.1.0.2")
        it.tell("unregister com.x.Address 10.1.0.1; after 5s")
        await it.begin_anew()
        changed = ""
        it.tell("register com.x.Pay 10.1.0.2")
        it.tell("unregister com.x.Pay 10.1.0.1; after 5s")
        it.now += BURST_S
        await it.until(lambda: "outdated" in it.states())
        await it.wrote(USER.replace("create", "change"))
        it.now += 60.0 - BURST_S
        await it.rest()
        await it.wrote(USER.replace("create", "change"))


async def test_files_that_a_fault_kept_from_being_written_are() -> None:
    def broken(document: dict[str, Any]) -> str:
        it.store.deny = lambda _: ""
        raise FaultError

    async with publishing(SHOP[0], wishes=Wishes(balancing="request", namespaces=("shop",))) as it:
        it.lease.turn(False)
        await it.rest()
        it.store.deny = broken
        it.lease.turn(True)
        await it.begin_anew()
        await it.until(lambda: any(path == CONFIG_MAPS.path("shop") for path, _ in it.store.objects))


async def test_what_comes_first_of_all_still_does_after_a_fault_in_it() -> None:
    """As moves that are read back from filters that would be taken away without them."""
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        done: list[int] = []

        def adopt() -> None:
            done.append(len(it.store.writes))
            if len(done) == 1:
                fail()

        it.writer.first_of_all(adopt)
        await it.begin_anew()
        await it.wrote(USER)
        assert done == [0, 0]


async def test_a_fault_in_one_event_keeps_no_other_from_being_told() -> None:
    class Faulty(ObjectStore):
        async def apply(self, path: str, *arguments: Any, **named: Any) -> bytes:
            if "/s1." in path:
                fail()
            return await super().apply(path, *arguments, **named)

    store, lease = Faulty(), Leads()
    events = Events(store, lease, "soadns-0", log=lambda *_, **__: None, now=lambda: 1.0)  # type: ignore[arg-type]
    for number in range(4):
        about = Regarding("Service", "shop", f"s{number}", f"u{number}")
        events.tell(Happening(about, "SidecarTier", "port 20880: tier 1", "Write"))
    with pytest.raises(FaultError):
        await events.run()
    assert len(store.writes) == 1
    again = asyncio.create_task(events.run())
    for _ in range(200):
        await asyncio.sleep(0.005)
        if len(store.writes) == 3:
            break
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    assert len(store.writes) == 3
