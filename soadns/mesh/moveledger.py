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
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Move
from soadns.sidecar.moves import joined, tells_more

SHARDS = 16
"""ConfigMaps over which the facts are spread. Part of the format: it never changes."""
HAND_OVER_S = 5.0
"""How long the holder has to see what another replica saw, before that one writes it."""


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


@dataclass(frozen=True, slots=True)
class News:
    """What reading told this replica to do."""

    adopt: tuple[Fact, ...] = ()
    forget: tuple[Fact, ...] = ()


Holds = Callable[[Fact, Move], bool]
"""Whether a fact's Service is still what the interface left, and the interface elsewhere; True where nobody knows."""


def fact_of(zone: str, move: Move) -> Fact:
    """What a move of a zone is about."""
    return Fact(zone, move.service, move.interface)


def shard_of(fact: Fact) -> int:
    """The number of the ConfigMap that holds it; all of one Service are together."""
    text = f"{fact.zone} {fact.service}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % SHARDS


class Ledger:
    """The facts, as one replica knows them."""

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
        """Facts that this replica knows and that are not shared, and since when."""

    # ------------------------------------------------------------------ what it is told

    def read(self, shard: int, entries: Mapping[Fact, Entry]) -> News:
        """Take in what a shard holds now."""
        adopt, forget = [], []
        for fact, entry in entries.items():
            if self.shared.get(fact) == entry:
                continue
            self._seen.add(fact)
            mine = self.untold.get(fact)
            if entry.forgotten:
                self.untold.pop(fact, None)
                forget.append(fact)
            elif mine is None or mine.forgotten <= entry.move.since:
                self.untold.pop(fact, None)
                adopt.append(fact)
        for fact in self._by_shard.get(shard, set()) - entries.keys():
            del self.shared[fact]
        self._by_shard[shard] = set(entries)
        self.shared.update(entries)
        return News(tuple(adopt), tuple(forget))

    def forget(self, zone: str, moves: Iterable[Move], now: float) -> None:
        """An operator said that no callers are left of these."""
        for move in moves:
            self.untold[fact_of(zone, move)] = Entry(move, now)

    # ------------------------------------------------------------------ what follows

    def changes(
        self, own: Mapping[str, Mapping[Fact, Move]], holds: Holds, now: float, *, leads: bool
    ) -> dict[int, dict[Fact, Entry]]:
        """What shards must hold instead of what they do, by number; only those that must be written.

        :param own: what holds here, by zone; zones of which that is not known are left out.
        :param leads: whether this replica has the Lease.
        """
        mine = {fact: move for moves in own.values() for fact, move in moves.items()}
        self._look(mine, own.keys())
        wanted: dict[Fact, Entry | None] = dict(self.untold)
        for fact, move in mine.items():
            if fact in wanted:
                continue
            if (entry := self._lacks(fact, move, leads=leads)) is None:
                self._lacking.pop(fact, None)
            elif leads or now - self._lacking.setdefault(fact, now) >= HAND_OVER_S:
                wanted[fact] = entry
        for fact, entry in [*self.shared.items(), *self.untold.items()]:
            if fact not in mine and not holds(fact, entry.move):
                self.untold.pop(fact, None)
                wanted.pop(fact, None)
                if leads and fact in self.shared:
                    wanted[fact] = None
        found: dict[int, dict[Fact, Entry]] = {}
        for fact, wish in wanted.items():
            shard = shard_of(fact)
            content = found.setdefault(shard, {f: self.shared[f] for f in self._by_shard.get(shard, ())})
            content.pop(fact, None)
            if wish is not None:
                content[fact] = wish
        return found

    def next_look(self) -> float | None:
        """When something that only this replica knows is to be handed over."""
        return min(self._lacking.values()) + HAND_OVER_S if self._lacking else None

    def _look(self, mine: Mapping[Fact, Move], zones: Collection[str]) -> None:
        """Note what began to hold here: that an interface left again counts against all that was said before."""
        for fact in mine.keys() - self._own:
            self.untold.pop(fact, None)
            if fact not in self.shared:  # else it was taken over
                self._seen.discard(fact)
        self._own = {*mine, *(fact for fact in self._own if fact.zone not in zones)}
        for fact in self._lacking.keys() - self._own:
            del self._lacking[fact]

    def _lacks(self, fact: Fact, move: Move, *, leads: bool) -> Entry | None:
        """What should be shared of a fact that holds here; None where nothing is to be added."""
        have = self.shared.get(fact)
        if have is None:
            return Entry(move) if leads or fact not in self._seen else None
        if have.forgotten:  # what was forgotten does not hold here: it left again since
            return Entry(move)
        return Entry(joined(have.move, move)) if tells_more(move, have.move) else None
