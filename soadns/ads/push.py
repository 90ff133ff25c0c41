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
from typing import NamedTuple

from soadns.ads.inventory import NEVER, Inventory, Key, Resource
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
"""Between two pushes of a router with a rule for each interface, at least."""
SHARED_OCTETS_PER_S = 400_000
"""And as long as so much of it takes: 10,000 interfaces are 400 kB, and MOSN works on them for a tenth of a second."""
SHARED_AFTER_S = 0.25
"""From the moment when such a router, or that of a single ClusterIP, changed last: what changed of the latter goes
before it, and is not kept waiting by the work on it."""
SHARED_LATEST_S = 5.0
"""From the moment when such a router changed first, however much changes of single ClusterIPs meanwhile."""


@dataclass(slots=True)
class Told:
    """What was sent of one type, and how that was received."""

    version: str = ""
    nonce: str = ""
    acknowledged: str = ""
    """The version that the peer said it has."""
    refused: str = ""
    """What it said of the last response, where it did not take it."""
    open: dict[str, None] = field(default_factory=dict)
    """Nonces of responses that it has not answered yet, the oldest first; of an Envoy alone."""
    failed: bool = False
    """Whether it did not take one of those that were open together."""


@dataclass(slots=True)
class Batch:
    """One response."""

    kind: str
    octets: bytes
    resources: int


class Sent(NamedTuple):
    """A shared router as it was sent to a peer."""

    change: int
    """Of the router, whoever sees it, that was looked at."""
    generation: int
    """Of what the peer sees of it."""
    until: float
    """Before then it is not sent again."""


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
    _shared: dict[str, Sent] = field(default_factory=dict)
    """Shared routers that it was sent."""
    _routed: float = -SHARED_AFTER_S
    """When the peer was sent the router of a single ClusterIP last."""
    _outdated: dict[str, float] = field(default_factory=dict)
    """Shared routers that changed since, and when that was seen."""

    # ------------------------------------------------------------------ what it is told

    def due(self, now: float) -> float | None:
        """When ``take`` has something to say: 0.0 is at once, None when something changes."""
        if self.known != self.inventory.generation:
            return 0.0
        late = self._late(now).values()
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
        if routers:
            self._routed = now
        late = [name for name, at in self._late(now).items() if now >= at]
        keys: list[Key] = [(CDS, name) for name in sorted(fresh)]
        keys += [(EDS, name) for name in sorted(moved | fresh)]
        keys += [(RDS, name) for name in (*sorted(routers), *late)]
        found = [(key, each) for key in keys if (each := inventory.get(key, view)) is not None]
        found = [
            (key, each) for key, each in found if key[1] not in late or self._take_shared(key[1], each, now)
        ]
        self.known = generation
        pieces: dict[tuple[str, bool], list[bytes]] = {}
        for (kind, _), each in found:
            pieces.setdefault((kind, each.empty), []).append(each.octets)
        return self._batches(pieces, generation)

    def _late(self, now: float) -> dict[str, float]:
        """The shared routers that changed since they were sent, and when they may be sent."""
        found = {}
        for name in SHARED:
            sent = self._shared.get(name)
            if sent is None:
                found[name] = now
            elif sent.change != self.inventory.changed(name):
                seen = self._outdated.setdefault(name, now)
                quiet = max(seen, self._routed) + SHARED_AFTER_S
                found[name] = max(sent.until, min(quiet, seen + SHARED_LATEST_S))
        return found

    def _take_shared(self, name: str, each: Resource, now: float) -> bool:
        """Note that a shared router was looked at; whether the peer is to be sent it."""
        sent = self._shared.get(name)
        self._outdated.pop(name, None)
        change = self.inventory.changed(name)
        if sent is not None and sent.generation == each.generation:
            self._shared[name] = sent._replace(change=change)  # what changed is not for this peer
            return False
        until = now + max(SHARED_S, len(each.octets) / SHARED_OCTETS_PER_S)
        self._shared[name] = Sent(change, each.generation, until)
        return True

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
