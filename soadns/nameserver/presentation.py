"""Compiled answers as text: names and record data as master files and ``dig`` spell them (RFC 1035 5.1).

Pure; control side only, off the packet path. It reads what ``nameserver.zone`` compiles, and no bytes of strangers.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from struct import unpack_from

from soadns.model import RRset
from soadns.nameserver import wire
from soadns.nameserver.rrsets import COUNTS

TYPES = {
    wire.SOA: "SOA", wire.NS: "NS", wire.A: "A", wire.AAAA: "AAAA", wire.SRV: "SRV", wire.TXT: "TXT",
}  # fmt: skip
"""Mnemonics of the types a zone holds, in the order in which a name shows them."""


_IN_NAMES = re.compile(rb'[\0- "$().;@\\\x7f-\xff]')
"""Octets that would mean something else in a name, or can not be printed."""
_IN_QUOTES = re.compile(rb'[\0-\x1f"\\\x7f-\xff]')


def name_text(name: bytes) -> str:
    """An absolute name; what could mean something else in a master file is escaped."""
    labels = []
    while length := name[0]:
        labels.append(_escaped(name[1 : length + 1], _IN_NAMES))
        name = name[length + 1 :]
    return ".".join(labels) + "."


def rrset(owner: bytes, kind: int, answer: bytes) -> RRset:
    """The answer section of a compiled answer; data are sorted, so that equal sets have equal texts."""
    ttl, data = contents(answer)
    return RRset(name_text(owner), ttl, TYPES[kind], tuple(_data_text(kind, one) for one in sorted(data)))


def contents(answer: bytes) -> tuple[int, list[bytes]]:
    """TTL and data of the answer section of a compiled answer."""
    index, ttl, data = COUNTS, 0, list[bytes]()
    for _ in range(int.from_bytes(answer[:2])):
        index = wire.skip_name(answer, index)
        ttl, length = unpack_from("!IH", answer, index + 4)
        index += 10
        data.append(answer[index : index + length])
        index += length
    return ttl, data


def _data_text(kind: int, data: bytes) -> str:
    if kind in (wire.A, wire.AAAA):
        return address_text(data)
    if kind == wire.NS:
        return name_text(data)
    if kind == wire.SRV:
        priority, weight, port = unpack_from("!HHH", data)
        return f"{priority} {weight} {port} {name_text(data[6:])}"
    if kind == wire.SOA:
        end = wire.skip_name(data, wire.skip_name(data, 0))
        mname = data[: wire.skip_name(data, 0)]
        numbers = " ".join(map(str, unpack_from("!IIIII", data, end)))
        return f"{name_text(mname)} {name_text(data[len(mname) : end])} {numbers}"
    return " ".join(f'"{_escaped(one, _IN_QUOTES)}"' for one in strings(data))


def address_text(data: bytes) -> str:
    """The address of an A or AAAA record."""
    return str(IPv4Address(data) if len(data) == 4 else IPv6Address(data))


def strings(data: bytes) -> list[bytes]:
    """The character strings of a TXT record (RFC 1035 3.3.14)."""
    found = []
    while data:
        length = data[0]
        found.append(data[1 : length + 1])
        data = data[length + 1 :]
    return found


def _escaped(octets: bytes, special: re.Pattern[bytes]) -> str:
    return special.sub(_escape, octets).decode("ascii")


def _escape(found: re.Match[bytes]) -> bytes:
    octet = found[0]
    return b"\\" + octet if b" " < octet <= b"~" else b"\\%03d" % octet[0]
