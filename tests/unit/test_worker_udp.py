"""UDP as clients see it: bursts, datagrams of any size, peers that are gone, and whom a reply comes from."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dns.message
import dns.rcode
import pytest

from soadns.figures import Durations
from soadns.nameserver.datagrams import BATCH
from soadns.nameserver.responder import Responder
from soadns.nameserver.table import Table
from soadns.nameserver.udp import DRAIN, SAMPLE, UdpServer

QUESTION = dns.message.make_query("a.B.example", "A").to_wire()


@contextmanager
def serving(host: str) -> Iterator[tuple[UdpServer, tuple[str, int]]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        server = UdpServer(sock, Responder(Table()))
        server.start(loop.add_reader)
        yield server, sock.getsockname()[:2]
        server.stop(loop.remove_reader)


@contextmanager
def client(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A socket that takes replies from the address it asks, and from no other."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.setblocking(False)
        yield sock


async def reply(sock: socket.socket) -> dns.message.Message:
    async with asyncio.timeout(2):
        return dns.message.from_wire(await asyncio.get_running_loop().sock_recv(sock, 4096))


@pytest.mark.parametrize(
    ("listen", "ask"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2"),
        ("::1", "::1"),
        ("::", "::1"),
    ],
)
async def test_a_reply_comes_from_where_the_question_went(listen: str, ask: str) -> None:
    with serving(listen) as (_, (_, port)), client((ask, port)) as sock:
        sock.send(QUESTION)
        assert (await reply(sock)).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
async def test_a_burst_is_answered_completely(listen: str) -> None:
    count = DRAIN + BATCH + 7
    with serving(listen) as (server, (_, port)), client(("127.0.0.1", port)) as sock:
        for _ in range(count):
            sock.send(QUESTION)
        for _ in range(count):
            await reply(sock)
        assert (server.received, server.unsent) == (count, 0)


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
async def test_a_client_that_is_gone_costs_nobody_else_an_answer(listen: str) -> None:
    with serving(listen) as (_, (_, port)), client(("127.0.0.1", port)) as sock:
        for _ in range(20):
            with client(("127.0.0.1", port)) as gone:
                gone.send(QUESTION)
            sock.send(QUESTION)
            await reply(sock)


SIZES = [
    # octets, and what comes back
    (b"", None),
    (QUESTION[:11], None),
    (QUESTION[:12], dns.rcode.FORMERR),
    (QUESTION + bytes(4000), dns.rcode.REFUSED),
    (QUESTION + bytes(20_000), dns.rcode.REFUSED),
]


@pytest.mark.parametrize(
    ("octets", "rcode"), SIZES, ids=lambda value: str(len(value)) if isinstance(value, bytes) else ""
)
async def test_a_datagram_of_any_size_is_answered_or_dropped(
    octets: bytes, rcode: dns.rcode.Rcode | None
) -> None:
    with serving("127.0.0.1") as (_, address), client(address) as sock:
        sock.send(octets)
        if rcode is not None:
            assert (await reply(sock)).rcode() == rcode
        sock.send(QUESTION)
        assert (await reply(sock)).rcode() == dns.rcode.REFUSED
        with pytest.raises(BlockingIOError):
            sock.recv(4096)


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
async def test_of_a_sample_it_is_noted_how_long_a_question_took_with_the_time_it_waited(listen: str) -> None:
    loop, durations = asyncio.get_running_loop(), dict[str, Durations]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((listen, 0))
        server = UdpServer(listening, Responder(Table()), durations)
        server.start(loop.add_reader)
        await asyncio.sleep(0.2)  # Linux puts off taking the time of packets to a work queue
        with client(("127.0.0.1", listening.getsockname()[1])) as sock:
            for number in range(SAMPLE + 1):
                sock.send(QUESTION)
                if number == SAMPLE:
                    time.sleep(0.05)  # noqa: ASYNC251 - the loop is late, as under load
                await reply(sock)
        server.stop(loop.remove_reader)
    assert sum(durations[""].slots) == 1
    assert 0.05 < durations[""].seconds < 1


async def test_at_the_end_what_is_queued_is_answered() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        server = UdpServer(listening, Responder(Table()))
        with client(listening.getsockname()) as sock:
            for _ in range(DRAIN + BATCH + 7):
                sock.send(QUESTION)
            server.finish()
            for _ in range(DRAIN + BATCH + 7):
                assert (await reply(sock)).rcode() == dns.rcode.REFUSED
