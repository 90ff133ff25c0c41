"""DNS wire format, as little of it as an authoritative server of A, AAAA, SRV, TXT, SOA and NS needs.

Pure; standard library only; both the control process (which compiles answers) and the workers (which send
them) import it. Names are bytes in wire form, uncompressed, with the root label at the end.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from struct import pack

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV = 1, 2, 5, 6, 12, 15, 16, 28, 33
OPT, SVCB, HTTPS, ANY = 41, 64, 65, 255
TKEY, TSIG, IXFR, AXFR = 249, 250, 251, 252
IN, CH = 1, 3
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
BADVERS = 16

EDE_NOT_READY = 14
"""RFC 8914 4.15."""
EDE_NOT_AUTHORITATIVE = 20
OPTION_NSID, OPTION_EDE = 3, 15

MAX_WIRE_NAME = 255
COUNTED_TYPES = frozenset((A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, SVCB, HTTPS, AXFR, ANY))
"""Types that are counted by themselves; what else strangers ask for is counted together."""


class BadNameError(ValueError):
    """Text that is no domain name."""


def encode_name(text: str) -> bytes:
    """Presentation form (no escapes, with or without the final dot) to wire form.

    Raises BadNameError for empty or overlong labels and names longer than 255 octets (RFC 1035 3.1).
    """
    text = text.removesuffix(".")
    if not text:
        return b"\0"
    out = bytearray()
    for label in text.split("."):
        octets = label.encode("utf-8", "surrogatepass")
        if not 0 < len(octets) < 64:
            raise BadNameError(f"label {label!r} of {text!r} must have 1 to 63 octets")
        out.append(len(octets))
        out += octets
    out.append(0)
    if len(out) > MAX_WIRE_NAME:
        raise BadNameError(f"{text!r} is longer than 255 octets on the wire")
    return bytes(out)


def fold(name: bytes) -> bytes:
    """A wire name without its case (RFC 4343); length octets are below 64 and so unaffected."""
    return name.lower()


def parent(name: bytes) -> bytes:
    """The name without its first label."""
    return name[name[0] + 1 :]


def question(name: bytes, kind: int) -> bytes:
    """The question for a name, as it stands in a packet (RFC 1035 4.1.2)."""
    return name + pack("!HH", kind, IN)


def rr(owner: bytes, kind: int, ttl: int, rdata: bytes) -> bytes:
    """One resource record; ``owner`` may be a compression pointer."""
    return owner + pack("!HHIH", kind, IN, ttl, len(rdata)) + rdata


@lru_cache(maxsize=16_384)
def address_rdata(address: str) -> tuple[int, bytes]:
    """Type and rdata of an IP address."""
    ip = ip_address(address)
    return (A if ip.version == 4 else AAAA), ip.packed


def txt_rdata(texts: tuple[str, ...]) -> bytes:
    """Character strings of a TXT record, each cut at 255 octets, between characters (RFC 1035 3.3.14)."""
    out = bytearray()
    for text in texts or ("",):
        octets = text.encode()[:255].decode(errors="ignore").encode()
        out.append(len(octets))
        out += octets
    return bytes(out)


def srv_rdata(priority: int, weight: int, port: int, target: bytes) -> bytes:
    """RFC 2782; the target is never compressed."""
    return pack("!HHH", priority, weight, port) + target


def soa_rdata(mname: bytes, rname: bytes, serial: int, times: tuple[int, int, int, int]) -> bytes:
    """RFC 1035 3.3.13; times are refresh, retry, expire, minimum."""
    return mname + rname + pack("!IIIII", serial & 0xFFFFFFFF, *times)


def pointer(offset: int) -> bytes:
    """A compression pointer (RFC 1035 4.1.4)."""
    return pack("!H", 0xC000 | offset)


_NS, _MAIL = b"\x02ns", b"\x0ahostmaster"
"""What stands before the origin in the names of a zone's SOA and NS records."""
_AT_NS, _AT_MAIL = 10 + len(_NS), 10 + len(_NS) + 2 + len(_MAIL)


def apex_names(origin: bytes) -> tuple[bytes, bytes]:
    """The name server and the mailbox of a zone; ``origin`` may be a compression pointer to it."""
    return _NS + origin, _MAIL + origin


@lru_cache(maxsize=512)  # an origin stands at few offsets, and every denial needs it
def soa_at(soa: bytes, origin: int) -> bytes:
    """An SOA record whose names are ``apex_names`` of a pointer, with its owner, pointing to this offset."""
    where = pointer(origin)
    return where + soa[:_AT_NS] + where + soa[_AT_NS + 2 : _AT_MAIL] + where + soa[_AT_MAIL + 2 :]


def skip_name(packet: bytes, index: int) -> int:
    """Index behind a name that may be compressed; -1 when it is cut, too long or has a reserved label type."""
    size = min(len(packet), index + MAX_WIRE_NAME)
    while index < size:
        length = packet[index]
        if not length:
            return index + 1
        if length >= 0xC0:
            return index + 2 if index + 2 <= len(packet) else -1
        if length >= 0x40:
            return -1
        index += length + 1
    return -1
