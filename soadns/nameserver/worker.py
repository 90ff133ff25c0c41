"""A DNS worker process: follows the journal, answers packets, nothing else.

``python -m soadns.nameserver.worker`` with inherited descriptors: UDP and TCP sockets, the journal, and one end
of a SOCK_SEQPACKET pair to the control process. Imports the standard library and the data plane only. It reads
no packet before its table was loaded completely, then answers with what it has, whatever becomes of the
control process; to be loaded it needs no other process. All sockets belong to the supervisor; a successor takes
over their queues.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import time
from dataclasses import replace
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING

from soadns import logs
from soadns.figures import Durations
from soadns.logs import log
from soadns.nameserver import frames, report
from soadns.nameserver.follower import Follower
from soadns.nameserver.journal import Reader
from soadns.nameserver.report import Report
from soadns.nameserver.responder import Identity, Responder
from soadns.nameserver.selector import DatagramSelector
from soadns.nameserver.table import Names, Table
from soadns.nameserver.tcp import TcpLimits, TcpServer
from soadns.nameserver.udp import UdpServer

if TYPE_CHECKING:
    from soadns.nameserver.tls import Certificate

REPORT_S = 0.5
ASKING_S = 1.0
"""How long TCP clients may ask once more at the end: an answer is the best moment to end a connection."""
DRAIN_S = 1.0
"""How long TCP clients may take to close their side at the end."""
SPARE_DESCRIPTORS = 64
SLICE_S = 0.0003
"""Seconds of following the journal at a time: packets get their turn in between."""
COLLECT, BULK = 1_000, 5_000
"""Containers more than before from which on the collector looks for cycles (a fifth of a millisecond for a thousand),
and from which on it does not.
"""
_SO_MEMINFO, _MEMINFO = 55, Struct("=9I")
"""What Linux tells of a socket's memory; the last figure counts datagrams it had no room for."""


