"""Some thousand packets of the fuzzer, and that it would see what is wrong."""

from __future__ import annotations

import pytest

from soadns.nameserver.responder import Responder
from tests.fuzz import packets
from tests.unit.dig import query, table


def test_no_packet_gets_a_bad_reply() -> None:
    outcome = packets.run(seconds=60.0, seed=1, count=4000)
    assert outcome.tried == 4000
    assert {"NOERROR", "NXDOMAIN", "REFUSED", "FORMERR", "NOTIMP", "SERVFAIL", "BADVERS", "dropped"} == set(
        outcome.became
    )
    assert outcome.slowest_s < 0.001, "a packet of a stranger costs microseconds, whatever it is"


def test_so_many_packets_are_tried_and_no_more() -> None:
    assert packets.run(seconds=60.0, seed=2, count=100).tried == 100


def test_the_same_seed_makes_the_same_packets() -> None:
    one, other = (packets.packets(packets.random.Random(7)) for _ in range(2))
    assert [next(one) for _ in range(50)] == [next(other) for _ in range(50)]


WRONG = [
    ("another id", lambda reply: b"\0\0" + reply[2:], "the id"),
    ("no reply at all", lambda _: None, "dropped"),
    ("RA set", lambda reply: reply[:3] + bytes([reply[3] | 0x80]) + reply[4:], "RA"),
    ("another case", lambda reply: reply[:12] + reply[12:].swapcase(), "the question comes back"),
    ("too long", lambda reply: reply + b"\0" * 600, "longer"),
    ("AA missing", lambda reply: reply[:2] + bytes([reply[2] & ~4]) + reply[3:], "AA"),
]


@pytest.mark.parametrize(("damage", "complaint"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_bad_reply_would_be_seen(damage, complaint: str) -> None:
    packet, _ = query("v6.Only.rpc.test AAAA")
    reply = Responder(table()).respond(packet)
    assert packets.examine(packet, reply, tcp=False) == "NOERROR"
    with pytest.raises(AssertionError, match=complaint):
        packets.examine(packet, damage(reply), tcp=False)
