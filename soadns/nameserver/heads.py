"""Headers of usual packets: which queries are usual, and how replies to them begin. Pure; standard library only.

Of a header (RFC 1035 4.1.1) these are octets 2 to 11, flags and counts: the id of a query is that of its reply.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct, pack

from soadns.nameserver import wire

QR, AA, TC, RD, AD, CD = 0x80, 0x04, 0x02, 0x01, 0x20, 0x10
HEADER = 12
"""Octets of a header."""
WITH_OPT = 2
"""Forms from here on are those of queries with one additional record, which should be OPT."""

USUAL: dict[bytes, int] = {
    bytes((rd, low)) + pack("!HHHH", 1, 0, 0, additional): rd + WITH_OPT * additional
    for additional in (0, 1)
    for rd in (0, RD)
    for low in (0, AD, CD, AD | CD)
}
"""Octets 2 to 11 of a query that asks one question -> its form: all that the header of a reply depends on."""

_COUNTS = Struct("!HHH")


def one_more(counts: bytes) -> bytes:
    """The counts with one additional record more."""
    answers, authority, additional = _COUNTS.unpack(counts)
    return _COUNTS.pack(answers, authority, additional + 1)


@lru_cache(maxsize=1_024)
def replies(counts: bytes, rcode: int = wire.NOERROR) -> tuple[bytes, ...]:
    """Form of a query -> octets 2 to 11 of an authoritative reply with so many records (six octets) beside its OPT."""
    return tuple(
        bytes((QR | AA | rd, rcode)) + b"\0\1" + told
        for told in (counts, one_more(counts))
        for rd in (0, RD)
    )  # fmt: skip
