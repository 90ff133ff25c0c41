"""What zones that are written no more have left behind in etcd, found and deleted; and all there is, if that is meant.

Only keys that say that they are of this owner are deleted, and none of a zone at which somebody may have slipped: what
is there for the first time is looked at once more, ``resync`` later, for replicas that are replaced one after another
do not agree for a while on what is written. Of a zone with many names nothing goes before an operator says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial

from soadns.figures import SkydnsFigures
from soadns.logs import Log
from soadns.nameserver.zone import ZoneData
from soadns.skydns.etcd import Etcd, KeyValue
from soadns.skydns.plan import Step, Vanishing, batches
from soadns.skydns.records import WITHOUT_DATA, Layout
from soadns.skydns.remains import Remains, outside
from soadns.skydns.settings import SOURCE, SkydnsSettings
from soadns.skydns.store import MOST_STEPS, Store
from soadns.skydns.survey import PAGE


class Leftovers:
    """Those below one prefix, for who leads."""

    def __init__(
        self,
        etcd: Etcd,
        store: Store,
        layout: Layout,
        settings: SkydnsSettings,
        zones: Iterable[ZoneData],
        figures: SkydnsFigures,
        *,
        log: Log,
    ) -> None:
        self._etcd = etcd
        self._store = store
        self._layout = layout
        self._settings = settings
        self._figures = figures
        self._log = log
        written = {layout.path(zone.origin_wire): zone.origin in settings.zones for zone in zones}
        self._ranges = outside(settings.prefix, {} if settings.clear else written)
        self.held: dict[str, int] = {}
        """By zone: names that wait for an operator."""
        self._seen: set[str] = set()
        """Zones that had left something when it was looked at last."""
        self._released: set[str] = set()
        self._looked: float | None = None

    def begin(self) -> None:
        """This process writes from now on, or no more, and knows nothing of what etcd has."""
        self.held = {}
        self._seen.clear()
        self._released.clear()
        self._looked = None

    def release(self) -> int:
        """Let what is held be deleted; returns how many names that concerns."""
        self._released |= self.held.keys()
        self._looked = None
        return sum(self.held.values())

    async def tend(self) -> None:
        """Look at what there is when it is time, and delete what may go. Raises EtcdError, NotLeadingError."""
        if self._looked is not None and time.monotonic() - self._looked < self._settings.resync:
            return
        remains = Remains(self._layout)
        async for page in self._pages():
            for each in page:
                remains.see(each.key)
        going, held, zones = set(), {}, remains.zones()
        for zone, left in zones.items():
            many = Vanishing(left.names, left.names).trips(self._settings.share, self._settings.minimum)
            if zone in self._released or (zone in self._seen and not many):
                going.add(zone)
            elif many:
                held[zone] = left.names
                self._log(
                    "skydns-held", level="error", zone=zone, names=left.names, of=left.names,
                    reason="it is written no more", hint=f"soadns release {SOURCE}",
                )  # fmt: skip
            elif zone not in self._seen:
                self._log(
                    "skydns-left-behind", zone=zone, keys=left.keys, reason="it is written no more",
                    deleted_in=f"{self._settings.resync:g}s",
                )  # fmt: skip
        self.held, self._seen = held, set(zones)
        for zone in sorted(going):
            keys = await self._delete(partial(remains.is_of, zone))
            self._figures.writes[zone, "delete"] += keys
            self._released.discard(zone)
            self._log("skydns-removed", zone=zone, keys=keys)
        self._looked = time.monotonic()

    async def delete_all(self) -> int:
        """Delete all keys of this owner, whatever zone they are of; returns how many."""
        return await self._delete(lambda _: True)

    # ------------------------------------------------------------------ keys

    async def _pages(self) -> AsyncIterator[list[KeyValue]]:
        """All keys of ours, as they are when they are read."""
        for start, end in self._ranges:
            more = True
            while more:
                page = await self._etcd.range(start, end, limit=PAGE)
                yield [each for each in page.found if self._is_ours(each)]
                more = page.more
                start = f"{page.found[-1].key}\0" if page.found else start
                await asyncio.sleep(0)

    def _is_ours(self, each: KeyValue) -> bool:
        return each.key != self._settings.leader_key and self._layout.is_ours(each.value)

    async def _delete(self, goes: Callable[[str], bool]) -> int:
        """Delete keys of ours; what keeps names apart goes after all that is answered. Returns how many."""
        gone, again = 0, False
        for marks in (False, True):
            async for page in self._pages():
                steps = [
                    Step(each.key, None, each.revision)
                    for each in page
                    if (each.key.rpartition("/")[2] == WITHOUT_DATA) == marks and goes(each.key)
                ]
                for batch in batches([[step] for step in steps], MOST_STEPS):
                    if await self._store.write(batch):
                        gone += len(batch)
                    else:
                        again = True  # somebody wrote in between
        return gone + (await self._delete(goes) if again else 0)