class Worker:
    """One worker: its table, its sockets and its place in the journal."""

    def __init__(self, options: argparse.Namespace, selector: DatagramSelector) -> None:
        self.selector = selector
        self.table = Table(Names())
        self.follower = Follower(self.table)
        self.journal = Reader(options.journal)
        self.identity = Identity(options.version, options.identity)
        self.udp_size = options.udp_size
        self.responders: dict[tuple[str, int], Responder] = {}
        """By transport and address family: each counts for itself."""
        self.channel = socket.socket(fileno=options.channel)
        self.channel.setblocking(False)
        self.udp_sockets = [socket.socket(fileno=fd) for fd in options.udp]
        self.durations: dict[str, Durations] = {}
        self.udp = [
            UdpServer(sock, self._responder(report.UDP, sock), self.durations) for sock in self.udp_sockets
        ]
        # The supervisor's questions are no client's: they are not counted with those.
        self.probes = [UdpServer(socket.socket(fileno=fd), Responder(self.table)) for fd in options.probe]
        self.tcp_sockets = [socket.socket(fileno=fd) for fd in options.tcp]
        self.tls_sockets = [socket.socket(fileno=fd) for fd in options.tls]
        self.certificate: Certificate | None = None
        self._secured = False
        """Whether it accepts on the sockets for TLS."""
        if options.tls:
            from soadns.nameserver import tls  # costs memory, which most workers can do without

            self.certificate = tls.Certificate(options.tls_cert, options.tls_key)
        self.tcp = TcpServer(_limits())
        self.lameduck = options.lameduck
        self.lifeline = options.lifeline
        self._overflowed = 0
        """What sockets that are closed had no room for."""
        self._applied = 0
        """The generation that control was told of."""
        self._due = False
        self._discarding = False
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()

    def _responder(self, proto: str, sock: socket.socket) -> Responder:
        key = (proto, report.INET6 if sock.family == socket.AF_INET6 else report.INET)
        if key not in self.responders:
            self.responders[key] = Responder(
                self.table, stream=proto == report.TCP, udp_size=self.udp_size, identity=self.identity
            )
        return self.responders[key]

    async def run(self) -> None:
        """Serve until SIGTERM, then drain."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_reader(self.channel, self._told)
        if self.lifeline >= 0:
            loop.add_reader(self.lifeline, self._orphaned)
        # Nothing here forms cycles but the end of a TCP connection now and then, and a collection walks every
        # container there is: it would come amid packets.
        gc.disable()
        self._follow()
        reporter = asyncio.create_task(self._report())
        stopping = asyncio.create_task(self._stopping.wait())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, stopping), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self._stopping.is_set():
            for server in (*self.udp, *self.probes):
                server.start(self.selector.serve)
            for sock in self.tcp_sockets:
                await self.tcp.start(sock, self._responder(report.TCP, sock))
            await self._secure()
            await stopping
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._at_once.wait(), self.lameduck)
            # The supervisor's questions are answered to the end: this process is not stuck.
            for server, sock in zip(self.udp, self.udp_sockets, strict=True):
                server.stop(self.selector.leave)
                server.finish()
                # Nobody has it next if everything ends: then who asks is refused, and turns to another server.
                self._overflowed += _overflowed(sock)
                sock.close()
            self.udp_sockets.clear()
            await self.tcp.drain(DRAIN_S, ASKING_S)
        reporter.cancel()
        self._send(frames.encode(frames.STATS, self.table.generation, self._stats()))

    async def _secure(self) -> None:
        """Accept on the sockets for TLS from when there is a certificate; questions without TLS do not wait for one."""
        certificate = self.certificate
        serving = self._ready.is_set() and not self._stopping.is_set()
        if self._secured or not serving or certificate is None or certificate.context is None:
            return
        self._secured = True
        for sock in self.tls_sockets:
            await self.tcp.start(sock, self._responder(report.TCP, sock), certificate.connection)

    def _stop(self) -> None:
        """SIGTERM; a second one ends the wait for those who still ask here."""
        if self._stopping.is_set():
            self._at_once.set()
        self._stopping.set()

    def _orphaned(self) -> None:
        # Readable means closed: the supervisor is gone, and with it the right to these sockets.
        asyncio.get_running_loop().remove_reader(self.lifeline)
        self._stopping.set()

    # ------------------------------------------------------------------ reports

    async def _report(self) -> None:
        """Tell the control process how it stands."""
        while True:
            self._send(frames.encode(frames.STATS, self.table.generation, self._stats()))
            await asyncio.sleep(REPORT_S)
            # Whoever should have told of something new may have died over it.
            self._follow()
            self._complain()
            if self.certificate is not None:
                self.certificate.refresh()
                await self._secure()
            self._collect()

    @staticmethod
    def _collect() -> None:
        """Look for cycles among the few things that are new: whatever came in bulk is the table's, which has none."""
        new = gc.get_count()[0]
        if COLLECT < new <= BULK:
            gc.collect()
        if new > COLLECT:
            gc.freeze()

    def _stats(self) -> bytes:
        responders = self.responders.values()
        return Report(
            pid=os.getpid(),
            replies={
                (zone, *key, kind, rcode): count
                for key, responder in self.responders.items()
                for (zone, kind, rcode), count in responder.counts().items()
            },
            durations={zone: (held.slots, held.seconds) for zone, held in self.durations.items()},
            udp=sum(server.received for server in self.udp),
            tcp=self.tcp.received,
            dropped=sum(responder.dropped for responder in responders),
            malformed=sum(responder.malformed for responder in responders),
            unsent=sum(server.unsent for server in self.udp),
            refused=self.tcp.refused,
            connections=len(self.tcp.connections),
            names=len(self.table.names),
            memory=_resident(),
            overflowed=self._overflowed + sum(map(_overflowed, self.udp_sockets)),
            processor_s=time.process_time(),
            handshakes=dict(self.tcp.handshakes),
            certificate_refused=self.certificate.refused if self.certificate is not None else None,
        ).encode()

    def _send(self, message: bytes) -> None:
        # A control process that is dead or hangs must never hold a worker up: stats are cumulative.
        try:
            self.channel.send(message)
        except OSError:
            return

    # ------------------------------------------------------------------ the journal

    def _told(self) -> None:
        """Something was written, perhaps several times."""
        for _ in range(64):
            try:
                message = self.channel.recv(4096)
            except OSError:
                break
            if not message:
                asyncio.get_running_loop().remove_reader(self.channel)
                break
        self._follow()

    def _follow(self) -> None:
        """Take what is new in the journal: a slice now, the rest after the packets that came meanwhile."""
        if not self._due:
            self._slice()

    def _again(self) -> None:
        self._due = False
        self._slice()

    def _slice(self) -> None:
        until = time.monotonic() + SLICE_S
        try:
            while (frame := self.journal.next(self.follower)) is not None:
                self.follower.take(frame)
                if time.monotonic() > until:
                    self._due = True
                    asyncio.get_running_loop().call_soon(self._again)
                    return
        except frames.FrameError as error:
            log("frame-lost", level="warning", error=error)
            self.follower.give_up()
            self.journal.distrust()
            self._complain()
            self._discard()
            return
        if self.follower.complete:
            for responder in self.responders.values():
                responder.counts()  # as long as the numbers of zones are those of the table they were counted in
        if self.follower.settle():
            gc.freeze()  # a table has no cycles, and is never looked at for any
        self._discard()
        if self.follower.loaded:
            self._ready.set()
            if self.table.generation != self._applied:
                self._applied = self.table.generation
                self._send(frames.encode(frames.APPLIED, self._applied))

    def _complain(self) -> None:
        """Ask for another journal, as long as this one is damaged."""
        if self.journal.distrusted and self.journal.distrusted == self.journal.epoch:
            self._send(frames.encode(frames.NEED, self.journal.epoch))

    def _discard(self) -> None:
        """Take to pieces what is no longer used: all at once would take as long as loading it did."""
        if self.follower.remains and not self._discarding:
            self._discarding = True
            asyncio.get_running_loop().call_soon(self._discard_one)

    def _discard_one(self) -> None:
        self._discarding = False
        self.follower.remains.pop().clear()
        self._discard()


