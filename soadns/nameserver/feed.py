"""The control process's end of the workers' channels.

One ``Feed`` per worker sends the full table on request and every change afterwards, without ever
blocking: a worker that does not read is marked as behind and gets a full table when it reads again. The
``Publisher`` holds the control process's own copy of the table and numbers its generations. A control process
that does not know everything yet leaves workers alone that still answer from its predecessor's table.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter, deque
from collections.abc import Callable

from soadns.figures import WorkerFigures
from soadns.nameserver import frames
from soadns.nameserver.table import Delta, Table

MAX_QUEUED = 32 << 20
"""Octets of changes queued for one worker before it is considered behind."""


class Feed:
    """The channel to one worker."""

    def __init__(self, sock: socket.socket, publisher: Publisher) -> None:
        self._sock = sock
        self._publisher = publisher
        self._queue: deque[bytes] = deque()
        self._room = MAX_QUEUED
        self._writing = False
        self.behind = True
        self.inherited = False
        """Whether the worker answers from the table of an earlier control process."""
        self.applied = 0
        self.pid = 0
        self.connections = 0
        """Open TCP connections now."""
        self.names = 0
        self._before = WorkerFigures()
        """Of earlier processes that were this worker."""
        self._latest = WorkerFigures()
        sock.setblocking(False)

    def start(self) -> None:
        """Listen to the worker, and load it as soon as there is something better than what it may have."""
        asyncio.get_running_loop().add_reader(self._sock, self._read)
        if self._publisher.complete:
            self.load()

    def stop(self) -> None:
        """Leave the channel to a successor."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock)
        if self._writing:
            loop.remove_writer(self._sock)

    def load(self) -> None:
        """Queue the full table; whatever was queued before is void."""
        self._queue.clear()
        self._queue.extend(self._publisher.full())
        self._room = MAX_QUEUED
        self.behind = self.inherited = False
        self._write()

    def send(self, messages: list[bytes]) -> None:
        """Queue frames of one change."""
        if self.behind:
            return
        self._room -= sum(map(len, messages))
        if self._room < 0:
            self.behind = True
            self._queue.clear()
            return
        self._queue.extend(messages)
        if not self._writing:
            self._write()

    def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            try:
                self._sock.send(self._queue[0])
            except (BlockingIOError, InterruptedError):
                if not self._writing:
                    self._writing = True
                    loop.add_writer(self._sock, self._write)
                return
            except OSError:
                # Nobody has the other end now; the next worker asks for everything.
                self.behind = True
                self._queue.clear()
                break
            self._queue.popleft()
        else:
            self._room = MAX_QUEUED
        if self._writing:
            self._writing = False
            loop.remove_writer(self._sock)

    def _read(self) -> None:
        # A worker that waited for us has asked many times: it is loaded once.
        wanted = False
        while True:
            try:
                message = self._sock.recv(1 << 18)
            except OSError:
                break
            if not message:
                asyncio.get_running_loop().remove_reader(self._sock)
                break
            try:
                wanted |= self._take(frames.decode(message))
            except frames.FrameError:
                continue
        if wanted:
            self.load()

    def _take(self, frame: frames.Frame) -> bool:
        """Take what the worker says; returns whether it is to be loaded."""
        if frame.kind == frames.NEED:
            return self._publisher.complete or not frame.generation
        if frame.kind == frames.APPLIED:
            self.applied = max(self.applied, frame.generation)
            self._publisher.note_applied()
        elif frame.kind == frames.STATS:
            self._take_stats(frame.body)
            self.inherited = self.behind and frame.generation > 0
            return self.behind and self._publisher.complete
        return False

    @property
    def figures(self) -> WorkerFigures:
        """What this worker has counted since the control process began."""
        return self._before.plus(self._latest)

    def _take_stats(self, body: bytes) -> None:
        raw = json.loads(body)
        if self.pid not in (0, raw["pid"]):
            self._before = self._before.plus(self._latest)
        self.pid, self.connections, self.names = raw["pid"], raw["connections"], raw["names"]
        self._latest = WorkerFigures(
            queries=Counter(udp=raw["udp"], tcp=raw["tcp"]),
            hits=Counter({int(key, 16): count for key, count in raw["hits"].items()}),
            replies=Counter({(zone, kind, rcode): count for zone, kind, rcode, count in raw["counts"]}),
            dropped=raw["dropped"],
            malformed=raw["malformed"],
            unsent=raw["unsent"],
            refused=raw["refused"],
        )


class Publisher:
    """The table as the control process holds it, and the feeds that spread it."""

    def __init__(self) -> None:
        self.table = Table()
        self.feeds: list[Feed] = []
        self.complete = False
        """Whether the table may replace what a worker answers from."""
        self.on_applied: Callable[[int], None] = lambda _: None
        """Called with the generation that every worker which keeps up has applied."""

    @property
    def inherited(self) -> bool:
        """Whether workers answer from the table of an earlier control process."""
        return any(feed.inherited for feed in self.feeds)

    def set_complete(self) -> None:
        """Every zone is known: load the workers that have something older."""
        if not self.complete:
            self.complete = True
            for feed in self.feeds:
                feed.load()

    def publish(self, delta: Delta) -> int:
        """Apply a change and send it to all workers; returns its generation."""
        if not delta:
            return self.table.generation
        generation = self.table.generation + 1
        self.table.apply(delta, generation)
        messages = list(frames.delta(delta, generation))
        for feed in self.feeds:
            feed.send(messages)
        return generation

    def full(self) -> list[bytes]:
        """The frames of the whole table."""
        return list(frames.full(self.table.whole(), self.table.generation))

    def note_applied(self) -> None:
        """Some worker reached a generation."""
        reached = [feed.applied for feed in self.feeds if not feed.behind]
        if reached:
            self.on_applied(min(reached))
