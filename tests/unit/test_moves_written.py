"""ConfigMaps of shared moves that can not be written as usual: nothing ends for it, and it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.mesh.sharedmoves import CONFIG_MAPS, SharedMoves
from tests.unit.fast_time import fast_time
from tests.unit.publishing_site import Leads
from tests.unit.route_process import SHOP, RouteProcess
from tests.unit.test_shared_moves import NAMESPACE, ConfigMaps
from tests.unit.waiting import soon

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
        with fast_time():
            task = asyncio.create_task(self.shared.run())
            try:
                yield
                assert not task.done(), task.result()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


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
