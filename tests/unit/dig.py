"""Questions and replies in the notation of ``dig``, and a table of answers to ask.

A question is a ``dig`` command: ``+norec`` and the other flags mean what they mean to dig; there is an OPT record only
where one is asked for (``+edns``, ``+bufsize``, ``+nsid`` ...). dnspython writes questions and reads replies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode

from soadns.model import Records, ServedPort
from soadns.nameserver.responder import Identity
from soadns.nameserver.table import READY, Table
from soadns.nameserver.zone import ZoneData

CONTENT = {
    "com.alipay.user.UserService": Records(
        addresses=("10.96.0.10", "fd00::10"),
        ports=(ServedPort("dubbo", 20880), ServedPort("tri", 50051)),
        texts=("host=user.prod.svc.cluster.local", "evidence=endpoint"),
    ),
    "com.alipay.user.UserService--g-blue--v-1-0-0": Records(addresses=("10.96.0.11",)),
    "com.alipay.Outer$Inner_V2": Records(addresses=("10.96.0.12",)),
    "old.World": Records(addresses=("192.0.2.1", "192.0.2.2", "192.0.2.3"), ttl=5, rotate=True),
    "un.Said": Records(unsaid=True),
    "v6.Only": Records(addresses=("fd00::6",)),
    "any.Texts": Records(texts=("evidence=declared",)),
    "many.Pods": Records(
        addresses=tuple(f"192.0.2.{i}" for i in range(1, 121)), ports=(ServedPort("bolt", 12200),)
    ),
}
IDENTITY = Identity(version="soadns 1.0", name="soadns-0")


def table(*, content: dict[str, Records] | None = None) -> Table:
    """The zone rpc.test with the content above, nested.rpc.test in it, and one that still loads."""
    found = Table()
    zones = [
        (
            ZoneData("rpc.test", nested=("nested.deep.rpc.test",)),
            CONTENT if content is None else content,
            READY,
        ),
        (
            ZoneData("nested.deep.rpc.test", number=1, negative_ttl=3),
            {"a.B": Records(addresses=("10.96.1.1",))},
            READY,
        ),
        (ZoneData("loading.test", number=2), {"from.Snapshot": Records(addresses=("10.96.2.1",))}, None),
    ]
    for zone, records, state in zones:
        delta = zone.start(("192.0.2.53",))
        delta.merge(zone.apply(dict(records), serial=7))
        if state is not None:
            delta.merge(zone.set_state(state))
        found.apply(delta, found.generation + 1)
    return found


@dataclass(frozen=True)
class Case:
    """One sentence, one question, one reply."""

    name: str
    question: str
    reply: tuple[str, ...]


def cases(text: str) -> Iterator[Case]:
    """The cases of the table."""
    for block in text.strip().split("\n\n"):
        name, question, *reply = block.splitlines()
        yield Case(name.removeprefix("# "), question.removeprefix("$ dig "), tuple(reply))


_FLAGS = {
    "aaflag": dns.flags.AA,
    "tcflag": dns.flags.TC,
    "adflag": dns.flags.AD,
    "cdflag": dns.flags.CD,
    "zflag": 0x40,
}


def query(command: str) -> tuple[bytes, bool]:
    """The packet that a dig command sends, and whether it goes over TCP."""
    words = command.split()
    switches = [w[1:].partition("=")[::2] for w in words if w.startswith("+")]
    name, kind, klass = (*[w for w in words if not w.startswith("+")], "IN")[:3]
    message = dns.message.make_query(name, kind, klass)
    message.id = 0x1234
    edns: dict[str, object] = {}
    options: list[dns.edns.Option] = []
    for switch, value in switches:
        if switch == "norec":
            message.flags &= ~dns.flags.RD
        elif switch in _FLAGS:
            message.flags |= _FLAGS[switch]
        elif switch == "opcode":
            message.set_opcode(dns.opcode.Opcode.make(int(value)))
        elif switch == "ednsopt":
            code, _, octets = value.partition(":")
            options.append(dns.edns.GenericOption(int(code), bytes.fromhex(octets)))
        elif switch == "nsid":
            options.append(dns.edns.GenericOption(dns.edns.NSID, b""))
        elif switch == "bufsize":
            edns["payload"] = int(value)
        elif switch == "ednsversion":
            edns["edns"] = int(value)
        elif switch == "ednsflags":
            edns["ednsflags"] = int(value, 16)
        elif switch == "dnssec":
            edns.setdefault("ednsflags", 0x8000)
        else:
            assert switch in ("edns", "tcp"), switch
    if edns or options or ("edns", "") in switches:
        message.use_edns(**{"edns": 0, "payload": 1232, "options": options, **edns})
    return message.to_wire(), ("tcp", "") in switches


def lines(reply: bytes) -> list[str]:
    """A reply in the notation of the tables; every record on its own, in order."""
    message = dns.message.from_wire(reply, one_rr_per_rrset=True)
    found = [" ".join((dns.rcode.to_text(message.rcode()), dns.flags.to_text(message.flags).lower()))]
    if reply[3] & 0x40:
        found[0] += " z"
    if message.edns >= 0:
        assert message.ednsflags & 0x7FFF == 0
        do = ", do" if message.ednsflags & dns.flags.DO else ""
        edns = f"EDNS version {message.edns}{do}, udp {message.payload}"
        for option in message.options:
            if option.otype == dns.edns.NSID:
                edns += f", NSID {option.to_wire().decode()}"
            else:
                assert option.otype == dns.edns.EDE
                edns += f", EDE {int.from_bytes(option.to_wire()[:2])}"
        found.append(edns)
    for section, rrsets in zip(("ANSWER", "AUTHORITY", "ADDITIONAL"), message.sections[1:], strict=True):
        found += [f"{section} {rrset.to_text()}" for rrset in rrsets]
    return found
