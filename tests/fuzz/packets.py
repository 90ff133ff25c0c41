"""Packets nobody should send: whatever comes, the server drops it or sends a reply that is right in form.

``python -m tests.fuzz.packets --seconds 30 --seed 7`` mutates questions and holds each reply against dnspython. A
failure prints the packet; the same seed finds it again.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from soadns.nameserver.responder import Responder
from tests.fuzz.running import Outcome, main, run_for
from tests.unit.dig import IDENTITY, cases, query, table

QUESTIONS = Path(__file__).parents[1] / "unit" / "test_responder_replies.txt"
UDP_SIZE = 1232
INTERESTING = (0, 1, 2, 3, 0x29, 0x3F, 0x40, 0x41, 0x5A, 0x61, 0x7F, 0x80, 0xC0, 0xFA, 0xFF)
SLOW_S = 100e-6
"""A packet that seems to take longer is tried again: something may have got in between."""
LARGEST = {False: 4096, True: 65_535}
"""Octets of a packet as the server reads it, by transport (is it TCP)."""


def examine(packet: bytes, reply: bytes | None, *, tcp: bool) -> str:
    """The reply's code, or ``dropped``. Raises AssertionError, or what dnspython raises."""
    if reply is None:
        assert len(packet) < 12 or packet[2] & 0x80, "only replies and what has no header may be dropped"
        return "dropped"
    assert reply[:2] == packet[:2], "the id comes back"
    assert reply[2] & 0xF8 == 0x80 | packet[2] & 0x78, "it is a reply, and the opcode comes back"
    assert reply[2] & 1 == packet[2] & 1, "RD comes back"
    assert not reply[3] & 0xF0, "RA, Z, AD and CD are zero"
    assert len(reply) <= _limit(packet, tcp=tcp), "the reply is longer than the client takes"
    message = dns.message.from_wire(reply)
    code = dns.rcode.to_text(message.rcode())
    said = message.flags & dns.flags.AA
    assert bool(said) == (code in ("NOERROR", "NXDOMAIN")), (
        "AA is on what the server knows, and on nothing else"
    )
    if message.question:
        asked = message.question[0]
        size = len(asked.name.to_wire()) + 4
        assert reply[12 : 12 + size] == packet[12 : 12 + size], "the question comes back octet by octet"
        if message.answer and asked.rdtype != dns.rdatatype.ANY:
            assert (message.answer[0].name, message.answer[0].rdtype) == (asked.name, asked.rdtype)
    else:
        assert len(reply) == 12, "without a question there is nothing but a header"
        assert code in ("FORMERR", "NOTIMP")
    return code


def _limit(packet: bytes, *, tcp: bool) -> int:
    if tcp:
        return 65_535
    try:
        asked = dns.message.from_wire(packet, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        # dnspython is stricter with the content of records than a server has to be.
        return UDP_SIZE
    return min(max(asked.payload, 512), UDP_SIZE) if asked.edns >= 0 else 512


# --------------------------------------------------------------------------- packets


def seeds() -> list[bytes]:
    """Questions of the tables, and packets as large and as tangled as they get."""
    found = list(dict.fromkeys(query(case.question)[0] for case in cases(QUESTIONS.read_text())))
    head = bytes.fromhex("5244 0100 0001 0000 0000")
    question = b"\4only\3rpc\4test\0\0\x1c\0\1"
    opt = b"\0\0\x29\x04\xd0\0\0\0\0"
    found.append(head + b"\0\1" + question + opt + (4000).to_bytes(2) + b"\xfd\xe9\0\0" * 1000)
    found.append(head + b"\1\x60" + question + (b"\0\0\1\0\1" + b"\0" * 6) * 352)
    found.append(head + b"\x27\x10" + question + (b"\xc0\x0c\0\1\0\1" + b"\0" * 6) * 5000)
    found.append(head + b"\0\1" + question + b"\1a" * 2000)
    found.append(head + b"\0\0" + b"\1a" * 123 + question)
    return found


def _flip(rng: random.Random, packet: bytearray) -> None:
    packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)


def _put(rng: random.Random, packet: bytearray) -> None:
    packet[rng.randrange(len(packet))] = rng.choice(INTERESTING)


def _header(rng: random.Random, packet: bytearray) -> None:
    packet[rng.randrange(min(12, len(packet)))] = rng.choice((0, 1, 2, rng.randrange(256)))


def _insert(rng: random.Random, packet: bytearray) -> None:
    at = rng.randrange(len(packet) + 1)
    packet[at:at] = rng.choice(
        (rng.randbytes(rng.randrange(1, 5)), b"\xc0\x0c", b"\0", b"\0\0\x29\x04\xd0\0\0\0\0\0\0")
    )


def _delete(rng: random.Random, packet: bytearray) -> None:
    at = rng.randrange(len(packet))
    del packet[at : at + rng.randrange(1, 9)]


def _cut(rng: random.Random, packet: bytearray) -> None:
    del packet[rng.randrange(len(packet)) :]


def _repeat(rng: random.Random, packet: bytearray) -> None:
    start = rng.randrange(len(packet))
    piece = packet[start : start + rng.randrange(1, 40)]
    packet[start:start] = piece * rng.choice((1, 2, 8, 64))


def _case(rng: random.Random, packet: bytearray) -> None:
    packet[12:] = packet[12:].swapcase() if rng.random() < 0.5 else packet[12:].upper()


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _flip, _flip, _put, _put, _header, _insert, _delete, _cut, _repeat, _case,
)  # fmt: skip


def packets(rng: random.Random) -> Iterator[tuple[bytes, bool]]:
    """Packets without end, each with its transport."""
    known = seeds()
    while True:
        packet = bytearray(rng.choice(known))
        for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
            if packet:
                rng.choice(MUTATIONS)(rng, packet)
        if rng.random() < 0.1:
            other = rng.choice(known)
            packet += other[rng.randrange(len(other)) :]
        tcp = rng.random() < 0.3
        yield bytes(packet[: LARGEST[tcp]]), tcp


# --------------------------------------------------------------------------- the loop


def run(seconds: float, seed: int, count: int | None = None) -> Outcome:
    """Try packets for some time, or so many of them. Raises AssertionError with the packet that fails."""
    served = table()
    responders = {
        stream: Responder(served, stream=stream, udp_size=UDP_SIZE, identity=IDENTITY)
        for stream in (False, True)
    }

    def attempt(given: tuple[bytes, bool]) -> tuple[list[str], float]:
        packet, tcp = given
        before = time.thread_time()
        reply = responders[tcp].respond(packet)
        taken = time.thread_time() - before
        if taken > SLOW_S:
            taken = min(taken, *(_seconds_for(responders[tcp], packet) for _ in range(3)))
        careful = responders[tcp]._unusual(packet)
        assert sorted(reply or b"") == sorted(careful or b""), (
            "both ways say the same, perhaps in another order"
        )
        return [examine(packet, reply, tcp=tcp)], taken

    return run_for(seconds, seed, islice(packets(random.Random(seed)), count), attempt, show)


def show(given: tuple[bytes, bool]) -> str:
    """A packet as it is found again."""
    packet, tcp = given
    return f"{'TCP' if tcp else 'UDP'} {packet.hex()}"


def _seconds_for(responder: Responder, packet: bytes) -> float:
    before = time.thread_time()
    responder.respond(packet)
    return time.thread_time() - before


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
