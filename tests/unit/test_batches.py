"""Questions that are answered where they lie: none sees what lies beside it, or lay there before."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.nameserver.batch import Batch
from soadns.nameserver.responder import TOGETHER, Responder
from tests.fuzz.packets import packets
from tests.unit.dig import IDENTITY, query, table

UDP_SIZE = 1232
ASKED = [
    query(command)[0]
    for command in (
        "com.alipay.user.UserService.rpc.test A",
        "+edns COM.alipay.user.UserService.rpc.test A",
        "+norec com.alipay.user.UserService.rpc.test HTTPS",
        "+bufsize=600 v6.Only.rpc.test A",
        "no.Such.rpc.test AAAA",
        "+edns x.no.Such.rpc.test A",
        "_tri._tcp.com.alipay.user.UserService.rpc.test SRV",
        "com.alipay.user.UserService.rpc.test ANY",
        "many.Pods.rpc.test A",
        "+edns many.Pods.rpc.test A",
        "un.Said.rpc.test A",
        "elsewhere.test A",
        "from.Nowhere.loading.test AAAA",
        "+nsid rpc.test SOA",
    )
]
DAMAGED = [
    b"",
    b"\x12",
    ASKED[0][:3],
    ASKED[0][:11],
    ASKED[0][:12],
    ASKED[4][:14],
    ASKED[1][:-1],
    ASKED[0] + b"\0",
    b"\0\7\x81" + ASKED[0][3:],
]


def served() -> Responder:
    return Responder(table(), udp_size=UDP_SIZE, identity=IDENTITY)


def together(responder: Responder, batch: Batch, asked: list[bytes]) -> list[bytes | None]:
    for number, packet in enumerate(asked):
        batch.put(number, packet)
    responder.answer(batch, [len(packet) for packet in asked])
    replies = [None if n in batch.silent else batch.message(n, batch.sizes[n]) for n in range(len(asked))]
    batch.silent.clear()
    return replies


@given(st.lists(st.lists(st.sampled_from(ASKED + DAMAGED), max_size=4), max_size=6))
def test_each_is_answered_as_if_it_were_alone(turns: list[list[bytes]]) -> None:
    """Whatever was answered in the same place before: a short packet leaves most of that there."""
    responder, careful, batch = served(), served(), Batch(4, 4096)
    for asked in turns:
        replies = together(responder, batch, asked)
        assert replies == [careful._unusual(packet) for packet in asked]
    assert responder.counts() == careful.counts()
    assert (responder.dropped, responder.malformed) == (careful.dropped, careful.malformed)


def test_thousands_of_packets_nobody_should_send() -> None:
    responder, careful, batch = served(), served(), Batch(16, 4096)
    source = packets(random.Random(5))
    for _ in range(150):
        asked = [next(source)[0][:4096] for _ in range(16)]
        for packet, reply in zip(asked, together(responder, batch, asked), strict=True):
            expected = careful._unusual(packet)
            assert sorted(reply or b"") == sorted(expected or b""), packet.hex()  # providers take turns
    assert (responder.dropped, responder.malformed) == (careful.dropped, careful.malformed)


def test_what_lies_around_a_message_stays_as_it_was() -> None:
    responder, batch = served(), Batch(3, UDP_SIZE)
    batch.memory[:] = b"\xaa" * len(batch.memory)
    longest = 0
    for packet in (*ASKED, *DAMAGED):
        batch.put(1, packet)
        lengths = [0, len(packet)]
        responder.answer(batch, lengths)
        assert 0 in batch.silent, "nothing is asked there"
        longest = max(longest, len(packet), batch.sizes[1])
        batch.silent.clear()
    begin = batch.begins[1]
    assert set(batch.memory[:begin]) == {0xAA}
    assert set(batch.memory[begin + longest :]) == {0xAA}


@pytest.mark.parametrize("count", [1, 2, TOGETHER])
def test_some_packets_at_once(count: int) -> None:
    responder, careful = served(), served()
    for at in range(0, len(ASKED + DAMAGED), count):
        asked = (ASKED + DAMAGED)[at : at + count]
        assert responder.respond_all(asked) == [careful._unusual(packet) for packet in asked]
