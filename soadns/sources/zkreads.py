"""Which directories of an ensemble are read next, and which are being read: never one twice at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from soadns.sources import pacing
from soadns.sources.handover import Handover
from soadns.sources.pacing import Rounds, Window
from soadns.sources.zkclient import KazooException
from soadns.sources.zktree import Directory

LOOK_AGAIN_S = 1.0
"""Between two portions of the slow round through everything."""


class Reads:
    """Reads of one ensemble. Everything but ``watched`` is called on the event loop.

    :param handover: brings to the loop what kazoo's threads say.
    :param read: called with a directory and kazoo's result when its read is over.
    :param refused: called with a directory whose read could not even begin, and why.
    :param flush: called after reads were begun outside of a turn of the handover.
    """

    def __init__(
        self,
        most: int,
        handover: Handover,
        *,
        read: Callable[[Directory, Any], None],
        refused: Callable[[Directory, str], None],
        flush: Callable[[], None],
    ) -> None:
        self._handover = handover
        self._read = read
        self._refused = refused
        self._flush = flush
        self._client: Any = None
        """None before a pass has begun on a connection."""
        self._connection = 0
        """Number of the connection; what was begun on an earlier one is void."""
        self._queue: deque[Directory] = deque()
        self._bulk: deque[tuple[Directory, Any]] = deque()
        """Reads under way that nobody is called for: a third thread per answer costs more than the answer."""
        self._window = Window(most)
        self._rounds = Rounds(lambda: self.directories.values())
        self.directories: dict[str, Directory] = {}
        """By path: all that is read."""
        self.count = 0
        """Directories read since the start."""

    # ------------------------------------------------------------------ connection

    def begin(self, client: Any) -> None:
        """Read from now on, by this client."""
        self._client = client
        asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self.bound(self._look_again))

    @property
    def begun(self) -> bool:
        """Whether a pass has begun on this connection: what was read since is watched."""
        return self._client is not None

    def end(self) -> None:
        """The connection is gone, and with it all that waits or is under way."""
        self._client = None
        self._connection += 1
        self._queue.clear()
        self._bulk.clear()
        self._window.forget()
        for directory in self.directories.values():
            directory.reading = directory.queued = directory.again = directory.waiting = False

    def bound(self, call: Callable[..., None]) -> Callable[..., None]:
        """The same call, but nothing once the connection of this moment is gone."""
        connection = self._connection

        def within(*arguments: Any) -> None:
            if connection == self._connection:
                call(*arguments)

        return within

    def handed(self, call: Callable[..., None], *arguments: Any) -> Callable[[Any], None]:
        """What a result of kazoo's is to call: ``call`` with the arguments and the result, bound, on the loop."""
        bound, put = self.bound(call), self._handover.put
        return lambda done: put(bound, *arguments, done)

    def watched(self, event: Any) -> None:
        """A watch has fired; called by kazoo."""
        if event.path is not None and event.type != "NONE":
            self._handover.put(self.changed, event.path)

    # ------------------------------------------------------------------ what is to be read

    def changed(self, path: str) -> None:
        """A directory has another content."""
        directory = self.directories.get(path)
        if directory is not None:
            self.ask(directory)

    def ask(self, directory: Directory) -> None:
        """Read a directory as soon as its turn comes; at most one read of it is under way."""
        if directory.gone or self._client is None:
            return
        if directory.reading:
            directory.again = True
        elif not directory.queued:
            loop = asyncio.get_running_loop()
            wait = directory.not_before - loop.time()
            directory.queued = True
            if wait > 0:
                loop.call_later(wait, self.bound(self._enqueue), directory)
            else:
                self._queue.append(directory)

    def later(self, seconds: float, directory: Directory) -> None:
        """Ask again after a while; one such wait per directory."""
        if not directory.waiting:
            directory.waiting = True
            asyncio.get_running_loop().call_later(seconds, self.bound(self._ask_again), directory)

    def _enqueue(self, directory: Directory) -> None:
        if directory.queued:
            self._queue.append(directory)
            self._fill()
            self._flush()

    def _ask_again(self, directory: Directory) -> None:
        directory.waiting = False
        self.ask(directory)
        self._fill()
        self._flush()

    def _look_again(self) -> None:
        """Read a few directories though nothing was said of them: a watch may have been lost on the server."""
        asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self.bound(self._look_again))
        for directory in self._rounds.next(LOOK_AGAIN_S):
            self.ask(directory)
        self._fill()
        self._flush()

    # ------------------------------------------------------------------ what is being read

    def go_on(self) -> bool:
        """Take what has come of reads in bulk and begin more; returns whether much is under way."""
        while self._bulk and self._bulk[0][1].ready():  # answers come in the order of the questions
            directory, done = self._bulk.popleft()
            self._done(directory, done)
        self._fill(bulk=len(self._queue) > pacing.FEWEST)
        return bool(self._queue or self._bulk)

    def _fill(self, *, bulk: bool = False) -> None:
        """Start reads up to the window. Those in bulk are collected; others are handed over when they end."""
        while self._queue and self._window.open and self._client is not None:
            directory = self._queue.popleft()
            directory.queued = False
            if directory.gone:
                continue
            directory.reading, directory.again = True, False
            directory.began = asyncio.get_running_loop().time()
            self._window.begin()
            self.count += 1
            try:
                result = self._client.get_children_async(directory.path, watch=self.watched)
            except (KazooException, ValueError) as error:
                self._window.end()
                directory.reading = False
                self._refused(directory, f"can not be read: {type(error).__name__}")
                continue
            if bulk:
                self._bulk.append((directory, result))
            else:
                result.rawlink(self.handed(self._done, directory))

    def _done(self, directory: Directory, done: Any) -> None:
        directory.reading = False
        now = asyncio.get_running_loop().time()
        self._window.end(now - directory.began)
        if directory.gone:
            return  # its interface left the root while it was being read; if it came back, another reads it
        if done.exception is None:
            directory.not_before = now + pacing.rest_after(len(done.value))
        self._read(directory, done)
