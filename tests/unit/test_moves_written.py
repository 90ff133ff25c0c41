"""ConfigMaps of shared moves that can not be written as usual: nothing ends for it, and it is told."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.kubeapi import ApiError
from soadns.mesh import movefiles
from soadns.mesh.sharedmoves import CONFIG_MAPS, SharedMoves
from tests.unit.fast_time import fast_time
from tests.unit.publishing_site import Leads
from tests.unit.route_process import SHOP, RouteProcess
from tests.unit.test_shared_moves import NAMESPACE, ConfigMaps
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

PATH = CONFIG_MAPS.path(NAMESPACE)


class Site:
    """A process in which one interface has moved, and the ConfigMaps of its namespace."""

    def __init__(self, store: ConfigMaps) -> None:
        self.store, self.log = store, list[str]()
        self.process = RouteProcess(SHOP)
        self.shared = SharedMoves(
            store, NAMESPACE, self.process.routing, Leads(),  # type: ignore[arg-type]
            log=self._note, now=self.process.now,
        )  # fmt: skip
        self.shared.begin({}, known=False)

    def _note(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.log.append(f"{event} {fields.get('reason')}")

    @property
    def config_map(self) -> dict[str, Any]:
        [found] = [each for (path, _), each in self.store.objects.items() if path == PATH]
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.shared.run())
        try:
            yield
            assert not task.done(), task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
async def _fast() -> AsyncIterator[None]:
    with fast_time():
        yield


class Mute(ConfigMaps):
    """Says ``instead`` of what it should, and has written it or not."""

    instead: bytes = b""
    writes_it = True
    said = 0

    def _write(self, collection: str, body: Mapping[str, Any]) -> bytes:
        found = super()._write(collection, body) if self.writes_it or not self.instead else b""
        self.said += bool(self.instead)
        return self.instead or found


@pytest.mark.parametrize("writes_it", [False, True])
@pytest.mark.parametrize("instead", [b"<html>", b"{}", b"[]", b"[" * 5_000, b'{"metadata": {"uid": "x"}}'])
async def test_an_answer_that_is_no_configmap_is_a_trouble_and_is_tried_again(
    instead: bytes, writes_it: bool
) -> None:
    store = Mute()
    store.instead, store.writes_it = instead, writes_it
    site = Site(store)
    async with site.running():
        await soon(lambda: store.said)
        await soon(lambda: any("moves-not-shared configmap soadns-moves-" in line for line in site.log))
        store.instead = b""
        await soon(lambda: store.facts == 1 and site.shared.facts and not site.shared.trouble)


class Labelled(ConfigMaps):
    """What exists is not created, and what loses a label is gone for who asks by it."""

    clashes = 0

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        await asyncio.sleep(0.1)
        if (path, body["metadata"]["name"]) in self.objects:
            self.clashes += 1
            raise ApiError(409, "already exists")
        return await super().post(path, body)

    async def put(self, path: str, body: Mapping[str, Any]) -> bytes:  # type: ignore[override]
        collection, _, name = path.rpartition("/")
        if (
            self.objects[collection, name]["metadata"]["resourceVersion"]
            != body["metadata"]["resourceVersion"]
        ):
            raise ApiError(409, "another version")
        return await super().put(path, body)

    def label(self, name: str, labels: Mapping[str, str]) -> None:
        """Somebody labels it, with these alone."""
        before = self.objects[PATH, name]
        after = {**before, "metadata": {**before["metadata"], "labels": dict(labels)}}
        self.keep(PATH, after, by="test")
        if movefiles.SELECTOR not in ",".join(map("=".join, labels.items())):
            self._tell("DELETED", PATH, copy.deepcopy(before))
            self.objects[PATH, name] = after


async def test_a_configmap_that_somebody_manages_by_his_own_label_is_read_and_written_on() -> None:
    store = Labelled()
    site = Site(store)
    async with site.running():
        await soon(lambda: store.facts == 1 and site.shared.facts)
        before = site.config_map["metadata"]
        store.label(before["name"], {"soadns.io/holds": "moves", "app.kubernetes.io/managed-by": "Helm"})
        fresh = Site(store)
        async with fresh.running():
            await soon(lambda: fresh.shared.facts)
        site.process.tell("register com.x.User 10.1.0.1; unregister com.x.User 10.1.0.2; after 5s")
        await soon(lambda: [fact.service.name for fact in site.shared.facts] == ["account"])
        assert all(each["metadata"]["labels"] == movefiles.LABELS for each in store.objects.values())
        assert not site.shared.trouble


async def test_one_that_nobody_finds_any_more_is_told_and_left_as_it_is_until_it_is_found() -> None:
    store = Labelled()
    site = Site(store)
    async with site.running():
        await soon(lambda: store.facts == 1 and site.shared.facts)
        name, data = site.config_map["metadata"]["name"], site.config_map["data"]
        store.label(name, {})
        await soon(lambda: site.shared.trouble)
        assert site.shared.trouble == (
            f"configmap {name} exists without the label soadns.io/holds=moves, so no replica reads it: "
            f"kubectl label --overwrite configmap -n soadns {name} soadns.io/holds=moves"
        )
        assert len([line for line in site.log if line.startswith("moves-not-shared")]) == 1
        assert store.objects[PATH, name]["data"] == data
        store.label(name, {"soadns.io/holds": "moves"})
        await soon(lambda: not site.shared.trouble)
        assert site.shared.facts


async def test_that_another_replica_was_faster_is_no_trouble() -> None:
    store = Labelled()
    first, second = Site(store), Site(store)
    async with first.running(), second.running():
        await soon(lambda: store.facts == 1 and first.shared.facts and second.shared.facts)
        await asyncio.sleep(15.0)
        assert store.clashes == 1
        assert not any("moves-not-shared" in line for line in [*first.log, *second.log])
