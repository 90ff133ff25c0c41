"""UDP socket of a worker: datagrams in, the responder's replies out.

Standard library only. It is drained in batches from the event loop's readable callback, which is four times as fast as
asyncio's datagram protocol.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import time

from soadns.figures import Durations
from soadns.nameserver.responder import Responder

DRAIN = 64
"""Datagrams per wake-up: TCP and the journal get their turn in between."""
SAMPLE = 64
"""Of so many wake-ups, one looks at the time."""
FINISH = 64
"""Batches answered at the very end, at most."""
MAX_DATAGRAM = 4096

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)
_SIOCGSTAMPNS = 0x8907
_TIMESPEC = struct.Struct("@ll")


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
