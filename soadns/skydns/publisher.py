"""Zones kept in etcd as they are answered, by one replica: what CoreDNS's plugin ``etcd`` answers from.

Whoever begins to lead compares each zone with what etcd has, as it does again now and then; from then on only names
that change are looked at. Either way the same is done for a name: read what etcd has of it, and replace in one
transaction what differs (``store``). So nothing is known of etcd that could be outdated, and after whatever fails a
name is simply looked at again.

Nothing is written of a zone that is not complete, and nothing deleted of names of which nothing may be said.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol

from soadns import faults
from soadns.figures import CredentialFigures, SkydnsFigures
from soadns.logs import Log
from soadns.nameserver.zone import ZoneData
from soadns.skydns.book import Book
from soadns.skydns.etcd import Etcd, EtcdError
from soadns.skydns.leadership import Leadership
from soadns.skydns.leftovers import Leftovers
from soadns.skydns.plan import Step, batches, steps
from soadns.skydns.records import Layout
from soadns.skydns.settings import SOURCE, SkydnsSettings
from soadns.skydns.store import MOST_STEPS, NotLeadingError, Store
from soadns.skydns.survey import PAGE, SLICE, Survey

GATHER_S = 0.05
"""How long the first write after a quiet time waits for more of what stirred it."""
LOOK_S = 1.0
"""The longest time without a look at whether a zone is complete, or is to be compared again."""
AGAIN_S = (0.2, 10.0)
"""After how long what failed is tried again: at first, and at most."""
NAMES_AT_ONCE = 60
"""Whose keys are read together."""


class Zones(Protocol):
    """What is published: the zones of the control process, by name."""

    @property
    def zones(self) -> Mapping[str, ZoneData]: ...  # noqa: D102

    def now(self) -> float: ...  # noqa: D102


class SkydnsPublisher:
    """The publisher of one process."""

    def __init__(
        self,
        running: Zones,
        settings: SkydnsSettings,
        figures: SkydnsFigures,
        renewals: CredentialFigures,
        *,
        log: Log,
    ) -> None:
        self._running = running
        self._settings = settings
        self._figures = figures
        self._log = log
        self._etcd = Etcd(settings.etcd, renewals, log=log)
        self._layout = Layout(settings.prefix, settings.owner)
        self._stirred = asyncio.Event()
        self._books: dict[str, Book] = {}
        self._compared: dict[str, float] = {}
        """By zone: when it was compared last."""
        for name, zone in running.zones.items():
            if name in settings.zones and not settings.clear:
                self._books[name] = Book(zone, self._stir)
                zone.witnesses.append(self._books[name])
        identity = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns() // 1_000_000:x}"
        self._leadership = Leadership(
            self._etcd, settings.leader_key, settings.owner, identity, settings.lease, self._led, log=log
        )
        self._store = Store(self._etcd, self._layout, self._leadership)
        self._leftovers = Leftovers(
            self._etcd, self._store, self._layout, settings, running.zones.values(), figures, log=log
        )
        self._cleared = False
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; another replica may write at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._etcd.close()

    async def _run(self) -> None:
        """Until cancelled; what fails by a fault of ours begins anew, for names are answered without it."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._leadership.run())
                    group.create_task(self._work())
            except* Exception as errors:
                self._log("skydns-failed", level="error", error=faults.said(errors))
                self._figures.failures += 1
            await asyncio.sleep(AGAIN_S[1])

    def release(self) -> int:
        """Let what is held be deleted; returns how many names that concerns."""
        count = sum(book.release() for book in self._books.values()) + self._leftovers.release()
        self._stir()
        return count

    @property
    def trouble(self) -> str:
        """What can not be read or written now; ``''``: all can."""
        return self._leadership.trouble or self._trouble

    @property
    def leads(self) -> bool:
        """Whether this replica writes."""
        return self._leadership.holds

    def _stir(self) -> None:
        self._stirred.set()

    def _led(self) -> None:
        """This process has begun or ended to lead."""
        for book in self._books.values():
            book.begin()
        self._leftovers.begin()
        self._cleared = False
        self._compared.clear()
        self._figures.keys.clear()
        self._figures.foreign.clear()
        self._stir()

    async def _work(self) -> None:
        pause = AGAIN_S[0]
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._stirred.wait()
            await asyncio.sleep(GATHER_S)
            self._stirred.clear()
            try:
                if self._leadership.holds:
                    await self._write_all()
                pause, self._trouble = AGAIN_S[0], ""
            except NotLeadingError:
                self._leadership.lose()
            except EtcdError as error:
                self._figures.failures += 1
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._log("skydns-trouble", level="warning", reason=self._trouble)
                await asyncio.sleep(pause)
                pause = min(2 * pause, AGAIN_S[1])
                self._stir()
            self._tell()

    def _tell(self) -> None:
        now, figures = self._running.now(), self._figures
        figures.leads, figures.trouble = self.leads, bool(self.trouble)
        figures.held = {name: len(book.held) for name, book in self._books.items()} | self._leftovers.held
        for name, book in self._books.items():
            figures.left_out[name] = len(book.unfit)
            if not self.leads or not book.pending:
                figures.behind_since.pop(name, None)
            else:
                figures.behind_since.setdefault(name, now)

    async def _write_all(self) -> None:
        if self._settings.clear:
            if not self._cleared:
                gone = await self._leftovers.delete_all()
                self._log("skydns-cleared", keys=gone, owner=self._settings.owner)
                self._cleared = True
            return
        for name, book in self._books.items():
            if not book.ready:
                continue
            if time.monotonic() - self._compared.get(name, 0.0) >= self._settings.resync:
                book.due = True
            self._tell()
            if book.due:
                await self._compare(name, book)
            if not book.due:
                await self._catch_up(name, book)
            self._tell()
        await self._leftovers.tend()

    # ------------------------------------------------------------------ a whole zone

    async def _compare(self, name: str, book: Book) -> None:
        """Find what etcd has not as the zone has it."""
        began = time.monotonic()
        book.due = False  # what changes from now on is noted
        survey = Survey(self._layout, book.zone)
        try:
            await self._survey(name, book, survey)
        except EtcdError as error:
            book.due = True
            if error.compacted:  # it took longer than revisions are kept: once more
                self._stir()
                return
            raise
        except BaseException:
            book.due = True
            raise
        self._compared[name] = time.monotonic()
        vanishing = survey.vanishing
        book.held = set()
        if vanishing.trips(self._settings.share, self._settings.minimum):
            book.held = survey.vanished()
            self._log(
                "skydns-held", level="error", zone=name, names=vanishing.names, of=vanishing.of,
                hint=f"soadns release {SOURCE}",
            )  # fmt: skip
        book.note(*(name for name in survey.wrong if name not in book.held))
        self._figures.keys[name] = survey.keys
        self._note_foreign(name, survey.foreign)
        self._log(
            "skydns-compared", zone=name, keys=survey.keys, foreign=len(survey.foreign) or None,
            seconds=f"{time.monotonic() - began:.3f}",
        )  # fmt: skip

    async def _survey(self, name: str, book: Book, survey: Survey) -> None:
        """Show it all that etcd has, as of one revision, and note what is missing there."""
        start, end = self._layout.below(book.zone.origin_wire)
        revision, more = 0, True
        while more:
            page = await self._etcd.range(start, end, limit=PAGE, revision=revision)
            for at in range(0, len(page.found), SLICE):
                for each in page.found[at : at + SLICE]:
                    survey.see(each.key, each.value)
                await asyncio.sleep(0)
            revision, more = revision or page.revision, page.more
            start = f"{page.found[-1].key}\0" if page.found else start
            if (
                name in self._compared
            ):  # what changes meanwhile need not wait; what that makes wrong here is seen again
                await self._catch_up(name, book)
        missing = survey.missing()
        while names := list(islice(missing, SLICE)):
            book.note(*filter(None, names))
            await asyncio.sleep(0)

    def _note_foreign(self, zone: str, keys: Sequence[str]) -> None:
        if len(keys) != self._figures.foreign.get(zone, 0) and keys:
            self._log(
                "skydns-foreign", level="warning", zone=zone, keys=len(keys), one=keys[0],
                reason="these are not of this owner, are left alone, and make answers wrong",
            )  # fmt: skip
        self._figures.foreign[zone] = len(keys)

    # ------------------------------------------------------------------ some names

    async def _catch_up(self, zone: str, book: Book) -> None:
        """Have in etcd what is wanted of all names that were noted."""
        while book.ready and (names := book.take(NAMES_AT_ONCE)):
            try:
                await self._bring_up(zone, book, names)
            except BaseException:
                book.note(*names)
                raise

    async def _bring_up(self, zone: str, book: Book, names: list[bytes]) -> None:
        wanted = {}
        for name in names:
            found = self._layout.wanted(book.zone, name)
            (book.unfit.add if found.unfit else book.unfit.discard)(name)
            if found.stands or (name in book.held and not found.data):
                continue
            book.held.discard(name)
            wanted[name] = found.values
        held = await self._store.held(list(wanted))
        # What leads to others is there before them, and goes after them.
        order = sorted(wanted, key=lambda name: len(name) if wanted[name] else -len(name))
        units = [steps(wanted[name], held[name], self._layout.is_ours) for name in order]
        for batch in batches(units, MOST_STEPS):
            if await self._store.write(batch):
                self._count(zone, batch)
            else:
                book.note(*names)  # somebody wrote in between

    def _count(self, zone: str, done: list[Step]) -> None:
        deletes = sum(step.value is None for step in done)
        news = sum(step.value is not None and not step.revision for step in done)
        self._figures.writes[zone, "put"] += len(done) - deletes
        self._figures.writes[zone, "delete"] += deletes
        self._figures.keys[zone] = self._figures.keys.get(zone, 0) + news - deletes
