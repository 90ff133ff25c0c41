"""Moves shared through ConfigMaps: what the writer looks at when something changes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.mesh import movefiles
from soadns.mesh.sharedmoves import SharedMoves
from tests.unit.fast_time import fast_time
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import Leads
from tests.unit.route_process import RouteProcess
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

NAMESPACE = "soadns"


class ConfigMaps(ObjectStore):
    """Created and replaced, each version once."""

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        return self._write(path, body)

    async def put(self, path: str, body: Mapping[str, Any]) -> bytes:  # type: ignore[override]
        return self._write(path.rpartition("/")[0], body)

    def _write(self, collection: str, body: Mapping[str, Any]) -> bytes:
        self.keep(collection, dict(body), by="soadns")
        return json.dumps(self.objects[collection, body["metadata"]["name"]]).encode()

    @property
    def facts(self) -> int:
        found = [movefiles.read(each) for each in self.objects.values()]
        return sum(len(entries) for _, entries in filter(None, found))


@asynccontextmanager
async def sharing(moved: int) -> AsyncIterator[tuple[RouteProcess, SharedMoves, ConfigMaps]]:
    """Of an estate in which so many interfaces have moved, and that is shared already."""
    names = ",".join(f"I{number}" for number in range(moved))
    process, store = (
        RouteProcess(
            (
                f"Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register Stays,{names} 10.1.0.1",
                f"Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register {names} 10.1.0.2",
                f"unregister {names} 10.1.0.1; after 5s",
            )
        ),
        ConfigMaps(),
    )
    shared = SharedMoves(
        store, NAMESPACE, process.routing, Leads(),  # type: ignore[arg-type]
        log=lambda *_, **__: None, now=process.now,
    )  # fmt: skip
    shared.begin({}, known=False)
    with fast_time():
        task = asyncio.create_task(shared.run())
        try:
            await soon(lambda: store.facts == moved and len(shared.facts) == moved)
            assert not shared.trouble
            yield process, shared, store
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def calls(shared: SharedMoves) -> int:
    """How many functions one round of the writer calls."""
    found = 0

    def called(_: object, what: str, __: object) -> None:
        nonlocal found
        found += what in ("call", "c_call")

    sys.setprofile(called)
    try:
        await shared._write()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize(
    "change",
    [
        "Service shop/third 10.96.0.3",
        "Service shop/account 10.96.0.2 ports 20880",
        "register New 10.1.0.1; after 5s",
        "unregister I1 10.1.0.2; after 5s",
    ],
)
async def test_the_writers_work_is_proportional_to_the_change_whatever_has_moved(change: str) -> None:
    found = []
    for moved in (20, 200):
        async with sharing(moved) as (process, shared, store):
            await shared._write()
            store.writes.clear()
            process.tell(change)
            found.append(await calls(shared))
            assert not store.writes
    few, many = found
    assert many <= few + 20


async def test_what_goes_home_is_taken_from_what_is_shared_and_where_it_was_is_added() -> None:
    async with sharing(3) as (process, shared, store):
        process.tell("register I1 10.1.0.1; unregister I1 10.1.0.2; after 5s")
        left = {("user", "I0"), ("account", "I1"), ("user", "I2")}
        await soon(lambda: {(f.service.name, f.interface.name) for f in shared.facts} == left)
        assert store.facts == 3
