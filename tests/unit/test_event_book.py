"""Kubernetes Events: what is told how often, the objects that they become, and who writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.kubeapi import ApiError
from soadns.mesh import eventbook, events
from soadns.mesh.eventbook import (
    AGAIN_S,
    ALL,
    EACH,
    FORGOTTEN_S,
    KEPT,
    MOST_NOTE,
    EventBook,
    Happening,
    Regarding,
)
from soadns.mesh.events import EVENTS, Events
from tests.unit.fast_time import fast_time
from tests.unit.object_store import ObjectStore
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

NOW = 1_800_000_000.25
USER = Regarding("Service", "shop", "user", "uid-1")


def happening(note: str = "port 20880: tier 1", about: Regarding = USER) -> Happening:
    return Happening(about, "SidecarTier", note, "Write")


def taken(book: EventBook) -> list[tuple[str, int]]:
    return [(entry.happening.note, entry.count) for entry in book.take()]


def test_what_happens_is_told_and_the_same_again_is_a_series() -> None:
    book = EventBook()
    book.tell(happening(), NOW)
    [first] = book.take()
    assert taken(book) == []
    book.tell(happening(), NOW + 60)
    book.tell(happening(), NOW + 90)
    [again] = book.take()
    assert again.name == first.name
    assert "series" not in first.document("one")
    assert again.document("one")["series"] == {"count": 3, "lastObservedTime": "2027-01-15T08:01:30.250000Z"}
    same = ("eventTime", "metadata", "note", "regarding", "reason", "action", "type", "reportingInstance")
    assert [again.document("one")[key] for key in same] == [first.document("one")[key] for key in same]


def test_what_the_api_server_has_forgotten_is_another_event() -> None:
    book = EventBook()
    book.tell(happening(), NOW)
    [first] = book.take()
    book.tell(happening(), NOW + FORGOTTEN_S + 1)
    [again] = book.take()
    assert (again.name != first.name, again.count) == (True, 1)


def test_who_tells_what_lasts_says_nothing_of_what_others_tell() -> None:
    book = EventBook()
    for second in range(0, 100, 10):
        book.last([happening("a filter is held")], NOW + second, by="filters")
        book.last([happening("an annotation is unknown")], NOW + second, by="annotations")
    assert taken(book) == [("a filter is held", 1), ("an annotation is unknown", 1)]


def test_what_lasts_is_told_when_it_begins_and_now_and_then() -> None:
    book = EventBook()
    for second in range(0, 3600, 10):
        book.last([happening()], NOW + second)
    assert taken(book) == [("port 20880: tier 1", 1 + int(3600 // AGAIN_S))]
    book.last([], NOW + 3600)
    book.last([happening()], NOW + 3610)
    assert taken(book) == [("port 20880: tier 1", 2 + int(3600 // AGAIN_S))]


def of_many(number: int) -> list[Happening]:
    return [happening("it lasts", Regarding("Service", "shop", f"s{i}", f"many-{i}")) for i in range(number)]


def test_what_lasts_and_found_no_room_is_told_when_there_is_some() -> None:
    book, lasting = EventBook(), of_many(200)
    book.last(lasting, NOW)
    assert (len(book.take()), book.omitted) == (ALL[0], 200 - ALL[0])
    told = set[str]()
    for second in range(10, 200, 10):
        book.last(lasting, NOW + second)
        found = {entry.happening.regarding.uid for entry in book.take()}
        assert len(found) <= 10 * ALL[1]
        told |= found
    assert told == {each.regarding.uid for each in lasting[int(ALL[0]) :]}
    assert book.omitted == 200 - ALL[0], "once, however often it is tried"
    ended = EventBook()
    ended.last(lasting, NOW)
    ended.take()
    ended.last([], NOW + 10)
    ended.last([], NOW + 200)
    assert ended.take() == [], "what is over when there is room"


def test_what_waits_leaves_room_for_what_happens() -> None:
    book, lasting = EventBook(), of_many(2000)
    for second in range(60):
        book.last(lasting, NOW + second)
    book.take()
    book.tell(happening("a tier is another one"), NOW + 60)
    assert taken(book) == [("a tier is another one", 1)]


def test_a_clock_that_is_put_back_stops_nothing_for_long() -> None:
    book, lasting = EventBook(), of_many(100)
    book.last(lasting, NOW)
    book.take()
    for second in range(0, 60, 10):
        book.last(lasting, NOW - 86400 + second)
    assert len(book.take()) == 50 * ALL[1] - KEPT


def test_what_lasts_is_told_again_after_nobody_told_anything_for_long() -> None:
    book = EventBook()
    for second in (0.0, FORGOTTEN_S + 1):
        book.last([happening()], NOW + second)
        assert taken(book) == [("port 20880: tier 1", 1)]


def test_who_finds_no_room_among_all_keeps_its_own() -> None:
    book = EventBook()
    for each in of_many(int(ALL[0])):
        book.tell(each, NOW)
    for number in range(10):
        book.tell(happening(f"{number}"), NOW)
    book.take()
    for number in range(10):
        book.tell(happening(f"later {number}"), NOW + 20)
    assert len(book.take()) == EACH[0]


def test_work_grows_with_what_lasts_and_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    full = eventbook._Budget.full

    def counted(budget: eventbook._Budget, now: float) -> bool:
        nonlocal looked
        looked += 1
        return full(budget, now)

    monkeypatch.setattr(eventbook._Budget, "full", counted)
    book, lasting = EventBook(), of_many(2000)
    for second in range(0, 100, 10):
        book.last(lasting, NOW + second)
    assert 0 < looked <= 10 * (ALL[0] + 100 * ALL[1])


def test_nobody_crowds_out_the_others() -> None:
    book = EventBook()
    for number in range(100):
        book.tell(happening(f"{number}"), NOW)
    assert len(book.take()) == EACH[0]
    assert book.omitted == 100 - EACH[0]
    other = Regarding("Service", "shop", "other", "uid-2")
    book.tell(happening("other", other), NOW)
    assert taken(book) == [("other", 1)]
    for number in range(1000):
        book.tell(happening("many", Regarding("Service", "shop", f"s{number}", f"uid-{number + 3}")), NOW)
    assert len(book.take()) == ALL[0] - EACH[0] - 1
    for second in range(10):
        book.tell(
            happening("later", Regarding("Service", "shop", f"t{second}", f"t{second}")), NOW + second + 1
        )
    assert len(book.take()) == 10
    book.tell(happening("user again"), NOW + 300)
    assert taken(book) == [("user again", 1)]


def test_a_note_is_no_longer_than_the_api_allows() -> None:
    book = EventBook()
    book.tell(happening("é" * 2000), NOW)
    [entry] = book.take()
    note = entry.document("x" * 200)["note"]
    assert (len(note.encode()) <= MOST_NOTE, note[-1]) == (True, "…")
    assert len(entry.document("x" * 200)["reportingInstance"]) == 128


class Leads:
    def __init__(self) -> None:
        self.holds = True


class Refusing(ObjectStore):
    """Refuses as it is told."""

    status = 0

    async def apply(self, path: str, body: Any, *, manager: str, dry_run: bool = False) -> bytes:
        if self.status:
            raise ApiError(self.status, "no")
        return await super().apply(path, body, manager=manager, dry_run=dry_run)


def written(store: ObjectStore) -> list[str]:
    return [each["note"] for (path, _), each in store.objects.items() if path == EVENTS.path("shop")]


async def test_the_holder_writes_them_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "AGAIN_S", (0.01, 0.02))
    store, lease, log = Refusing(), Leads(), list[str]()
    now = NOW
    told = Events(store, lease, "soadns-0", log=lambda event, **_: log.append(event), now=lambda: now)  # type: ignore[arg-type]
    task = asyncio.create_task(told.run())

    async def until(done: Callable[[], bool]) -> None:
        for _ in range(1000):
            if done():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{told.trouble} {written(store)} {log}")

    store.status = 403
    told.tell(happening("first"))
    await until(lambda: "HTTP 403" in told.trouble)
    assert log == ["events-trouble"], "once, however often it is tried"
    store.status = 0
    await until(lambda: written(store) == ["first"] and not told.trouble)
    store.status = 422
    told.tell(happening("it is no Event"))
    await until(lambda: told.omitted == 1)
    store.status = 0
    told.tell(happening("second"))
    await until(lambda: len(written(store)) == 2)
    store.status = 500
    told.tell(happening("too late"))
    await until(lambda: "HTTP 500" in told.trouble)
    now += 601
    await until(lambda: told.omitted == 2)
    lease.holds = False
    store.status = 0
    told.tell(happening("by another one"))
    await asyncio.sleep(0.05)
    assert sorted(written(store)) == ["first", "second"]
    assert told.written == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def elsewhere(namespace: str, note: str) -> Happening:
    return happening(note, Regarding("Service", namespace, "user", f"uid-{namespace}"))


@asynccontextmanager
async def telling(
    store: ObjectStore, lease: Leads | None = None
) -> AsyncIterator[tuple[Events, list[str], Callable[[], list[str]]]]:
    """What is told to a store; with the log, and with the notes that were written, in order."""
    log = list[str]()

    def note(event: str, *, level: str = "info", **fields: object) -> None:
        log.append(f"{event} {fields['reason']}")

    told = Events(store, lease or Leads(), "soadns-0", log=note, now=lambda: NOW)  # type: ignore[arg-type]
    with fast_time():
        task = asyncio.create_task(told.run())
        try:
            yield told, log, lambda: [each["note"] for each in store.objects.values()]
            assert not task.done(), task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Choosy(ObjectStore):
    """Refuses what it is told, by namespace or note."""

    def __init__(self, **refuses: tuple[int, str]) -> None:
        super().__init__()
        self.refuses = refuses

    async def apply(self, path: str, body: Any, *, manager: str, dry_run: bool = False) -> bytes:
        self.asked.append((body["note"], dry_run))
        for key in (body["metadata"]["namespace"], body["note"]):
            if key in self.refuses:
                raise ApiError(*self.refuses[key])
        return await super().apply(path, body, manager=manager, dry_run=dry_run)


GOING = 403, "unable to create new content in namespace shop because it is being terminated"


async def test_what_is_about_a_namespace_that_goes_is_not_written_and_no_trouble() -> None:
    async with telling(Choosy(shop=GOING, gone=(404, "no such namespace"))) as (told, log, written):
        for namespace in ("shop", "gone", "web"):
            told.tell(elsewhere(namespace, f"in {namespace}"))
        await soon(lambda: written() == ["in web"])
        assert (told.omitted, told.trouble, log) == (2, "", [])


@pytest.mark.parametrize("status", [403, 500])
async def test_what_may_not_be_written_in_one_namespace_holds_up_no_other(status: int) -> None:
    store = Choosy(shop=(status, "no right to"))
    async with telling(store) as (told, log, written):
        told.tell(elsewhere("shop", "first"))
        told.tell(elsewhere("shop", "second"))
        told.tell(elsewhere("web", "third"))
        await soon(lambda: written() == ["third"])
        assert told.trouble == f"events: HTTP {status}: no right to"
        await asyncio.sleep(100.0)
        began = asyncio.get_running_loop().time()
        told.tell(elsewhere("web", "fourth"))
        await soon(lambda: written() == ["third", "fourth"])
        assert asyncio.get_running_loop().time() - began < 20.0, "it is not waited for what is refused"
        assert told.trouble
        assert log == [f"events-trouble events: HTTP {status}: no right to"]
        assert len(store.asked) < 20
        told.tell(elsewhere("shop", "first"))
        store.refuses.clear()
        await soon(lambda: sorted(written()) == ["first", "fourth", "second", "third"])
        assert (told.omitted, told.trouble, told.written) == (0, "", 4)
        assert [each["series"]["count"] for each in store.objects.values() if "series" in each] == [2]


async def test_one_that_is_refused_in_a_namespace_does_not_hold_up_the_others_there() -> None:
    async with telling(Choosy(second=(403, "by a policy"))) as (told, _, written):
        for note in ("first", "second", "third", "fourth"):
            told.tell(elsewhere("shop", note))
        await soon(lambda: written() == ["first", "third", "fourth"])
        assert told.trouble


async def test_while_the_api_server_takes_none_it_is_asked_for_one_at_a_time() -> None:
    store = Choosy(**dict.fromkeys(("shop", "web"), (503, "busy")))
    async with telling(store) as (told, _, written):
        told.tell(elsewhere("shop", "first"))
        told.tell(elsewhere("web", "second"))
        await asyncio.sleep(20.0)
        assert {note for note, _ in store.asked} == {"first"}
        store.refuses.clear()
        await soon(lambda: written() == ["first", "second"])


async def test_what_was_refused_is_not_told_by_who_has_lost_the_lease() -> None:
    store, lease = Choosy(shop=(403, "no right to")), Leads()
    async with telling(store, lease) as (told, _, written):
        told.tell(elsewhere("shop", "first"))
        await soon(lambda: told.trouble)
        lease.holds = False
        store.refuses.clear()
        await asyncio.sleep(100.0)
        lease.holds = True
        told.tell(elsewhere("shop", "second"))
        await soon(written)
        assert written() == ["second"]
