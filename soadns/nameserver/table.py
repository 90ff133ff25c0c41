"""The table from which a worker answers: what owner names have, names that exist, zones.

Pure; standard library only; held alike by the control process and each worker and kept equal by frames.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from itertools import chain
from struct import pack

from soadns.nameserver import wire
from soadns.nameserver.denials import Denials
from soadns.nameserver.rrsets import TCP, TYPED, A, Answer, RRsets, Turns, service_of, targeted

LOADING, READY, PARTLY = 0, 1, 2
"""States of a zone. Names that are not in the table may exist; they do not; they do not, but for what is ``unsaid``,
its variants and what is below it.
"""
SHARDS = 256
"""Parts of the owner names, by hash of the question; a power of two."""
_NAME_SHARDS = 1024
SEEN = 1 << 20
"""Marks of names that came, by hash; a power of two."""

MAX_ZONES = 64
"""The number that all further zones have together. It tells whose an answer is where answers are counted."""
OTHERS = "others"
"""What those zones are called together."""


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
    """Where its answers are counted; that of all further ones is ``MAX_ZONES``."""


class Owners(MutableMapping[bytes, RRsets]):
    """Folded owner name in wire form -> what it has.

    In parts, each a dictionary: one that grows is laid out anew as a whole, and with a million entries packets would
    wait for that for some ten milliseconds. An owner is kept as the question for its addresses (with TYPE and CLASS):
    so a usual packet is looked up without taking it to pieces.
    """

    __slots__ = ("shards",)

    def __init__(self) -> None:
        self.shards: tuple[dict[bytes, RRsets], ...] = tuple({} for _ in range(SHARDS))
        """``shards[hash(question) % SHARDS]`` is where a question for A has what its name has."""

    def __getitem__(self, name: bytes) -> RRsets:
        question = name + A
        return self.shards[hash(question) % SHARDS][question]

    def __setitem__(self, name: bytes, rrsets: RRsets) -> None:
        question = name + A
        self.shards[hash(question) % SHARDS][question] = rrsets

    def __delitem__(self, name: bytes) -> None:
        question = name + A
        del self.shards[hash(question) % SHARDS][question]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and self.get(name) is not None

    def __iter__(self) -> Iterator[bytes]:
        return (question[:-TYPED] for question in chain.from_iterable(self.shards))

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

    owners: dict[bytes, RRsets | None] = field(default_factory=dict)
    """Folded owner name in wire form → what it has."""
    names: dict[bytes, bool] = field(default_factory=dict)
    """Folded name → whether it exists (with data or below it); services are not told."""
    zones: dict[bytes, ZoneEntry | None] = field(default_factory=dict)
    """Folded origin → zone."""

    def merge(self, later: Delta) -> None:
        """Add a later delta to this one."""
        self.owners.update(later.owners)
        self.names.update(later.names)
        self.zones.update(later.zones)

    def __bool__(self) -> bool:
        return bool(self.owners or self.names or self.zones)


Remains = list[dict[bytes, RRsets] | set[bytes]]


class Table:
    """Owners, names and zones; replaced piece by piece between two packets."""

    __slots__ = ("denials", "generation", "names", "owners", "seen", "turns", "zones")

    def __init__(self, names: set[bytes] | Names | None = None) -> None:
        self.owners = Owners()
        self.names = set() if names is None else names
        """A set where it has to be told to others."""
        self.seen = bytearray(SEEN)
        """``seen[hash(question for A) % SEEN]`` is 1 where a name exists: most that do not are told apart by a look."""
        self.zones: dict[bytes, ZoneEntry] = {}
        """Folded origin -> zone."""
        self.denials = Denials()
        self.turns = Turns()
        self.generation = 0

    def apply(self, delta: Delta, generation: int) -> None:
        """Take in a delta; afterwards the table has that generation."""
        for name, rrsets in delta.owners.items():
            if rrsets is None:
                self.owners.pop(name, None)
            else:
                self.owners[name] = rrsets
        for name, exists in delta.names.items():
            if exists:
                self.names.add(name)
                self.seen[hash(name + A) % SEEN] = 1
            else:
                self.names.discard(name)
        for origin, zone in delta.zones.items():
            if zone is None:
                self.zones.pop(origin, None)
                self.denials.forget(origin)
            else:
                self.zones[origin] = zone
                self.denials.renew(origin, zone.soa, zone.number, ready=zone.state == READY)
        self.generation = generation

    def replace(self, other: Table) -> Remains:
        """Have what another table has, which is not to be used any more; returns what is left of what there was."""
        remains = self.remains()
        self.owners, self.names, self.zones = other.owners, other.names, other.zones
        self.seen, self.denials, self.generation = other.seen, other.denials, other.generation
        return remains

    def remains(self) -> Remains:
        """What takes long to take to pieces when this is not used any more, in parts that take little."""
        return [*self.owners.shards, *(denial.forms for denial in self.denials.zones.values())]

    def zone_of(self, name: bytes) -> bytes | None:
        """The origin of the closest enclosing zone of a folded name, or None."""
        zones = self.zones
        while True:
            if name in zones:
                return name
            if not name[0]:
                return None
            name = name[name[0] + 1 :]

    def find(self, name: bytes, kind: int) -> Answer | None:
        """The answer to a question, whose name is in the asker's spelling; None where there is none."""
        folded = name.lower()
        held = self.owners.get(folded)
        answer = held.data.get(pack("!HH", kind, wire.IN)) if held is not None else None
        if answer is None and kind == wire.SRV and (at := service_of(folded)):
            below = self.owners.get(folded[at:])
            records = below.data.get(folded[:at]) if below is not None else None
            return targeted(records, name[at:]) if isinstance(records, bytes) else None
        return answer

    def exists(self, name: bytes) -> bool:
        """Whether there is something at a folded name, or below it (RFC 4592 2.2.2)."""
        if name in self.names:
            return True
        at = service_of(name)
        held = self.owners.get(name[at:]) if at else None
        if held is not None and name[:at] in held.data:
            return True
        if name.startswith(TCP):
            owner = name[len(TCP) :]
            held = self.owners.get(owner)
            return held is not None and held.services(owner)
        return False

    def unsaid(self, name: bytes) -> bool:
        """Whether a folded name is neither to be answered nor denied."""
        held = self.owners.get(name)
        return held is not None and held.unsaid

    def pieces(self, entries: int) -> Iterator[Delta]:
        """Everything, as deltas of so many entries for an empty table.

        The table may change meanwhile: what is new since the beginning is in none of them.
        """
        owners, names = self.owners, self.names
        assert isinstance(names, set), "whoever has to tell a table to others keeps its names"
        keys = list(owners)
        for at in range(0, len(keys), entries):
            some = ((key, owners.get(key)) for key in keys[at : at + entries])
            yield Delta({key: rrsets for key, rrsets in some if rrsets is not None})
        held = list(names)
        for at in range(0, len(held), entries):
            yield Delta(names={name: True for name in held[at : at + entries] if name in names})
        yield from (Delta(zones={origin: zone}) for origin, zone in list(self.zones.items()))
