"""Frames: how control tells workers what to answer, and how workers report back.

Pure; standard library only. A full table is ``BEGIN``, ``CHUNK``..., ``END``; afterwards each change is a
``DELTA``, after ``PART``s of the same generation where it is large. Those stand in a journal that control writes
and every worker reads (``journal``); ``CHANGED``, ``NEED``, ``APPLIED`` and ``STATS`` are messages between one
worker and control. Every frame has a length, a generation, its number within it, and a checksum. Values are
marshalled between processes of the same interpreter, through descriptors that nobody else can open.

A frame is small, and what is said of one owner name stands in one: a worker takes it between two packets.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Hashable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from soadns.nameserver.rrsets import RRsets, Wheel, restored
from soadns.nameserver.table import Delta, Table, ZoneEntry

BEGIN, CHUNK, END, DELTA, PART, CHANGED, NEED, APPLIED, STATS = range(1, 10)
_HEADER = Struct("!IIBQI")
"""Checksum of all that follows; octets of content; kind, generation and number."""
MAX_BODY = 16 * 1024
"""Octets of content from which on a frame takes no more."""
MAX_ENTRIES = 256
"""The same in owners and names: a frame costs a worker about a tenth of a millisecond."""
NAMES_TOGETHER = 32
"""Names that begin or end to exist, put into a frame in one step: one by one that takes half as long again."""


class FrameError(ValueError):
    """A frame that is cut, damaged, unknown or out of order."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame."""

    kind: int
    generation: int
    body: bytes = b""
    number: int = 0
    """How many frames of the same table or change went before."""


def encode(kind: int, generation: int, body: bytes = b"", number: int = 0) -> bytes:
    """A frame as octets."""
    octets = _HEADER.pack(0, len(body), kind, generation, number) + body
    return crc32(octets[4:]).to_bytes(4) + octets[4:]


def decode(octets: bytes) -> Frame:
    """The frame that these octets are. Raises FrameError."""
    found = first(octets, 0)
    if found is None or found[1] != len(octets):
        raise FrameError(f"{len(octets)} octets are no frame")
    return found[0]


def first(octets: bytes, at: int) -> tuple[Frame, int] | None:
    """The frame that begins at an index, and where it ends; None when it is not all there. Raises FrameError."""
    body = at + _HEADER.size
    if len(octets) < body:
        return None
    checksum, size, kind, generation, number = _HEADER.unpack_from(octets, at)
    end = body + size
    if len(octets) < end:
        return None
    if crc32(octets[at + 4 : end]) != checksum:
        raise FrameError(f"a frame of {size} octets has a wrong checksum")
    if not BEGIN <= kind <= STATS:
        raise FrameError(f"a frame of unknown kind {kind}")
    return Frame(kind, generation, octets[body:end], number), end


def full(table: Table) -> Iterator[bytes]:
    """The frames of a whole table, as it is asked for them.

    Changes meanwhile are in it or not, or in part; whoever applies those again afterwards has the table as it
    is then.
    """
    generation = table.generation
    yield encode(BEGIN, generation)
    number = 0
    for number, piece in enumerate(_bounded(table.pieces(MAX_ENTRIES)), 1):
        yield encode(CHUNK, generation, piece, number)
    yield encode(END, generation, number=number + 1)


def delta(change: Delta, generation: int) -> Iterator[bytes]:
    """The frames of one change."""
    bodies = list(_bounded(_by_owner(change)))
    for number, body in enumerate(bodies[:-1]):
        yield encode(PART, generation, body, number)
    yield encode(DELTA, generation, bodies[-1], len(bodies) - 1)


def content(body: bytes, alike: MutableMapping[Hashable, RRsets] | None = None) -> Delta:
    """The delta in the body of a CHUNK, DELTA or PART. Raises FrameError.

    ``alike`` holds what came earlier: of what is equal to that, that is taken.
    """
    if alike is None:
        alike = {}
    try:
        told, names, zones = marshal.loads(body)  # noqa: S302 - our own processes, see above
        owners: dict[bytes, RRsets | None] = {}
        made: dict[int, RRsets] = {}  # the same object in a frame is looked for once
        for name, one in told.items():
            if one is None:
                owners[name] = None
                continue
            rrsets = made.get(id(one))
            if rrsets is None:
                rrsets = alike.get(one)
                if rrsets is None:
                    rrsets = alike[one] = restored(one)
                made[id(one)] = rrsets
            owners[name] = rrsets
        entries = {origin: None if zone is None else ZoneEntry(*zone) for origin, zone in zones.items()}
    except (ValueError, EOFError, TypeError, AttributeError, struct.error) as error:
        raise FrameError(f"unreadable frame: {error}") from None
    return Delta(owners, names, entries)


def _by_owner(change: Delta) -> Iterator[Delta]:
    """A change in pieces that may be applied one by one, packets in between.

    A name begins to exist before it has data, and has none any more before it ends to: in between it has no
    data, never NXDOMAIN for one type and data for another. A zone goes before its names, and comes after them.
    """
    yield from (Delta(zones={origin: None}) for origin, zone in change.zones.items() if zone is None)
    yield from _names([name for name, exists in change.names.items() if exists], exist=True)
    yield from (Delta({name: rrsets}) for name, rrsets in change.owners.items())
    yield from _names([name for name, exists in change.names.items() if not exists], exist=False)
    yield from (Delta(zones={origin: zone}) for origin, zone in change.zones.items() if zone is not None)


def _names(names: list[bytes], *, exist: bool) -> Iterator[Delta]:
    return (
        Delta(names=dict.fromkeys(names[at : at + NAMES_TOGETHER], exist))
        for at in range(0, len(names), NAMES_TOGETHER)
    )


def _bounded(pieces: Iterable[Delta]) -> Iterator[bytes]:
    """Marshalled contents of frames: pieces together as long as there is room, none cut."""
    held, size, entries, told = Delta(), 0, 0, set[int]()
    for piece in pieces:
        more = _size(piece, told)
        count = len(piece.owners) + len(piece.names) + len(piece.zones)
        if (held and size + more > MAX_BODY) or entries + count > MAX_ENTRIES:
            yield _marshalled(held)
            held, size, entries, told = Delta(), 0, 0, set()
            more = _size(piece, told)
        held.merge(piece)
        size, entries = size + more, entries + count
    yield _marshalled(held)


def _size(piece: Delta, told: set[int]) -> int:
    """About how many octets a piece takes in a frame that has told these RRsets (by ``id``), to which its are added."""
    size = sum(len(name) + 16 for name in (*piece.owners, *piece.names, *piece.zones))
    size += sum(len(zone.soa) + len(zone.label) + 32 for zone in piece.zones.values() if zone is not None)
    for rrsets in piece.owners.values():
        if rrsets is not None and id(rrsets) not in told:
            told.add(id(rrsets))
            size += sum(
                len(key) + len(answer.octets if isinstance(answer, Wheel) else answer) + 16
                for key, answer in rrsets.data.items()
            )
    return size


def _marshalled(piece: Delta) -> bytes:
    zones = {
        origin: None if zone is None else (zone.state, zone.soa, zone.serial, zone.label, zone.number)
        for origin, zone in piece.zones.items()
    }
    # What is the same object here is written once, and is the same object in the worker.
    plain = {id(rrsets): rrsets.plain() for rrsets in piece.owners.values() if rrsets is not None}
    owners = {name: None if rrsets is None else plain[id(rrsets)] for name, rrsets in piece.owners.items()}
    return marshal.dumps((owners, piece.names, zones))
