"""What denials need: the SOA record of a zone at each place, and forms of names that are well-formed.

Pure; standard library only. A stub resolver asks for three names that do not exist before the one that does, for
both families: most packets are denied.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from soadns.nameserver import wire
from soadns.nameserver.heads import HEADER
from soadns.nameserver.rrsets import TYPED, A

MOST, MOST_IN_ALL = 4_096, 32_768
"""Forms that are remembered of each zone, and of all together, at most: to forget those of one takes a tenth of a
millisecond.
"""
LONG = ord("-")
"""Lengths of labels below it can not be taken for anything else in names that people make."""
_LENGTHS = wire.MAX_WIRE_NAME + TYPED + 1
"""How many lengths of questions there are."""
UNDERSCORE = ord("_")
FORM = bytes(octet if octet < LONG or octet == UNDERSCORE else ord("a") for octet in range(256))
"""For ``bytes.translate``: what is left of a name without its letters. Names of the same form have labels of the same
lengths, if none is ``LONG`` or more. Underscores are left: services begin with one.
"""


@dataclass(slots=True)
class Room:
    """For the forms of one zone, the same for all zones of a table."""

    forms: int = MOST


class Denial:
    """How a zone denies names; stays the same object while the zone is there."""

    __slots__ = ("cut", "ending", "forms", "inner", "number", "origin", "ready", "room", "soa", "tails")

    def __init__(self, origin: bytes, room: Room) -> None:
        self.origin = origin
        """Folded."""
        self.ending = origin + A
        """How questions for A in the zone end."""
        self.cut = slice(-len(self.ending), None)
        """Where."""
        self.inner = 0
        """How many zones are in this one."""
        self.room = room
        self.soa, self.number = b"", 0
        """As of a ``ZoneEntry``."""
        self.ready = False
        """Whether names that are not there are known not to exist."""
        self.tails = [b""] * _LENGTHS
        """Octets of a question -> the authority section; empty until asked for."""
        self.forms: set[bytes] = set()
        """Of questions for A that are ``deniable``, ``translate``d by ``FORM``."""

    def become(self, soa: bytes, number: int, *, ready: bool) -> None:
        """The zone has changed."""
        self.soa, self.number, self.ready = soa, number, ready
        self.tails = [b""] * _LENGTHS

    def tail(self, octets: int) -> bytes:
        """The authority section behind a question of so many octets."""
        tail = self.tails[octets] = wire.soa_at(self.soa, HEADER + octets - len(self.ending))
        return tail

    def deniable(self, question: bytes) -> bool:
        """Whether the name of a question that ends like one for the origin is a name in the zone, and no service's.

        A name consists of labels, and is no longer than names may be.
        """
        if question[1] == UNDERSCORE:
            return False
        at, end, longest = 0, len(question) - TYPED - 1, 0
        below = end + 1 - len(self.origin)
        while at < below:
            length = question[at]
            longest = max(longest, length)
            at += length + 1
        if at != below or longest > 63 or question.find(b"\0") != end or end >= wire.MAX_WIRE_NAME:
            return False
        if longest < LONG:
            if len(self.forms) >= self.room.forms:
                self.forms.clear()
            self.forms.add(question.translate(FORM))
        return True


class Denials:
    """All zones of a table."""

    __slots__ = ("_by_length", "_room", "last", "zones")

    def __init__(self) -> None:
        self._room = Room()
        self.zones: dict[bytes, Denial] = {}
        """Folded origin -> how it denies."""
        self._by_length: list[tuple[int, dict[bytes, Denial]]] = []
        """The same by ``ending``, those of equal length together, the longest first: the first that is found is of the
        closest zone.
        """
        self.last: Denial | None = None
        """Of the zone that was the ``closest`` last, where no other one is in that: it is the closest for whatever ends
        like it, and most questions are in one zone.
        """

    def closest(self, question: bytes) -> Denial | None:
        """Of the closest zone among those that a folded question for A ends like one of."""
        for length, endings in self._by_length:
            denial = endings.get(question[-length:])
            if denial is not None:
                if not denial.inner:
                    self.last = denial
                return denial
        return None

    def renew(self, origin: bytes, soa: bytes, number: int, *, ready: bool) -> None:
        """A zone has begun, or changed."""
        held = self.zones.get(origin)
        if held is None:
            held = Denial(origin, self._room)
            self._place(held)
            self._nest(held, 1)
            self.zones[origin] = held
            self._share()
        held.become(soa, number, ready=ready)

    def forget(self, origin: bytes) -> None:
        """A zone has gone."""
        gone = self.zones.pop(origin, None)
        if gone is not None:
            place = next(one for one in self._by_length if one[0] == len(gone.ending))
            del place[1][gone.ending]
            if not place[1]:
                self._by_length.remove(place)
            self._nest(gone, -1)
            self._share()

    def _place(self, denial: Denial) -> None:
        for length, endings in self._by_length:
            if length == len(denial.ending):
                endings[denial.ending] = denial
                return
        insort(self._by_length, (len(denial.ending), {denial.ending: denial}), key=lambda one: -one[0])

    def _nest(self, denial: Denial, more: int) -> None:
        """This zone has come beside the others, or has gone from among them."""
        for other in self.zones.values():
            if other.ending.endswith(denial.ending):
                denial.inner += more
            elif denial.ending.endswith(other.ending):
                other.inner += more

    def _share(self) -> None:
        self.last = None
        self._room.forms = min(MOST, MOST_IN_ALL // max(1, len(self.zones)))
