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
import signal
import socket
import sys

from soadns.nameserver import frames
from soadns.nameserver.responder import Identity, Responder
from soadns.nameserver.server import TcpServer, UdpServer
from soadns.nameserver.table import Delta, Table

STATS_S = 1.0
ASK_AGAIN_S = 1.0
FRAMES_PER_TURN = 8
"""Frames taken per wake-up: packets get their turn in between."""


class Worker:
    """One worker: its table, its sockets and its feed."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.table = Table()
        identity = Identity(options.version, options.identity)
        self.responder = Responder(self.table, udp_size=options.udp_size, identity=identity)
        self.channel = socket.socket(fileno=options.channel)
        self.channel.setblocking(False)
        self.udp = [UdpServer(socket.socket(fileno=fd), self.responder) for fd in options.udp]
        self.tcp_sockets = [socket.socket(fileno=fd) for fd in options.tcp]
        self.tcp = TcpServer(self.responder)
        self.lameduck = options.lameduck
        self.lifeline = options.lifeline
        self.loaded = False
        self._parts: list[Delta] = []
        self._loading: Table | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, then drain."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_reader(self.channel, self._feed)
        if self.lifeline >= 0:
            # Readable means closed: the supervisor is gone, and with it the right to these sockets.
            loop.add_reader(self.lifeline, self._stopping.set)
        reporter = asyncio.create_task(self._report())
        await self._stopping.wait()
        await asyncio.sleep(self.lameduck)
        for server in self.udp:
            server.stop(loop)
        self.tcp.stop_accepting()
        self.tcp.close()
        await asyncio.sleep(0.05)
        reporter.cancel()
        self._send(frames.encode(frames.STATS, self.table.generation, self._stats()))

    async def _report(self) -> None:
        """Tell the control process how it stands; ask for the table while there is none."""
        while True:
            if not self.loaded and self._loading is None:
                self._send(frames.encode(frames.NEED, 0))
            await asyncio.sleep(ASK_AGAIN_S if not self.loaded else STATS_S)
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
        except (BlockingIOError, OSError):
            return

    # ------------------------------------------------------------------ the feed

    def _feed(self) -> None:
        for _ in range(FRAMES_PER_TURN):
            try:
                message = self.channel.recv(1 << 18)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return
            if not message:
                asyncio.get_running_loop().remove_reader(self.channel)
                return
            try:
                self._take(frames.decode(message))
            except frames.FrameError as error:
                print(f"event=bad-frame error={error!s}", file=sys.stderr, flush=True)  # noqa: T201
                self._start_over()

    def _start_over(self) -> None:
        self._loading = None
        self._parts.clear()
        self._send(frames.encode(frames.NEED, self.table.generation))

    def _take(self, frame: frames.Frame) -> None:
        if frame.kind == frames.BEGIN:
            self._loading = Table()
            self._parts.clear()
        elif frame.kind == frames.CHUNK and self._loading is not None:
            self._loading.apply(frames.content(frame.body), frame.generation)
        elif frame.kind == frames.END and self._loading is not None:
            self._finish_load(self._loading, frame.generation)
        elif frame.kind in (frames.DELTA, frames.PART):
            self._take_delta(frame)

    def _finish_load(self, fresh: Table, generation: int) -> None:
        table = self.table
        table.answers, table.names, table.zones = fresh.answers, fresh.names, fresh.zones
        table.generation = generation
        self._loading = None
        # The table lives long: keep it out of the collector's way (and off the packet path).
        gc.collect()
        gc.freeze()
        self._send(frames.encode(frames.APPLIED, generation))
        if not self.loaded:
            self.loaded = True
            gc.disable()
            loop = asyncio.get_running_loop()
            for server in self.udp:
                server.start(loop)
            for sock in self.tcp_sockets:
                asyncio.ensure_future(self.tcp.start(sock))  # noqa: RUF006 - ends at once

    def _take_delta(self, frame: frames.Frame) -> None:
        if self._loading is not None or not self.loaded:
            return
        if frame.generation != self.table.generation + 1:
            if frame.generation > self.table.generation:
                self._start_over()
            return
        self._parts.append(frames.content(frame.body))
        if frame.kind == frames.DELTA:
            for part in self._parts:
                self.table.apply(part, frame.generation)
            self._parts.clear()
            self._send(frames.encode(frames.APPLIED, frame.generation))


def main(arguments: list[str] | None = None) -> None:
    """Run a worker on inherited descriptors."""
    parser = argparse.ArgumentParser(
        prog="soadns-worker", description="DNS worker; started by the supervisor"
    )
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--udp", type=int, action="append", default=[])
    parser.add_argument("--tcp", type=int, action="append", default=[])
    parser.add_argument("--udp-size", type=int, default=1232)
    parser.add_argument("--identity", default="")
    parser.add_argument("--version", default="")
    parser.add_argument("--lifeline", type=int, default=-1)
    parser.add_argument("--lameduck", type=float, default=0.0)
    worker_options = parser.parse_args(arguments)
    asyncio.run(_serve(worker_options))


async def _serve(options: argparse.Namespace) -> None:
    await Worker(options).run()


if __name__ == "__main__":
    main()
