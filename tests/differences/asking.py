"""Packets sent as they are, and what came back, as text field by field."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from tests.packets import octets
from tests.unit.dig import query

CORPUS = Path(__file__).parent / "corpus.txt"
FIELDS = (
    "reply",
    "rcode",
    "flags",
    "question",
    "answer",
    "authority",
    "additional",
    "edns",
    "options",
    "size",
)
PATIENCE_S = 5.0


def wire_name(name: str) -> bytes:
    """A name without escapes, in wire form."""
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


@dataclass(frozen=True)
class Packet:
    """One packet of the corpus."""

    name: str
    octets: bytes


def corpus(zone: str) -> Iterator[Packet]:
    """What is asked, for a zone of that name; every packet has an id of its own."""
    words = {
        "zone": zone,
        "apex": wire_name(zone).hex(),
        "a127": "01 'a' " * 127,
        "opt": "00 0029 04d0 00000000",
        "record": "c00c 0001 0001 0000001e 0004 0a000001",
    }
    for number, line in enumerate(CORPUS.read_text().splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        name, text = line.split(None, 1)
        text = re.sub(r"\{(\w+)\}", lambda found: words[found[1]], text)
        if "|" in text:
            packet = octets(text.replace("|", ""))
            yield Packet(name, number.to_bytes(2) + packet)
        else:
            packet, _ = query(text)
            yield Packet(name, number.to_bytes(2) + packet[2:])


def ask(port: int, packet: bytes, zone: str, *, tcp: bool) -> bytes | str:
    """The reply to one packet; ``none``, or ``closed`` when the connection was.

    A plain question is sent behind it: when that one is answered, the packet will not be.
    """
    question = b"\xff\xfe\0\0\0\1\0\0\0\0\0\0" + wire_name(zone) + b"\0\6\0\1"
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", port))
        for data in (packet, question):
            with suppress(ConnectionError):  # it may have closed upon the packet already
                sock.sendall(len(data).to_bytes(2) + data if tcp else data)
        found: bytes | str = "none"
        while True:
            reply = _frame(sock) if tcp else sock.recv(65_535)
            if reply is None:
                return "closed" if found == "none" else found
            if reply[:2] == question[:2]:
                return found
            found = reply


def _frame(sock: socket.socket) -> bytes | None:
    length = _exactly(sock, 2)
    return None if length is None else _exactly(sock, int.from_bytes(length))


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        try:
            piece = sock.recv(count - len(data))
        except ConnectionError:
            return None
        if not piece:
            return None
        data += piece
    return data


def fields(packet: bytes, reply: bytes | str) -> dict[str, str]:
    """A reply in words; every record on its own, in no order."""
    if isinstance(reply, str):
        return {"reply": reply}
    try:
        message = dns.message.from_wire(reply, one_rr_per_rrset=True)
    except dns.exception.DNSException:
        return {"reply": "malformed"}
    found = {"reply": "yes", "rcode": dns.rcode.to_text(message.rcode()), "size": str(len(reply))}
    found["flags"] = dns.flags.to_text(message.flags).lower() + (" z" if reply[3] & 0x40 else "")
    count = int.from_bytes(reply[4:6])
    asked = packet[12 : 12 + len(message.question[0].name.to_wire()) + 4] if count else b""
    found["question"] = (
        "same" if count and reply[12 : 12 + len(asked)] == asked else "none" if not count else "other"
    )
    for section, records in zip(("answer", "authority", "additional"), message.sections[1:], strict=True):
        found[section] = "\n".join(sorted(record.to_text() for record in records))
    found["edns"] = "none"
    if message.edns >= 0:
        flags = message.ednsflags & 0xFFFF
        words = " do" if flags == dns.flags.DO else f" flags {flags:04x}" if flags else ""
        found["edns"] = f"version {message.edns} udp {message.payload}{words}"
    found["options"] = ", ".join(sorted(_option(option) for option in message.options)) or "none"
    return found


def _option(option: dns.edns.Option) -> str:
    if option.otype == dns.edns.EDE:
        return f"EDE {int.from_bytes(option.to_wire()[:2])}"
    return dns.edns.OptionType.to_text(option.otype) if option.otype <= 15 else str(int(option.otype))
