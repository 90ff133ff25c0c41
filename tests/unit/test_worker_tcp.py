"""TCP as clients see it: streams of messages, slow and greedy peers, and how connections end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import dns.message
import pytest

from soadns.model import Records
from soadns.nameserver.responder import Responder
from soadns.nameserver.table import READY, Table
from soadns.nameserver.tcp import ACCEPTED, PIPELINE, READ, TcpLimits, TcpServer
from soadns.nameserver.zone import ZoneData
from tests.unit.leavings import left, left_by_two, peer
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

NAME = "com.alipay.user.UserService.rpc.test"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], AbstractAsyncContextManager[Stream]]


def responder() -> Responder:
    table = Table()
    zone = ZoneData("rpc.test")
    delta = zone.start()
    pods = tuple(f"192.0.2.{i}" for i in range(1, 201))
    content = {
        "com.alipay.user.UserService": Records(addresses=("10.96.0.10",)),
        "many.Pods": Records(addresses=pods),
    }
    delta.merge(zone.apply(content, serial=1))
    delta.merge(zone.set_state(READY))
    table.apply(delta, 1)
    return Responder(table, stream=True)


def framed(name: str, number: int = 0, kind: str = "A") -> bytes:
    packet = dns.message.make_query(name, kind, id=number).to_wire()
    return struct.pack("!H", len(packet)) + packet


async def message(reader: asyncio.StreamReader) -> dns.message.Message:
    size = struct.unpack("!H", await reader.readexactly(2))[0]
    return dns.message.from_wire(await reader.readexactly(size))


@asynccontextmanager
async def serving(limits: TcpLimits | None = None) -> AsyncIterator[tuple[TcpServer, Connect]]:
    """A server, and what connects to it."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = TcpServer(limits)
    await server.start(sock, responder())
    address = sock.getsockname()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Stream]:
        reader, writer = await asyncio.open_connection(*address)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    try:
        async with asyncio.timeout(60):
            yield server, connect
    finally:
        await server.drain(0)


async def test_messages_sent_in_one_go_are_all_answered() -> None:
    count = 5 * PIPELINE + 3
    async with serving() as (server, connect), connect() as (reader, writer):
        writer.write(b"".join(framed(NAME, number) for number in range(count)))
        assert [(await message(reader)).id for _ in range(count)] == list(range(count))
        assert server.received == count


