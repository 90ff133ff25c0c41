"""The probes of RFC 8906 section 8 with the real ``dig``: what a name server must not fail to answer.

A line is the RFC's number, what is tested, the command without server and zone, and what dig must print of the reply,
no more and no less: status, flags, ``SOA`` for one in the answer, EDNS version with its flags and options.
"""

from __future__ import annotations

import re

import pytest

from tests.scenarios.stage.process import printed
from tests.scenarios.stage.soadns import ZONE, Soadns

PROBES = """
8.1.1   configured for the zone        | {plain} +norec soa                  | NOERROR qr aa SOA
8.1.2   unknown types                  | {plain} +norec type1000             | NOERROR qr aa
8.1.3.1 CD=1                           | {plain} +norec +cd soa              | NOERROR qr aa SOA
8.1.3.2 AD=1                           | +noedns +norec +ad soa              | NOERROR qr aa SOA
8.1.3.3 the reserved bit               | {plain} +norec +zflag soa           | NOERROR qr aa SOA
8.1.3.4 recursive queries              | {plain} +rec soa                    | NOERROR qr aa rd SOA
8.1.4   unknown opcodes                | {plain} +norec {opcode}             | NOTIMP qr
8.1.5   TCP                            | {plain} +norec +tcp soa             | NOERROR qr aa SOA
8.2.1   minimal EDNS                   | {edns} +edns=0 soa                  | NOERROR qr aa SOA EDNS 0
8.2.2   EDNS version negotiation       | {edns} {one} soa                    | BADVERS qr EDNS 0
8.2.3   unknown EDNS options           | {edns} +edns=0 +ednsopt=100 soa     | NOERROR qr aa SOA EDNS 0
8.2.4   unknown EDNS flags             | {edns} +edns=0 +ednsflags=0x40 soa  | NOERROR qr aa SOA EDNS 0
8.2.5   version 1 and unknown flags    | {edns} {one} +ednsflags=0x40 soa    | BADVERS qr EDNS 0
8.2.6   version 1 and unknown options  | {edns} {one} +ednsopt=100 soa       | BADVERS qr EDNS 0
8.2.7   truncated responses            | {edns} +bufsize=512 +ignore {wide}  | NOERROR qr aa tc EDNS 0
8.2.8   DO=1                           | {edns} +edns=0 +dnssec soa          | NOERROR qr aa SOA EDNS 0 do
8.2.9   version 1 with DO=1            | {edns} {one} +dnssec soa            | BADVERS qr EDNS 0 do
8.2.10  several defined EDNS options   | {options} +noad +norec soa          | NOERROR qr aa SOA EDNS 0 NSID
8.2.10  the same by TCP                | {options} +noad +norec +tcp soa     | NOERROR qr aa SOA EDNS 0 NSID
"""
WORDS = {
    "plain": "+noedns +noad",
    "opcode": "+opcode=15 +header-only",
    "edns": "+nocookie +noad +norec",
    "one": "+edns=1 +noednsneg",
    "options": "+edns=0 +cookie +nsid +expire +subnet=0.0.0.0/0",
    "wide": "srv _tcp._tcp.com.acme.Wide.",
}


def probes() -> list[tuple[str, ...]]:
    return [tuple(cell.strip() for cell in line.split("|")) for line in PROBES.strip().splitlines()]


def told(text: str) -> str:
    """What dig printed, in the words of the table."""
    words = [*re.findall(r"status: (\w+)", text), *re.findall(r"^;; flags: ([a-z ]*);", text, re.M)]
    answer = text.partition(";; ANSWER SECTION:\n")[2].partition("\n\n")[0]
    words += ["SOA" for line in answer.splitlines() if "\tSOA\t" in line]
    for version, flags in re.findall(r"^; EDNS: version: (\d+), flags:([^;]*);", text, re.M):
        words += ["EDNS", version, flags.strip()]
    words += re.findall(r"^; (?!EDNS|<<|\()([A-Z][A-Z-]+)\b", text, re.M)
    return " ".join(filter(None, words))


@pytest.mark.parametrize(("name", "command", "expected"), probes(), ids=[name for name, _, _ in probes()])
def test_probe(name: str, command: str, expected: str, showcased: Soadns) -> None:
    asked = command.format(**WORDS).split()
    if asked[-1].endswith("."):
        asked[-1] += ZONE
    elif "+header-only" not in asked:
        asked.append(ZONE)
    done = printed("dig", "@127.0.0.1", "-p", str(showcased.port), "+tries=1", "+time=3", *asked, within=15)
    assert told(done.stdout) == expected, done.stdout
