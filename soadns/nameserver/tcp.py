"""TCP connections of a worker: streams of messages in, the responder's replies out.

Standard library only. TCP is a main path (NodeLocal DNSCache asks by nothing else): queries are answered as they come,
those that come together in one write, connections close by FIN after an idle time that shrinks under pressure, and of
a peer that does not read its replies no more questions are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from soadns.nameserver.batch import Batch
from soadns.nameserver.heads import HEADER
from soadns.nameserver.responder import MAX_TCP, TOGETHER, Responder

ACCEPTED = 8
"""Connections accepted per wake-up: of many that come at once, other workers get their share."""
BACKLOG = 511
PIPELINE = 64
"""Messages of one connection answered in a row: others get their turn in between."""
READ = 16 * 1024
"""Octets read from a connection at a time."""
WRITE = 2 * 1024
"""Octets of replies from which on they are written: what came together goes together, but little beyond ``unread``."""
SWEEP_S = 1.0
QUEUED = 64
"""Turns of the event loop, at most, in which those are accepted at the end who wait for it."""
MADE = 3
"""Turns of the event loop from accept(2) to ``connection_made``."""

_FIONREAD = 0x541B
_LENGTH = struct.Struct("!H")
_PREFIX = _LENGTH.size


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What a worker spends on TCP."""

    idle_s: float = 60.0
    """RFC 7766 6.2.3; CoreDNS closes its own side after 10-20 s, so normally the client closes first."""
    busy_idle_s: float = 5.0
    """The same with more than half of the connections in use."""
    message_s: float = 10.0
    """Seconds a connection may take to complete a message it began (the first when it connects), or to read
    what it was sent."""
    connections: int = 4_000
    per_source: int = 1_000
    """Few sources carry all load (CoreDNS pods, nodes), so the limit per source is generous."""
    unread: int = 64 * 1024
    """Octets of replies waiting for a peer from which on no more of its questions are read."""


class TcpServer:
    """All TCP connections of a worker."""

    def __init__(self, limits: TcpLimits | None = None) -> None:
        self.limits = limits or TcpLimits()
        self.connections: set[TcpConnection] = set()
        self.sources: dict[str, int] = {}
        self.received = 0
        self.refused = 0
        self.handshakes: Counter[str] = Counter()
        """Those of TLS that failed, by why."""
        self.leaving = False
        """Whether connections end with the next answer."""
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self.batch = Batch(1, MAX_TCP)
        """Where a message that comes alone is answered, of one connection before another one reads."""
        self.begin = self.batch.begins[0] - _PREFIX
        """Where the length of it stands."""
        self.space = memoryview(self.batch.memory)[self.begin : self.begin + READ]
        """What a connection reads into; it is taken out, or answered there, before another one reads."""

    async def start(
        self,
        sock: socket.socket,
        responder: Responder,
        connection: Callable[[TcpServer, Responder], TcpConnection] | None = None,
    ) -> None:
        """Accept on a listening socket that other workers accept on as well; ``connection`` if not plain TCP."""
        loop, made = asyncio.get_running_loop(), connection or TcpConnection
        server = await loop.create_server(lambda: made(self, responder), sock=sock, backlog=ACCEPTED)
        self._servers.append(server)
        sock.listen(BACKLOG)  # asyncio takes one number for both

    async def drain(self, seconds: float, asking: float = 0.0) -> None:
        """Accept no more, and end every connection by FIN.

        Whoever waits to be accepted is, as perhaps nobody else has the listening socket. For ``asking`` seconds each
        connection may ask once more and has FIN with the answer: between two questions, where its peer sees it before
        the next. Those that stayed silent have FIN then, and a question that crosses with it is not answered, so the
        peer asks again elsewhere (RFC 7766 6.2.4). Peers have ``seconds`` more to close their side.

        Closes this process's descriptors of the listening sockets; the sockets belong to the supervisor.
        """
        await self._accept_queued()
        for server in self._servers:
            server.close()
        self.leaving = True
        await self._emptied(asking)
        for connection in list(self.connections):
            if not connection.unread:
                connection.finish()
        await asyncio.sleep(0)  # what had come by then is read
        for connection in list(self.connections):
            connection.finish()
        await self._emptied(seconds)
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _accept_queued(self) -> None:
        queues = select.poll()
        for server in self._servers:
            for sock in server.sockets:
                queues.register(sock.fileno(), select.POLLIN)
        for _ in range(QUEUED):
            if not queues.poll(0):
                break
            await asyncio.sleep(0)
        for _ in range(MADE):
            await asyncio.sleep(0)

    async def _emptied(self, seconds: float) -> None:
        """Wait until there is no connection, but no longer."""
        self._empty.clear()
        if self.connections and seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)

    def admit(self, connection: TcpConnection, source: str) -> bool:
        """Whether there is room for a connection; it then counts until ``leave``."""
        held = self.sources.get(source, 0)
        if len(self.connections) >= self.limits.connections or held >= self.limits.per_source:
            self.refused += 1
            return False
        self.sources[source] = held + 1
        self.connections.add(connection)
        if self._sweeper is None:
            self._watch()
        return True

    def leave(self, connection: TcpConnection, source: str) -> None:
        """The connection is over."""
        if connection in self.connections:
            self.connections.discard(connection)
            left = self.sources.pop(source) - 1
            if left:
                self.sources[source] = left
            if not self.connections:
                self._empty.set()

    def _watch(self) -> None:
        limits = self.limits
        every = min(SWEEP_S, limits.idle_s / 4, limits.busy_idle_s / 4, limits.message_s / 4)
        self._sweeper = asyncio.get_running_loop().call_later(every, self._sweep)

    def _sweep(self) -> None:
        """End what has been silent for too long. One timer for all costs nothing per message."""
        limits = self.limits
        now = time.monotonic()
        idle_s = limits.busy_idle_s if len(self.connections) > limits.connections // 2 else limits.idle_s
        for connection in list(self.connections):
            connection.check(now, idle_s)
        self._sweeper = None
        if self.connections:
            self._watch()


def let_go(transport: asyncio.BaseTransport) -> None:
    """Let a transport that is closed vanish by itself: Python 3.11's holds itself, by a method that it keeps.

    Workers freeze what is there now and then; what forms a cycle after that is never found.
    """
    kept = vars(transport)
    if "_read_ready_cb" in kept:
        kept["_read_ready_cb"] = None


class TcpConnection(asyncio.BufferedProtocol):
    """One client's stream of length-prefixed messages (RFC 1035 4.2.2, RFC 7766)."""

    __slots__ = (
        "_asked",
        "_at",
        "_blocked",
        "_buffer",
        "_ending",
        "_responder",
        "_server",
        "_since",
        "_source",
        "_together",
        "_transport",
    )

    def __init__(self, server: TcpServer, responder: Responder) -> None:
        self._server = server
        self._responder = responder
        self._transport: asyncio.Transport | None = None
        self._source = ""
        self._buffer = b""
        self._at = 0
        """How much of the buffer has been answered."""
        self._since = 0.0
        """When a message was answered last, or the one being received began."""
        self._asked = False
        """Whether the peer completed a message yet."""
        self._blocked = False
        """Whether the peer leaves too many replies unread."""
        self._ending = False
        self._together = TOGETHER
        """How many messages are answered at once: one where replies are long."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._source = peer[0] if peer else ""
        self._since = time.monotonic()
        if self._server.admit(self, self._source):
            self._transport.set_write_buffer_limits(high=self._server.limits.unread)
        else:
            self._ending = True
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        self._server.leave(self, self._source)
        if self._transport is not None:
            let_go(self._transport)
        self._transport = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into: asyncio would take a quarter of a MiB for every read."""
        del sizehint
        return self._server.space

    def buffer_updated(self, nbytes: int) -> None:
        """So much has been read: mostly a message that comes alone, which is answered where it lies."""
        server, transport = self._server, self._transport
        if transport is None or not self._alone(nbytes - _PREFIX):
            self._take(bytes(server.space[:nbytes]))
            return
        batch, begin = server.batch, server.begin
        self._responder.answer(batch, (nbytes - _PREFIX,))
        server.received += 1
        self._asked = True
        self._since = time.monotonic()
        if batch.silent:
            batch.silent.clear()
            return
        end = begin + _PREFIX + batch.sizes[0]
        batch.memory[begin : begin + _PREFIX] = _LENGTH.pack(batch.sizes[0])
        transport.write(batch.memory[begin:end])
        if self._blocked:
            transport.pause_reading()

    def _alone(self, length: int) -> bool:
        """Whether what was read is a message of this length, and to be answered as if nothing else ever came."""
        server, transport = self._server, self._transport
        return not (
            length < HEADER
            or _LENGTH.unpack_from(server.space)[0] != length
            or self._at < len(self._buffer)
            or self._blocked
            or self._ending
            or server.leaving
            or transport is None
            or transport.is_closing()
        )

    def _take(self, data: bytes) -> None:
        """Answer every complete message; one that is shorter than a header ends the connection."""
        if self._ending:
            return
        if self._at < len(self._buffer):
            self._buffer = self._buffer[self._at :] + data
        else:
            self._buffer = data
            self._since = time.monotonic()
        self._at = 0
        self._work()

    def eof_received(self) -> bool:
        """Half-closed: what was asked has been answered, so close (RFC 7766 6.2.4)."""
        return False

    def pause_writing(self) -> None:
        """The peer does not read: no more of it until it does."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._blocked = False
        self._work()

    def finish(self) -> None:
        """End our side by FIN after what is queued; what still comes is read and ignored.

        A socket closed with unread octets in it would answer with RST, which CoreDNS takes for a failure.
        """
        if self._transport is not None and not self._ending and not self._transport.is_closing():
            self._ending = True
            self._since = time.monotonic()
            self._transport.resume_reading()
            try:
                self._transport.write_eof()
            except OSError:
                # The peer has gone already.
                self._transport.abort()

    @property
    def unread(self) -> bool:
        """Whether the peer has sent more than was read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        waiting = fcntl.ioctl(transport.get_extra_info("socket").fileno(), _FIONREAD, bytes(4))
        return any(waiting)

    def _cork(self) -> None:
        """What is written next goes out together with FIN, which follows at once."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    def abort(self) -> None:
        """Give the connection up, and what its peer did not read."""
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float, idle_s: float) -> None:
        """End the connection when its time is over."""
        transport = self._transport
        if transport is None:
            return
        silent = now - self._since
        if self._ending or transport.get_write_buffer_size():
            if silent > self._server.limits.message_s:
                transport.abort()
        elif silent > (
            idle_s if self._asked and self._at >= len(self._buffer) else self._server.limits.message_s
        ):
            self.finish()

    def _complete(self, index: int, most: int) -> tuple[list[bytes], int, bool]:
        """Messages that begin here in the buffer and are complete, so many at most.

        Returns where they end, too, and whether what follows is too short for a message.
        """
        buffer, size = self._buffer, len(self._buffer)
        messages: list[bytes] = []
        while len(messages) < most and size - index >= _PREFIX:
            length = buffer[index] << 8 | buffer[index + 1]
            if length < HEADER:
                return messages, index, True
            end = index + _PREFIX + length
            if end > size:
                break
            messages.append(buffer[index + _PREFIX : end])
            index = end
        return messages, index, False

    def _work(self) -> None:
        """Answer what is complete, a bounded number of messages at a time, while the peer reads."""
        transport, server = self._transport, self._server
        if transport is None or transport.is_closing() or self._ending:
            return
        index, size, answered, more = self._at, len(self._buffer), 0, False
        replies: list[bytes] = []
        held = 0
        while True:
            messages, end, over = self._complete(index, min(self._together, max(1, PIPELINE - answered)))
            if not messages:
                break
            if held >= WRITE:
                transport.write(b"".join(replies))
                replies, held = [], 0
            more = self._blocked or answered == PIPELINE
            if more:
                break
            index = end
            answered += len(messages)
            before = held
            for reply in self._responder.respond_all(messages):
                if reply is not None:
                    replies += (_LENGTH.pack(len(reply)), reply)
                    held += len(reply)
            self._together = TOGETHER if TOGETHER * (held - before) <= WRITE * len(messages) else 1
        last = server.leaving and index == size and not (more or self._blocked or self.unread)
        last = last and (self._asked or answered > 0)
        if last:
            self._cork()
        if replies:
            transport.write(b"".join(replies))
        if index == size:
            self._buffer, index = b"", 0  # the connection may be silent for long
        self._at = index
        if answered:
            server.received += answered
            self._asked = True
            self._since = time.monotonic()
        if over or last:
            self.finish()
        elif self._blocked:
            transport.pause_reading()
        elif more:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._work)
        else:
            transport.resume_reading()
