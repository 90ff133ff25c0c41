"""soadns in the middle of a simulated landscape, under virtual time.

From the events on it is the real thing: the real store, binding, guard, owner names and snapshot. Callers
compare what DNS gave them with what the same callers would have got from the registry directly.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import replace

from soadns.binding.clusters import Clusters
from soadns.binding.estate import Estate
from soadns.binding.history import Transition
from soadns.model import Delete, Event, InterfaceId, Observation, Synced, Trouble, Upsert
from soadns.persistence import snapshot
from soadns.persistence.snapshot import Snapshot
from tests.situations.landscape import EPOCH, REGISTRY, Landscape
from tests.unit.notation import DEFAULTS
from tests.unit.saved_file import SavedFile

ZONE = "rpc.test"
KUBE = "kube/home"
RECONNECT = {KUBE: 1.0, REGISTRY: 2.0}
"""How long after soadns's start a source begins to be read."""
READING = 0.5
"""How long a complete pass over a source takes."""
IDENTITIES = {KUBE: "cluster-1", REGISTRY: "ensemble-1"}


SETTINGS = replace(
    DEFAULTS,
    name=ZONE,
    sources=frozenset({REGISTRY, KUBE}),
    cluster_sources={"home": KUBE},
    clusters=Clusters(home="home"),
)


