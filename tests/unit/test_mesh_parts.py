"""What one replica writes to its cluster has parts, and a fault of ours in one of them ends no other."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.mesh import mesh as mesh_module
from soadns.mesh import movefiles
from soadns.mesh.filtersettings import FilterSettings
from soadns.mesh.istioreader import ENVOY_FILTERS
from soadns.mesh.mesh import Mesh, Sharing
from soadns.mesh.sharedmoves import CONFIG_MAPS
from soadns.reports.filterviews import Meshing
from soadns.sidecar.tiers import Wishes
from tests.unit.fast_time import fast_time
from tests.unit.notation import ZONE
from tests.unit.publishing_site import FILTERS, ROOT, Leads
from tests.unit.route_process import SHOP, RouteProcess
from tests.unit.test_shared_moves import ConfigMaps
from tests.unit.waiting import soon

pytestmark = pytest.mark.long


class Held(Leads):
    """A Lease that nobody else wants, until its part ends."""

    holder, trouble = "", ""
    begun = 0

    async def run(self) -> None:
        self.begun += 1
        await asyncio.Event().wait()


class Parts:
    """All that one replica writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: ConfigMaps) -> None:
        self.lease, self.log, self.counts = Held(), list[str](), Counter[str]()
        monkeypatch.setattr(mesh_module, "Lease", lambda *_, **__: self.lease)
        process = RouteProcess(SHOP)
        process.meshing = Meshing(Wishes())
        settings = FilterSettings(
            zone=ZONE, root_namespace=ROOT, try_first="", try_for=300.0, metrics=(), file_delay=1.0,
            domain="cluster.local", share=1.0, minimum=100, write=True,
        )  # fmt: skip
        self.mesh = Mesh(
            store, process, Sharing("soadns", 15.0, True), settings,  # type: ignore[arg-type]
            log=lambda event, **_: self.log.append(event), now=process.now,
        )  # fmt: skip
        self.mesh.begin({}, known=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with fast_time():
            task = asyncio.create_task(self.mesh.run(self.counts))
            try:
                yield
                assert not task.done(), task.result()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("part", ["moves", "filters", "events"])
async def test_a_fault_in_a_part_ends_no_other_and_is_got_over(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ConfigMaps()
    parts = Parts(monkeypatch, store)
    broken = getattr(parts.mesh, part)
    runs, began = broken.run, 0

    async def run() -> None:
        nonlocal began
        began += 1
        if began > 1:
            await runs()
        async with asyncio.timeout(0.0):  # so that it had begun
            await runs()

    monkeypatch.setattr(broken, "run", run)
    async with parts.running():
        await soon(lambda: store.facts == 1 and any(path == FILTERS for path, _ in store.objects))
        await soon(lambda: began == 2)
        assert parts.counts == {part: 1}
        assert parts.lease.begun == 1
        assert parts.log.count(f"{part}-failed") == 1


async def test_what_a_fault_kept_from_being_shared_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing else happens by which it would be looked at again."""

    class Faulty(ConfigMaps):
        faults = 0

        def _write(self, collection: str, body: Mapping[str, Any]) -> bytes:
            if collection == CONFIG_MAPS.path("soadns") and not self.faults:
                self.faults += 1
                raise AssertionError
            return super()._write(collection, body)

    store = Faulty()
    parts = Parts(monkeypatch, store)
    async with parts.running():
        await soon(lambda: parts.counts == {"moves": 1})
        await soon(lambda: store.facts == 1)


async def test_objects_that_can_not_be_understood_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ConfigMap that somebody edited, and an EnvoyFilter of somebody else that is nested without an end."""
    store = ConfigMaps()
    read = store.list_page
    deep = json.dumps({"metadata": {"name": "deep", "namespace": "shop", "resourceVersion": "1"}, "spec": 0})
    deep = deep.replace("0}", f"{'[' * 5_000}{']' * 5_000}}}")

    async def list_page(resource: object, **query: object) -> bytes:
        body = await read(resource, **query)  # type: ignore[arg-type]
        if resource != ENVOY_FILTERS:
            return body
        found = json.loads(body)
        whole = json.dumps({**found, "items": [*found["items"], "it"]})
        return whole.replace('"it"', deep).encode()

    monkeypatch.setattr(store, "list_page", list_page)
    metadata = {"name": "soadns-moves-03", "namespace": "soadns", "labels": movefiles.LABELS}
    row = {
        "zone": ZONE,
        "service": ["home", "shop", "x"],
        "interface": ["X", "", ""],
        "addresses": [],
        "wires": [],
    }
    text = json.dumps({"format": 1, "moves": [{**row, "ports": [], "since": 7}]})
    edited = {"metadata": metadata, "data": {movefiles.KEY: text.replace("7", "1" + "0" * 400)}}
    store.keep(CONFIG_MAPS.path("soadns"), edited, by="test")
    parts = Parts(monkeypatch, store)
    async with parts.running():
        await soon(lambda: "moves-not-understood" in parts.log)
        assert parts.mesh.moves is not None
        assert "soadns-moves-03 is not understood" in parts.mesh.moves.trouble
        assert parts.mesh.filters is not None
        await soon(lambda: parts.mesh.filters.reader.synced)  # type: ignore[union-attr]
        assert not parts.mesh.filters.reader.trouble
        assert not parts.counts
