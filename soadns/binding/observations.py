"""What each source has said, and how far it can be trusted now.

One value per (source, key), whichever zones use it. This module folds events into those values and
says what changed; it owns the rules of proof: only a Delete or a complete pass removes something,
what came from a snapshot stays until a pass of this process disproves it, and what can no longer be
understood (an object, an annotation) keeps its last good value. It knows nothing of interfaces, zones
or time beyond the ``now`` it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from soadns.indexes import place
from soadns.marks import Marks
from soadns.model import (
    Delete,
    Event,
    Identified,
    Key,
    Observation,
    Rejected,
    Service,
    Synced,
    Trouble,
    Upsert,
)

MAX_PAUSES = 64
"""Out-of-sync intervals remembered per source; older ones are merged into one."""

ANNOTATION = "annotation"
"""Reason of a rejected annotation."""
MAX_REJECTED = 10_000
"""Rejections kept per source for ``explain``; further ones are counted only."""


@dataclass(frozen=True, slots=True)
class Change:
    """One observation before and after; None where it did not exist."""

    source: str
    key: Key
    before: Observation | None
    after: Observation | None


@dataclass(slots=True)
class SourceState:
    """Everything known about one source. Times are Unix seconds."""

    values: dict[Key, Observation] = field(default_factory=dict)
    unconfirmed: dict[str, set[Key]] = field(default_factory=dict)
    """By scope: keys that came from a snapshot and were not seen again yet."""
    identity: str = ""
    """What it observes (a comma list; ``same``); ``''`` while nobody knows."""
    rejected: dict[Key, Rejected] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    """How often each reason occurred since the process started."""
    synced_once: bool = False
    restored: bool = False
    """Whether its observations came from a snapshot."""
    in_sync: bool = False
    trouble: str = ""
    troubled_scopes: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    """Those of the troubled scopes that hold an interface → its name."""
    scopes_of: dict[str, set[str]] = field(default_factory=dict)
    """The same by name."""
    recalled: set[str] = field(default_factory=set)
    """Those of them that came from a snapshot and were not spoken of again yet."""
    last_event: float = 0.0
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """Finished intervals during which the source was out of sync, in order."""
    paused_at: float | None = None
    """Since when it is out of sync now; None while in sync."""

    @property
    def known(self) -> bool:
        """Whether its observations can be built upon: synced once, or restored from a snapshot."""
        return self.synced_once or self.restored

    @property
    def outages(self) -> list[tuple[float, float]]:
        """Intervals without sync; the current one has no end yet (infinity)."""
        if self.paused_at is None:
            return self.pauses
        return [*self.pauses, (self.paused_at, inf)]


class Observations:
    """All sources' observations. ``fold`` is the only way in."""

    def __init__(self) -> None:
        self.sources: dict[str, SourceState] = {}
        self.changed: Marks[tuple[str, Key]] = Marks()
        """Sources and keys of what is not saved yet."""
        self.scoped: Marks[tuple[str, str]] = Marks()
        """Sources and scopes, likewise: of those that hold an interface, whether they can be read."""
        self._outages: dict[tuple[str, ...], tuple[tuple[float, float], ...]] = {}
        """What ``outages`` found since a source came into or fell out of sync: every name asks, of few sets."""

    def source(self, source: str) -> SourceState:
        """The state of a source; made on first use, out of sync since the beginning of time."""
        state = self.sources.get(source)
        if state is None:
            state = self.sources[source] = SourceState(paused_at=0.0)
            self._outages.clear()
        return state

    def restore(
        self,
        source: str,
        values: Iterable[tuple[Key, Observation]],
        *,
        saved: float,
        pauses: Iterable[tuple[float, float]] = (),
        unreadable: Mapping[str, tuple[str, str]] | None = None,
        identity: str = "",
    ) -> None:
        """Put back what a snapshot saved at ``saved``; it stays until a complete pass disproves it.

        ``pauses`` are earlier outages. Where the source was out of sync then, ``saved`` is when that began.
        ``unreadable``: scopes that could not be read, each with the interface that it holds and the reason.
        """
        state = self.source(source)
        state.restored, state.identity = True, identity
        state.paused_at = saved
        state.pauses = list(pauses)
        self._outages.clear()
        for key, value in values:
            state.values[key] = value
            state.unconfirmed.setdefault(key[0], set()).add(key)
        for scope, (interface, reason) in (unreadable or {}).items():
            state.troubled_scopes[scope] = reason
            state.unreadable[scope] = interface
            place(state.scopes_of, interface, scope, add=True)
            state.recalled.add(scope)

    def is_foreign(self, event: Identified) -> bool:
        """Whether what is known of the source is another one's."""
        return not same(self.source(event.source).identity, event.identity)

    def outages(self, sources: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
        """Intervals in which one of the sources was out of sync: sorted, not overlapping, open to infinity."""
        if (found := self._outages.get(sources)) is not None:
            return found
        spans = sorted(span for name in sources for span in self.source(name).outages)
        merged: list[tuple[float, float]] = []
        for start, end in spans:
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        self._outages[sources] = tuple(merged)
        return self._outages[sources]

    def fold(self, events: Sequence[Event], now: float) -> list[Change]:
        """Apply events in order and return what changed, at most one entry per key and event."""
        changes: list[Change] = []
        for event in events:
            state = self.source(event.source)
            state.last_event = now
            match event:
                case Upsert():
                    self._upsert(state, event, changes)
                case Delete():
                    self._remove(state, event.source, event.key, changes)
                case Rejected():
                    self._reject(state, event)
                case Synced():
                    self._synced(state, event, now, changes)
                case Trouble():
                    self._trouble(state, event, now)
                case Identified():
                    self._identified(state, event, changes)
        self.changed.update((change.source, change.key) for change in changes)
        return changes

    def _upsert(self, state: SourceState, event: Upsert, changes: list[Change]) -> None:
        key, value = event.key, event.value
        before = state.values.get(key)
        if isinstance(value, Service):
            value = keep_last_good(value, before if isinstance(before, Service) else None)
        self._confirm(state, key)
        if state.rejected:
            state.rejected.pop(key, None)
        if before == value:
            return
        if isinstance(value, Service) and fresh_problems(value, before):
            state.rejections[ANNOTATION] = state.rejections.get(ANNOTATION, 0) + 1
        state.values[key] = value
        changes.append(Change(event.source, key, before, value))

    def _remove(self, state: SourceState, source: str, key: Key, changes: list[Change]) -> None:
        self._confirm(state, key)
        if state.rejected:
            state.rejected.pop(key, None)
        before = state.values.pop(key, None)
        if before is not None:
            changes.append(Change(source, key, before, None))

    def _reject(self, state: SourceState, event: Rejected) -> None:
        if event.key not in state.rejected:
            state.rejections[event.reason] = state.rejections.get(event.reason, 0) + 1
        self._confirm(state, event.key)
        if len(state.rejected) < MAX_REJECTED:
            state.rejected[event.key] = event

    def _synced(self, state: SourceState, event: Synced, now: float, changes: list[Change]) -> None:
        if event.scope:
            self._end_trouble(state, event.source, event.scope)
            self._sweep(state, event.source, event.scope, changes)
            return
        self._forget_recalled(state, event.source)
        for scope in [s for s in state.unconfirmed if s not in state.troubled_scopes]:
            self._sweep(state, event.source, scope, changes)
        state.trouble = ""
        if not state.known:
            self.changed.lose()  # it is saved from now on, with what it said before
        state.synced_once = True
        if not state.in_sync:
            state.in_sync = True
            self._outages.clear()
            if state.paused_at is not None:
                state.pauses.append((state.paused_at, now))
                state.paused_at = None
            if len(state.pauses) > MAX_PAUSES:
                first, second, *rest = state.pauses
                state.pauses = [(first[0], second[1]), *rest]

    def _trouble(self, state: SourceState, event: Trouble, now: float) -> None:
        if event.scope:
            state.troubled_scopes[event.scope] = event.reason
            state.recalled.discard(event.scope)
            if event.interface:
                self.scoped.add((event.source, event.scope))
                if name := state.unreadable.get(event.scope, ""):
                    place(state.scopes_of, name, event.scope, add=False)
                state.unreadable[event.scope] = event.interface
                place(state.scopes_of, event.interface, event.scope, add=True)
            return
        state.trouble = event.reason
        if state.in_sync or state.paused_at is None:
            state.in_sync = False
            state.paused_at = now
            self._outages.clear()

    def _end_trouble(self, state: SourceState, source: str, scope: str) -> None:
        """A scope can be read, or is gone."""
        state.troubled_scopes.pop(scope, None)
        state.recalled.discard(scope)
        if name := state.unreadable.pop(scope, ""):
            place(state.scopes_of, name, scope, add=False)
            self.scoped.add((source, scope))

    def _forget_recalled(self, state: SourceState, source: str) -> None:
        """What a snapshot said of scopes, and this process did not find, holds no more."""
        for scope in list(state.recalled):
            self._end_trouble(state, source, scope)

    def _identified(self, state: SourceState, event: Identified, changes: list[Change]) -> None:
        if self.is_foreign(event):
            changes += [Change(event.source, key, value, None) for key, value in state.values.items()]
            state.values, state.unconfirmed, state.rejected = {}, {}, {}
            self._forget_recalled(state, event.source)
            self.changed.lose()
            state.restored = state.synced_once = False
        state.identity = event.identity

    def _sweep(self, state: SourceState, source: str, scope: str, changes: list[Change]) -> None:
        for key in sorted(state.unconfirmed.pop(scope, ())):
            before = state.values.pop(key, None)
            if before is not None:
                changes.append(Change(source, key, before, None))

    @staticmethod
    def _confirm(state: SourceState, key: Key) -> None:
        if state.unconfirmed and (keys := state.unconfirmed.get(key[0])) is not None:
            keys.discard(key)
            if not keys:
                del state.unconfirmed[key[0]]

    def rejected_in(self, name: str) -> Iterator[Rejected]:
        """Rejections of all sources that concern an interface: the scope in registries, behind the file in files."""
        for state in self.sources.values():
            for key, event in state.rejected.items():
                if name in key[:2]:
                    yield event


def heard(outages: Iterable[tuple[float, float]], since: float, now: float) -> float:
    """Seconds from then to now outside of these intervals."""
    out = sum(min(end, now) - max(start, since) for start, end in outages if end > since)
    return max(0.0, now - since - max(0.0, out))


def same(one: str, other: str) -> bool:
    """Whether two identities (comma lists) may be one thing: they share an item, or one is unknown."""
    return not one or not other or bool(set(one.split(",")) & set(other.split(",")))


def fresh_problems(service: Service, before: Observation | None) -> tuple[str, ...]:
    """What is wrong with a Service's annotations, unless the same was wrong with them before."""
    known = before.problems if isinstance(before, Service) and before.uid == service.uid else ()
    return service.problems if service.problems != known else ()


def keep_last_good(service: Service, before: Service | None) -> Service:
    """Fill malformed annotations (None) from the Service's earlier state, else from the defaults."""
    said = (service.application, service.declaration, service.traffic, service.balancing, service.moves)
    if None not in said:
        return service
    good = before if before is not None and before.uid == service.uid else Service(service.ref, service.uid)
    return replace(
        service,
        application=good.application if service.application is None else service.application,
        declaration=good.declaration if service.declaration is None else service.declaration,
        traffic=good.traffic if service.traffic is None else service.traffic,
        balancing=good.balancing if service.balancing is None else service.balancing,
        moves=good.moves if service.moves is None else service.moves,
    )
