"""What outlives a process: sockets, channels, pipes and the journal, opened once and inherited by name.

Standard library only; the supervisor's.
"""

from __future__ import annotations

import contextlib
import os
import socket

from soadns.processes.children import Command
from soadns.processes.listening import ROOM, bound, check_free, listening

SEATS = 2
"""A worker and its successor."""
Addresses = tuple[tuple[str, int], ...]
Served = tuple[tuple[str, tuple[str, int]], ...]
"""(setting, TCP address) of what the control process serves."""


class Sockets:
    """Everything that outlives a process, opened once."""

    def __init__(
        self,
        listen: Addresses,
        *,
        workers: int,
        served: Served,
        livez: tuple[str, int] | None,
        tls: Addresses = (),
    ) -> None:
        """Open it all. Raises ListenError."""
        with contextlib.ExitStack() as opened:
            self.udp: list[list[socket.socket]] = [[] for _ in range(workers)]
            self.tcp: list[socket.socket] = []
            for host, port in listen:
                check_free(host, port)
                # The listening socket is shared with nobody: of two that start at once, only one gets past here. All
                # workers accept from it, so a connection never waits for one that is busy, stuck or gone.
                self.tcp.append(opened.enter_context(listening(host, port, 511)))
                for group in self.udp:
                    group.append(opened.enter_context(bound(host, port, socket.SOCK_DGRAM)))
            self.tls: list[socket.socket] = []
            for host, port in tls:
                setting = "nameserver.tls.listen"
                check_free(host, port, setting=setting, tcp_only=True)
                self.tls.append(opened.enter_context(listening(host, port, 511, setting=setting)))
            self.probes = [[_probe(opened) for _ in range(SEATS)] for _ in range(workers)]
            self.channels = [[_channel(opened) for _ in range(SEATS)] for _ in range(workers)]
            self.livez: socket.socket | None = None
            if livez is not None:
                host, port = livez
                check_free(host, port, setting="http.livez", tcp_only=True)
                self.livez = opened.enter_context(listening(host, port, 128, setting="http.livez"))
            self.served: list[tuple[str, socket.socket]] = []
            for setting, (host, port) in served:
                check_free(host, port, setting=setting, tcp_only=True)
                option = f"--{setting.replace('.', '-')}"
                self.served.append(
                    (option, opened.enter_context(listening(host, port, 128, setting=setting)))
                )
            self.journal = [os.memfd_create(name) for name in ("soadns-journal-0", "soadns-journal-1")]
            self.lifeline, self.heartbeat = os.pipe(), os.pipe()
            os.set_blocking(self.heartbeat[0], False)
            for descriptor in (*self.journal, *self.lifeline, *self.heartbeat):
                opened.callback(os.close, descriptor)
            self._opened = opened.pop_all()

    @property
    def room(self) -> int:
        """Octets that the smallest queue of questions may hold; Linux doubles what was asked for, and says so."""
        sizes = [s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2 for group in self.udp for s in group]
        return min(sizes, default=ROOM)

    def leave(self) -> None:
        """Listen no longer than the workers do: whoever comes after them is refused, and waits in no queue."""
        for sock in (*self.tcp, *self.tls, *(sock for group in self.udp for sock in group)):
            sock.close()

    def close(self) -> None:
        """Close everything: the end of this server's right to its addresses."""
        self._opened.close()

    def inherited_by_control(self) -> Command:
        """Options of the control process."""
        channels = [[str(ours.fileno()) for ours, _ in seats] for seats in self.channels]
        journal = [str(descriptor) for descriptor in self.journal]
        beat, lifeline = self.heartbeat[1], self.lifeline[0]
        options = ["--heartbeat", str(beat), "--lifeline", str(lifeline), "--journal", *journal]
        for channel in channels:
            options += ["--channel", *channel]
        for option, sock in self.served:
            options += [option, str(sock.fileno())]
        descriptors = [int(fd) for seat in channels for fd in seat] + [
            sock.fileno() for _, sock in self.served
        ]
        return options, [*descriptors, beat, lifeline, *self.journal]

    def inherited_by_worker(self, index: int, seat: int) -> Command:
        """Options of a worker."""
        single = {
            "--channel": self.channels[index][seat][1].fileno(),
            "--probe": self.probes[index][seat][0].fileno(),
            "--lifeline": self.lifeline[0],
        }
        options = ["--journal", *map(str, self.journal)]
        for option, descriptor in single.items():
            options += [option, str(descriptor)]
        udp, tcp = [s.fileno() for s in self.udp[index]], [s.fileno() for s in self.tcp]
        tls = [s.fileno() for s in self.tls]
        for option, descriptors in (("--udp", udp), ("--tcp", tcp), ("--tls", tls)):
            for descriptor in descriptors:
                options += [option, str(descriptor)]
        return options, [*single.values(), *udp, *tcp, *tls, *self.journal]


def _probe(opened: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    """The socket on which a worker answers probes, and ours."""
    theirs = opened.enter_context(bound("127.0.0.1", 0, socket.SOCK_DGRAM))
    ours = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    ours.connect(theirs.getsockname())
    ours.setblocking(False)
    return theirs, ours


def _channel(opened: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    """Control's end and a worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return opened.enter_context(ours), opened.enter_context(theirs)
