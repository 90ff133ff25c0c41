"""The table from which a worker answers: precompiled answers, names that exist, zones.

Pure; standard library only; held alike by the control process and each worker and kept equal by frames. An answer is
the number of its zone (an octet), the answer, authority and additional counts (six), and what follows the question in
a reply; a ``Wheel`` is one whose records are sent in another order each time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from itertools import chain

LOADING, READY, PARTLY = 0, 1, 2
"""States of a zone. Names that are not in the table may exist; they do not; they do not, but for what is ``UNSAID``,
its variants and what is below it.
"""
SHARDS = 256
"""Parts of the answers, by hash of the question; a power of two."""
_NAME_SHARDS = 1024
SEEN = 1 << 20
"""Marks of names that came, by hash; a power of two."""

HEAD = 7
"""Octets before the records of an answer: the number of the zone, and counts."""
MAX_ZONES = 64
"""The number that all further zones have together. It tells whose an answer is where answers are counted."""
OTHERS = "others"
"""What those zones are called together."""


@dataclass(slots=True)
class Wheel:
    """An answer of equally long records that begins with the next one at every turn.

    It holds them twice in a row: every order is a slice, and thousands of names with many addresses stay small.
    """

    octets: bytes
    """The head, then the records, then the records again."""
    step: int
    """Octets of one record."""
    at: int = field(default=HEAD, compare=False)

    def current(self) -> bytes:
        """The answer as it stands now."""
        octets, at = self.octets, self.at
        return octets[:HEAD] + octets[at : at + (len(octets) - HEAD >> 1)]

    def turn(self) -> None:
        """Go on to the next order."""
        at = self.at + self.step
        self.at = at if at < (len(self.octets) + HEAD >> 1) else HEAD


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
    number: int = 0
    """What its answers begin with."""


class Answers(MutableMapping[bytes, Answer]):
    """Folded question in wire form (name, QTYPE, QCLASS) -> answer.

    In parts, each a dictionary: one that grows is laid out anew as a whole, and with a million entries packets would
    wait for that for some ten milliseconds.
    """

    __slots__ = ("shards",)

    def __init__(self) -> None:
        self.shards: tuple[dict[bytes, Answer], ...] = tuple({} for _ in range(SHARDS))
        """``shards[hash(question) % SHARDS]`` is where a question's answer is."""

    def __getitem__(self, question: bytes) -> Answer:
        return self.shards[hash(question) % SHARDS][question]

    def __setitem__(self, question: bytes, answer: Answer) -> None:
        self.shards[hash(question) % SHARDS][question] = answer

    def __delitem__(self, question: bytes) -> None:
        del self.shards[hash(question) % SHARDS][question]

    def __contains__(self, question: object) -> bool:
        return question in self.shards[hash(question) % SHARDS]

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self.shards)

    def __len__(self) -> int:
        return sum(map(len, self.shards))


class Names:
    """Which names exist, for who need not list them: eight octets a name, a tenth of what a set takes.

    Most are empty non-terminals, several above each interface. Kept are 64-bit hashes by a key that nobody outside
    this process knows: that one of a million names stands for another one happens to one question in 10^13.
    """

    __slots__ = ("_shards",)

    def __init__(self) -> None:
        self._shards = tuple(array("q") for _ in range(_NAME_SHARDS))
        """Sorted."""

    def add(self, name: bytes) -> None:
        """This name exists."""
        value = hash(name)
        shard = self._shards[value % _NAME_SHARDS]
        index = bisect_left(shard, value)
        if index == len(shard) or shard[index] != value:
            shard.insert(index, value)

    def discard(self, name: bytes) -> None:
        """This name does not exist."""
        value = hash(name)
        shard = self._shards[value % _NAME_SHARDS]
        index = bisect_left(shard, value)
        if index < len(shard) and shard[index] == value:
            del shard[index]

    def __contains__(self, name: bytes) -> bool:
        value = hash(name)
        shard = self._shards[value % _NAME_SHARDS]
        index = bisect_left(shard, value)
        return index < len(shard) and shard[index] == value

    def __len__(self) -> int:
        return sum(map(len, self._shards))


@dataclass(slots=True)
class Delta:
    """Changes of a table, applied as one. None removes."""

    answers: dict[bytes, Answer | None] = field(default_factory=dict)
    """Folded question in wire form → answer."""
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

    __slots__ = ("answers", "generation", "names", "seen", "zones")

    def __init__(self, names: set[bytes] | Names | None = None) -> None:
        self.answers = Answers()
        self.names = set() if names is None else names
        """A set where it has to be told to others."""
        self.seen = bytearray(SEEN)
        """``seen[hash(name) % SEEN]`` is 1 where a name exists: most that do not are told apart by a look."""
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
                self.seen[hash(name) % SEEN] = 1
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
