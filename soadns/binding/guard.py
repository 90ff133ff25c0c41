"""The brake: removals that nobody can have meant are held back.

Per zone and source it knows how many names stand on the source and how many of them are vanishing.
When more than a share *and* at least a minimum vanish together, every removal of the source is
held until the evidence returns, an operator releases it, or the Service of the name has had no endpoint for a
further linger (corroboration). A settled ``no`` vote is proof; it is neither counted nor held. Time during which a
source of the name is out of sync counts for none of that. Pure; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from soadns.binding.pool import EPSILON, Elapsed
from soadns.indexes import place
from soadns.marks import Marks
from soadns.model import InterfaceId


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """When a removal is held. ``release_after`` None means never by time alone."""

    share: float
    minimum: int
    release_after: float | None
    linger: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a source's guard says now."""

    source: str
    bound: int
    vanishing: int
    held: int


class Guard:
    """The counts and the held removals of one zone."""

    def __init__(self, settings: GuardSettings, elapsed: Callable[[str, float, float], float]) -> None:
        """``elapsed(source, since, now)`` gives the seconds during which the source was in sync."""
        self.settings = settings
        self._elapsed = elapsed
        self.bound: dict[str, set[InterfaceId]] = {}
        self.vanishing: dict[str, set[InterfaceId]] = {}
        self.held: dict[InterfaceId, float] = {}
        """Held removals and since when."""
        self.released: set[InterfaceId] = set()
        self.changed: Marks[InterfaceId] = Marks()
        """Names that are held or released, or not any more, unlike what is saved."""
        self._moved: dict[str, dict[InterfaceId, float]] = {}
        """Names that changed their winner by vanishing, and when; the oldest first."""
        self._moved_only: dict[str, int] = {}
        """How many of those are not vanishing now: what they add to the count."""

    def note(self, interface: InterfaceId, sources: Iterable[str], *, bound: bool, vanishing: bool) -> None:
        """Say how a name stands now; a name that is not vanishing is no longer held."""
        for source in sources:
            place(self.bound, source, interface, add=bound)
            before = interface in self.vanishing.get(source, ())
            place(self.vanishing, source, interface, add=bound and vanishing)
            if before != (bound and vanishing) and interface in self._moved.get(source, ()):
                self._moved_only[source] += 1 if before else -1
        if not (vanishing and bound) and (interface in self.held or interface in self.released):
            self.held.pop(interface, None)
            self.released.discard(interface)
            self.changed.add(interface)

    def note_move(self, interface: InterfaceId, sources: Iterable[str], now: float) -> None:
        """Say that a name changed its winner because the evidence vanished; counted for a linger."""
        for source in sources:
            moved = self._moved.setdefault(source, {})
            self._forget_move(source, interface)
            moved[interface] = now
            vanishing = interface in self.vanishing.get(source, ())
            self._moved_only[source] = self._moved_only.get(source, 0) + (not vanishing)

    def _forget_move(self, source: str, interface: InterfaceId) -> None:
        moved = self._moved[source]
        if moved.pop(interface, None) is not None and interface not in self.vanishing.get(source, ()):
            self._moved_only[source] -= 1

    def count(self, source: str, now: float) -> int:
        """Names of the source that vanish now or moved by vanishing within the last linger."""
        moved = self._moved.get(source, {})
        while moved and self._elapsed(source, moved[oldest := next(iter(moved))], now) > self.settings.linger:
            self._forget_move(source, oldest)
        return len(self.vanishing.get(source, ())) + self._moved_only.get(source, 0)

    def trips(self, source: str, now: float) -> bool:
        """Whether so much of the source vanishes together that nobody can have meant it."""
        vanishing = self.count(source, now)
        bound = len(self.bound.get(source, ()))
        return vanishing >= self.settings.minimum and vanishing > self.settings.share * bound

    def may_go(
        self,
        interface: InterfaceId,
        sources: Iterable[str],
        now: float,
        *,
        empty_for: float | None,
        elapsed: Elapsed,
    ) -> bool:
        """Whether a due removal may happen; if not it is held from now on.

        ``empty_for`` is how long the bound Service has had no endpoint at all (None: it has some, or
        there is no Service); ``elapsed`` gives the seconds since a time that count.
        """
        if interface in self.released:
            return True
        since = self.held.get(interface)
        if since is None:
            if not any(self.trips(source, now) for source in sources):
                return True
            self.held[interface] = now
            self.changed.add(interface)
            return False
        held_for = elapsed(since) + EPSILON
        if self.settings.release_after is not None and held_for >= self.settings.release_after:
            return True
        return empty_for is not None and min(empty_for + EPSILON, held_for) >= self.settings.linger

    def next_look(self, interface: InterfaceId, now: float, elapsed: Elapsed) -> float | None:
        """When a held removal may go by time or corroboration, if no source of it falls out of sync."""
        since = self.held.get(interface)
        if since is None:
            return None
        held_for = elapsed(since) + EPSILON
        waits = [self.settings.linger, self.settings.release_after or 0.0]
        return now + min(
            (w - held_for + EPSILON for w in waits if w > held_for), default=self.settings.linger
        )

    def release(self, source: str) -> set[InterfaceId]:
        """Let the removals of a source that are pending now happen; returns the names concerned."""
        names = set(self.vanishing.get(source, ()))
        self.released |= names
        self.changed.update(names)
        return names

    def alarms(self, now: float) -> list[Alarm]:
        """The state of every source that has names, by source."""
        return [
            Alarm(
                source,
                len(names),
                self.count(source, now),
                sum(i in self.held for i in self.vanishing.get(source, ())),
            )
            for source, names in sorted(self.bound.items())
        ]
