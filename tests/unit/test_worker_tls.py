"""TLS as strangers see it who never finish a handshake: what they may cost, and how it ends.

Without a certificate, which none of them gets as far as to ask for. ``tests/scenarios/test_dns_over_tls.py`` has one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from soadns.nameserver.responder import Responder
from soadns.nameserver.table import Table
from soadns.nameserver.tcp import TcpLimits, TcpServer
from soadns.nameserver.tls import TlsConnection
from tests.unit.leavings import left_by_two, peer
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
QUICK = TcpLimits(message_s=0.2, connections=3, per_source=3)
HELLO = bytes.fromhex("16 0301 0200 01 0001fc 0303")
"""The beginning of a ClientHello."""


@asynccontextmanager
async def serving(limits: TcpLimits = QUICK) -> AsyncIterator[tuple[TcpServer, tuple[str, int]]]:
    """A server behind TLS, and its address."""
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    server, context = TcpServer(limits), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await server.start(sock, Responder(Table(), stream=True), lambda *those: TlsConnection(*those, context))
    try:
        yield server, address
    finally:
        await server.drain(0.5)


async def ended(reader: asyncio.StreamReader, began: float) -> float:
    """The seconds after which the other side ends the connection, whatever it says before."""
    try:
        while await asyncio.wait_for(reader.read(1000), 5.0):
            pass
    except ConnectionError:
        pass
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize(("sent", "least"), [(b"", 0.2), (HELLO, 0.2), (b"\0\x1d\x12\x34\1\0\0\1" * 9, 0.0)])
async def test_a_handshake_that_gets_nowhere_ends_in_time(sent: bytes, least: float) -> None:
    async with serving() as (server, address):
        began = asyncio.get_running_loop().time()  # not later than the server's clock starts
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        assert least <= await ended(reader, began) < 4.0
        await soon(lambda: not server.connections and not server.sources)
        writer.close()


async def test_handshakes_count_among_the_connections() -> None:
    limits = TcpLimits(message_s=5.0, connections=3, per_source=3)
    async with serving(limits) as (server, address):
        streams = [await asyncio.open_connection(*address) for _ in range(5)]
        await soon(lambda: server.refused == 2)
        assert len(server.connections) == 3
        for _, writer in streams:
            writer.close()
        await soon(lambda: not server.connections)


async def test_a_peer_that_leaves_amid_the_handshake_leaves_nothing() -> None:
    async with serving() as (server, address):
        _, writer = await asyncio.open_connection(*address)
        writer.write(HELLO)
        await soon(lambda: len(server.connections) == 1)
        writer.close()
        await soon(lambda: not server.connections and not server.sources)


@pytest.mark.parametrize(
    ("says", "ends"),
    [
        (b"", "fin"),
        (b"", "rst"),
        (b"", "waits"),
        (HELLO, "fin"),
        (HELLO, "rst"),
        (HELLO, "waits"),
        (b"GET /", "waits"),
    ],
)
async def test_a_handshake_that_fails_leaves_nothing_for_the_collector(says: bytes, ends: str) -> None:
    async with serving() as (server, address):
        await asyncio.to_thread(peer, address, says, ends)
        await soon(lambda: not server.connections)
        assert await left_by_two(address, says, ends, lambda: not server.connections) == []


@pytest.mark.parametrize(
    ("says", "ends", "why"),
    [
        (b"", "fin", "unfinished"),
        (HELLO, "rst", "unfinished"),
        (HELLO, "waits", "unfinished"),
        (b"GET / HTTP/1.1\r\n\r\n", "waits", "protocol"),
        (b"\0\x1d\x12\x34\1\0\0\1" * 9, "waits", "protocol"),
    ],
)
async def test_handshakes_that_fail_are_counted_by_who_ended_them(says: bytes, ends: str, why: str) -> None:
    async with serving() as (server, address):
        for _ in range(2):
            await asyncio.to_thread(peer, address, says, ends)
        await soon(lambda: not server.connections)
        await soon(lambda: server.handshakes == {why: 2})


async def test_a_handshake_is_counted_whichever_clock_ends_it_first() -> None:
    """That of the handshake, as above, or that of its connection."""
    async with serving(TcpLimits(message_s=60.0)) as (server, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(HELLO)
        await soon(lambda: server.connections)
        (connection,) = server.connections
        await asyncio.sleep(0.05)
        connection.check(time.monotonic() + 61.0, 60.0)
        await ended(reader, 0.0)
        await soon(lambda: server.handshakes == {"unfinished": 1})
        assert not server.connections
        writer.close()


async def test_a_connection_for_which_there_is_no_room_is_no_handshake() -> None:
    async with serving(TcpLimits(message_s=0.2, connections=1, per_source=1)) as (server, address):
        streams = [await asyncio.open_connection(*address) for _ in range(3)]
        await soon(lambda: server.refused == 2)
        for _, writer in streams:
            writer.close()
        await soon(lambda: not server.connections)
        await soon(lambda: server.handshakes == {"unfinished": 1})


async def test_the_end_does_not_wait_for_handshakes() -> None:
    async with serving(TcpLimits(message_s=60.0)) as (server, address):
        reader, writer = await asyncio.open_connection(*address)
        await soon(lambda: len(server.connections) == 1)
        await asyncio.wait_for(server.drain(5.0), 4.0)
        assert await ended(reader, asyncio.get_running_loop().time()) < 4.0
        writer.close()
