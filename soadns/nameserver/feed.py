"""The control process's side of the workers: the journal it writes for them, and what they report.

The ``Publisher`` holds control's own copy of the table, numbers its generations, and writes each change once,
whoever reads. A ``Feed`` is one worker: it is told that something was written, and says what it has applied and
counted. Neither ever waits. A control process that does not know everything yet writes nothing while workers
answer from its predecessor's table.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from soadns.figures import DURATIONS, Durations, WorkerFigures, WorkerState
from soadns.nameserver import frames
from soadns.nameserver.journal import Journal
from soadns.nameserver.report import Report
from soadns.nameserver.table import Delta, Table

SILENT_S = 2.0
"""A worker that reported nothing for so long is waited for no more."""
RELEASE_S = 5.0
"""How long workers may read on in the old file of a journal after there is a new one."""
_CHANGED = frames.encode(frames.CHANGED, 0)


class Feed:
    """One worker. Its processes come and go, on two channels in turn; both may be there while one takes over."""

    def __init__(self, channels: Sequence[socket.socket], publisher: Publisher) -> None:
        self._channels = channels
        self._publisher = publisher
        self.applied = 0
        self._heard = float("-inf")
        self._state = WorkerState()
        """Of the process that reported last."""
        self._ended = WorkerFigures()
        """Of processes that are gone."""
        self._running: dict[int, WorkerFigures] = {}
        """By pid, the latest last."""
        for channel in channels:
            channel.setblocking(False)

    def start(self) -> None:
        """Listen to the worker."""
        for channel in self._channels:
            asyncio.get_running_loop().add_reader(channel, self._read, channel)

    def stop(self) -> None:
        """Leave the channels to a successor."""
        for channel in self._channels:
            asyncio.get_running_loop().remove_reader(channel)

    def wake(self) -> None:
        """Say that the journal has more. Where nobody listens, or one was told often already, nothing is lost."""
        for channel in self._channels:
            try:
                channel.send(_CHANGED)
            except OSError:
                continue

    @property
    def alive(self) -> bool:
        """Whether it has reported lately."""
        return asyncio.get_running_loop().time() - self._heard < SILENT_S

    @property
    def state(self) -> WorkerState:
        """The worker as it was last heard of, with what all its processes have counted."""
        figures = self._ended
        for each in self._running.values():
            figures = figures.plus(each)
        behind = self.applied != self._publisher.table.generation
        return replace(self._state, generation=self.applied, behind=behind, figures=figures)

    def _read(self, channel: socket.socket) -> None:
        while True:
            try:
                message = channel.recv(1 << 18)
            except OSError:
                return
            if not message:
                asyncio.get_running_loop().remove_reader(channel)
                return
            try:
                self._take(frames.decode(message))
            except frames.FrameError:
                continue

    def _take(self, frame: frames.Frame) -> None:
        self._heard = asyncio.get_running_loop().time()
        if frame.kind == frames.NEED:
            self._publisher.renew(frame.generation)
        elif frame.kind == frames.APPLIED:
            self.applied = frame.generation
            self._publisher.note_applied()
        elif frame.kind == frames.STATS:
            self._take_report(Report.decode(frame.body))

    def _take_report(self, report: Report) -> None:
        known = self._running.pop(report.pid, None)
        self._running[report.pid] = WorkerFigures(
            queries=Counter(udp=report.udp, tcp=report.tcp),
            replies=Counter(report.replies),
            dropped=report.dropped,
            malformed=report.malformed,
            unsent=report.unsent,
            refused=report.refused,
            handshakes=Counter(report.handshakes),
            durations={zone: Durations(DURATIONS, *held) for zone, held in report.durations.items()},
            processor_s=report.processor_s,
        )
        while len(self._running) > len(self._channels):
            self._ended = self._ended.plus(self._running.pop(next(iter(self._running))))
        self._state = WorkerState(
            pid=report.pid,
            names=report.names,
            connections=report.connections,
            memory=report.memory,
            overflowed=report.overflowed,
            certificate_refused=report.certificate_refused,
            processes=self._state.processes + (known is None),
        )


class Publisher:
    """The table as the control process holds it, and the journal that spreads it."""

    def __init__(self, journal: Journal) -> None:
        self.table = Table()
        self.feeds: list[Feed] = []
        self.complete = False
        """Whether the table may replace what a worker answers from."""
        self.on_applied: Callable[[int], None] = lambda _: None
        """Called with the generation that every worker has applied."""
        self._journal = journal

    @property
    def inherited(self) -> bool:
        """Whether workers answer from the table of an earlier control process."""
        return self._journal.inherited

    @property
    def unsaved(self) -> bool:
        """Whether workers may know more than that process could save."""
        return self._journal.unsaved

    def leave(self) -> None:
        """This process ends, and all that workers know is saved."""
        self._journal.leave()

    def set_complete(self) -> None:
        """Every zone is known: workers that have something older get this."""
        if not self.complete:
            self.complete = True
            if not self._journal.own:
                self._begin()

    def publish(self, delta: Delta, *, more: bool = False) -> int:
        """Apply a change and write it for all workers; returns its generation.

        ``more``: others follow at once. Amid a first sync the whole table is not written again with each doubling,
        and workers that have none wait for it.
        """
        if not delta:
            return self.table.generation
        generation = self.table.generation + 1
        self.table.apply(delta, generation)
        if self._journal.own:
            self._journal.append(list(frames.delta(delta, generation)))
            self._wake()
            if self._journal.overgrown if more else self._journal.outgrown:
                self._begin()
        elif not more:
            self.offer()
        return generation

    def offer(self) -> None:
        """Nothing follows at once, or it takes too long: workers that have no table get this one."""
        if not self._journal.own and (self.complete or not self._journal.inherited):
            self._begin()

    def renew(self, epoch: int) -> None:
        """A worker can not read this journal: write another."""
        if epoch == self._journal.epoch and not self._journal.writing:
            self._begin()

    def note_applied(self) -> None:
        """Some worker reached a generation."""
        reached = [feed.applied for feed in self.feeds if feed.alive]
        if reached:
            self.on_applied(min(reached))

    def _begin(self) -> None:
        self._journal.begin(self.table)
        self._step()

    def _step(self) -> None:
        loop = asyncio.get_running_loop()
        if self._journal.step():
            loop.call_soon(self._step)
        else:
            self._wake()
            loop.call_later(RELEASE_S, self._journal.release)

    def _wake(self) -> None:
        for feed in self.feeds:
            feed.wake()
