"""Frames by which the control process feeds workers, over a socket that keeps message boundaries.

Pure; standard library only. A full table is ``BEGIN``, ``CHUNK``..., ``END``; afterwards each change is a
``DELTA``, after ``PART``s of the same generation where it is large. Every frame has a generation, its number
within it, and a checksum; a worker that misses one asks for a full table with ``NEED``. Values are
marshalled between two processes of the same interpreter, over a socket that nobody else can open.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from soadns.nameserver.table import Delta, ZoneEntry

BEGIN, CHUNK, END, DELTA, PART, NEED, APPLIED, STATS = range(1, 9)
_HEADER = Struct("!IBQI")
"""Checksum of all that follows; kind, generation and number."""
MAX_BODY = 48 * 1024
"""Octets of content per frame, well below a SOCK_SEQPACKET socket's default buffer (208 KiB)."""


class FrameError(ValueError):
    """A frame that is cut, damaged or unknown."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame."""

    kind: int
    generation: int
    body: bytes = b""
    number: int = 0
    """How many frames of the same table or change went before."""


def encode(kind: int, generation: int, body: bytes = b"", number: int = 0) -> bytes:
    """A frame as one message."""
    message = _HEADER.pack(0, kind, generation, number) + body
    return crc32(message[4:]).to_bytes(4) + message[4:]


def decode(message: bytes) -> Frame:
    """The frame in one message. Raises FrameError."""
    if len(message) < _HEADER.size:
        raise FrameError(f"a frame of {len(message)} octets is too short")
    checksum, kind, generation, number = _HEADER.unpack_from(message)
    if crc32(message[4:]) != checksum:
        raise FrameError(f"a frame of {len(message)} octets has a wrong checksum")
    if not BEGIN <= kind <= STATS:
        raise FrameError(f"a frame of unknown kind {kind}")
    return Frame(kind, generation, message[_HEADER.size :], number)


def full(whole: Delta, generation: int) -> Iterator[bytes]:
    """The frames of a full table."""
    yield encode(BEGIN, generation)
    number = 0
    for number, body in enumerate(_bodies(whole), 1):
        yield encode(CHUNK, generation, body, number)
    yield encode(END, generation, number=number + 1)


def delta(change: Delta, generation: int) -> Iterator[bytes]:
    """The frames of one change; the receiver applies all of them before the next packet."""
    bodies = list(_bodies(change))
    for number, body in enumerate(bodies[:-1]):
        yield encode(PART, generation, body, number)
    yield encode(DELTA, generation, bodies[-1], len(bodies) - 1)


def _bodies(change: Delta) -> Iterator[bytes]:
    zones = {
        origin: None if zone is None else (zone.state, zone.soa, zone.serial, zone.label)
        for origin, zone in change.zones.items()
    }
    answers: dict[bytes, object] = {}
    names: dict[bytes, bool] = {}
    size = 0
    for key, answer in change.answers.items():
        answers[key] = answer
        size += (
            len(key)
            + 16
            + (0 if answer is None else len(answer) if isinstance(answer, bytes) else sum(map(len, answer)))
        )
        if isinstance(answer, list):
            size += 8 * len(answer)
        if size > MAX_BODY:
            yield marshal.dumps((answers, {}, {}))
            answers, size = {}, 0
    for name, exists in change.names.items():
        names[name] = exists
        size += len(name) + 8
        if size > MAX_BODY:
            yield marshal.dumps((answers, names, {}))
            answers, names, size = {}, {}, 0
    yield marshal.dumps((answers, names, zones))


def content(body: bytes) -> Delta:
    """The delta in the body of a CHUNK, DELTA or PART. Raises FrameError."""
    try:
        answers, names, zones = marshal.loads(body)  # noqa: S302 - our own processes, see above
        entries = {origin: None if zone is None else ZoneEntry(*zone) for origin, zone in zones.items()}
    except (ValueError, EOFError, TypeError, AttributeError) as error:
        raise FrameError(f"unreadable frame: {error}") from None
    return Delta(answers, names, entries)
