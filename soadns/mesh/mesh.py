"""Everything that one replica writes to its cluster, or reads for that, as one part of the control process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soadns import faults
from soadns.kubeapi import KubeApi
from soadns.logs import Log
from soadns.mesh import adoption, filterchanges, filterstatus
from soadns.mesh.annotationnews import AnnotationNews
from soadns.mesh.events import Events
from soadns.mesh.filternews import FilterNews
from soadns.mesh.filtersettings import SOURCE, FilterSettings
from soadns.mesh.filterwriter import FilterWriter
from soadns.mesh.lease import NAME, Lease
from soadns.mesh.leasestate import LeaseTimes
from soadns.mesh.renderings import Told
from soadns.mesh.sharedmoves import SharedMoves
from soadns.model import ObjectRef
from soadns.routemodel import Move


@dataclass(frozen=True, slots=True)
class Sharing:
    """Where replicas share, and after how many seconds a Lease is over."""

    namespace: str
    lease: float
    events: bool = False
    """Whether what happens is told as Events."""
    cluster: str = "home"
    """The name of the cluster to which that is written: Services of others are not in it."""


class Mesh:
    """One Lease, and what is written under it.

    :param sharing: None: nothing is shared, nor written.
    :param filters: None: nothing of Istio's is read, nor written.
    :param now: Unix seconds.
    """

    def __init__(
        self,
        api: KubeApi,
        told: Told,
        sharing: Sharing | None,
        filters: FilterSettings | None,
        *,
        log: Log,
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._log = log
        self._now = now
        self._namespace = sharing.namespace if sharing is not None else ""
        self._routing = told.routing
        times = LeaseTimes(sharing.lease if sharing is not None else 1.0)
        self.lease = Lease(api, self._namespace, NAME, told.routing.replica, times, log=log)
        """Without sharing nobody takes it."""
        self.moves = (
            SharedMoves(api, self._namespace, told.routing, self.lease, log=log, now=now)
            if sharing is not None
            else None
        )
        self.filters = (
            FilterWriter(api, told, self.lease, filters, log=log, now=now) if filters is not None else None
        )
        if self.filters is not None and self.moves is not None:
            writer, shared = self.filters, self.moves
            writer.first_of_all(lambda: self._adopt(writer, shared))
        told_as_events = sharing is not None and sharing.events
        self.events = (
            Events(api, self.lease, told.routing.replica, log=log, now=now) if told_as_events else None
        )
        self._annotations: AnnotationNews | None = None
        if self.events is not None and sharing is not None:
            self._annotations = AnnotationNews(told.estate, sharing.cluster, self.events)
        if self.events is not None and self.filters is not None:
            FilterNews(self.filters, self.events)

    async def run(self, counts: Counter[str]) -> None:
        """Run until cancelled. Each part gets over its own faults alone; ``counts`` has how many."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        if self.moves is not None:
            parts += [("lease", self.lease.run), ("moves", self.moves.run)]
        if self.filters is not None:
            parts.append(("filters", self.filters.run))
        if self.events is not None:
            parts.append(("events", self.events.run))
        if self._annotations is not None:
            parts.append(("events", self._annotations.run))
        try:
            async with asyncio.TaskGroup() as group:
                for part, run in parts:
                    group.create_task(faults.anew(part, run, counts, self._log))
        finally:
            await self._api.close()

    # ------------------------------------------------------------------ moves

    def _adopt(self, writer: FilterWriter, shared: SharedMoves) -> None:
        """Take over what the filters that stand say of moves, where every other trace of them is lost."""
        routing, zone, now = self._routing, writer.zone, self._now()
        table, files = routing.tables[zone], writer.files
        found = adoption.moves(zone, writer.home, table, writer.reader.ours.of, files.held, shared.lost, now)
        routing.adopt(zone, found, now)
        for move in found:
            self._log("move-adopted", zone=zone, service=move.service, interface=move.interface)

    def begin(self, untold: Mapping[str, Iterable[tuple[Move, float]]], *, known: bool) -> None:
        """Before anything else: what the process before this one knew (``SharedMoves.begin``)."""
        if self.moves is not None:
            self.moves.begin(untold, known=known)

    def forget(self, zone: str, moves: Iterable[Move]) -> None:
        """An operator says that no callers are left of these."""
        if self.moves is not None:
            self.moves.forget(zone, moves)

    async def settle(self, within: float) -> str:
        """Wait until the others can know what was forgotten here; why they can not yet, or ``''``."""
        return await self.moves.settle(within) if self.moves is not None else ""

    @property
    def untold(self) -> dict[str, list[tuple[Move, float]]]:
        """By zone: what was forgotten here, and when, and is not shared yet."""
        return self.moves.untold if self.moves is not None else {}

    @property
    def shared(self) -> bool:
        """Whether what other replicas saw move is known here."""
        return self.moves is not None and self._routing.knows_moves

    # ------------------------------------------------------------------ filters

    def release(self, source: str) -> int | None:
        """Let the filters that are held be written; how many those are, or None for another source."""
        return self.filters.release() if self.filters is not None and source == SOURCE else None

    def standing(self) -> list[dict[str, Any]] | None:
        """Our EnvoyFilters as they stand; None where they are not read, or not yet."""
        writer = self.filters
        if writer is None or writer.waits_for:
            return None
        return [each.document for _, each in sorted(writer.reader.ours.of.items())]

    async def filter_changes(self, zone: str, of: ObjectRef | None) -> list[dict[str, Any]] | None:
        """What is to be written (``filterchanges``); None where nobody keeps the filters of the zone."""
        writer = await self._writer(zone)
        return filterchanges.changes(writer, of) if writer is not None else None

    async def route_files(self, zone: str) -> dict[str, Any] | None:
        """The ConfigMaps with files of rules, as they should be; None likewise."""
        writer = await self._writer(zone)
        return filterchanges.files(writer) if writer is not None else None

    async def _writer(self, zone: str) -> FilterWriter | None:
        """Who keeps the filters of a zone, once all of that is known and looked at."""
        writer = self.filters
        if writer is None or writer.zone != zone or writer.waits_for:
            return None
        await writer.caught_up()
        return None if writer.waits_for else writer

    # ------------------------------------------------------------------ what people see

    def status(self, service: str) -> dict[str, Any]:
        """What ``GET /v1/mesh`` shows; ``service`` (``namespace/name``): with that one alone."""
        return {
            "share": self._share(self.moves) if self.moves is not None else None,
            "istio": filterstatus.status(self.filters, service) if self.filters is not None else None,
        }

    def _share(self, moves: SharedMoves) -> dict[str, Any]:
        return {
            "namespace": self._namespace,
            "replica": self._routing.replica,
            "lease": {
                "name": NAME,
                "held": self.lease.holds,
                "holder": self.lease.holder or None,
                "trouble": self.lease.trouble or None,
            },
            "moves": {
                "synced": moves.synced,
                "shared": sum(not entry.forgotten for entry in moves.facts.values()),
                "forgotten": sum(bool(entry.forgotten) for entry in moves.facts.values()),
                "untold": sum(map(len, moves.untold.values())),
                "omitted": sum(moves.omitted.values()),
                "trouble": moves.trouble or None,
            },
            "events": self._told_events(),
        }

    def _told_events(self) -> dict[str, Any] | None:
        events = self.events
        if events is None:
            return None
        return {"written": events.written, "omitted": events.omitted, "trouble": events.trouble or None}

    def figures(self) -> dict[str, Any]:
        """What metrics show: ``status`` without what would take a look at every Service."""
        return {
            "share": self._share(self.moves) if self.moves is not None else None,
            "istio": filterstatus.figures(self.filters) if self.filters is not None else None,
        }
