"""What a secondary asks, and the signatures (TSIG, RFC 8945) of both sides. The door to dnspython.

Reads packets of strangers: ``read`` either returns a ``Question`` or raises ``Unanswerable`` with the reply to send.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from struct import pack, unpack_from
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TSIG
import dns.tsig

from soadns.nameserver import wire
from soadns.transfer.settings import Key

SIGNED_ROOM = 640
"""Octets that a signature may take: two names, a MAC of at most 64 octets, and what is fixed."""
NOTAUTH = 9
NOTIFY = 4
_BADSIG, _BADKEY, _BADTIME = 16, 17, 18
_FUDGE_S = 300
_sign: Any = dns.tsig.sign
_rdata: Any = dns.rdtypes.ANY.TSIG.TSIG
"""Neither has types."""
_QR, _AA, _OPCODE, _RD = 0x8000, 0x0400, 0x7800, 0x0100


Keyring = Mapping[dns.name.Name, dns.tsig.Key]
"""Keys of dnspython by name."""


@dataclass(frozen=True, slots=True)
class Question:
    """A well-formed question of class IN."""

    id: int
    flags: int
    raw: bytes
    """The question as it came."""
    zone: bytes
    """Its name, folded."""
    kind: int
    serial: int | None
    """The serial that the asker has, of a question for IXFR."""
    signer: Signer | None
    """Signs the reply; None for a question without a signature."""

    @property
    def key(self) -> str:
        """The name of the key by which it is signed; empty for none."""
        return "" if self.signer is None else self.signer.name

    def head(self, rcode: int = 0) -> bytes:
        """ID and flags of a reply (AA where it holds what was asked for)."""
        authoritative = _AA if rcode == wire.NOERROR else 0
        return pack("!HH", self.id, _QR | authoritative | (self.flags & _RD) | rcode)

    def refused(self, rcode: int) -> bytes:
        """The reply without an answer, signed if the question is."""
        reply = self.head(rcode) + pack("!HHHH", 1, 0, 0, 0) + self.raw
        return self.signer.sign(reply) if self.signer is not None else reply


class Unanswerable(Exception):  # noqa: N818 - what is wrong is the packet
    """A packet that asks nothing that could be looked at. ``reply`` is empty where none is due."""

    def __init__(self, reason: str, reply: bytes = b"") -> None:
        super().__init__(reason)
        self.reply = reply


class Signer:
    """Signs the messages of one reply, or one message of ours, in order (RFC 8945 5.3.1)."""

    def __init__(self, key: dns.tsig.Key, mac: bytes = b"", *, multi: bool = True) -> None:
        self._key = key
        self._mac = mac
        self._multi = multi
        self._context: Any = None

    @property
    def name(self) -> str:
        """The name of the key, without the final dot."""
        return self._key.name.to_text(omit_final_dot=True).lower()

    def sign(self, message: bytes) -> bytes:
        """The message with its signature."""
        return self._signed(message, _tsig(self._key, message), int(time.time()))

    def sign_late(self, message: bytes, asked: int) -> bytes:
        """The reply to a question that was signed at another time (Unix seconds) than now (RFC 8945 5.2.3)."""
        told = _tsig(self._key, message, _BADTIME, int(time.time()).to_bytes(6))
        return self._signed(message, told, asked)

    def _signed(self, message: bytes, rdata: Any, when: int) -> bytes:
        rdata, self._context = _sign(message, self._key, rdata, when, self._mac, self._context, self._multi)
        return _appended(message, self._key.name, rdata)


def keyring(keys: tuple[Key, ...]) -> Keyring:
    """Keys by name. Raises ValueError for a secret that is no base64, or an algorithm that is not known."""
    found = {}
    for key in keys:
        name = dns.name.from_text(key.name.lower())
        found[name] = dns.tsig.Key(name, key.secret, dns.name.from_text(key.algorithm))
    return found


def signer_of(key: Key) -> Signer:
    """For one message of ours."""
    [one] = keyring((key,)).values()
    return Signer(one, multi=False)


def read(packet: bytes, keys: Keyring) -> Question:
    """The question of a packet. Raises Unanswerable."""
    if len(packet) < 12:
        raise Unanswerable("shorter than a header")
    ident, flags, count = unpack_from("!HHH", packet)
    if flags & _QR:
        raise Unanswerable("a reply")
    if flags & _OPCODE:
        raise Unanswerable("not a query", _header(ident, flags, wire.NOTIMP))
    try:
        asked = dns.message.from_wire(packet, keyring=lambda _message, _name: False, question_only=False)
        [question] = asked.question
    except (dns.exception.DNSException, ValueError):
        raise Unanswerable("not well-formed", _header(ident, flags, wire.FORMERR)) from None
    end = wire.skip_name(packet, 12)
    if count != 1 or question.rdclass != wire.IN or not 0 < end <= len(packet) - 4:
        raise Unanswerable("not one question of class IN", _header(ident, flags, wire.FORMERR))
    raw = packet[12 : end + 4]
    signer = _verified(packet, asked, keys, pack("!HH", ident, _QR | (flags & _RD) | NOTAUTH), raw)
    serial = None
    if question.rdtype == wire.IXFR:
        serial = next((rrset[0].serial for rrset in asked.authority if rrset.rdtype == wire.SOA), None)
        if serial is None:
            raise Unanswerable("IXFR without the serial it has", _header(ident, flags, wire.FORMERR))
    return Question(ident, flags, raw, wire.fold(raw[:-4]), int(question.rdtype), serial, signer)


def _verified(
    packet: bytes,
    asked: dns.message.Message,
    keys: Keyring,
    head: bytes,
    raw: bytes,
) -> Signer | None:
    """Who signs the reply; None for a question without a signature. Raises Unanswerable (RFC 8945 5.2)."""
    if asked.tsig is None:
        return None
    name, rdata = asked.tsig.name, asked.tsig[0]
    shown = name.to_text(omit_final_dot=True)
    unsigned = head + pack("!HHHH", 1, 0, 0, 0) + raw

    def no(error: int, reason: str) -> Unanswerable:
        told = _tsig(dns.tsig.Key(name, b"", rdata.algorithm), unsigned, error)
        return Unanswerable(f"key {shown}: {reason}", _appended(unsigned, name, told))

    key = keys.get(name)
    if key is None or key.algorithm != rdata.algorithm:
        raise no(_BADKEY, "not known with this algorithm")
    try:
        dns.message.from_wire(packet, keyring=key)
    except dns.tsig.BadTime:  # said only of a signature that is right
        raise Unanswerable(
            f"key {shown}: signed {int(time.time()) - rdata.time_signed} s ago by its clock; compare the clocks",
            Signer(key, rdata.mac, multi=False).sign_late(unsigned, rdata.time_signed),
        ) from None
    except dns.exception.DNSException:
        raise no(_BADSIG, "the signature is not by this secret") from None
    return Signer(key, rdata.mac)


def _tsig(key: dns.tsig.Key, message: bytes, error: int = 0, other: bytes = b"") -> Any:
    ident = int.from_bytes(message[:2])
    return _rdata(
        dns.rdataclass.ANY,
        dns.rdatatype.TSIG,
        key.algorithm,
        int(time.time()),
        _FUDGE_S,
        b"",
        ident,
        error,
        other,
    )


def _appended(message: bytes, name: dns.name.Name, rdata: Any) -> bytes:
    """A message with one more additional record, the signature."""
    data = rdata.to_wire()
    additional = int.from_bytes(message[10:12]) + 1
    owner: bytes = name.to_wire() or b""
    record: bytes = owner + pack("!HHIH", wire.TSIG, 255, 0, len(data)) + data
    return message[:10] + pack("!H", additional) + message[12:] + record


def failed(packet: bytes) -> bytes:
    """The reply to a packet that could not be looked at by a fault of ours; empty where none is due."""
    if len(packet) < 12:
        return b""
    ident, flags = unpack_from("!HH", packet)
    return b"" if flags & _QR else _header(ident, flags, wire.SERVFAIL)


def _header(ident: int, flags: int, rcode: int) -> bytes:
    return pack("!HHHHHH", ident, _QR | (flags & (_OPCODE | _RD)) | rcode, 0, 0, 0, 0)


def notify(ident: int, zone: bytes, soa: bytes, signer: Signer | None) -> bytes:
    """A NOTIFY with the new SOA (RFC 1996 3.7); ``soa`` is the record behind its owner name."""
    head = pack("!HHHHHH", ident, NOTIFY << 11 | _AA, 1, 1, 0, 0)
    message = head + zone + pack("!HH", wire.SOA, wire.IN) + wire.pointer(12) + soa
    return signer.sign(message) if signer is not None else message


def is_acknowledged(packet: bytes, ident: int) -> bool | None:
    """Whether a packet says that a NOTIFY was heard; None for one that is no answer to it."""
    if len(packet) < 12:
        return None
    found, flags = unpack_from("!HH", packet)
    if found != ident or not flags & _QR or flags & _OPCODE != NOTIFY << 11:
        return None
    return not flags & 0xF
