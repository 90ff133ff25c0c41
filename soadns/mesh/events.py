"""Kubernetes Events in the API server, written by the holder of the Lease alone; ``eventbook`` says which.

They are for people who look at a Service (``kubectl describe``, ``kubectl events``), and nothing stands on them: what
can not be written is tried again for as long as it is fresh, and what happens while nobody has the Lease is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
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
GOING = "because it is being terminated"
"""What the API server says of a namespace that is being deleted, as part of its reason to forbid something."""
THERE = (403, 500)
"""What may be so of one namespace, or one Event, alone: a right is missing, or a webhook can not be asked."""
DONE, REFUSED, LATER = "done", "refused", "later"
"""What becomes of an Event: it is written, or given up; refused where it belongs; or nothing can be written now."""


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
        self._refused: dict[Happening, Entry] = {}
        """What was refused, to be tried again."""
        self._untried: dict[Happening, Entry] = {}
        """What belongs to the same namespaces, and was not tried for that."""
        self._again_at = self._pause = 0.0
        """When that is tried again, by the loop's clock, and how long it was waited for that."""
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
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(self._again_at if self._aside else None):
                        await self._stirred.wait()
            self._stirred.clear()
            left = await self._write()
            delay = _longer(delay) if left else 0.0

    @property
    def _aside(self) -> bool:
        """Whether anything is put aside."""
        return bool(self._refused or self._untried)

    async def _write(self) -> bool:
        """Write what is due; returns whether something is left of it, because the API server takes nothing now.

        What is refused in one namespace is put aside, with all else there, and keeps nothing waiting elsewhere.
        """
        self._take_up()
        due, number = self._book.take(), 0
        closed = {each.regarding.namespace for each in (*self._refused, *self._untried)}
        try:
            for number, entry in enumerate(due):
                if not self._lease.holds:
                    self._refused, self._untried = {}, {}
                    return False
                namespace = entry.happening.regarding.namespace
                if namespace in closed:
                    aside = self._refused if entry.happening in self._refused else self._untried
                    aside[entry.happening] = entry
                    continue
                done = await self._apply(entry)
                if done == LATER:
                    return self._book.give_back(due[number:], self._now() - STALE_S)
                if done == REFUSED:
                    self._put_aside(entry)
                    closed.add(namespace)
        except Exception:  # a fault of ours in that one: the others are told when this is run again
            if self._book.give_back(due[number + 1 :], self._now() - STALE_S):
                self._stirred.set()
            raise
        return False

    def _take_up(self) -> None:
        """Have what was put aside tried again, when it is time: what was refused last, for it may be that one alone."""
        now = asyncio.get_running_loop().time()
        if self._aside and now >= self._again_at:
            aside = [*self._untried.values(), *self._refused.values()]
            self._refused, self._untried = {}, {}
            self._book.give_back(aside, self._now() - STALE_S)
        elif not self._aside:
            self._pause = 0.0

    def _put_aside(self, entry: Entry) -> None:
        if not self._aside:
            self._pause = _longer(self._pause)
            self._again_at = asyncio.get_running_loop().time() + self._pause
        self._refused[entry.happening] = entry

    async def _apply(self, entry: Entry) -> str:
        """Write one; what became of it."""
        path = f"{EVENTS.path(entry.happening.regarding.namespace)}/{entry.name}"
        try:
            await self._api.apply(path, entry.document(self._instance), manager=MANAGER)
        except (ApiError, KubeConfigError) as error:
            status = error.status if isinstance(error, ApiError) else 0
            if status == 404 or (status == 403 and GOING in str(error)):  # nobody will look there
                self._book.omitted += 1
                return DONE
            if status not in THERE or not (self._aside and self.trouble):
                self._fails(f"events: HTTP {status}: {error}" if status else f"events: {error}")
            if status in (400, 409, 413, 422):  # it is no Event: the next may be one
                self._book.omitted += 1
                return DONE
            return REFUSED if status in THERE else LATER
        if not self._aside:
            self._fails("")
        self.written += 1
        return DONE

    def _fails(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._log("events-trouble", level="warning", reason=trouble)
        self.trouble = trouble


def _longer(pause: float) -> float:
    """How long to wait after it was waited so long in vain."""
    return min(max(AGAIN_S[0], 2 * pause), AGAIN_S[1])
