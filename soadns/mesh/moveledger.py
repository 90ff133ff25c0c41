"""What has moved, as all replicas know it, beside what this one knows: what to take over, and what to write. Pure.

The shared state is a grow-only set of facts, "interface I was at Service X and left it", each of which holds or was
*forgotten* by an operator (a tombstone). A fact goes when its subject does: X is gone, or I is at X again. Of that
every replica judges for itself, so **absence proves nothing**: whoever deletes the ConfigMaps makes nobody forget
anything. A tombstone lives as long as the fact would, so that no replica that was away brings it back.

Who writes: the holder of the Lease what it knows; everybody, at once, what an operator said to him; and everybody after
a while what only he saw, which happens when the holder was away. Every write names the version of the ConfigMap that it
replaces: what is written is always one step from what was read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from soadns.indexes import place
from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Move
from soadns.sidecar.moves import joined, tells_more

SHARDS = 16
"""ConfigMaps over which the facts are spread. Part of the format: it never changes."""
HAND_OVER_S = 5.0
"""How long the holder has to see what another replica saw, before that one writes it."""

SKEW_S = 60.0
"""By how much clocks of two replicas may differ."""


class Fact(NamedTuple):
    """What a fact is about."""

    zone: str
    service: ObjectRef
    interface: InterfaceId


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact as it is shared."""

    move: Move
    forgotten: float = 0.0
    """When an operator said so, in Unix seconds; 0.0: it holds."""


class Write(NamedTuple):
    """What is to be written of a fact."""

    entry: Entry | None
    """None: it goes."""


@dataclass(frozen=True, slots=True)
class News:
    """What reading told this replica to do."""

    adopt: tuple[Fact, ...] = ()
    forget: tuple[Fact, ...] = ()


Holds = Callable[[Fact, Move], bool]
"""Whether a fact's Service is still what the interface left, and the interface elsewhere."""
Own = Callable[[Fact], Move | None]
"""What holds here of a fact; None: nothing."""


def fact_of(zone: str, move: Move) -> Fact:
    """What a move of a zone is about."""
    return Fact(zone, move.service, move.interface)


def shard_of(fact: Fact) -> int:
    """The number of the ConfigMap that holds it; all of one Service are together."""
    text = f"{fact.zone} {fact.service}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % SHARDS


