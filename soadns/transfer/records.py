"""Compiled answers as records of their own, and records in messages of a transfer (RFC 5936 2.2). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack, unpack_from

from soadns.nameserver import wire
from soadns.nameserver.rrsets import COUNTS
from soadns.nameserver.zone import ZoneData, named
from soadns.transfer.versions import Difference, Named, Version

Record = tuple[bytes, bytes]
"""Owner name in wire form; TYPE, CLASS, TTL, RDLENGTH and RDATA."""

SIZE = 16_384
"""Octets of a message: beyond, compression pointers do not reach (RFC 1035 4.1.4)."""
_FIXED = 10
"""Octets of a record between its owner and its data."""


def records(kinds: Iterable[tuple[bytes, int, bytes]]) -> Iterator[Record]:
    """Every record of some compiled answers (``zone.named``)."""
    for name, _, octets in kinds:
        at = COUNTS
        for _ in range(int.from_bytes(octets[:2])):
            at = wire.skip_name(octets, at)
            end = at + _FIXED + int.from_bytes(octets[at + 8 : at + _FIXED])
            yield name, octets[at:end]
            at = end


def of(one: Named) -> Iterator[Record]:
    """Every record of an owner name, those of its services included."""
    return records(named(*one))


def soa(zone: ZoneData, serial: int) -> Record:
    """The zone's SOA under a serial."""
    return next(record for record in of(zone.apex(serial)) if _kind(record) == wire.SOA)


def axfr(zone: ZoneData, version: Version) -> Iterator[Record]:
    """A whole version: the SOA first and last (RFC 5936 2.2)."""
    apex = list(of(zone.apex(version.serial)))
    yield from apex
    for one in version.owners:
        yield from of(one)
    yield apex[0]


def ixfr(zone: ZoneData, difference: Difference) -> Iterator[Record]:
    """A difference as one sequence: removed records after the old SOA, added ones after the new SOA (RFC 1995 4).

    Versions between the two are left out, as 4 allows; a record that both have is in neither list.
    """
    old, new = soa(zone, difference.before), soa(zone, difference.after)
    removed = {record: None for one in difference.removed for record in of(one)}
    added = {record: None for one in difference.added for record in of(one)}
    yield new
    yield old
    yield from (record for record in removed if record not in added)
    yield new
    yield from (record for record in added if record not in removed)
    yield new


def _kind(record: Record) -> int:
    return int.from_bytes(record[1][:2])


def messages(head: bytes, question: bytes, stream: Iterable[Record], *, room: int = 0) -> Iterator[bytes]:
    """Records in as few messages as hold them; each has the question, and ``room`` octets left below ``SIZE``.

    ``head``: ID and flags, four octets. Owner names are compressed against the question's name, which every name of
    the zone ends with, and against the record before them; data are not (RFC 3597 4, 2782).
    """
    end = wire.skip_name(question, 0) - 1
    origin = wire.fold(question[:end])
    begin = 12 + len(question)
    body, count, last, at = bytearray(), 0, b"", 0
    for name, data in stream:
        owner = wire.pointer(at) if name == last and at else _shortened(name, origin)
        if body and begin + len(body) + len(owner) + len(data) > SIZE - room:
            yield head + pack("!HHHH", 1, count, 0, 0) + question + bytes(body)
            body, count, at, owner = bytearray(), 0, 0, _shortened(name, origin)
        if name != last or not at:
            last, at = name, begin + len(body)
        body += owner + data
        count += 1
    yield head + pack("!HHHH", 1, count, 0, 0) + question + bytes(body)


def _shortened(name: bytes, origin: bytes) -> bytes:
    """A name of the zone that ends with a pointer to the question's."""
    cut = len(name) - 1 - len(origin)
    return name[:cut] + wire.pointer(12)


def serial_of(record: Record) -> int:
    """The serial of an SOA record."""
    return int(unpack_from("!I", record[1], len(record[1]) - 20)[0])
