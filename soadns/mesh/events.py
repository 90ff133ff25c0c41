"""Kubernetes Events in the API server, written by the holder of the Lease alone; ``eventbook`` says which.

They are for people who look at a Service (``kubectl describe``, ``kubectl events``), and nothing stands on them: what
can not be written is tried again for as long as it is fresh, and what happens while nobody has the Lease is not told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.logs import Log
from soadns.mesh.eventbook import Entry, EventBook, Happening
from soadns.mesh.lease import Lease

EVENTS = Resource("Event", "events", group="events.k8s.io")
MANAGER = "soadns"
AGAIN_S = (1.0, 60.0)
"""Until what could not be written is tried again: at first, and at the latest."""
STALE_S = 600.0
"""What could not be written for so long is given up."""


class Events:
    """The Events of one process.

    :param instance: which process that is, for people.
    :param now: Unix seconds.
    """

    def __init__(
        self, api: KubeApi, lease: Lease, instance: str, *, log: Log, now: Callable[[], float]
    ) -> None:
        self._api = api
        self._lease = lease
        self._instance = instance
        self._log = log
        self._now = now
        self._book = EventBook()
        self._stirred = asyncio.Event()
        self.written = 0
        """Events that were written, or written again."""
        self.trouble = ""
        """Why they can not be written; ``''``: they can."""

    @property
    def omitted(self) -> int:
        """Events that were not written: there was no room, or no permission."""
        return self._book.omitted

    def tell(self, happening: Happening) -> None:
        """It happened."""
        if self._lease.holds:
            self._book.tell(happening, self._now())
            self._stirred.set()

    def last(self, happenings: Iterable[Happening], *, by: str = "") -> None:
        """These are so now, and no others (of those that last, and that the same one tells)."""
        if self._lease.holds:
            self._book.last(happenings, self._now(), by=by)
            self._stirred.set()

    async def run(self) -> None:
        """Write them until cancelled."""
        delay = 0.0
        while True:
            if delay:
                await asyncio.sleep(delay)
            else:
                await self._stirred.wait()
            self._stirred.clear()
            left = await self._write()
            delay = min(max(AGAIN_S[0], 2 * delay), AGAIN_S[1]) if left else 0.0

    async def _write(self) -> bool:
        """Write what is due; returns whether something is left of it."""
        due, number = self._book.take(), 0
        try:
            for number, entry in enumerate(due):
                if not self._lease.holds:
                    return False
                if not await self._apply(entry):
                    return self._book.give_back(due[number:], self._now() - STALE_S)
        except Exception:  # a fault of ours in that one: the others are told when this is run again
            if self._book.give_back(due[number + 1 :], self._now() - STALE_S):
                self._stirred.set()
            raise
        return False

    async def _apply(self, entry: Entry) -> bool:
        """Write one; whether that can be said to be done."""
        path = f"{EVENTS.path(entry.happening.regarding.namespace)}/{entry.name}"
        try:
            await self._api.apply(path, entry.document(self._instance), manager=MANAGER)
        except (ApiError, KubeConfigError) as error:
            status = error.status if isinstance(error, ApiError) else 0
            self._fails(f"events: HTTP {status}: {error}" if status else f"events: {error}")
            if status in (
                400,
                404,
                409,
                413,
                422,
            ):  # its namespace is going, or it is no Event: the next may be
                self._book.omitted += 1
                return True
            return False
        self._fails("")
        self.written += 1
        return True

    def _fails(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._log("events-trouble", level="warning", reason=trouble)
        self.trouble = trouble
