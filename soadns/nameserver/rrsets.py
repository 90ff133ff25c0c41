"""What an owner name has, compiled: one object for all names that have the same.

Pure; standard library only. Thousands of interfaces run in one Service, and apart from the name all of them answer
alike, so nothing here has a name in it: the owner of each record is the question (a compression pointer to it), and
the target of SRV records is what is left of the question.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct, pack
from typing import Any

from soadns.nameserver import wire
from soadns.nameserver.heads import replies

COUNTS = 6
"""Octets before the records of an answer: how many of them are answers, authority and additional ones."""
A, UNSAID = pack("!HH", wire.A, wire.IN), pack("!HH", 0, wire.IN)
"""TYPE and CLASS of a question for addresses; in place of them, with an empty answer: the name is neither answered nor
denied (SERVFAIL).
"""
TYPED = 4
"""Octets of TYPE and CLASS."""
QUESTIONS = wire.COUNTED_TYPES - {wire.OPT, wire.AXFR, wire.ANY}
"""Types of questions that are nothing but questions; all are below 256."""
TCP = b"\x04_tcp"
"""The label of all services (RFC 2782)."""

_COUNT = Struct("!H")
_SRV = 18
"""Octets of an SRV record before its target: a pointer, type, class, TTL, length, priority, weight, port."""


PLACES = 1 << 14
"""Orders that are remembered, by hash; a power of two."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """An answer of equally long records that begins with another one each time.

    It holds them twice in a row: every order is a slice, and thousands of names with many addresses stay small.
    """

    octets: bytes
    """The counts, then the records, then the records again."""
    step: int
    """Octets of one record."""

    @property
    def records(self) -> int:
        """How many there are."""
        return int(_COUNT.unpack_from(self.octets)[0])

    @property
    def size(self) -> int:
        """Octets of an answer, whichever record it begins with."""
        return COUNTS + (len(self.octets) - COUNTS >> 1)

    def order(self, first: int) -> bytes:
        """The answer that begins with the record of this number."""
        octets, at = self.octets, COUNTS + first * self.step
        return octets[:COUNTS] + octets[at : at + self.size - COUNTS]


class Turns:
    """With which record of its ``Wheel`` each name begins the next time.

    That is the name's own and not the wheel's, which many names share: of two that are asked by turns, each would
    always begin with the same one. Names begin anywhere, so that whoever asks for many of them, one after the other, is
    not sent to the same address by all. Names of equal hash take their turns together: no more is remembered than so
    much, whatever is asked for.
    """

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places = array("H", bytes(2 * PLACES))
        """Numbers of records, counted from one; zero for what was not asked for yet."""

    def take(self, question: bytes, wheel: Wheel) -> int:
        """The number of the record with which the answer to a folded question begins; after it the next one is due."""
        value, records = hash(question), wheel.records
        place = self._places[value % PLACES]
        first = (place - 1 if place else value // PLACES) % records
        self._places[value % PLACES] = (first + 1) % records + 1
        return first


Answer = bytes | Wheel
"""The counts (six octets), and what follows the question in a reply."""


class RRsets:
    """What one owner name has, or each of many. Not to be changed.

    ``data``: TYPE and CLASS of a question (four octets) -> answer; and the folded labels that stand before the owner
    name (``_dubbo._tcp``) -> answer to the question for SRV there, in which records lack their target.
    """

    __slots__ = ("absent", "data", "heads", "number", "origin", "records", "unsaid")

    def __init__(self, origin: bytes, number: int, data: Mapping[bytes, Answer]) -> None:
        self.origin = origin
        """The folded origin of the zone."""
        self.number = number
        """Which zone that is, for counting."""
        self.data = dict(data)
        self.heads: tuple[bytes, ...] = ()
        self.records = b""
        """Of the answer to the question for A, if that is always the same: its header (``heads.replies``), and its
        records.
        """
        self.unsaid = UNSAID in self.data
        """Whether the name is neither to be answered nor denied."""
        self.absent = _absent(frozenset(self.data)) if not self.unsaid else frozenset()
        """Types below 256 of which there is nothing, whatever the name; so never SRV."""
        plain = self.data.get(A)
        if isinstance(plain, bytes):
            self.heads, self.records = replies(_once(plain[:COUNTS])), plain[COUNTS:]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RRsets):
            return NotImplemented
        return (self.origin, self.number, self.data) == (other.origin, other.number, other.data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RRsets({self.origin!r}, {self.number}, {self.data!r})"

    def services(self, name: bytes) -> bool:
        """Whether there are SRV records below this name, which has them: not where theirs would be too long."""
        return any(TYPED < len(key) <= wire.MAX_WIRE_NAME - len(name) for key in self.data)

    def plain(self) -> tuple[Any, ...]:
        """As a tuple of octets and numbers, for ``restored``."""
        told: list[object] = [self.origin, self.number]
        for key, answer in self.data.items():
            told += (key, (answer.octets, answer.step) if isinstance(answer, Wheel) else answer)
        return tuple(told)


def restored(told: tuple[Any, ...]) -> RRsets:
    """What ``plain`` said. Raises ValueError, TypeError or struct.error for what it never says."""
    origin, number, *rest = told
    if len(rest) % 2:
        raise ValueError("a key without an answer")
    pairs = zip(map(_once, rest[::2]), rest[1::2], strict=True)
    return RRsets(
        _once(origin), number, {key: Wheel(*one) if isinstance(one, tuple) else one for key, one in pairs}
    )


@lru_cache(maxsize=1_024)
def _once(octets: bytes) -> bytes:
    """Of equal octets the same object: types, origins, names of services and counts are few."""
    return octets


@lru_cache(maxsize=1_024)
def _absent(keys: frozenset[bytes]) -> frozenset[int]:
    """What there is nothing of where there is what these keys say."""
    return frozenset(kind for kind in QUESTIONS - {wire.SRV} if pack("!HH", kind, wire.IN) not in keys)


def targeted(answer: bytes, target: bytes) -> bytes:
    """The answer to a question for SRV: its records with their target, which is never compressed (RFC 2782)."""
    end = COUNTS + _SRV * _COUNT.unpack_from(answer)[0]
    length = pack("!H", _SRV - 12 + len(target))
    parts = [answer[:COUNTS]]
    for at in range(COUNTS, end, _SRV):
        parts += (answer[at : at + 10], length, answer[at + 12 : at + _SRV], target)
    parts.append(answer[end:])
    return b"".join(parts)


def service_of(name: bytes) -> int:
    """How many octets of a folded name are a service (``_dubbo._tcp``); 0 where the name begins with none."""
    if name[1:2] != b"_":
        return 0
    first = name[0] + 1
    return first + len(TCP) if name[first : first + len(TCP)] == TCP else 0
