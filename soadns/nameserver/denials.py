"""What denials need: the SOA record of a zone at each place, and names that were denied lately.

Pure; standard library only. A stub resolver asks for three names that do not exist before the one that does, for
both families: most packets are denied, and many are the same ones.
"""

from __future__ import annotations

from soadns.nameserver import wire

SHARDS = 8
"""Parts of the names that were denied, by hash of the question; a power of two."""
MOST = 4_096
"""Names in each of them, at most: it is emptied then, which takes a tenth of a millisecond."""


class Denial:
    """How a zone denies names; stays the same object while the zone is there."""

    __slots__ = ("number", "ready", "soa", "tails")

    def __init__(self, soa: bytes, number: int, *, ready: bool) -> None:
        self.soa = soa
        """As of a ``ZoneEntry``."""
        self.number = number
        self.ready = ready
        """Whether names that are not there are known not to exist."""
        self.tails = [b""] * 256
        """Octets of a question before the zone's origin -> the authority section; empty until asked for."""

    def tail(self, below: int) -> bytes:
        """The authority section where the origin begins so many octets after the question's beginning."""
        tail = self.tails[below] = wire.soa_at(self.soa, 12 + below)
        return tail

    def become(self, other: Denial) -> None:
        """Have what another one has."""
        self.soa, self.number, self.ready, self.tails = other.soa, other.number, other.ready, other.tails


Denied = tuple[Denial, int]
"""The zone that denies a name, and octets of the name before the zone's origin."""


class Denials:
    """By zone, and by name."""

    __slots__ = ("lately", "zones")

    def __init__(self) -> None:
        self.zones: dict[bytes, Denial] = {}
        """Folded origin -> how it denies."""
        self.lately: tuple[dict[bytes, Denied], ...] = tuple({} for _ in range(SHARDS))
        """``lately[hash(question) % SHARDS]``: folded question for A -> whose it is. Such a name is well-formed, and no
        service; whether it exists has to be looked up.
        """

    def renew(self, origin: bytes, denial: Denial) -> None:
        """A zone has begun, or changed."""
        held = self.zones.get(origin)
        if held is None:
            self.zones[origin] = denial
            self._clear()
        else:
            held.become(denial)

    def forget(self, origin: bytes) -> None:
        """A zone has gone."""
        self.zones.pop(origin, None)
        self._clear()

    def remember(self, question: bytes, origin: bytes, below: int) -> Denied:
        """A name for ``lately``."""
        shard = self.lately[hash(question) % SHARDS]
        if len(shard) >= MOST:
            shard.clear()
        found = shard[question] = (self.zones[origin], below)
        return found

    def _clear(self) -> None:
        for shard in self.lately:
            shard.clear()