class Ledger:
    """The facts, as one replica knows them.

    ``changes`` looks at what is *open* and at nothing else: what was read, what whoever knows has ``touched``, and what
    could not be written yet. So its work is proportional to that.
    """

    def __init__(self) -> None:
        self.shared: dict[Fact, Entry] = {}
        """As they were read."""
        self.untold: dict[Fact, Entry] = {}
        """Tombstones that an operator asked this replica for, and that are not shared yet."""
        self._by_shard: dict[int, set[Fact]] = {}
        self._seen: set[Fact] = set()
        """Facts that were shared since this replica saw them: if they are not any more, others know why."""
        self._own: set[Fact] = set()
        """What held here at the last look."""
        self._lacking: dict[Fact, float] = {}
        """Facts that this replica knows and that are not shared, and since when; the oldest ones first."""
        self._open: set[Fact] = set()
        """Facts to be looked at."""
        self._parked: dict[str, set[Fact]] = {}
        """Those of zones that are not whole, by zone."""
        self._about: dict[tuple[str, ObjectRef | InterfaceId], set[Fact]] = {}
        """By zone and subject: what of all that concerns it."""
        self._leads = False
        """Whether it had the Lease at the last look."""

    # ------------------------------------------------------------------ what it is told

    def read(self, shard: int, entries: Mapping[Fact, Entry], own: Own) -> News:
        """Take in what a shard holds now.

        What left again after it was forgotten is not forgotten: whoever should have said so to the others could not.
        """
        adopt, forget = [], []
        gone = self._by_shard.get(shard, set()) - entries.keys()
        for fact in gone:
            del self.shared[fact]
            self._changed(fact)
        for fact, entry in entries.items():
            if self.shared.get(fact) == entry:
                continue
            self.shared[fact] = entry
            self._seen.add(fact)
            mine = self.untold.get(fact)
            if entry.forgotten:
                self.untold.pop(fact, None)
                held = own(fact)
                if held is None or held.since <= entry.forgotten + SKEW_S:
                    forget.append(fact)
            elif mine is None or mine.forgotten <= entry.move.since:
                self.untold.pop(fact, None)
                adopt.append(fact)
            self._changed(fact)
        self._by_shard[shard] = set(entries)
        return News(tuple(adopt), tuple(forget))

    def forget(self, zone: str, moves: Iterable[Move], now: float) -> None:
        """An operator said that no callers are left of these."""
        for move in moves:
            fact = fact_of(zone, move)
            self.untold[fact] = Entry(move, now)
            self._changed(fact)

    def touched(self, zone: str, subject: ObjectRef | InterfaceId, moves: Iterable[Fact]) -> None:
        """A Service, or where an interface is, is not what it was; ``moves`` are what holds here of it."""
        self._open.update(moves)
        self._open |= self._about.get((zone, subject), set())

    # ------------------------------------------------------------------ what follows

    def changes(
        self, own: Own, whole: Callable[[str], bool], holds: Holds, now: float, *, leads: bool
    ) -> dict[int, dict[Fact, Entry]]:
        """What shards must hold instead of what they do, by number; only those that must be written.

        :param whole: whether it is known of a zone what holds here and what does not; others are left alone.
        :param now: Unix seconds; never less than before.
        :param leads: whether this replica has the Lease.
        """
        self._reopen(whole, now, leads=leads)
        writes: dict[Fact, Write] = {}
        for fact in list(self._open):
            if whole(fact.zone):
                write = self._look(fact, own(fact), holds, now)
            elif (told := self.untold.get(fact)) is not None:
                write = Write(told)
            else:
                write = None
                self._parked.setdefault(fact.zone, set()).add(fact)
            if write is None:
                self._open.discard(fact)
            else:
                writes[fact] = write
        found: dict[int, dict[Fact, Entry]] = {}
        for fact, (entry,) in writes.items():
            shard = shard_of(fact)
            content = found.setdefault(shard, {f: self.shared[f] for f in self._by_shard.get(shard, ())})
            content.pop(fact, None)
            if entry is not None:
                content[fact] = entry
        return found

    def next_look(self) -> float | None:
        """When something that only this replica knows is to be handed over."""
        for fact, since in self._lacking.items():
            if fact not in self._open and fact not in self._parked.get(fact.zone, ()):
                return since + HAND_OVER_S
        return None

    def _reopen(self, whole: Callable[[str], bool], now: float, *, leads: bool) -> None:
        """Open what time, a zone that is whole and the Lease have a say in."""
        for fact, since in self._lacking.items():
            if now - since < HAND_OVER_S:
                break
            self._open.add(fact)
        for zone in [zone for zone in self._parked if whole(zone)]:
            self._open |= self._parked.pop(zone)
        if leads != self._leads:
            self._leads = leads
            self._open |= {*self.shared, *self.untold, *self._own}

    def _look(self, fact: Fact, move: Move | None, holds: Holds, now: float) -> Write | None:
        """Look at one fact, of which ``move`` is what holds here; None: it is shared as it should be, or may be yet."""
        self._note(fact, move)
        told, shared = self.untold.get(fact), self.shared.get(fact)
        if move is None:
            if all(holds(fact, entry.move) for entry in (shared, told) if entry is not None):
                return Write(told) if told is not None else None
            self.untold.pop(fact, None)
            self._index(fact)
            return Write(None) if self._leads and shared is not None else None
        if told is not None:
            return Write(told)
        if (entry := self._lacks(fact, move)) is None:
            self._lacking.pop(fact, None)
        elif self._leads or now - self._lacking.setdefault(fact, now) >= HAND_OVER_S:
            return Write(entry)
        return None

    def _note(self, fact: Fact, move: Move | None) -> None:
        """Note what began to hold here: that an interface left again counts against all that was said before."""
        if move is None:
            self._own.discard(fact)
            self._lacking.pop(fact, None)
        elif fact not in self._own:
            self._own.add(fact)
            self.untold.pop(fact, None)
            if fact not in self.shared:  # else it was taken over
                self._seen.discard(fact)
        self._index(fact)

    def _lacks(self, fact: Fact, move: Move) -> Entry | None:
        """What should be shared of a fact that holds here; None where nothing is to be added."""
        have = self.shared.get(fact)
        if have is None:
            return Entry(move) if self._leads or fact not in self._seen else None
        if have.forgotten:  # what was forgotten does not hold here: it left again since
            return Entry(move)
        return Entry(joined(have.move, move)) if tells_more(move, have.move) else None

    def _changed(self, fact: Fact) -> None:
        self._open.add(fact)
        self._index(fact)

    def _index(self, fact: Fact) -> None:
        known = fact in self.shared or fact in self.untold or fact in self._own
        for subject in (fact.service, fact.interface):
            place(self._about, (fact.zone, subject), fact, add=known)
