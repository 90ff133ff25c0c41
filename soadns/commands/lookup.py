"""A DNS question over the wire, for people: the only importer of ``dnslib``.

What ``soadns lookup`` and ``soadns demo`` show is what came back from the server's socket, never what it should
have answered. The packet path of the server does not come here.
"""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from typing import Any

from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSLabel, DNSQuestion, DNSRecord
from dnslib.dns import DNSError

from soadns.addresses import print_address

TIMEOUT_S = 2.0
TRIES = 2
MAX_LABEL, MAX_NAME = 63, 255
"""Octets (RFC 1035 2.3.4)."""
TYPES = ("A", "AAAA", "SRV", "TXT", "SOA", "NS", "ANY")
OPTION_EDE = 15
EXTENDED_ERRORS = (
    "Other", "Unsupported DNSKEY Algorithm", "Unsupported DS Digest Type", "Stale Answer", "Forged Answer",
    "DNSSEC Indeterminate", "DNSSEC Bogus", "Signature Expired", "Signature Not Yet Valid", "DNSKEY Missing",
    "RRSIGs Missing", "No Zone Key Bit Set", "NSEC Missing", "Cached Error", "Not Ready", "Blocked", "Censored",
    "Filtered", "Prohibited", "Stale NXDOMAIN Answer", "Not Authoritative", "Not Supported",
    "No Reachable Authority", "Network Error", "Invalid Data",
)  # fmt: skip
"""What an EDE's code means, from 0 on (RFC 8914 4). The server may be another one than ours."""


class BadNameError(Exception):
    """No question can be made of a name; the message says why."""


class NoAnswerError(Exception):
    """Nothing usable came back; the message says from where and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record in presentation form."""

    owner: str
    ttl: int
    type: str
    data: str

    def __str__(self) -> str:
        return f"{self.owner} {self.ttl} IN {self.type} {self.data}"


@dataclass(frozen=True, slots=True)
class ExtendedError:
    """Why a name server says what it says (EDE, RFC 8914), as dig shows it."""

    code: int
    text: str = ""
    """What the server adds in its own words."""

    @property
    def meaning(self) -> str:
        """The registered name of the code, or ``''``."""
        return EXTENDED_ERRORS[self.code] if self.code < len(EXTENDED_ERRORS) else ""

    def __str__(self) -> str:
        return " ".join(
            [
                f"EDE: {self.code}",
                *([f"({self.meaning})"] if self.meaning else []),
                *([self.text] if self.text else []),
            ]
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    question: str
    type: str
    transport: str
    server: str
    status: str
    answer: tuple[Row, ...]
    authority: tuple[Row, ...]
    additional: tuple[Row, ...]
    errors: tuple[ExtendedError, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON (docs/cli.md)."""

        def rows(section: tuple[Row, ...]) -> list[dict[str, Any]]:
            return [{"name": r.owner, "ttl": r.ttl, "type": r.type, "data": r.data} for r in section]

        return {
            "question": self.question,
            "type": self.type,
            "transport": self.transport,
            "server": self.server,
            "status": self.status,
            "answer": rows(self.answer),
            "authority": rows(self.authority),
            "additional": rows(self.additional),
            "ede": [{"code": e.code, "meaning": e.meaning, "text": e.text} for e in self.errors],
        }


def ask(server: tuple[str, int], name: str, kind: str, *, tcp: bool = False) -> Reply:
    """Ask one question; a truncated UDP reply is asked again by TCP, as resolvers do.

    ``kind`` is one of ``TYPES``, ``name`` an owner name in presentation form, other than ASCII asked for as
    UTF-8. Raises BadNameError and NoAnswerError.
    """
    query = _query(name, kind)
    try:
        data = _tcp(server, query) if tcp else _udp(server, query)
        record = DNSRecord.parse(data)
        if record.header.tc and not tcp:
            return ask(server, name, kind, tcp=True)
    except DNSError as error:
        raise NoAnswerError(f"{print_address(*server)} sent a reply that can not be read: {error}") from None
    except OSError as error:
        reason = "no reply in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        by = "TCP" if tcp else "UDP"
        raise NoAnswerError(f"no name server answers at {print_address(*server)} by {by}: {reason}") from None
    return Reply(
        question=name,
        type=kind,
        transport="tcp" if tcp else "udp",
        server=print_address(*server),
        status=str(RCODE.get(record.header.rcode)),
        answer=_rows(record.rr),
        authority=_rows(record.auth),
        additional=tuple(row for row in _rows(record.ar) if row.type != "OPT"),
        errors=_extended_errors(record.ar),
    )


def _labels(name: str) -> DNSLabel:
    bare = name.removesuffix(".")
    labels = [label.encode("utf-8", "surrogateescape") for label in bare.split(".")] if bare else []
    if not all(labels):
        raise BadNameError(f"{name}: an empty label (two dots in a row, or one at the beginning)")
    for label in labels:
        if len(label) > MAX_LABEL:
            raise BadNameError(
                f"{name}: a label of {len(label)} octets; at most {MAX_LABEL} can be asked for"
            )
    octets = sum(len(label) + 1 for label in labels) + 1
    if octets > MAX_NAME:
        raise BadNameError(f"{name}: a name of {octets} octets; at most {MAX_NAME} can be asked for")
    return DNSLabel(labels)


def _query(name: str, kind: str) -> bytes:
    header = DNSHeader(id=random.getrandbits(16), rd=1)
    query = DNSRecord(header, q=DNSQuestion(_labels(name), getattr(QTYPE, kind)))
    query.add_ar(EDNS0(udp_len=1232))
    packed: bytes = query.pack()
    return packed


def _udp(server: tuple[str, int], query: bytes) -> bytes:
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(server)
        for attempt in range(TRIES):
            sock.send(query)
            try:
                while True:
                    data = sock.recv(65_535)
                    if data[:2] == query[:2]:
                        return data
            except TimeoutError:
                if attempt + 1 == TRIES:
                    raise
    raise TimeoutError


def _tcp(server: tuple[str, int], query: bytes) -> bytes:
    with socket.create_connection(server, timeout=TIMEOUT_S) as sock:
        sock.sendall(len(query).to_bytes(2, "big") + query)
        return _exactly(sock, int.from_bytes(_exactly(sock, 2), "big"))


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionResetError(0, "the connection was closed before the reply was whole")
        data += piece
    return data


def _rows(records: list[Any]) -> tuple[Row, ...]:
    return tuple(Row(str(r.rname), int(r.ttl), str(QTYPE.get(r.rtype)), _data(r)) for r in records)


def _data(record: Any) -> str:
    """The data as dig shows it: the library puts commas between the strings of a TXT."""
    text = str(record.rdata)
    return text.replace('","', '" "') if QTYPE.get(record.rtype) == "TXT" else text


def _extended_errors(records: list[Any]) -> tuple[ExtendedError, ...]:
    options = [option for record in records if QTYPE.get(record.rtype) == "OPT" for option in record.rdata]
    return tuple(
        ExtendedError(int.from_bytes(option.data[:2]), option.data[2:].decode("utf-8", "replace").strip("\0"))
        for option in options
        if option.code == OPTION_EDE and len(option.data) >= 2
    )


def _family(server: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET
