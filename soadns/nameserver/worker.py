"""A DNS worker process: fed by frames, answering packets, nothing else.

``python -m soadns.nameserver.worker`` with inherited descriptors: UDP and TCP sockets and one end of a
SOCK_SEQPACKET pair to the control process. Imports the standard library and the data plane only. It
reads no packet before its table was loaded completely, then answers with what it has, whatever becomes of
the control process. All sockets belong to the supervisor; a successor takes over their queues.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import signal
import socket
from dataclasses import replace

from soadns import logs
from soadns.logs import log
from soadns.nameserver import frames
from soadns.nameserver.follower import Follower
from soadns.nameserver.responder import Identity, Responder
from soadns.nameserver.server import TcpLimits, TcpServer, UdpServer
from soadns.nameserver.table import Table

REPORT_S = 0.5
DRAIN_S = 1.0
"""How long TCP clients may take to close their side at the end."""
SPARE_DESCRIPTORS = 64
FRAMES_PER_TURN = 8
"""Frames taken per wake-up: packets get their turn in between."""


class Worker:
    """One worker: its table, its sockets and its feed."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.table = Table()
        self.follower = Follower(self.table)
        identity = Identity(options.version, options.identity)
        self.responder = Responder(self.table, udp_size=options.udp_size, identity=identity)
        self.channel = socket.socket(fileno=options.channel)
        self.channel.setblocking(False)
        self.udp = [UdpServer(socket.socket(fileno=fd), self.responder) for fd in options.udp]
        # The supervisor's questions are no client's: they are not counted with those.
        self.probes = [UdpServer(socket.socket(fileno=fd), Responder(self.table)) for fd in options.probe]
        self.tcp_sockets = [socket.socket(fileno=fd) for fd in options.tcp]
        self.tcp = TcpServer(self.responder, _limits())
        self.lameduck = options.lameduck
        self.lifeline = options.lifeline
        self._collected = self.table.answers
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, then drain."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_reader(self.channel, self._feed)
        if self.lifeline >= 0:
            loop.add_reader(self.lifeline, self._orphaned)
        reporter = asyncio.create_task(self._report())
        stopping = asyncio.create_task(self._stopping.wait())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, stopping), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self._stopping.is_set():
            for server in (*self.udp, *self.probes):
                server.start(loop)
            for sock in self.tcp_sockets:
                await self.tcp.start(sock)
            await stopping
            await asyncio.sleep(self.lameduck)
            for server in (*self.udp, *self.probes):
                server.stop(loop)
            await self.tcp.drain(DRAIN_S)
        reporter.cancel()
        self._send(frames.encode(frames.STATS, self.table.generation, self._stats()))

    def _orphaned(self) -> None:
        # Readable means closed: the supervisor is gone, and with it the right to these sockets.
        asyncio.get_running_loop().remove_reader(self.lifeline)
        self._stopping.set()

    async def _report(self) -> None:
        """Tell the control process how it stands; ask for the table where it is missing."""
        while True:
            reminder = self.follower.remind()
            if reminder is not None:
                self._send(reminder)
            await asyncio.sleep(REPORT_S)
            self._send(frames.encode(frames.STATS, self.table.generation, self._stats()))

    def _stats(self) -> bytes:
        responder = self.responder
        return json.dumps(
            {
                "pid": os.getpid(),
                "hits": {key.hex(): count for key, count in responder.hits.items()},
                "counts": [[*key, count] for key, count in responder.counts.items()],
                "dropped": responder.dropped,
                "malformed": responder.malformed,
                "udp": sum(server.received for server in self.udp),
                "unsent": sum(server.unsent for server in self.udp),
                "tcp": self.tcp.received,
                "connections": len(self.tcp.connections),
                "refused": self.tcp.refused,
                "names": len(self.table.names),
            }
        ).encode()

    def _send(self, message: bytes) -> None:
        # A control process that is dead or hangs must never hold a worker up: stats are cumulative.
        try:
            self.channel.send(message)
        except OSError:
            return

    # ------------------------------------------------------------------ the feed

    def _feed(self) -> None:
        for _ in range(FRAMES_PER_TURN):
            try:
                message = self.channel.recv(1 << 18)
            except OSError:
                return
            if not message:
                asyncio.get_running_loop().remove_reader(self.channel)
                return
            try:
                reply = self.follower.take(message)
            except frames.FrameError as error:
                log("frame-lost", level="warning", error=error)
                reply = self.follower.give_up()
            if reply is not None:
                self._send(reply)
            if self.table.answers is not self._collected:
                # A table lives long: keep it out of the collector's way, and so off the packet path.
                self._collected = self.table.answers
                gc.collect()
                gc.freeze()
            if self.follower.loaded and not self._ready.is_set():
                self._ready.set()


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
    parser = argparse.ArgumentParser(
        prog="soadns-worker", description="DNS worker; started by the supervisor"
    )
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--udp", type=int, action="append", default=[])
    parser.add_argument("--probe", type=int, action="append", default=[])
    parser.add_argument("--tcp", type=int, action="append", default=[])
    parser.add_argument("--udp-size", type=int, default=1232)
    parser.add_argument("--identity", default="")
    parser.add_argument("--version", default="")
    parser.add_argument("--lifeline", type=int, default=-1)
    parser.add_argument("--lameduck", type=float, default=0.0)
    parser.add_argument("--log-format", default="keyvalue")
    worker_options = parser.parse_args(arguments)
    logs.configure("info", worker_options.log_format)
    asyncio.run(_serve(worker_options))


async def _serve(options: argparse.Namespace) -> None:
    await Worker(options).run()


if __name__ == "__main__":
    main()
