"""The OPT record of a query (RFC 6891), read with everything else that stands behind the question. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from soadns.nameserver import wire

MAX_RECORDS, MAX_OPTIONS = 16, 32
"""Records behind a question, and options of its OPT: far above any client's, so that a packet's cost is bounded."""
OPT_HEAD = b"\0\0\x29"
"""Root owner and type of an OPT record."""
OPT = Struct("!HBBHH")
"""What follows: size, upper part of RCODE, version, flags, length of the options."""
OPT_SIZE = len(OPT_HEAD) + OPT.size
"""Octets of a record without options."""
DO = 0x8000
"""Comes back as it came (RFC 3225 3), though nothing here is signed."""
_H = Struct("!H")


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT record of a query (RFC 6891)."""

    size: int
    version: int
    flags: int
    """DO, or zero: no other is known (RFC 6891 6.1.4)."""
    wants_nsid: bool


def read_edns(packet: bytes, index: int, others: int) -> tuple[Edns | None, bool]:
    """The OPT record, and whether the records behind the question are sound."""
    additional = _H.unpack_from(packet, 10)[0]
    if others + additional > MAX_RECORDS:
        return None, False
    found: Edns | None = None
    for number in range(others + additional):
        start = index
        index = wire.skip_name(packet, index)
        if index < 0 or index + 10 > len(packet):
            return None, False
        kind, size = _H.unpack_from(packet, index)[0], _H.unpack_from(packet, index + 2)[0]
        length = _H.unpack_from(packet, index + 8)[0]
        data = packet[index + 10 : index + 10 + length]
        if len(data) < length:
            return None, False
        if kind == wire.OPT:
            if found is not None or number < others or packet[start]:
                return None, False
            version = packet[index + 5]
            codes = _option_codes(data)
            if codes is None and not version:
                return None, False
            flags = _H.unpack_from(packet, index + 6)[0] & DO
            found = Edns(size, version, flags, wire.OPTION_NSID in (codes or ()))
        index += 10 + length
    return found, True


def _option_codes(data: bytes) -> set[int] | None:
    """Codes of the EDNS options; None when a length runs out of the data, or there are too many."""
    codes: set[int] = set()
    index = 0
    for _ in range(MAX_OPTIONS):
        if index == len(data):
            return codes
        if index + 4 > len(data):
            return None
        code, length = _H.unpack_from(data, index)[0], _H.unpack_from(data, index + 2)[0]
        index += 4 + length
        if index > len(data):
            return None
        codes.add(code)
    return codes if index == len(data) else None
