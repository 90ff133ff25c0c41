"""Sockets of a worker: UDP datagrams and TCP streams in, the responder's replies out.

Standard library only. UDP is drained in batches from the event loop's readable callback, which is four times
as fast as asyncio's datagram protocol. TCP is a main path (NodeLocal DNSCache asks by nothing else): queries
are answered as they come, each reply in one write, connections close by FIN after an idle time that
shrinks under pressure, and a peer that does not read is cut off before it costs memory.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from soadns.nameserver.responder import Responder

DRAIN = 64
"""Datagrams per wake-up: TCP and the feed get their turn in between."""
MAX_DATAGRAM = 4096
IDLE_S = 60.0
"""RFC 7766 6.2.3; CoreDNS closes its own side after 10-20 s, so normally the client closes first."""
BUSY_IDLE_S = 5.0
FIRST_QUERY_S = 10.0
"""Seconds a connection may take to complete a message once it began one (or connected)."""
MAX_CONNECTIONS = 4_000
MAX_PER_SOURCE = 1_000
"""Few sources carry all load (CoreDNS pods, nodes), so the limit per source is generous."""
MAX_UNSENT = 256 * 1024
"""Octets a peer may leave unread before the connection is closed."""

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)
_LENGTH = struct.Struct("!H")


class UdpServer:
    """Answers one UDP socket from the event loop."""

    def __init__(self, sock: socket.socket, responder: Responder) -> None:
        self._sock = sock
        self._responder = responder
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
        loop.add_reader(self._sock, self._drain_wildcard if self._wildcard else self._drain)

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop reading; what is queued stays for whoever has the socket next."""
        loop.remove_reader(self._sock)

    def _drain(self) -> None:
        receive, send, respond = self._sock.recvfrom, self._sock.sendto, self._responder.respond
        for _ in range(DRAIN):
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

    def _drain_wildcard(self) -> None:
        """As ``_drain``, but replies leave from the address that was asked (dns practice, RFC 2181 4)."""
        for _ in range(DRAIN):
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
            # struct in_pktinfo: interface index, local address to send from, destination address.
            return [(level, kind, struct.pack("=I4s4s", 0, data[8:12], b"\0" * 4))]
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            return [(level, kind, data)]
    return []


class TcpServer:
    """All TCP connections of a worker."""

    def __init__(self, responder: Responder) -> None:
        self.responder = responder
        self.connections: set[TcpConnection] = set()
        self.sources: dict[str, int] = {}
        self.received = 0
        self.refused = 0
        self._servers: list[asyncio.Server] = []

    async def start(self, sock: socket.socket) -> None:
        """Accept on a listening socket that other workers accept on as well."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: TcpConnection(self), sock=sock, backlog=511))

    def idle_s(self) -> float:
        """Seconds of silence after which a connection is closed now."""
        if len(self.connections) < MAX_CONNECTIONS // 2:
            return IDLE_S
        return BUSY_IDLE_S

    def stop_accepting(self) -> None:
        """Accept no more; open connections go on. The listening socket belongs to the supervisor."""
        loop = asyncio.get_running_loop()
        for server in self._servers:
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())

    def close(self) -> None:
        """Close every connection, each after what it has to send."""
        for connection in list(self.connections):
            connection.close()


class TcpConnection(asyncio.Protocol):
    """One client's stream of length-prefixed messages (RFC 1035 4.2.2, RFC 7766)."""

    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._source = ""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._source = peer[0] if peer else ""
        server = self._server
        held = server.sources.get(self._source, 0)
        if len(server.connections) >= MAX_CONNECTIONS or held >= MAX_PER_SOURCE:
            server.refused += 1
            self._source = ""
            self._transport.close()
            return
        server.sources[self._source] = held + 1
        server.connections.add(self)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT)
        self._arm(FIRST_QUERY_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        if self._timer is not None:
            self._timer.cancel()
        if self in self._server.connections:
            self._server.connections.discard(self)
            left = self._server.sources[self._source] - 1
            if left:
                self._server.sources[self._source] = left
            else:
                del self._server.sources[self._source]

    def data_received(self, data: bytes) -> None:
        """Answer every complete message; a zero-length one ends the connection."""
        transport, server = self._transport, self._server
        if transport is None or transport.is_closing():
            return
        buffer = self._buffer + data if self._buffer else data
        index, size = 0, len(buffer)
        complete = False
        while size - index >= 2:
            length = _LENGTH.unpack_from(buffer, index)[0]
            if not length:
                self.close()
                return
            if size - index - 2 < length:
                break
            packet = buffer[index + 2 : index + 2 + length]
            index += 2 + length
            complete = True
            server.received += 1
            reply = server.responder.respond(packet, tcp=True)
            if reply is not None:
                transport.write(_LENGTH.pack(len(reply)) + reply)
            if transport.get_write_buffer_size() > MAX_UNSENT:
                # Nobody reads: what is queued for it is all it gets.
                transport.abort()
                return
        self._buffer = buffer[index:]
        if complete:
            self._arm(FIRST_QUERY_S if self._buffer else server.idle_s())
        elif self._timer is None:
            self._arm(FIRST_QUERY_S)

    def eof_received(self) -> bool:
        """Half-closed: what was asked has been answered, so close (RFC 7766 6.2.4)."""
        return False

    def close(self) -> None:
        """Close by FIN after what is queued was sent."""
        if self._transport is not None:
            self._transport.close()

    def _arm(self, seconds: float) -> None:
        """Close the connection unless something completes within this time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._timer = None
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()
