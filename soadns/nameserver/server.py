"""Sockets of a worker: UDP datagrams and TCP streams in, the responder's replies out.

Standard library only. UDP is drained in batches from the event loop's readable callback, which is four times
as fast as asyncio's datagram protocol. TCP is a main path (NodeLocal DNSCache asks by nothing else): queries
are answered as they come, those that come together in one write, connections close by FIN after an idle time that
shrinks under pressure, and of a peer that does not read its replies no more questions are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from soadns.figures import Durations
from soadns.nameserver.responder import Responder

DRAIN = 64
"""Datagrams per wake-up: TCP and the journal get their turn in between."""
SAMPLE = 64
"""Of so many wake-ups, one looks at the time."""
FINISH = 64
"""Batches answered at the very end, at most."""
MAX_DATAGRAM = 4096
HEADER = 12
"""Octets of the shortest message there is (RFC 1035 4.1.1): who sends less has lost count."""
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

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)
_SIOCGSTAMPNS = 0x8907
_TIMESPEC = struct.Struct("@ll")
_LENGTH = struct.Struct("!H")


class UdpServer:
    """Answers one UDP socket from the event loop."""

    def __init__(self, sock: socket.socket, responder: Responder, durations: Durations | None = None) -> None:
        self._sock = sock
        self._responder = responder
        self._durations = durations
        """Of a sample: each first datagram of some wake-up, which has waited longest."""
        self._wakes = 0
        self.received = 0
        self.unsent = 0
        """Replies the kernel would not take."""
        sock.setblocking(False)
        self._wildcard = sock.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104 - a comparison
        if self._wildcard:
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to read."""
        if self._durations is None:
            loop.add_reader(self._sock, self._drain, DRAIN)
        else:
            self._arrival()  # from now on the kernel notes when a datagram comes
            loop.add_reader(self._sock, self._wake, self._durations)

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop reading; what comes later is for whoever has the socket next."""
        loop.remove_reader(self._sock)

    def finish(self) -> None:
        """Answer what is queued: perhaps nobody has the socket next."""
        for _ in range(FINISH):
            before = self.received
            self._drain(DRAIN)
            if self.received == before:
                return

    def _wake(self, durations: Durations) -> None:
        """Drain; now and then look how long the first datagram, which has waited longest, has taken."""
        self._wakes += 1
        count = DRAIN
        if not self._wakes % SAMPLE:
            before = self.received
            self._drain(1)
            arrived = self._arrival() if self.received != before else None
            if arrived is not None:
                durations.note(max(0.0, time.time() - arrived))
            count -= 1
        self._drain(count)

    def _arrival(self) -> float | None:
        """When the datagram that was read last came, in Unix seconds; None for one that came before we asked."""
        try:
            octets = fcntl.ioctl(self._sock, _SIOCGSTAMPNS, bytes(_TIMESPEC.size))
        except OSError:
            return None
        seconds, nanoseconds = _TIMESPEC.unpack(octets)
        return float(seconds + nanoseconds / 1e9)

    def _drain(self, count: int) -> None:
        if self._wildcard:
            self._drain_wildcard(count)
            return
        receive, send, respond = self._sock.recvfrom, self._sock.sendto, self._responder.respond
        for _ in range(count):
            try:
                packet, peer = receive(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # An ICMP error of an earlier reply (RFC 1122 4.1.3.3) says nothing about this socket.
                continue
            self.received += 1
            reply = respond(packet)
            if reply is not None:
                try:
                    send(reply, peer)
                except OSError:
                    self.unsent += 1

    def _drain_wildcard(self, count: int) -> None:
        """As ``_drain``, but replies leave from the address that was asked (dns practice, RFC 2181 4)."""
        for _ in range(count):
            try:
                packet, ancillary, _, peer = self._sock.recvmsg(MAX_DATAGRAM, 128)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue
            self.received += 1
            reply = self._responder.respond(packet)
            if reply is not None:
                try:
                    self._sock.sendmsg([reply], _reply_from(ancillary), 0, peer)
                except OSError:
                    self.unsent += 1


def _reply_from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # struct in_pktinfo: interface index, our own address, destination of the packet. The reply may
            # take another interface than the question.
            return [(level, kind, struct.pack("=I4s4s", 0, data[4:8], b"\0" * 4))]
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            # struct in6_pktinfo: address, interface index, which only a link-local address needs.
            linked = data[0] == 0xFE and data[1] & 0xC0 == 0x80
            return [(level, kind, data if linked else data[:16] + bytes(len(data) - 16))]
    return []


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

    def __init__(self, responder: Responder, limits: TcpLimits | None = None) -> None:
        self.responder = responder
        self.limits = limits or TcpLimits()
        self.connections: set[TcpConnection] = set()
        self.sources: dict[str, int] = {}
        self.received = 0
        self.refused = 0
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self.space = memoryview(bytearray(READ))
        """What a connection reads into; it is taken out before another one reads."""

    async def start(
        self, sock: socket.socket, connection: Callable[[TcpServer], TcpConnection] | None = None
    ) -> None:
        """Accept on a listening socket that other workers accept on as well; ``connection`` if not plain TCP."""
        loop, made = asyncio.get_running_loop(), connection or TcpConnection
        self._servers.append(await loop.create_server(lambda: made(self), sock=sock, backlog=ACCEPTED))
        sock.listen(BACKLOG)  # asyncio takes one number for both

    async def drain(self, seconds: float) -> None:
        """Accept no more, and end every connection by FIN; peers have so long to close their side.

        Closes this process's descriptors of the listening sockets; the sockets belong to the supervisor.
        """
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.finish()
        self._empty.clear()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)
        if self._sweeper is not None:
            self._sweeper.cancel()

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


class TcpConnection(asyncio.BufferedProtocol):
    """One client's stream of length-prefixed messages (RFC 1035 4.2.2, RFC 7766)."""

    __slots__ = (
        "_asked",
        "_at",
        "_blocked",
        "_buffer",
        "_ending",
        "_server",
        "_since",
        "_source",
        "_transport",
    )

    def __init__(self, server: TcpServer) -> None:
        self._server = server
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
        self._transport = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into: asyncio would take a quarter of a MiB for every read."""
        del sizehint
        return self._server.space

    def buffer_updated(self, nbytes: int) -> None:
        """So much has been read."""
        self._take(bytes(self._server.space[:nbytes]))

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

    def _work(self) -> None:
        """Answer what is complete, a bounded number of messages at a time, while the peer reads."""
        transport, server = self._transport, self._server
        if transport is None or transport.is_closing() or self._ending:
            return
        buffer, index, size = self._buffer, self._at, len(self._buffer)
        respond = server.responder.respond
        answered, more, over = 0, False, False
        replies: list[bytes] = []
        held = 0
        while size - index >= 2:
            length = buffer[index] << 8 | buffer[index + 1]
            over = length < HEADER
            if over or size - index - 2 < length:
                break
            if held >= WRITE:
                transport.write(b"".join(replies))
                replies, held = [], 0
            more = self._blocked or answered == PIPELINE
            if more:
                break
            reply = respond(buffer[index + 2 : index + 2 + length], tcp=True)
            index += 2 + length
            answered += 1
            if reply is not None:
                replies += (_LENGTH.pack(len(reply)), reply)
                held += len(reply)
        if replies:
            transport.write(b"".join(replies))
        self._at = index
        if answered:
            server.received += answered
            self._asked = True
            self._since = time.monotonic()
        if over:
            self.finish()
        elif self._blocked:
            transport.pause_reading()
        elif more:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._work)
        else:
            transport.resume_reading()