def _overflowed(sock: socket.socket) -> int:
    """Datagrams that a socket had no room for."""
    octets = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(octets)[8])


def _resident() -> int:
    """Octets of memory that this process takes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _limits() -> TcpLimits:
    """As many connections as there may be descriptors; some are for everything else."""
    limits = TcpLimits()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connections = max(1, soft - SPARE_DESCRIPTORS)
        limits = replace(limits, connections=connections, per_source=max(1, connections // 4))
    return limits


def main(arguments: list[str] | None = None) -> None:
    """Run a worker on inherited descriptors."""
    # Without a width, the formatter imports shutil and with it half a dozen packers of files.
    parser = argparse.ArgumentParser(
        prog="soadns-worker",
        description="DNS worker; started by the supervisor",
        formatter_class=partial(argparse.HelpFormatter, width=100),
    )
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--journal", type=int, nargs=2, required=True)
    parser.add_argument("--udp", type=int, action="append", default=[])
    parser.add_argument("--probe", type=int, action="append", default=[])
    parser.add_argument("--tcp", type=int, action="append", default=[])
    parser.add_argument("--tls", type=int, action="append", default=[])
    parser.add_argument("--tls-cert", default="")
    parser.add_argument("--tls-key", default="")
    parser.add_argument("--udp-size", type=int, default=1232)
    parser.add_argument("--identity", default="")
    parser.add_argument("--version", default="")
    parser.add_argument("--lifeline", type=int, default=-1)
    parser.add_argument("--lameduck", type=float, default=0.0)
    parser.add_argument("--log-format", default="keyvalue")
    worker_options = parser.parse_args(arguments)
    logs.configure("info", worker_options.log_format)
    selector = DatagramSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(_serve(worker_options, selector))


async def _serve(options: argparse.Namespace, selector: DatagramSelector) -> None:
    try:
        worker = Worker(options, selector)
    except OSError as error:
        log("worker-failed", level="error", error=error)
        raise SystemExit(1) from None
    await worker.run()


if __name__ == "__main__":
    main()