class World(Landscape):
    """The landscape with soadns, which hears of ``late`` sources so many seconds later than things happen."""

    def __init__(self, *, late: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.late = late or {}
        self.version = 0
        """Counts the instants at which anything happened."""
        self.direct_view: dict[str, dict[tuple[str, int], tuple[str, int]]] = {}
        """What direct callers were told last: interface → (process, session) → host and port."""
        self.registry_up = True
        self.api_up = True
        self._sent: dict[str, dict[tuple[str, ...], Observation]] = {REGISTRY: {}, KUBE: {}}
        self._cluster: object = None
        self._connected = {REGISTRY, KUBE}
        self._told_sync: set[str] = set()
        self.estate = Estate([SETTINGS])
        self.saved = SavedFile(identities=IDENTITIES, serials={ZONE: 1})
        self.transitions: list[Transition] = []
        self.soadns_up = True
        self._sync()

    # ---------------------------------------------------------------- time

    def run_until(self, end: float) -> None:
        """Run all events and soadns's clocks up to ``end``."""
        while True:
            happens = self.next_happening()
            if happens > end:
                break
            self.now = max(self.now, happens)
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            self.version += 1
            self._sync()
        self.now = end

    def next_happening(self) -> float:
        """When something happens next, in the world or by soadns's clocks; infinity for never."""
        clock = self.estate.next_clock() if self.soadns_up else None
        head = self._agenda[0][0] if self._agenda else math.inf
        return head if clock is None else min(clock - EPOCH, head)

    @property
    def unix(self) -> float:
        return EPOCH + self.now

    # ---------------------------------------------------------------- what soadns sees

    def _sync(self) -> None:
        """Deliver to soadns, and to direct callers, what changed since the last time."""
        if self.registry_up:
            self._tell_direct_callers()
        if not self.soadns_up:
            return
        if self._reachable(REGISTRY):
            self._tell_registrations()
        if self._reachable(KUBE):
            self._tell_objects()
        self.transitions += [t for _, t in self.estate.work(self.unix)]
        self.saved.save(self.estate, self.unix)

    def _tell_direct_callers(self) -> None:
        for key in self.untold[0]:
            known = self.direct_view.setdefault(key[0], {})
            if (provider := self.registered.get(key)) is not None:
                known[key[1:]] = (provider.host, provider.port)
            else:
                known.pop(key[1:], None)
        self.untold[0].clear()

    def _tell_registrations(self) -> None:
        untold = self.untold[1]
        if REGISTRY not in self._told_sync:
            untold.update(self.registered)
        objects = {
            (interface, "providers", f"{name}/{session}"): self.registered.get((interface, name, session))
            for interface, name, session in sorted(untold)
        }
        untold.clear()
        self._tell(REGISTRY, objects)

    def _tell_objects(self) -> None:
        # Most happenings do not touch the cluster at all.
        cluster = (
            [(name, id(service)) for name, service in self.services.items()],
            [(p.name, p.service, p.ready, p.present) for p in self.processes.values() if p.service],
        )
        if cluster != self._cluster or KUBE not in self._told_sync:
            self._cluster = cluster
            self._tell(KUBE, {**dict.fromkeys(self._sent[KUBE]), **self.objects()})

    def _reachable(self, source: str) -> bool:
        return source in self._connected and (self.registry_up if source == REGISTRY else self.api_up)

    def _tell(self, source: str, objects: Mapping[tuple[str, ...], Observation | None]) -> None:
        """Send what differs from what was sent; None is gone."""
        sent, events = self._sent[source], list[Event]()
        for key, value in objects.items():
            if value is None and sent.pop(key, None) is not None:
                events.append(Delete(source, key))
            elif value is not None and sent.get(key) != value:
                sent[key] = value
                events.append(Upsert(source, key, value))
        self._send(source, events)
        if source not in self._told_sync:
            self._told_sync.add(source)
            self.at(self.now + READING, lambda: self._read(source))

    def _read(self, source: str) -> None:
        if source in self._told_sync and self._reachable(source):
            self._send(source, [Synced(source)])

    def _send(self, source: str, events: list[Event]) -> None:
        """Hand events to soadns, now or late."""
        if not events or not self.soadns_up:
            return
        late = self.late.get(source, 0.0)
        if late:
            self.at(self.now + late, lambda: self.estate.fold(events, self.unix))
        else:
            self.estate.fold(events, self.unix)

    def registry_down(self) -> None:
        self.registry_up = False
        self._lost(REGISTRY)

    def registry_back(self) -> None:
        self.registry_up = True

    def api_down(self) -> None:
        self.api_up = False
        self._lost(KUBE)

    def api_back(self) -> None:
        self.api_up = True

    def _lost(self, source: str) -> None:
        self._told_sync.discard(source)
        self._send(source, [Trouble(source, "connection lost")])

    # ---------------------------------------------------------------- soadns itself

    def restart(self, pause: float) -> None:
        """soadns ends now and starts again after ``pause``; its workers repeat their last answers meanwhile."""
        found = self.saved.read(self.estate, self.unix)
        self.soadns_up = False
        self.at(self.now + pause, lambda: self._start_soadns(found))

    def _start_soadns(self, found: Snapshot) -> None:
        fresh = Estate([SETTINGS])
        refused = snapshot.restore(fresh, found, self.unix, identities=IDENTITIES)
        assert not refused, refused
        self.estate = fresh
        self.soadns_up = True
        self._sent = {REGISTRY: {}, KUBE: {}}
        self._told_sync.clear()
        self._connected.clear()
        for source, seconds in RECONNECT.items():
            self.at(self.now + seconds, lambda s=source: self._connected.add(s))

    # ---------------------------------------------------------------- answers and callers

    def answer(self, interface: str = "B") -> tuple[str, ...]:
        """Addresses that soadns answers now; empty when the name does not exist or has none."""
        outcome = self.estate.zones[ZONE].outcomes.get(InterfaceId(interface))
        return getattr(outcome, "addresses", ())

    def who(self, interface: str = "B") -> str:
        """The Service that answers, ``providers`` or ``nothing``."""
        outcome = self.estate.zones[ZONE].outcomes.get(InterfaceId(interface))
        if outcome is None or not hasattr(outcome, "addresses"):
            return "nothing"
        return "providers" if outcome.service is None else f"{outcome.service.name} {self.answer(interface)}"

    def failing_direct(self, interface: str) -> float:
        """Share of calls that fail for callers that ask the registry."""
        spots = set(self.direct_view.get(interface, {}).values())
        if not spots:
            return 1.0
        return sum(not self.serves(spot, interface) for spot in spots) / len(spots)
