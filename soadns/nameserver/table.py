"""The table from which a worker answers: precompiled answers, names that exist, zones.

Pure; standard library only; held alike by the control process and each worker and kept equal by frames. A
value of ``answers`` is what follows the question in a reply, behind the six octets of the answer,
authority and additional counts; a ``Wheel`` is one whose records are sent in another order each time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

LOADING, READY, PARTLY = 0, 1, 2
"""States of a zone. Names that are not in the table may exist; they do not; they do not, but for what is ``UNSAID``,
its variants and what is below it.
"""
_SHARDS = 1024
_MASK = (1 << 64) - 1

COUNTS = 6
"""Octets of the counts before the records of an answer."""


@dataclass(slots=True)
class Wheel:
    """An answer of equally long records that begins with the next one at every turn.

    It holds them twice in a row: every order is a slice, and thousands of names with many addresses stay small.
    """

    octets: bytes
    """The counts, then the records, then the records again."""
    step: int
    """Octets of one record."""
    at: int = field(default=COUNTS, compare=False)

    def current(self) -> bytes:
        """The answer as it stands now."""
        octets, at = self.octets, self.at
        return octets[:COUNTS] + octets[at : at + (len(octets) - COUNTS >> 1)]

    def turn(self) -> None:
        """Go on to the next order."""
        at = self.at + self.step
        self.at = at if at < (len(self.octets) + COUNTS >> 1) else COUNTS


Answer = bytes | Wheel
UNSAID = 0
"""In place of a QTYPE, with an empty answer: the name is neither answered nor denied (SERVFAIL)."""


@dataclass(frozen=True, slots=True)
class ZoneEntry:
    """What answers about a zone need besides its names."""

    state: int
    """``LOADING``, ``READY`` or ``PARTLY``."""
    soa: bytes
    """The SOA record for ``wire.soa_at``, with its TTL in negative answers (RFC 2308 3)."""
    serial: int
    label: str
    """The zone's name for metrics."""


class Names:
    """Which names exist, for who need not list them: eight octets a name, a tenth of what a set takes.

    Most are empty non-terminals, several above each interface. Kept are 64-bit hashes by a key that nobody outside
    this process knows: that one of a million names stands for another one happens to one question in 10^13.
    """

    __slots__ = ("_shards", "_unsorted")

    def __init__(self) -> None:
        self._shards = [array("Q") for _ in range(_SHARDS)]
        self._unsorted = bytearray(_SHARDS)

    def add(self, name: bytes) -> None:
        """This name exists."""
        value = hash(name)
        self._shards[value % _SHARDS].append(value & _MASK)
        self._unsorted[value % _SHARDS] = 1

    def discard(self, name: bytes) -> None:
        """This name does not exist."""
        shard, index = self._find(name)
        if index < len(shard) and shard[index] == hash(name) & _MASK:
            del shard[index]

    def __contains__(self, name: bytes) -> bool:
        shard, index = self._find(name)
        return index < len(shard) and shard[index] == hash(name) & _MASK

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def _find(self, name: bytes) -> tuple[array[int], int]:
        """The shard of a name, and where its hash stands or would stand."""
        value = hash(name)
        number = value % _SHARDS
        if self._unsorted[number]:
            # Put off until now: a table is loaded five times as fast.
            self._shards[number] = array("Q", sorted(set(self._shards[number])))
            self._unsorted[number] = 0
        shard = self._shards[number]
        return shard, bisect_left(shard, value & _MASK)


@dataclass(slots=True)
class Delta:
    """Changes of a table, applied as one. None removes."""

    answers: dict[bytes, Answer | None] = field(default_factory=dict)
    """Folded owner name in wire form + QTYPE (two octets) → answer."""
    names: dict[bytes, bool] = field(default_factory=dict)
    """Folded owner name → whether it exists (with data or below it)."""
    zones: dict[bytes, ZoneEntry | None] = field(default_factory=dict)
    """Folded origin → zone."""

    def merge(self, later: Delta) -> None:
        """Add a later delta to this one."""
        self.answers.update(later.answers)
        self.names.update(later.names)
        self.zones.update(later.zones)

    def __bool__(self) -> bool:
        return bool(self.answers or self.names or self.zones)


def _most_specific(zone: tuple[bytes, ZoneEntry]) -> int:
    return -len(zone[0])


class Table:
    """Answers, names and zones; replaced piece by piece between two packets."""

    __slots__ = ("answers", "generation", "names", "zones")

    def __init__(self, names: set[bytes] | Names | None = None) -> None:
        self.answers: dict[bytes, Answer] = {}
        self.names = set() if names is None else names
        """A set where it has to be told to others."""
        self.zones: dict[bytes, ZoneEntry] = {}
        """The longest origins first: the first one that a name is in is the closest."""
        self.generation = 0

    def apply(self, delta: Delta, generation: int) -> None:
        """Take in a delta; afterwards the table has that generation."""
        for key, answer in delta.answers.items():
            if answer is None:
                self.answers.pop(key, None)
            else:
                self.answers[key] = answer
        for name, exists in delta.names.items():
            if exists:
                self.names.add(name)
            else:
                self.names.discard(name)
        for origin, zone in delta.zones.items():
            if zone is None:
                self.zones.pop(origin, None)
            elif origin in self.zones:
                self.zones[origin] = zone
            else:
                self.zones = dict(sorted([*self.zones.items(), (origin, zone)], key=_most_specific))
        self.generation = generation

    def zone_of(self, name: bytes) -> bytes | None:
        """The origin of the closest enclosing zone of a folded name, or None."""
        zones = self.zones
        while True:
            if name in zones:
                return name
            if not name[0]:
                return None
            name = name[name[0] + 1 :]

    def pieces(self, entries: int) -> Iterator[Delta]:
        """Everything, as deltas of so many entries for an empty table.

        The table may change meanwhile: what is new since the beginning is in none of them.
        """
        answers, names = self.answers, self.names
        assert isinstance(names, set), "whoever has to tell a table to others keeps its names"
        keys = list(answers)
        for at in range(0, len(keys), entries):
            yield Delta({key: answers[key] for key in keys[at : at + entries] if key in answers})
        held = list(names)
        for at in range(0, len(held), entries):
            yield Delta(names={name: True for name in held[at : at + entries] if name in names})
        yield Delta(zones=dict(self.zones))
