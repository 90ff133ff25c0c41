"""A Lease as it is read and written: what is no Lease is a trouble, and another part's fault takes none away."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns import faults
from soadns.kubeapi import ApiError
from soadns.mesh.lease import NAME, Lease
from soadns.mesh.leasestate import LeaseTimes
from tests.unit.fast_time import fast_time
from tests.unit.waiting import soon

pytestmark = pytest.mark.long


class Leases:
    """Keeps one Lease; answers ``instead`` where that is anything, and does what it was asked all the same."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] | None = None
        self.version = 0
        self.instead: bytes | None = None

    async def get(self, path: str, **_: Any) -> bytes:
        if self.instead is None and self.kept is None:
            raise ApiError(404, "not found")
        return self._answer()

    async def post(self, path: str, body: Mapping[str, Any], **_: Any) -> bytes:
        return self._write(body, self.kept is None)

    async def put(self, path: str, body: Mapping[str, Any], **_: Any) -> bytes:
        return self._write(body, body["metadata"].get("resourceVersion") == str(self.version))

    def _write(self, body: Mapping[str, Any], fits: bool) -> bytes:
        if not fits:
            raise ApiError(409, "another version")
        self.version += 1
        self.kept = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self._answer()

    def _answer(self) -> bytes:
        return json.dumps(self.kept).encode() if self.instead is None else self.instead


@asynccontextmanager
async def candidate(api: Leases) -> AsyncIterator[tuple[Lease, asyncio.Task[None], Counter[str]]]:
    counts = Counter[str]()
    with fast_time():
        lease = Lease(
            api, "soadns", NAME, "me", LeaseTimes(3.0),  # type: ignore[arg-type]
            log=lambda *_, **__: None, clock=asyncio.get_running_loop().time,
        )  # fmt: skip
        task = asyncio.create_task(faults.anew("lease", lease.run, counts, lambda *_, **__: None))
        try:
            yield lease, task, counts
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "instead",
    [
        b"", b"<html>", b"[]", b'"said"', b"{}", b"[" * 5_000,
        b'{"metadata": {"resourceVersion": "7"}, "spec": ["me"]}',
        b'{"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": ["me"]}}',
        b'{"metadata": {"resourceVersion": "7"}, "spec": {"leaseTransitions": 1e999}}',
        b'{"metadata": {"resourceVersion": "7"}, "spec": {"leaseDurationSeconds": "soon"}}',
        b'{"metadata": {"resourceVersion": "7"}, "spec": {"leaseDurationSeconds": [15]}}',
        b'{"metadata": {"resourceVersion": "7"}, "spec": {"leaseDurationSeconds": 1' + b"0" * 400 + b"}}",
        b'{"metadata": [], "spec": {}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("held", [False, True])
async def test_what_is_no_lease_is_a_trouble_until_there_is_one(instead: bytes, held: bool) -> None:
    """What is answered to a renewal that was done counts for nothing, so that there are never two."""
    api = Leases()
    api.instead = None if held else instead
    async with candidate(api) as (lease, task, counts):
        if held:
            await soon(lambda: lease.holds)
            api.instead = instead
        await soon(lambda: lease.trouble and not lease.holds)
        api.instead = None
        await soon(lambda: lease.holds and not lease.trouble)
        assert not task.done()
        assert not counts


async def test_after_a_fault_of_ours_it_is_given_back_and_taken_again() -> None:
    api, said = Leases(), list[str]()
    async with candidate(api) as (lease, _, counts):

        def hear() -> None:
            said.append("taken" if lease.holds else "lost")
            if len(said) == 1:
                raise RuntimeError("whoever hears it fails")

        lease.on_change(hear)
        await soon(lambda: counts["lease"] and lease.holds)
        assert said == ["taken", "lost", "taken"]
        assert api.kept is not None
        assert (api.kept["spec"]["holderIdentity"], api.kept["spec"]["leaseTransitions"]) == ("me", 1)
