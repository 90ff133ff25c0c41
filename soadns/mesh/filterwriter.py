"""EnvoyFilters in the API server, kept as the routes want them: the publisher for Istio's sidecars.

``renderings`` has what is wanted, ``filterbook`` what is to be done, ``filterguard`` and ``Pace`` say when. Nothing is
written before routes are told, everything of Istio's and ours was read, and this replica has the Lease; and each object
only after it was held against what is known to be right (``filterchecks``) and against the API server itself (a dry
run). Every write names the version that it replaces, or the UID of what it deletes.

A round looks at the Services of which something changed since the last one, and at what waits; where nothing did, and
nothing does, it costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from soadns.knownclusters import KnownClusters
from soadns.kubeapi import KubeApi
from soadns.logs import Log
from soadns.mesh.filterbook import FilterBook
from soadns.mesh.filterguard import FilterGuard
from soadns.mesh.filterplan import Name, Pace, Step, turn
from soadns.mesh.filtersending import AGAIN_S, FilterSending
from soadns.mesh.filtersettings import SOURCE, FilterSettings
from soadns.mesh.haltnotes import HaltNotes
from soadns.mesh.istiod import Istiod
from soadns.mesh.istioreader import IstioReader
from soadns.mesh.lease import Lease
from soadns.mesh.renderings import Renderings, Told
from soadns.mesh.routefiles import RouteFiles
from soadns.mesh.trials import BLAME_S, Trials
from soadns.reports.filterviews import Meshing, known_clusters

TOGETHER_S = 1.0
"""From a write to the next round: what comes meanwhile is written together (istiod waits a tenth of that for more)."""
GATHER_S = 0.005
"""How long the first round after a quiet time waits for more of what stirred it."""
CAUGHT_UP_S = 2.0
"""How long who asks what is to be done waits for a look at it."""
IDLE_S = 60.0
"""The longest time without a round."""
TRIED = "it is tried there first"
HALTED = f"sidecars refused something (soadns release {SOURCE})"


class FilterWriter:
    """The filters of one process.

    :param now: Unix seconds.
    """

    def __init__(
        self,
        api: KubeApi,
        told: Told,
        lease: Lease,
        settings: FilterSettings,
        *,
        log: Log,
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._told = told
        self._lease = lease
        self._settings = settings
        self._log = log
        self._now = now
        wishes = told.meshing.wishes
        namespaces = {settings.root_namespace, settings.try_first, *wishes.namespaces} - {""}
        self.istiod = Istiod(settings.metrics, now=now, hear=self._stir)
        self.reader = IstioReader(api, namespaces, hear=self._hear)
        self.guard = FilterGuard(settings.share, settings.minimum)
        self.files = RouteFiles(
            api, wishes, settings.file_delay, self._clusters, log=log, now=now, hear=self._stir
        )
        self.renderings = Renderings(
            told, settings.zone, settings.root_namespace, settings.domain, self.reader, stir=self._stir
        )
        self._trials = Trials(settings.try_first, settings.root_namespace, settings.try_for)
        self.book = FilterBook(
            self.reader.ours, self.renderings, self.files, self._trials, self._clusters, log=log
        )
        self._halts = HaltNotes(api, self.reader.ours, self._trials, log=log, now=now)
        self.waiting: dict[Name, tuple[float, str]] = {}
        """Objects that wait: until when, at least, and for what."""
        self.written = 0
        """Objects that were written or removed."""
        self.looked: set[str] = set()
        """UIDs of the Services that were looked at in the last round."""
        self._pace = Pace()
        self._sending = FilterSending(api, self.book, log=log, now=now)
        self.held: list[Step] = []
        """What an operator has to release."""
        self._interrupted = False
        self._taken: float | None = None
        """When this replica took the Lease, in Unix seconds, until that is taken in: nothing is written before."""
        self._decided_at = 0.0
        """As of when it was decided last what may be done, in Unix seconds."""
        self._first_of_all: list[Callable[[], None]] = []
        self._hear_round: list[Callable[[], None]] = []
        self._stirred = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._wrote = -TOGETHER_S
        """When an object was written last, by the monotonic clock."""
        lease.on_change(self._lease_changed)

    @property
    def meshing(self) -> Meshing:
        """What the filters stand on, beside the routes."""
        return self._told.meshing

    @property
    def zone(self) -> str:
        """Whose routes are written."""
        return self._settings.zone

    @property
    def home(self) -> str:
        """The cluster to which they are."""
        return self._told.estate.zones[self._settings.zone].settings.clusters.home

    @property
    def mode(self) -> str:
        """Whether it is written, or read alone."""
        return "write" if self._settings.write else "read"

    @property
    def halted(self) -> str:
        """Since when nothing is written, because sidecars refused something; ``''``: that is not so."""
        return self._trials.halt

    @property
    def trouble(self) -> str:
        """What can not be read or written now; ``''``: all can."""
        return "; ".join(filter(None, (self.reader.trouble, self.files.trouble)))

    def _clusters(self) -> KnownClusters:
        zone = self._settings.zone
        return known_clusters(self._told.estate.zones[zone], self._told.meshing)

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Keep the filters until cancelled.

        Whatever ended it before, all is looked at again then, before anything is done.
        """
        self.renderings.begin_anew(self.book.begin_anew())
        if self._lease.holds or self._lease.lapsed:  # what it was about to write then may be written
            self._taken = self._now()
        self._stir()
        number = self._told.routing.listen(lambda _: self._stir())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.reader.run())
                group.create_task(self.istiod.run())
                group.create_task(self.files.run())
                group.create_task(self._keep())
        finally:
            self._told.routing.leave(number)

    def _stir(self) -> None:
        self._stirred.set()
        self._caught_up.clear()

    async def caught_up(self) -> None:
        """Wait until what has changed was looked at, so that what is to be done is decided; a moment at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CAUGHT_UP_S):
                await self._caught_up.wait()

    def _hear(self, routed: bool) -> None:
        self.renderings.outdated |= routed
        self._stir()

    def _lease_changed(self) -> None:
        if self._lease.holds:
            self._taken = self._now()
        else:
            self._sending.forget()
        self._stir()

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._stirred.wait()
            await asyncio.sleep(max(GATHER_S, self._wrote + TOGETHER_S - time.monotonic()))
            self._stirred.clear()
            if not self.waits_for:
                await self._round()
                for hear in self._hear_round:
                    hear()
            if not self._stirred.is_set():
                self._caught_up.set()

    def first_of_all(self, do: Callable[[], None]) -> None:
        """Have a function called once, when everything is known and nothing is written yet."""
        self._first_of_all.append(do)

    def on_round(self, hear: Callable[[], None]) -> None:
        """Have a function called after each look at what is to be done."""
        self._hear_round.append(hear)

    def _pause(self) -> float:
        """Seconds until something is to be looked at, though nothing happens."""
        if self._interrupted:
            return TOGETHER_S
        if self.waits_for:
            return IDLE_S
        if self.files.unshared:
            return 0.0
        now = self._now()
        moments = [at for at, _ in self.waiting.values()]
        moments += [*self._trials.until.values(), self.files.next_look]
        moments += [self._sending.next_look, self._halts.next_look]
        # What was due when it was decided waits for something else than time; what came due since is news.
        waits = [IDLE_S, *(at - now for at in moments if at > self._decided_at)]
        if (later := self.renderings.waits) is not None:
            waits.append(later)
        return max(0.0, min(waits))

    @property
    def waits_for(self) -> str:
        """Why nothing is decided now; ``''``: it is."""
        if reason := self._told.routing.unready(self._settings.zone):
            return reason
        if not self.reader.synced:
            return self.reader.trouble or "Istio's objects are being read"
        if not self.reader.installed:
            return "the cluster does not have Istio's kinds (networking.istio.io)"
        return "" if self.files.synced else self.files.trouble or "files of rules are being read"

    # ------------------------------------------------------------------ a round

    async def _round(self) -> None:
        """Look at what changed, and do what may be done now."""
        while self._first_of_all:
            self._first_of_all[0]()
            del self._first_of_all[0]  # not before: a fault in it is no reason to go on without
        changed = await self.renderings.follow() | self._take_over()
        self._decided_at = now = self._now()
        rejects = self.istiod.rejects
        # One whose Lease has only lapsed has not been told anything by another one.
        leads = self._settings.write and (self._lease.holds or self._lease.lapsed)
        self._trials.read(self.reader.ours.notes.values(), now, leads=leads)
        if not self._trials.halted(rejects) and self._trials.until:
            changed |= {each.uid for name in self._trials.due(now) if (each := self.book.wanted.get(name))}
        for uid in changed:
            self.book.look(uid, rejects, now)
        for uid in self.files.share_out(now):
            self.book.look(uid, rejects, now)
        if self._told.meshing.left_out != (left_out := self.files.left_out):
            self._told.meshing = replace(self._told.meshing, left_out=left_out)
        self.looked = changed
        self._sending.settle(self.reader.ours.of, now)
        await self._write(now)

    async def _write(self, now: float) -> None:
        tried = HALTED if self._trials.halted(self.istiod.rejects) else TRIED
        self.waiting = {name: (at, tried) for name, at in self._trials.until.items()}
        if not self._settings.write:
            return
        filed = self.files.steps() if self.files.due(now) else []
        allowed = self._guarded([*self.book.steps.values(), *filed], now)
        if self._stops():
            return
        await self._halts.keep(self._leads)
        if filed or self.files.due(now):
            names = {step.name for step in filed}
            for step in await self.files.write((s for s in allowed if s.name in names), self._leads):
                self.guard.note(step, now)
        for step in sorted((step for step in allowed if step.name in self.book.steps), key=turn):
            if self._stops():  # each step takes a while
                return
            held = self.reader.ours.of.get(step.name)
            if self._may(step, now) and await self._sending.do(step, held, self._leads):
                self._note(step)

    def _guarded(self, pending: Iterable[Step], now: float) -> list[Step]:
        """What of it is not held."""
        before, total = self.guard.alarm.held, len(self.reader.ours.of) + self.files.total
        pending = list(pending)
        allowed = self.guard.sort_out(pending, total, now)
        alarm = self.guard.alarm
        self.held = [step for step in pending if self.guard.holds(step)] if alarm.held else []
        if alarm.held and not before:
            self._log(
                "filters-held", level="error", held=alarm.held, of=alarm.total,
                hint=f"soadns release {SOURCE}",
            )  # fmt: skip
        return allowed

    def _stops(self) -> bool:
        """Whether it must not go on; it does soon where the Lease has only lapsed, of which nobody is told."""
        self._interrupted = not self._leads() and self._settings.write and self._lease.lapsed
        return not self._leads()

    def _leads(self) -> bool:
        """Whether this replica may write now."""
        return self._settings.write and self._lease.holds and self._taken is None

    def _take_over(self) -> set[str]:
        """Whoever had the Lease before may have written until it was taken here; returns UIDs to look at again."""
        if self._taken is None:
            return set()
        uids = {each.uid for each in self.reader.ours.of.values()}
        self._pace.begin(uids, self._taken)
        self._trials.take_over(self._taken)
        self._taken = None
        return uids if self._trials.namespace else set()

    def _may(self, step: Step, now: float) -> bool:
        """Whether a step may be done in this round; else it waits."""
        if not self._sending.may(step, now):
            return False
        if wait := self._pace.wait(step, now):
            self.waiting[step.name] = (now + wait, "its rules changed within the last minute")
            return False
        if step.document is not None:
            if not step.urgent and self._trials.halted(self.istiod.rejects):
                self.waiting[step.name] = (now + AGAIN_S, HALTED)
                return False
            rendered = self.renderings.of(step.uid)
            standing = self.reader.ours.of
            if rendered is not None and (until := self.files.ready_at(step.name, rendered, standing)) > now:
                self.waiting[step.name] = (min(until, now + IDLE_S), "its files of rules are being mounted")
                return False
        return True

    def _note(self, step: Step) -> None:
        """It was done."""
        now = self._now()
        self._pace.note(step, now)
        self.guard.note(step, now)
        self._trials.note(step, now)
        self.istiod.hurry(BLAME_S)
        self.written += 1
        self._wrote = time.monotonic()

    def release(self) -> int:
        """Let what is held happen; returns how many objects that concerns."""
        count = self.guard.release()
        self._trials.forgive(self._now(), self.reader.ours.notes.values())
        self._stir()
        return count
