"""What denials need: the SOA record of a zone at each place, and forms of names that are well-formed.

Pure; standard library only. A stub resolver asks for three names that do not exist before the one that does, for
both families: most packets are denied.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from soadns.nameserver import wire
from soadns.nameserver.rrsets import TYPED, A

MOST, MOST_IN_ALL = 4_096, 32_768
"""Forms that are remembered of each zone, and of all together, at most: to forget those of one takes a tenth of a
millisecond.
"""
LONG = ord("-")
"""Lengths of labels below it can not be taken for anything else in names that people make."""
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

    __slots__ = ("forms", "number", "origin", "ready", "room", "soa", "tails")

    def __init__(self, origin: bytes, room: Room) -> None:
        self.origin = origin
        """Folded."""
        self.room = room
        self.soa, self.number = b"", 0
        """As of a ``ZoneEntry``."""
        self.ready = False
        """Whether names that are not there are known not to exist."""
        self.tails = [b""] * 256
        """Octets of a name before the origin -> the authority section; empty until asked for."""
        self.forms: set[bytes] = set()
        """Of questions for A that are ``deniable``, ``translate``d by ``FORM``."""

    def become(self, soa: bytes, number: int, *, ready: bool) -> None:
        """The zone has changed."""
        self.soa, self.number, self.ready = soa, number, ready
        self.tails = [b""] * 256

    def tail(self, below: int) -> bytes:
        """The authority section where the origin begins so many octets after the question's beginning."""
        tail = self.tails[below] = wire.soa_at(self.soa, 12 + below)
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

    __slots__ = ("_room", "closest", "zones")

    def __init__(self) -> None:
        self._room = Room()
        self.zones: dict[bytes, Denial] = {}
        """Folded origin -> how it denies."""
        self.closest: list[tuple[int, dict[bytes, Denial]]] = []
        """The same by how questions for A in a zone end, those of equal length together, the longest first: the first
        that is found is of the closest zone.
        """

    def renew(self, origin: bytes, soa: bytes, number: int, *, ready: bool) -> None:
        """A zone has begun, or changed."""
        held = self.zones.get(origin)
        if held is None:
            held = self.zones[origin] = Denial(origin, self._room)
            self._place(origin + A, held)
            self._share()
        held.become(soa, number, ready=ready)

    def forget(self, origin: bytes) -> None:
        """A zone has gone."""
        if self.zones.pop(origin, None) is not None:
            ending = origin + A
            place = next(one for one in self.closest if one[0] == len(ending))
            del place[1][ending]
            if not place[1]:
                self.closest.remove(place)
            self._share()

    def _place(self, ending: bytes, denial: Denial) -> None:
        for length, endings in self.closest:
            if length == len(ending):
                endings[ending] = denial
                return
        insort(self.closest, (len(ending), {ending: denial}), key=lambda one: -one[0])

    def _share(self) -> None:
        self._room.forms = min(MOST, MOST_IN_ALL // max(1, len(self.zones)))
