"""A Lease (coordination.k8s.io/v1) in the API server: taken, renewed, given back. ``leasestate`` decides.

Every write names the version that it replaces, so of two candidates that reach for it together one is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil
from typing import Any

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.logs import Log
from soadns.mesh import answers
from soadns.mesh.leasestate import LeaseRecord, LeaseState, LeaseTimes

LEASES = Resource("Lease", "leases", group="coordination.k8s.io")
NAME = "soadns"
"""Of the one in soadns's own namespace."""
GIVE_BACK_S = 1.0
"""How long the end of the process may wait for the Lease to be given back."""


def steady() -> float:
    """Seconds that pass while this process, or its machine, is asleep as well."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One candidate. ``identity`` must be another one for every process."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes,
        *,
        log: Log,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._api = api
        self._collection = LEASES.path(namespace)
        self._name = name
        self._namespace = namespace
        self._state = LeaseState(identity, times)
        self._version = ""
        """Of the object that was read last; ``''``: there is none."""
        self._log = log
        self._clock = clock
        self._unsure = True
        """Whether what is known of it may be outdated."""
        self._held = False
        """What was said last."""
        self._hear: list[Callable[[], None]] = []
        self.trouble = ""
        """Why it can not be read or written; ``''``: it can."""

    @property
    def holds(self) -> bool:
        """Whether this process may write now."""
        return self._state.holds(self._clock())

    @property
    def lapsed(self) -> bool:
        """Whether it is over without anybody having been told: in a moment it is renewed, or said to be lost."""
        return self._held and not self.holds

    @property
    def holder(self) -> str:
        """Who had it when it was read last; ``''``: nobody."""
        return self._state.seen.holder if self._state.seen is not None else ""

    def on_change(self, hear: Callable[[], None]) -> None:
        """Have a function called when this process takes or loses it."""
        self._hear.append(hear)

    async def run(self) -> None:
        """Take and renew it until cancelled; then give it back."""
        times = self._state.times
        try:
            while True:
                await self._look()
                self._notice()
                await asyncio.sleep(times.retry * random.uniform(1.0, 1.2))  # noqa: S311 - only spreads requests
        finally:
            await self._give_back()

    async def _look(self) -> None:
        """Read it, unless the last one to write it was this process; write it if it is held or free."""
        try:
            if self._unsure or not self.holds:
                await self._read()
                self._unsure = False
            if self._state.may_take(self._clock()):
                await self._write()
            self._fails("")
        except ApiError as error:
            self._unsure = True  # it may have been written all the same
            if error.status != 409:  # else another one was faster: the next look tells who
                self._fails(f"HTTP {error.status}: {error.message}" if error.status else error.message)
        except ValueError as error:  # KubeConfigError is one
            self._unsure = True
            self._fails(str(error))

    async def _read(self) -> None:
        within = self._state.times.answer
        try:
            body = await self._api.get(f"{self._collection}/{self._name}", within=within)
        except ApiError as error:
            if error.status != 404:
                raise
            self._version = ""
            self._state.see(None, self._clock())
            return
        record, self._version = _read(body)
        self._state.see(record, self._clock())

    async def _write(self) -> None:
        asked = self._clock()
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        body = self._document(self._state.next(moment))
        within = self._state.times.answer
        if self._version:
            answer = await self._api.put(f"{self._collection}/{self._name}", body, within=within)
        else:
            answer = await self._api.post(self._collection, body, within=within)
        record, self._version = _read(answer)
        self._state.written(record, asked, self._clock())

    def _document(self, record: LeaseRecord) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if self._version:
            metadata["resourceVersion"] = self._version
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": ceil(record.duration),
            "acquireTime": record.acquired,
            "renewTime": record.renewed,
            "leaseTransitions": record.transitions,
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    async def _give_back(self) -> None:
        """Others need not wait then. Whatever fails now ends by itself when the time is over."""
        seen = self._state.seen
        if not self.holds or seen is None or not self._version:
            return
        self._state.step_down()
        self._notice()
        free = LeaseRecord("", 1.0, seen.transitions, seen.acquired, seen.renewed)
        with contextlib.suppress(ApiError, KubeConfigError, TimeoutError):
            await self._api.put(f"{self._collection}/{self._name}", self._document(free), within=GIVE_BACK_S)

    def _fails(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._log("lease-trouble", level="warning", lease=self._name, reason=trouble)
        self.trouble = trouble

    def _notice(self) -> None:
        if (held := self.holds) != self._held:
            self._held = held
            self._log("lease-taken" if held else "lease-lost", lease=self._name, holder=self.holder or None)
            for hear in self._hear:
                hear()


def _read(body: bytes) -> tuple[LeaseRecord, str]:
    """A Lease and its version. Raises ValueError for what is none."""
    document = answers.read(body)
    spec = answers.mapping(document.get("spec") or {}, "spec")
    record = LeaseRecord(
        holder=_text(spec, "holderIdentity"),
        duration=float(_whole(spec, "leaseDurationSeconds")),
        transitions=_whole(spec, "leaseTransitions"),
        acquired=_text(spec, "acquireTime"),
        renewed=_text(spec, "renewTime"),
    )
    return record, answers.version(document)


def _text(spec: dict[str, Any], key: str) -> str:
    if not isinstance(found := spec.get(key) or "", str):
        raise ValueError(f"spec.{key} is no text")
    return found


def _whole(spec: dict[str, Any], key: str) -> int:
    """A number as the API has them there (``int32``)."""
    if not isinstance(found := spec.get(key) or 0, int) or abs(found) >= 1 << 31:
        raise ValueError(f"spec.{key} is no number")
    return found
