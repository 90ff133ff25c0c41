"""The control process: sources in, answers out. The event loop around the pure parts.

Events of all sources are folded in turns: what came since the last turn is applied, the names it touches are
advanced, and the owner names that changed go to the workers as one delta. A turn ends when its time is over, so that
heartbeats, HTTP and feeds get their share during a first sync; its work is proportional to what changed.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soadns import composition, faults
from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.composition import wishes
from soadns.figures import Figures
from soadns.inbox import Inbox
from soadns.logs import Log
from soadns.model import Binding, Event, Trouble
from soadns.nameserver.feed import Publisher
from soadns.nameserver.table import LOADING, READY, Delta
from soadns.nameserver.zone import ZoneData
from soadns.notices import Notices
from soadns.ownaddresses import own_addresses
from soadns.reports.filterviews import Meshing
from soadns.routemodel import Move
from soadns.routing import Routing
from soadns.settings.config import Config
from soadns.sources import Source

if TYPE_CHECKING:
    pass

TURN_S = 0.01
"""Time of a turn, half of it for events while there are any; what was begun by then is ended."""
PASSES = 5
"""Of the loop between two turns: one HTTP request takes about ten; one that has nothing to do, some microseconds."""
AWAITED = 1_000
"""Changes of which it is noted when a worker answers by them: where none does, they do not pile up."""
EVENTS_AT_ONCE = 250
NAMES_AT_ONCE = 20
"""How much is done between two looks at the clock."""
IDLE_S = 3600.0
CATCH_UP_S = 10.0
"""How long workers keep what a killed control process taught them while sources can not be read."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What the control process before this one had reached; nothing where there was none."""

    serials: Mapping[str, int] = field(default_factory=dict)
    """By zone."""
    complete: frozenset[str] = frozenset()
    """Zones that had been complete: workers may answer from its table about them."""
    ready: bool = False
    moves: Mapping[str, list[Move]] = field(default_factory=dict)
    """By zone: what sidecars must be told besides what holds now."""
    untold: Mapping[str, list[tuple[Move, float]]] = field(default_factory=dict)
    """By zone: what was forgotten, and when, of which it had not told other replicas."""
    shared: bool = False
    """Whether it had read what other replicas saw move."""


