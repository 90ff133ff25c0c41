"""What one MOSN is told, and what it says to that. Pure.

MOSN has no subscriptions: with listeners of a file it asks for clusters alone, again and again, names in its
acknowledgements what it was sent last, and never says that it refused anything. So it is sent everything unasked when
its stream begins, then what changed: clusters, their endpoints, routes, and endpoints of what is to be empty. What it
asks for is not answered.
Nothing is queued: a stream is a generation of the inventory, and what it does not know is put together when there is
room on its connection again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from soadns.ads.inventory import NEVER, Inventory, Key
from soadns.ads.sharedroutes import View
from soadns.ads.wire import CDS, EDS, RDS, response
from soadns.sidecar.mosn import SHARED_BOLT, SHARED_DUBBO

ORDER = ((CDS, False), (EDS, False), (RDS, False), (EDS, True))
"""Clusters and their endpoints before the routes that lead to them, and those that have none any more after these."""
SHARED = (SHARED_DUBBO, SHARED_BOLT)
"""Routers of all ClusterIPs without a listener of their own."""
MOST_OCTETS = 1 << 20
"""Of one response, unless a single resource has more."""
SHARED_S = 1.0
"""Between two pushes of a router with a rule for each interface: MOSN works on 10,000 for a tenth of a second."""


@dataclass(slots=True)
class Told:
    """What was sent of one type, and how that was received."""

    version: str = ""
    nonce: str = ""
    acknowledged: str = ""
    """The version that the peer said it has."""
    refused: str = ""
    """What it said of the last response, where it did not take it."""


@dataclass(slots=True)
class Batch:
    """One response."""

    kind: str
    octets: bytes
    resources: int


@dataclass(slots=True)
class Push:
    """The pushes of one stream."""

    inventory: Inventory
    view: View
    replica: str
    known: int = NEVER
    """The generation up to which the peer was told everything."""
    told: dict[str, Told] = field(default_factory=dict)
    pushes: int = 0
    refusals: int = 0
    _clusters: set[str] = field(default_factory=set)
    """Those that it was told of."""
    _shared: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Shared routers that it was sent: generation and when."""

    # ------------------------------------------------------------------ what it is told

    def due(self, now: float) -> float | None:
        """When ``take`` has something to say: 0.0 is at once, None when something changes."""
        if self.known != self.inventory.generation:
            return 0.0
        late = [self._shared_at(name) for name in SHARED if self._lacks(name)]
        return max(0.0, min(late) - now) if late else None

    def take(self, now: float) -> Iterator[Batch]:
        """What the peer does not know, as responses; to be run to its end, or the stream ended.

        It is what there is at this moment, however long it takes to send: what comes meanwhile is the next call's.
        """
        inventory, view = self.inventory, self.view
        generation, changed = inventory.generation, inventory.since(self.known)
        led_to = inventory.led_to(view)
        needed = {name for kind, name in changed if kind == CDS} if led_to is None else led_to
        fresh = needed - self._clusters
        self._clusters |= fresh
        moved = {name for kind, name in changed if kind == EDS} & self._clusters
        routers = [name for kind, name in changed if kind == RDS and name not in SHARED]
        late = [name for name in SHARED if self._lacks(name) and now >= self._shared_at(name)]
        keys: list[Key] = [(CDS, name) for name in sorted(fresh)]
        keys += [(EDS, name) for name in sorted(moved | fresh)]
        keys += [(RDS, name) for name in (*sorted(routers), *late)]
        found = [(key, each) for key in keys if (each := inventory.get(key, view)) is not None]
        for (_, name), each in found:
            if name in late:
                self._shared[name] = (each.generation, now)
        self.known = generation
        pieces: dict[tuple[str, bool], list[bytes]] = {}
        for (kind, _), each in found:
            pieces.setdefault((kind, each.empty), []).append(each.octets)
        return self._batches(pieces, generation)

    def _lacks(self, name: str) -> bool:
        """Whether the peer has not the shared router as it is now."""
        found = self.inventory.get((RDS, name), self.view)
        return found is not None and self._shared.get(name, (NEVER, 0.0))[0] != found.generation

    def _shared_at(self, name: str) -> float:
        """When the peer may be sent a shared router again."""
        return self._shared[name][1] + SHARED_S if name in self._shared else 0.0

    def _batches(self, pieces: Mapping[tuple[str, bool], list[bytes]], generation: int) -> Iterator[Batch]:
        for kind, empty in ORDER:
            held: list[bytes] = []
            size = 0
            for octets in pieces.get((kind, empty), ()):
                if held and size + len(octets) > MOST_OCTETS:
                    yield self._batch(kind, held, generation)
                    held, size = [], 0
                held.append(octets)
                size += len(octets)
            if held:
                yield self._batch(kind, held, generation)

    def _batch(self, kind: str, pieces: list[bytes], generation: int) -> Batch:
        self.pushes += 1
        told = self.told.setdefault(kind, Told())
        told.version, told.nonce = f"{self.replica}.{generation}", str(self.pushes)
        return Batch(kind, response(told.version, kind, told.nonce, pieces), len(pieces))

    # ------------------------------------------------------------------ what it says

    def hear(self, kind: str, version: str, nonce: str, error: str) -> str:
        """A request: an acknowledgement, or a question that is answered already. Returns what was refused, if that."""
        told = self.told.get(kind)
        if told is None or not nonce or nonce != told.nonce:
            return ""
        if error:
            told.refused = error[:300]
            self.refusals += 1
            return told.refused
        told.acknowledged, told.refused = version, ""
        return ""

    @property
    def behind(self) -> bool:
        """Whether the peer has not acknowledged all that there is."""
        unsaid = any(each.acknowledged != each.version for each in self.told.values())
        return unsaid or self.known != self.inventory.generation