async def test_a_silent_connection_holds_nothing_of_what_it_asked() -> None:
    async with serving() as (server, connect), connect() as (reader, writer):
        for count in (READ // len(framed(NAME)), 1, 3):
            writer.write(b"".join(framed(NAME, number) for number in range(count)))
            for number in range(count):
                assert (await message(reader)).id == number
            assert [len(each._buffer) for each in server.connections] == [0]


async def test_a_message_may_come_octet_by_octet() -> None:
    async with serving() as (_, connect), connect() as (reader, writer):
        for octet in framed(NAME, 7) + framed(NAME, 8):
            writer.write(bytes([octet]))
            await asyncio.sleep(0)
        assert (await message(reader)).id == 7
        assert (await message(reader)).id == 8


async def test_a_reply_and_its_length_are_one_write() -> None:
    """RFC 7766 8: a client that reads once gets a whole message."""
    async with serving() as (_, connect), connect() as (reader, writer):
        for number in range(20):
            writer.write(framed(NAME, number))
            octets = await reader.read(65_537)
            assert len(octets) == 2 + struct.unpack_from("!H", octets)[0]


async def test_what_is_no_question_is_ignored_and_the_rest_answered() -> None:
    async with serving() as (_, connect), connect() as (reader, writer):
        reply = bytearray(framed(NAME, 2))
        reply[4] |= 0x80  # QR
        writer.write(reply + framed(NAME, 3))
        assert (await message(reader)).id == 3


async def test_a_half_closed_connection_gets_its_answers_and_then_fin() -> None:
    async with serving() as (_, connect), connect() as (reader, writer):
        count = 3 * PIPELINE
        writer.write(b"".join(framed(NAME, number) for number in range(count)))
        writer.write_eof()
        assert [(await message(reader)).id for _ in range(count)] == list(range(count))
        assert await reader.read() == b""


@pytest.mark.parametrize("size", [0, 1, 11])
async def test_a_message_without_a_header_ends_the_connection_behind_the_answers(size: int) -> None:
    async with serving() as (_, connect), connect() as (reader, writer):
        writer.write(framed(NAME, 1) + struct.pack("!H", size) + bytes(size) + framed(NAME, 2))
        assert (await message(reader)).id == 1
        assert await reader.read() == b""


QUICK = TcpLimits(idle_s=0.4, busy_idle_s=0.12, message_s=0.2, connections=10, per_source=10)
LIFETIMES: list[tuple[str, list[bytes | float], float, float]] = [
    # what the client does                          closed after seconds (between)
    ("asks, and then nothing", [framed(NAME)], 0.4, 0.8),
    ("connects, and then nothing", [], 0.2, 0.4),
    ("sends half a message", [framed(NAME)[:9]], 0.2, 0.4),
    ("sends a message and half a one", [framed(NAME) + framed(NAME)[:9]], 0.2, 0.4),
    ("begins a message late", [framed(NAME), 0.3, b"\0"], 0.5, 0.7),
    ("sends an octet now and then", [framed(NAME), 0.1, b"\0", 0.1, b"\x2c", 0.1, b"\1"], 0.3, 0.5),
]


async def _watch_loop(stalls: list[float]) -> None:
    """Note every hundredth of a second that the event loop was late by."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        stalls.append(max(0.0, loop.time() - due - 0.002))


async def test_a_connection_ends_by_fin_in_time() -> None:
    """All clients at once, each with a server of its own."""

    async def lifetime(steps: list[bytes | float]) -> float:
        loop = asyncio.get_running_loop()
        async with serving(QUICK) as (server, connect):
            begun = loop.time()  # the server's clock starts when it accepts
            async with connect() as (reader, writer):
                for step in steps:
                    if isinstance(step, bytes):
                        writer.write(step)
                    else:
                        await asyncio.sleep(step)
                await reader.read()  # until FIN; RST would raise
                lasted = loop.time() - begun
                writer.close()
                await soon(lambda: not server.connections)
                return lasted

    stalls: list[float] = []
    watch = asyncio.create_task(_watch_loop(stalls))
    found = await asyncio.gather(*(lifetime(steps) for _, steps, _, _ in LIFETIMES))
    watch.cancel()
    late = sum(stalls)  # when the machine did not run this process, nothing can have ended
    wrong = [
        (what, lasted)
        for (what, _, least, most), lasted in zip(LIFETIMES, found, strict=True)
        if not least <= lasted <= most + late
    ]
    assert not wrong


async def test_idle_time_shrinks_for_everybody_when_most_connections_are_in_use() -> None:
    loop = asyncio.get_running_loop()
    async with serving(QUICK) as (_, connect), connect() as (reader, writer):
        writer.write(framed(NAME))
        await message(reader)
        begun = loop.time()
        async with connect(), connect(), connect(), connect(), connect(), connect():
            assert await reader.read() == b""
        assert loop.time() - begun < 0.3


async def test_beyond_the_limit_connections_are_closed_and_the_others_go_on() -> None:
    limits = TcpLimits(connections=3, per_source=2)
    async with serving(limits) as (server, connect), connect() as (reader, writer), connect():
        writer.write(framed(NAME, 1))
        assert (await message(reader)).id == 1
        async with connect() as (extra, _):
            assert await extra.read() == b""
        writer.write(framed(NAME, 2))
        assert (await message(reader)).id == 2
        assert (server.refused, len(server.connections), server.sources) == (1, 2, {"127.0.0.1": 2})


async def test_a_place_that_became_free_is_given_again() -> None:
    async with serving(TcpLimits(per_source=1)) as (server, connect):
        for number in range(5):
            async with connect() as (reader, writer):
                writer.write(framed(NAME, number))
                assert (await message(reader)).id == number
            await soon(lambda: not server.connections)
        assert (server.refused, server.sources) == (0, {})


def greedy(address: tuple[str, int]) -> socket.socket:
    """A client that asks much and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(address)
    sock.setblocking(False)
    return sock


async def test_of_a_peer_that_does_not_read_no_more_questions_are_read() -> None:
    limits = TcpLimits(message_s=0.6, unread=16 * 1024)
    questions = framed("many.Pods.rpc.test") * 4_000
    async with serving(limits) as (server, connect), connect() as (reader, writer):
        peer = writer.get_extra_info("peername")
        with greedy(peer) as sock:
            sent = sock.send(questions)
            for number in range(10):
                writer.write(framed(NAME, number))
                assert (await message(reader)).id == number, "others are answered meanwhile"
            await asyncio.sleep(0.1)
            assert server.received < 4_000, "what it would not read is not made"
            held = [c for c in server.connections if c._blocked]
            assert len(held) == 1
            assert held[0]._transport is not None
            assert held[0]._transport.get_write_buffer_size() < limits.unread + 4096
            await soon(lambda: len(server.connections) == 1)
            assert sent > 0


async def test_a_peer_that_reads_late_gets_everything() -> None:
    limits = TcpLimits(unread=16 * 1024)
    async with serving(limits) as (_, connect), connect() as (_, writer):
        with greedy(writer.get_extra_info("peername")) as sock:
            loop = asyncio.get_running_loop()
            count = 600
            await loop.sock_sendall(sock, framed("many.Pods.rpc.test") * count)
            await asyncio.sleep(0.05)
            one = len(responder().respond(framed("many.Pods.rpc.test")[2:]) or b"") + 2
            left = one * count
            while left:
                octets = await loop.sock_recv(sock, left)
                assert octets
                left -= len(octets)


async def test_one_that_asks_without_pause_does_not_hold_others_up() -> None:
    """Its messages are answered a few at a time; the loop turns in between."""
    async with serving() as (server, connect), connect() as (reader, writer):
        writer.write(framed(NAME) * 8_000)
        turns = 0
        while server.received < 8_000:
            turns += 1
            await asyncio.sleep(0)
            if turns % 50 == 0:
                await reader.read(1 << 20)
        assert turns >= 8_000 / PIPELINE


async def test_at_the_end_who_asks_once_more_is_answered_with_fin_behind_it() -> None:
    """The answer and FIN come in one segment: nobody asks in between."""
    async with serving() as (server, connect), connect() as (_, writer):
        loop = asyncio.get_running_loop()
        with socket.create_connection(writer.get_extra_info("peername")) as kept:
            kept.setblocking(False)
            one = len(responder().respond(framed(NAME)[2:]) or b"") + 2
            for number in range(2):
                await loop.sock_sendall(kept, framed(NAME, number))
                assert len(await loop.sock_recv(kept, 4096)) == one
                if number == 0:
                    ending = asyncio.create_task(server.drain(10.0, asking=10.0))
                    await asyncio.sleep(0.05)
            assert kept.recv(1) == b"", "a socket that has FIN does not block"
        writer.transport.abort()
        await ending
        assert not server.connections


async def test_at_the_end_who_has_just_connected_may_ask() -> None:
    async with serving() as (server, connect), connect() as (reader, writer):
        ending = asyncio.create_task(server.drain(10.0, asking=10.0))
        await asyncio.sleep(0.05)
        for octet in framed(NAME, 1):  # half a question is a question
            writer.write(bytes([octet]))
            await asyncio.sleep(0)
        assert (await message(reader)).id == 1
        assert await reader.read() == b""
        writer.close()
        await ending


async def test_at_the_end_all_that_was_sent_is_answered_before_fin() -> None:
    count = 3 * READ // len(framed(NAME))
    async with serving() as (server, connect), connect() as (reader, writer):
        writer.write(framed(NAME, 0))
        assert (await message(reader)).id == 0
        ending = asyncio.create_task(server.drain(10.0, asking=10.0))
        await asyncio.sleep(0.05)
        writer.write(b"".join(framed(NAME, number) for number in range(1, count)))
        assert [(await message(reader)).id for _ in range(1, count)] == list(range(1, count))
        assert await reader.read() == b""
        writer.close()
        await ending


async def test_at_the_end_who_waits_to_be_accepted_is_answered() -> None:
    """Perhaps nobody else has the listening socket."""
    async with serving() as (server, connect), connect() as (_, writer):
        address = writer.get_extra_info("peername")
        callers = [socket.create_connection(address) for _ in range(5 * ACCEPTED)]
        for number, caller in enumerate(callers):
            caller.sendall(framed(NAME, number))
        await server.drain(0.1, asking=0.2)
        for number, caller in enumerate(callers):
            with caller, caller.makefile("rb") as replies:
                assert replies.read()[2:4] == number.to_bytes(2)
        with pytest.raises(ConnectionRefusedError):
            # The socket of this process was the last one.
            socket.create_connection(address)


async def test_at_the_end_silent_connections_end_by_fin_and_what_comes_late_is_not_answered_by_rst() -> None:
    async with serving() as (server, connect), connect() as (reader, writer), connect() as (idle, idler):
        writer.write(framed(NAME, 1))
        assert (await message(reader)).id == 1
        ending = asyncio.create_task(server.drain(1.0))
        assert await idle.read() == b""
        writer.write(framed(NAME, 2))  # too late: it is read and ignored
        assert await reader.read() == b""
        for each in list(server.connections):
            assert each._ending
        writer.close()
        idler.close()
        await ending
        assert not server.connections


async def test_at_the_end_nobody_who_asks_without_pause_holds_it_up() -> None:
    async with serving() as (server, connect), connect() as (reader, writer):

        async def ask_on() -> None:
            with contextlib.suppress(OSError):
                while True:
                    writer.write(framed(NAME) * 100)
                    await writer.drain()
                    await reader.read(1 << 16)

        asking = asyncio.create_task(ask_on())
        await soon(lambda: server.received > 1_000)
        await server.drain(0.1, asking=0.2)
        assert not server.connections
        asking.cancel()


@pytest.mark.parametrize(
    ("says", "ends"),
    [
        (framed(NAME), "fin"),
        (framed(NAME), "rst"),
        (framed(NAME) * 3, "half"),
        (framed(NAME) + b"\0\0", "waits"),
        (framed(NAME)[:9], "fin"),
        (b"", "rst"),
        (b"", "waits"),
    ],
    ids=["asks", "asks-rst", "half-closes", "short", "cut", "silent-rst", "silent"],
)
async def test_a_closed_connection_leaves_nothing_for_the_collector(says: bytes, ends: str) -> None:
    """What has been frozen by then would stay for ever."""
    async with serving(TcpLimits(message_s=0.2, idle_s=0.4)) as (server, connect):
        async with connect() as (_, writer):
            address = writer.get_extra_info("peername")
        await soon(lambda: not server.connections)
        assert await left_by_two(address, says, ends, lambda: not server.connections) == []


async def test_who_is_refused_leaves_nothing_for_the_collector() -> None:
    async with serving(TcpLimits(connections=1)) as (server, connect), connect() as (_, writer):
        await soon(lambda: len(server.connections) == 1)
        with left() as found:
            await asyncio.to_thread(peer, writer.get_extra_info("peername"), b"", "waits")
            await asyncio.sleep(0.01)
        assert (server.refused, found) == (1, [])
