"""What denials need: the SOA record of a zone at each place, and forms of names that are well-formed.

Pure; standard library only. A stub resolver asks for three names that do not exist before the one that does, for
both families: most packets are denied.
"""

from __future__ import annotations

from soadns.nameserver import wire
from soadns.nameserver.rrsets import TYPED, A

MOST = 4_096
"""Forms that are remembered of each zone, at most: to forget them takes a tenth of a millisecond."""
LONG = ord("-")
"""Lengths of labels below it can not be taken for anything else in names that people make."""
UNDERSCORE = ord("_")
FORM = bytes(octet if octet < LONG or octet == UNDERSCORE else ord("a") for octet in range(256))
"""For ``bytes.translate``: what is left of a name without its letters. Names of the same form have labels of the same
lengths, if none is ``LONG`` or more. Underscores are left: services begin with one.
"""


class Denial:
    """How a zone denies names; stays the same object while the zone is there."""

    __slots__ = ("forms", "number", "origin", "ready", "soa", "tails")

    def __init__(self, origin: bytes) -> None:
        self.origin = origin
        """Folded."""
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
            if len(self.forms) >= MOST:
                self.forms.clear()
            self.forms.add(question.translate(FORM))
        return True


class Denials:
    """All zones of a table."""

    __slots__ = ("closest", "zones")

    def __init__(self) -> None:
        self.zones: dict[bytes, Denial] = {}
        """Folded origin -> how it denies."""
        self.closest: tuple[tuple[bytes, Denial], ...] = ()
        """The same by how questions for A in a zone end; zones inside others come before them."""

    def renew(self, origin: bytes, soa: bytes, number: int, *, ready: bool) -> None:
        """A zone has begun, or changed."""
        held = self.zones.get(origin)
        if held is None:
            held = self.zones[origin] = Denial(origin)
            self._sort()
        held.become(soa, number, ready=ready)

    def forget(self, origin: bytes) -> None:
        """A zone has gone."""
        self.zones.pop(origin, None)
        self._sort()

    def _sort(self) -> None:
        longest = sorted(self.zones, key=len, reverse=True)
        self.closest = tuple((origin + A, self.zones[origin]) for origin in longest)
