"""UDP socket of a worker: datagrams in, the responder's replies out.

Standard library only. It is drained by the batch whenever it is readable (``selector``), which is several times as fast
as asyncio's datagram protocol.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections.abc import Callable

from soadns.figures import Durations
from soadns.nameserver.batch import Batch
from soadns.nameserver.datagrams import BATCH, Exchange
from soadns.nameserver.responder import Responder

DRAIN = 8 * BATCH
"""Datagrams per wake-up, about: TCP and the journal get their turn in between."""
SAMPLE = 64
"""Of so many datagrams, one is timed."""
FINISH = 64
"""Times that so many are answered at the very end, at most."""

_SIOCGSTAMPNS = 0x8907
_TIMESPEC = struct.Struct("@ll")


class UdpServer:
    """Answers one UDP socket from the event loop.

    ``durations``, by zone, are of a sample: each first datagram of some wake-up, which has waited longest.
    """

    def __init__(
        self, sock: socket.socket, responder: Responder, durations: dict[str, Durations] | None = None
    ) -> None:
        self._sock = sock
        self._responder = responder
        self._durations = durations
        self._untimed = 0
        """Datagrams since one was timed."""
        self.received = 0
        sock.setblocking(False)
        self._exchange = Exchange(sock, responder.udp_size)

    @property
    def unsent(self) -> int:
        """Replies the kernel would not take."""
        return self._exchange.unsent

    def start(self, add_reader: Callable[[socket.socket, Callable[[], None]], object]) -> None:
        """Begin to read: ``add_reader`` has something called whenever a socket is readable."""
        if self._durations is not None:
            self._arrival()  # from now on the kernel notes when a datagram comes
        add_reader(self._sock, self._wake)

    def stop(self, remove_reader: Callable[[socket.socket], object]) -> None:
        """Stop reading; what comes later is for whoever has the socket next."""
        remove_reader(self._sock)

    def finish(self) -> None:
        """Answer what is queued: perhaps nobody has the socket next."""
        for _ in range(FINISH):
            before = self.received
            self._drain()
            if self.received == before:
                return

    def _drain(self) -> None:
        """Until nothing waits any more: to look once more costs less than to be woken."""
        turn, answer, left = self._exchange.turn, self._responder.answer, DRAIN
        while left > 0 and (received := turn(answer)):
            self.received += received
            left -= received

    def _wake(self) -> None:
        """Drain; now and then look how long the first datagram, which has waited longest, has taken."""
        before = self.received
        if self._untimed >= SAMPLE and self._durations is not None:
            self._untimed = 0
            self._sample(self._durations)
        self._drain()
        self._untimed += self.received - before

    def _sample(self, durations: dict[str, Durations]) -> None:
        zone = ""

        def answer(batch: Batch, lengths: list[int]) -> None:
            nonlocal zone
            zone = self._responder.zone_of(batch.message(0, lengths[0]))
            self._responder.answer(batch, lengths)

        if received := self._exchange.turn(answer, 1):
            self.received += received
            arrived = self._arrival()
            if arrived is not None:
                durations.setdefault(zone, Durations()).note(max(0.0, time.time() - arrived))

    def _arrival(self) -> float | None:
        """When the datagram that was read last came, in Unix seconds; None for one that came before we asked."""
        try:
            octets = fcntl.ioctl(self._sock, _SIOCGSTAMPNS, bytes(_TIMESPEC.size))
        except OSError:
            return None
        seconds, nanoseconds = _TIMESPEC.unpack(octets)
        return float(seconds + nanoseconds / 1e9)