class Control:
    """Sources, estate and publisher of one process.

    ``sources`` are run as tasks; ``emit`` is what they call.
    """

    def __init__(
        self,
        config: Config,
        estate: Estate,
        publisher: Publisher,
        sources: Sequence[Source],
        *,
        figures: Figures,
        log: Log,
        clock: Clock,
    ) -> None:
        self.config = config
        self.estate = estate
        # Generations are counted anew by every process, so each needs a name of its own.
        self.routing = Routing(
            estate, config.sidecar.missing, f"{socket.gethostname()}-{time.time_ns() // 1_000_000:x}"
        )
        self.meshing = Meshing(wishes(config))
        self.mesh = composition.mesh(config, self, log=log, now=clock)
        """What is written to the cluster; None where nothing is."""
        self.publisher = publisher
        self.sources = list(sources)
        self.figures = figures
        self.changed = asyncio.Event()
        """Set when something worth a snapshot happened."""
        self.leaving = False
        """Whether this is the end, and not the beginning of a successor."""
        self.zones: dict[str, ZoneData] = {}
        self._log = log
        self._notices = Notices(estate.observations, self.figures, log)
        self.clock = clock
        self._inbox = Inbox(EVENTS_AT_ONCE)
        self._arrived: float | None = None
        """When the oldest event of the inbox came."""
        self._awaited: deque[tuple[int, float]] = deque(maxlen=AWAITED)
        """(generation, when its oldest event came) of deltas no worker has applied yet."""
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._announced: set[str] = set()
        """Zones that were complete, and published as such."""
        self._before = Predecessor()
        self._begun = 0.0
        self._fault: Exception | None = None
        self._faulty = asyncio.Event()
        publisher.on_applied = self._applied

    # ------------------------------------------------------------------ life

    def begin(self, before: Predecessor) -> None:
        """Publish what is known already (the apexes, and names from the snapshot)."""
        self._before, self._begun = before, self.clock()
        if self.publisher.unsaved:
            asyncio.get_running_loop().call_later(CATCH_UP_S + 0.1, self.schedule)
        negative_ttl = {zone.origin: zone.negative_ttl for zone in self.config.zones}
        delta = Delta()
        for number, (name, zone) in enumerate(self.estate.zones.items()):
            data = ZoneData(name, number=number, negative_ttl=negative_ttl[name], nested=zone.settings.nested)
            self.zones[name] = data
            data.serial = max(before.serials.get(name, 0), int(self.clock()))
            delta.merge(data.start(own_addresses(self.config)))
        self.routing.begin(before.moves)
        if self.mesh is not None:
            self.mesh.begin(before.untold, known=before.shared)
        # Workers read no question before they have a table, and with this one they could answer none: a caller is
        # better off with another server, which CoreDNS tries after silence, but not after SERVFAIL.
        self.publisher.publish(delta, more=True)
        self._turn()

    async def run(self) -> None:
        """Run every source until cancelled; a source that fails by a fault of ours is started again.

        A turn that fails by one ends this: half of it may be done, and only a successor knows where it is.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_by_fault())
            for source in self.sources:
                group.create_task(self._run_source(source))
            if self.mesh is not None:
                group.create_task(self.mesh.run(self.figures.faults))

    async def _run_source(self, source: Source) -> None:
        while True:
            try:
                await source.run(self.emit)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # One source's fault must not take the others, or the answers, along.
                ids = ",".join(source.ids)
                self.figures.source_failures[ids] += 1
                self._log("source-failed", level="error", source=ids, error=faults.said(error))
                self.emit(
                    [Trouble(i, f"internal error: {type(error).__name__}: {error}") for i in source.ids]
                )
            await asyncio.sleep(faults.AGAIN_S)

    # ------------------------------------------------------------------ turns

    def emit(self, events: Sequence[Event]) -> None:
        """Take events of a source; they are applied in the next turn."""
        if not events:
            return
        if self._arrived is None:
            self._arrived = self.clock()
        self._inbox.put(events)
        self.schedule()

    def schedule(self, *, passes: int = 0) -> None:
        """Have a turn, after so many passes of the loop for others."""
        if not self._turn_due:
            self._turn_due = True
            self._come(passes)

    def _come(self, passes: int) -> None:
        """To the next turn, after so many passes of the loop for others."""
        loop = asyncio.get_running_loop()
        if passes:
            loop.call_soon(self._come, passes - 1)
        else:
            loop.call_soon(self._try_turn)

    def _try_turn(self) -> None:
        try:
            self._turn()
        except Exception as error:
            self._log("turn-failed", level="error", error=faults.said(error))
            self._fault = error
            self._faulty.set()

    async def _end_by_fault(self) -> None:
        await self._faulty.wait()
        assert self._fault is not None
        raise self._fault

    def _turn(self) -> None:
        self._turn_due = False
        now = self.clock()
        self._take_in(now)
        # What came as one batch holds in one instant: no name is decided by half of it.
        while not self._inbox.amid:
            if transitions := self.estate.work(now, limit=NAMES_AT_ONCE):
                self._notices.transitions(transitions, self._announced)
                self.changed.set()
            if not self.estate.pending or self.clock() - now >= TURN_S:
                break
        self._publish(now)
        if self._inbox or self.estate.pending:
            # What comes in bulk lives long: the collector need not walk it again and again.
            gc.freeze()
            self.schedule(passes=PASSES)
        else:
            self._arrived = None
            self._announce()
            if self.routing.pending:
                self.schedule(passes=PASSES)
            else:
                self._set_timer(now)

    def _take_in(self, now: float) -> None:
        """Fold what has come, while there is time for it."""
        while self._inbox and (self._inbox.amid or not self.estate.unjudged):
            events = self._inbox.take()
            self._notices.events(events)
            out_of_sync = self._out_of_sync()
            self.estate.fold(events, now)
            for source in sorted(out_of_sync - self._out_of_sync()):
                count = len(self.estate.observations.source(source).values)
                self._log("source-synced", source=source, observations=count)
            self.changed.set()
            if self.clock() - now >= TURN_S / 2:
                break

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.estate.next_clock()
        if at is not None:
            delay = min(max(0.0, at - now), IDLE_S)
            self._timer = asyncio.get_running_loop().call_later(delay, self.schedule)

    def _out_of_sync(self) -> set[str]:
        return {name for name, state in self.estate.observations.sources.items() if not state.in_sync}

    # ------------------------------------------------------------------ publishing

    def _publish(self, now: float) -> None:
        delta = Delta()
        for name, zone in self.estate.zones.items():
            if self.zones[name].state == READY and zone.awaited:
                # It turned out that a source was not read yet: the snapshot was another one's.
                delta.merge(self.zones[name].set_state(LOADING))
            records = zone.take_published()
            if records:
                data = self.zones[name]
                # Never ahead of the clock: a successor that knows nothing of this process begins behind it.
                delta.merge(data.apply(records, serial=max(data.serial, int(now))))
        more = bool(self._inbox) or self.estate.pending
        if delta:
            generation = self.publisher.publish(delta, more=more)
            if self._arrived is not None and self.publisher.complete:
                self._awaited.append((generation, self._arrived))
        if not more or now - self._begun > CATCH_UP_S:
            self.publisher.offer()
        self.routing.follow(now)  # after DNS, which nobody is to wait for

    def _announce(self) -> None:
        """Say of zones what can be said now that nothing waits to be worked on.

        One that lacks a source which was added since it was complete goes on, but denies nothing. Nor does one of
        which others may know more by now: secondaries, etcd and sidecars get it in no older state.
        """
        catching_up = self._catching_up()
        for name, zone in self.estate.zones.items():
            awaited = zone.awaited
            if zone.complete and not (awaited or catching_up) and self.zones[name].state != READY:
                self.publisher.publish(self.zones[name].set_state(READY))
            if zone.complete and not catching_up:
                self.routing.announce(name, self.clock())
            if zone.complete and name not in self._announced:
                self._announced.add(name)
                bound = sum(isinstance(outcome, Binding) for outcome in zone.outcomes.values())
                self._log(
                    "zone-ready", level="warning" if awaited else "info", zone=name,
                    names=len(zone.outcomes), answered=bound, without=", ".join(awaited) or None,
                )  # fmt: skip
        # A zone that is new does not keep the others on the predecessor's table.
        wanted = (self._before.complete if self._before.ready else frozenset()) & self.zones.keys()
        known = self._announced >= (wanted or self.zones.keys())
        if known and not self.publisher.complete and not catching_up:
            self.publisher.set_complete()
            self.changed.set()  # whoever reads the snapshot is to know that it is whole
            gc.freeze()  # what the first sync brought lives long

    def _catching_up(self) -> bool:
        """Whether workers may know more than this process, whose predecessor was killed before it saved all.

        They keep what they have until every source was read anew, or for as long as one may be waited for. So do
        secondaries, etcd and sidecars.
        """
        if not self.publisher.unsaved or self.clock() - self._begun > CATCH_UP_S:
            return False
        states = self.estate.observations.sources
        ids = [source for each in self.sources for source in each.ids]
        return not all(source in states and states[source].in_sync for source in ids)

    def _applied(self, generation: int) -> None:
        now = self.clock()
        while self._awaited and self._awaited[0][0] <= generation:
            _, arrived = self._awaited.popleft()
            self.figures.latencies.note(max(0.0, now - arrived))

    # ------------------------------------------------------------------ how it stands

    @property
    def ready(self) -> bool:
        """Whether every zone has been complete once; one that a reload has added is not waited for.

        So it is as long as workers answer from the table of a predecessor that was ready.
        """
        return self.publisher.complete or (self._before.ready and self.publisher.inherited)

    @property
    def serials(self) -> dict[str, int]:
        """Serial by zone."""
        return {name: data.serial for name, data in self.zones.items()}

    def now(self) -> float:
        """Unix seconds, by this process's clock."""
        return self.clock()
