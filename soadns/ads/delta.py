"""What one Envoy is told over incremental xDS, and what it says to that. Pure.

Envoy subscribes to all listeners and clusters, and by name to the endpoints and rules that these need. It is told what
it does not know in the order in which nothing is named before it is there (clusters, endpoints, listeners, rules), and
which clusters go at the end. Endpoints are sent with their cluster, before Envoy has asked for them: it does that while
it reads of the cluster, so it knows them before it reads what follows. Nothing is queued: a stream is a generation of
the inventory, and names that it has asked for since. What it refuses is not sent again before it is something else.

Source: the xDS protocol (incremental variants), ``envoy/service/discovery/v3/discovery.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from soadns.ads import wire
from soadns.ads.envoyinventory import NEVER, EnvoyInventory, Key
from soadns.ads.push import MOST_OCTETS, Batch, Told
from soadns.ads.sharedroutes import View
from soadns.sidecar.envoy import CLUSTERS, ENDPOINTS, IN_ORDER, LISTENERS, ROUTES

EVERYTHING = "*"
MOST_OPEN = 1_000
"""Responses of one type that a peer may leave without an answer before the oldest is forgotten."""
_WHOLE = (CLUSTERS, LISTENERS)
"""Types of which Envoy wants all that there are."""


class DeltaRequest(NamedTuple):
    """A DeltaDiscoveryRequest, as far as somebody asks."""

    kind: str
    nonce: str
    error: str
    """Why the last response was not taken; ``''`` where it was."""
    subscribe: tuple[str, ...]
    unsubscribe: tuple[str, ...]
    initial: Mapping[str, str]
    """What the peer has from an earlier stream: names and versions."""
    node: str
    metadata: Mapping[str, str]
    """Of the node: what of it is text."""


class Part(NamedTuple):
    """What a peer is told of one type."""

    kind: str
    sent: list[str]
    gone: list[str]


@dataclass(slots=True)
class Wanted:
    """What a peer wants of one type."""

    everything: bool
    has: dict[str, str]
    """What it says that it has, until it is told of that."""
    names: set[str] = field(default_factory=set)
    """Those that it subscribed to, where it does not want everything."""
    due: set[str] = field(default_factory=set)
    """Names that it is to be told of, whether they change or not."""
    seen: set[str] = field(default_factory=set)
    """What it was told of, where it may not see everything."""


@dataclass(slots=True)
class Delta:
    """One stream."""

    inventory: EnvoyInventory
    view: View
    replica: str
    known: int = NEVER
    """The generation up to which the peer was told what it wants."""
    told: dict[str, Told] = field(default_factory=dict)
    pushes: int = 0
    refusals: int = 0
    _wanted: dict[str, Wanted] = field(default_factory=dict)

    # ------------------------------------------------------------------ what it says

    def hear(self, said: DeltaRequest) -> str:
        """A request: a subscription, an acknowledgement, or both. Returns what was refused, if that."""
        if said.kind not in IN_ORDER:
            return ""
        wanted = self._wanted.get(said.kind)
        if wanted is None:
            everything = said.kind in _WHOLE and (not said.subscribe or EVERYTHING in said.subscribe)
            wanted = self._wanted[said.kind] = Wanted(everything, dict(said.initial))
            if everything:
                wanted.due |= self.inventory.names(said.kind, self.view) | wanted.has.keys()
        if not wanted.everything:
            wanted.names.difference_update(said.unsubscribe)
            wanted.names.update(said.subscribe)
            wanted.due.update(said.subscribe)
            wanted.due &= wanted.names
        return self._acknowledged(said)

    def _acknowledged(self, said: DeltaRequest) -> str:
        """Each response is answered; what was sent together counts as taken when all of it was."""
        told = self.told.get(said.kind)
        if told is None or said.nonce not in told.open:
            return ""
        del told.open[said.nonce]
        if said.error:
            told.refused, told.failed = said.error[:300], True
            self.refusals += 1
            return told.refused
        if not told.open and not told.failed:
            told.acknowledged, told.refused = told.version, ""
        return ""

    @property
    def behind(self) -> bool:
        """Whether the peer has not acknowledged all that there is."""
        return self.due or any(each.acknowledged != each.version for each in self.told.values())

    @property
    def due(self) -> bool:
        """Whether ``take`` may have something to say."""
        return self.known != self.inventory.generation or any(each.due for each in self._wanted.values())

    # ------------------------------------------------------------------ what it is told

    @property
    def lost(self) -> bool:
        """Whether it fell behind what is remembered: what is gone since, only a new stream can find out."""
        return self.known != NEVER and self.inventory.since(self.known) is None

    def take(self) -> Iterator[Batch]:
        """What the peer does not know, as responses; to be run to its end, or the stream ended. Not for who is lost.

        It is what there is at this moment, however long it takes to send: what comes meanwhile is the next call's.
        """
        generation = self.inventory.generation
        changed = self.inventory.since(self.known) if self.known != NEVER else None
        self.known = generation
        parts: list[Part] = []
        last = Part(CLUSTERS, [], [])
        for kind in IN_ORDER:
            fresh = parts[0].sent if kind == ENDPOINTS and parts else ()
            wanted = self._wanted.get(kind) or (Wanted(everything=False, has={}) if fresh else None)
            if wanted is None:
                continue
            asked, wanted.due = wanted.due, set()
            names = self._news(kind, wanted, changed).union(asked, fresh)
            part = self._part(kind, wanted, names, asked)
            if kind == CLUSTERS:
                part, last = part._replace(gone=[]), part._replace(sent=[])
            parts.append(part)
        parts.append(last)
        pieces = [
            (part, [self.inventory.resources[part.kind, name].octets for name in part.sent]) for part in parts
        ]
        return self._batches(pieces, generation)

    def _news(self, kind: str, wanted: Wanted, changed: frozenset[Key] | None) -> set[str]:
        """Names of one type that the peer is to hear of: of what it wants, what changed (None: at first, all)."""
        if changed is not None:
            names = {name for of, name in changed if of == kind}
        else:
            names = self.inventory.names(kind, None) | wanted.has.keys()
        if not wanted.everything:
            return names & wanted.names
        if self.view is None:
            return names
        may = self.inventory.names(kind, self.view)
        names = (names & (may | wanted.seen)) | (may ^ wanted.seen)
        wanted.seen = may
        return names

    def _part(self, kind: str, wanted: Wanted, names: set[str], asked: set[str]) -> Part:
        """Of these names, what the peer has not as it is, and what it is to forget."""
        held = self.inventory.resources
        may = None if self.view is None else self.inventory.names(kind, self.view)
        there = {name for name in names if (kind, name) in held and (may is None or name in may)}
        sent = [name for name in sorted(there) if wanted.has.pop(name, "") != held[kind, name].version]
        # Endpoints go with their cluster, and rules stay with a listener that ends for as long as that takes.
        gone = (names if wanted.everything else asked if kind == ROUTES else set()) - there
        for name in gone:
            wanted.has.pop(name, None)
        return Part(kind, sent, sorted(gone))

    def _batches(self, pieces: list[tuple[Part, list[bytes]]], generation: int) -> Iterator[Batch]:
        for part, resources in pieces:
            held: list[bytes] = []
            size = 0
            for octets in resources:
                if held and size + len(octets) > MOST_OCTETS:
                    yield self._batch(part.kind, held, [], generation)
                    held, size = [], 0
                held.append(octets)
                size += len(octets)
            if held or part.gone:
                yield self._batch(part.kind, held, part.gone, generation)

    def _batch(self, kind: str, pieces: list[bytes], gone: list[str], generation: int) -> Batch:
        self.pushes += 1
        told = self.told.setdefault(kind, Told())
        told.version, told.nonce = f"{self.replica}.{generation}", str(self.pushes)
        told.failed &= bool(told.open)
        told.open[told.nonce] = None
        if len(told.open) > MOST_OPEN:
            del told.open[next(iter(told.open))]
        return Batch(kind, wire.delta_response(told.version, kind, told.nonce, pieces, gone), len(pieces))
