"""ZooKeeper registries as a source.

One client per ensemble reads any number of roots. kazoo's threads only hand results over; every decision is
taken on the event loop. Watches are one-shot and armed by the very read that they belong to, so nothing is
missed in between; on a lost connection kazoo drops them all, and everything is read again and compared.

Rules of proof (a name never vanishes because a source is in trouble): a root that is missing or
forbidden is trouble; a directory that is missing while its root stands is empty; a forbidden directory keeps
what it held, and its interface stays in trouble until all its directories can be read. Only what a finished
read does not list any more is deleted.

Keys are ``(child of the root, category, digest of the leaf)``: the texts of znodes are not kept. Work per
event is proportional to the directory that changed; memory to the number of leaves.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from soadns.model import Event, Reading, Synced, Trouble
from soadns.sources import Emit, pacing, zkclient, zkreading
from soadns.sources.dialects import DIALECTS
from soadns.sources.handover import Handover
from soadns.sources.pacing import Rounds, Window
from soadns.sources.zkclient import (
    CONNECTION_ERRORS,
    AuthFailedError,
    KazooException,
    KazooState,
    KeeperState,
    NoAuthError,
    NoNodeError,
    ZooKeeperSettings,
)
from soadns.sources.zkreading import children
from soadns.sources.zktree import Directory, Tree

RETRY_S = 30.0
"""Until a root or directory that can not be read is tried again (nothing tells when an ACL changes)."""
EMIT_BATCH = 2_000
ADD_AT_ONCE = 500
"""Children of a root that are added in one turn of the event loop."""
LOOK_AGAIN_S = 1.0
"""Between two portions of the slow round through everything."""


class ZooKeeperSource:
    """An ensemble's registries, one source id per root: ``zookeeper/<name><root>``."""

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self.settings = settings
        self._trees = [
            Tree(f"zookeeper/{settings.name}{root.path}", root, DIALECTS[root.dialect])
            for root in settings.roots
        ]
        self._by_path: dict[str, Directory] = {}
        self._client: Any = None
        self._emit: Emit = lambda _: None
        self._events: list[Event] = []
        self._handover = Handover(after=self._after_turn, failed=self._failed_turn)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoch = 0
        self._connected = self._passing = False  # passing: a pass has begun on this connection
        self._queue: deque[Directory] = deque()
        self._bulk: deque[tuple[Directory, Any]] = deque()
        """Reads under way that nobody is called for: a third thread per answer costs more than the answer."""
        self._window = Window(settings.max_in_flight)
        self._rounds = Rounds(lambda: self._by_path.values())
        self._failed = asyncio.Event()
        self._fault: Exception | None = None
        self.reads = 0
        """Directories read since the start."""

    @property
    def ids(self) -> tuple[str, ...]:
        """One source id per root."""
        return tuple(tree.source for tree in self._trees)

    async def run(self, emit: Emit) -> None:
        """Read and watch until cancelled."""
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._handover.start(self._loop)
        for tree in self._trees:
            self._by_path[tree.top.path] = tree.top
        while True:
            self._failed.clear()
            self._fault = None
            self._client = zkclient.build(self.settings)
            self._client.add_listener(self._listener(self._client))
            try:
                if not all(tree.trouble for tree in self._trees):  # else what went wrong last is worth more
                    self._trouble_all(f"no connection to {self._where} yet")
                self._client.start_async()
                await self._failed.wait()
                if self._fault is not None:
                    raise self._fault
            finally:
                client, self._client = self._client, None
                self._disconnected("")
                await asyncio.shield(asyncio.to_thread(zkclient.close, client))
            await asyncio.sleep(RETRY_S)

    @property
    def _where(self) -> str:
        return self.settings.hosts

    # ------------------------------------------------------------------ from kazoo's threads to the loop

    def _after_turn(self) -> bool:
        """What was handed over has been taken: collect, read on, and say whether much is under way."""
        while self._bulk and self._bulk[0][1].ready():  # answers come in the order of the questions
            directory, done = self._bulk.popleft()
            self._read_done(self._epoch, directory, done)
        self._fill(bulk=len(self._queue) > pacing.FEWEST)
        self._flush()
        return bool(self._queue or self._bulk)

    def _failed_turn(self, fault: Exception) -> None:
        self._fault = fault
        self._failed.set()

    def _flush(self) -> None:
        if self._events:
            events, self._events = self._events, []
            self._emit(events)

    def _listener(self, client: Any) -> Callable[[str], None]:
        def changed(state: str) -> None:
            # Must not block: kazoo's connection waits for it.
            auth_failed = client.client_state == KeeperState.AUTH_FAILED
            self._handover.put(self._state_changed, client, state, auth_failed)

        return changed

    def _watched(self, event: Any) -> None:
        if event.path is not None and event.type != "NONE":
            self._handover.put(self._changed, event.path)

    # ------------------------------------------------------------------ connection

    def _state_changed(self, client: Any, state: str, auth_failed: bool) -> None:
        if client is not self._client:
            return
        if state == KazooState.CONNECTED:
            if not self._connected:
                self._connected = True
                self._epoch += 1
                again = any(tree.listed for tree in self._trees)
                directories = len(self._by_path)
                delay = random.uniform(0.0, directories / pacing.REREAD_PER_S) if again else 0.0  # noqa: S311 - jitter
                assert self._loop is not None
                self._loop.call_later(delay, self._begin_pass, self._epoch)
            return
        if auth_failed:
            self._disconnected(f"{self._where} refused the credentials (zookeeper[].auth)")
            self._failed.set()
            return
        said = "session expired" if state == KazooState.LOST else "connection lost"
        self._disconnected(f"{said}, trying {self._where} again")

    def _disconnected(self, reason: str) -> None:
        self._connected = self._passing = False
        self._epoch += 1
        self._queue.clear()
        self._bulk.clear()
        self._window.forget()
        for tree in self._trees:
            tree.looking.clear()
        for directory in self._by_path.values():
            directory.reading = directory.queued = directory.again = directory.waiting = False
        if reason:
            self._trouble_all(reason)

    def _trouble_all(self, reason: str) -> None:
        for tree in self._trees:
            tree.complete = False
            self._say_trouble(tree, reason)
        self._flush()

    def _say_trouble(self, tree: Tree, reason: str) -> None:
        if tree.trouble != reason:
            tree.trouble = reason
            self._events.append(Trouble(tree.source, reason))

    def _begin_pass(self, epoch: int) -> None:
        """Read everything again: no watch has survived."""
        if epoch != self._epoch or not self._connected:
            return
        self._passing = True
        for tree in self._trees:
            tree.complete = False
            tree.unread = 0
            for directory in (tree.top, *(d for ds in tree.children.values() for d in ds)):
                directory.fresh = False
                tree.unread += 1
            # Reads come from one server, which may lag behind what was seen before: catch up first.
            result = self._client.sync_async(tree.root.path)
            result.rawlink(lambda done, t=tree: self._handover.put(self._caught_up, epoch, t, done))
        assert self._loop is not None
        self._loop.call_later(LOOK_AGAIN_S, self._look_again, epoch)

    def _look_again(self, epoch: int) -> None:
        """Read a few directories though nothing was said of them: a watch may have been lost on the server."""
        if epoch == self._epoch:
            assert self._loop is not None
            self._loop.call_later(LOOK_AGAIN_S, self._look_again, epoch)
            for directory in self._rounds.next(LOOK_AGAIN_S):
                self._ask(directory)
            self._fill()
            self._flush()

    def _caught_up(self, epoch: int, tree: Tree, done: Any) -> None:
        if epoch != self._epoch:
            return
        # A server in read-only mode refuses sync; its data is as good as it gets.
        if done.exception is not None and not isinstance(done.exception, KazooException):
            self._later(RETRY_S, tree.top)
            return
        self._ask(tree.top)

    # ------------------------------------------------------------------ pacing

    def _ask(self, directory: Directory) -> None:
        """Read a directory as soon as its turn comes; at most one read of it is under way."""
        if directory.gone or not self._passing:
            return
        if directory.reading:
            directory.again = True
        elif not directory.queued:
            assert self._loop is not None
            wait = directory.not_before - self._loop.time()
            directory.queued = True
            if wait > 0:
                self._loop.call_later(wait, self._enqueue, self._epoch, directory)
            else:
                self._queue.append(directory)

    def _enqueue(self, epoch: int, directory: Directory) -> None:
        if epoch == self._epoch and directory.queued:
            self._queue.append(directory)
            self._fill()
            self._flush()

    def _later(self, seconds: float, directory: Directory) -> None:
        """Ask again after a while; one such wait per directory."""

        def again(epoch: int) -> None:
            if epoch == self._epoch:
                directory.waiting = False
                self._ask(directory)
                self._fill()
                self._flush()

        assert self._loop is not None
        if not directory.waiting:
            directory.waiting = True
            self._loop.call_later(seconds, again, self._epoch)

    def _fill(self, *, bulk: bool = False) -> None:
        """Start reads up to the window. Those in bulk are collected; others are handed over when they end."""
        assert self._loop is not None
        while self._queue and self._window.open and self._connected:
            directory = self._queue.popleft()
            directory.queued = False
            if directory.gone:
                continue
            directory.reading, directory.again = True, False
            directory.began = self._loop.time()
            self._window.begin()
            self.reads += 1
            try:
                result = self._client.get_children_async(directory.path, watch=self._watched)
            except (KazooException, ValueError) as error:
                self._window.end()
                directory.reading = False
                self._unreadable(directory, f"can not be read: {type(error).__name__}")
                continue
            if bulk:
                self._bulk.append((directory, result))
            else:
                result.rawlink(self._finished(self._epoch, directory))

    def _finished(self, epoch: int, directory: Directory) -> Callable[[Any], None]:
        return lambda done: self._handover.put(self._read_done, epoch, directory, done)

    # ------------------------------------------------------------------ results

    def _changed(self, path: str) -> None:
        directory = self._by_path.get(path)
        if directory is not None:
            self._ask(directory)

    def _read_done(self, epoch: int, directory: Directory, done: Any) -> None:
        if epoch != self._epoch:
            return
        assert self._loop is not None
        directory.reading = False
        now = self._loop.time()
        self._window.end(now - directory.began)
        error = done.exception
        if directory.gone:
            return  # its interface left the root while it was being read; if it came back, another reads it
        if error is None:
            names = done.value
            directory.not_before = now + pacing.rest_after(len(names))
            if directory.category:
                self._hold(directory, names)
            else:
                self._list_root(directory.tree, names)
        elif isinstance(error, NoNodeError):
            self._look(directory)
            return
        elif isinstance(error, CONNECTION_ERRORS):
            self._later(1.0, directory)  # the connection's own trouble is told by its state
            return
        elif isinstance(error, (NoAuthError, AuthFailedError)):
            self._unreadable(directory, "no permission to read it (zookeeper[].auth)")
        else:
            self._unreadable(directory, f"can not be read: {type(error).__name__}")
        if directory.again:
            directory.again = False
            self._ask(directory)
        if len(self._events) >= EMIT_BATCH:
            self._flush()

    def _hold(self, directory: Directory, names: Sequence[str]) -> None:
        """Its leaves are these: it could be read."""
        self._events += directory.hold(names)
        directory.trouble = ""
        self._events += directory.tree.freshen(directory)

    def _list_root(self, tree: Tree, names: list[str]) -> None:
        fresh = set(names)
        for child in tree.top.leaves - fresh:
            self._drop_child(tree, child)
        for child in names:
            if child not in tree.top.leaves:
                tree.coming.append(child)
            elif not tree.complete:
                for directory in tree.children.get(child, ()):
                    if not directory.fresh:
                        self._ask(directory)
        tree.top.leaves = fresh
        self._add_children(self._epoch, tree)

    def _add_children(self, epoch: int, tree: Tree) -> None:
        """Add some of the children that were listed: a hundred thousand at once would hold up everything else."""
        if epoch != self._epoch:
            return  # the root is listed again, and they are added then
        for _ in range(min(ADD_AT_ONCE, len(tree.coming))):
            child = tree.coming.popleft()
            if child in tree.top.leaves and child not in tree.children:
                self._add_child(tree, child)
        if tree.coming:
            self._handover.put(self._add_children, epoch, tree)
        else:
            tree.listed = True
            self._events += tree.freshen(tree.top)

    def _add_child(self, tree: Tree, child: str) -> None:
        interface = tree.dialect.interface_of(child)
        if interface is None:
            return
        tree.interfaces[child] = interface
        directories = []
        for category in tree.dialect.CATEGORIES:
            directory = Directory(tree, tree.join(child, category), child, category)
            self._by_path[directory.path] = directory
            directories.append(directory)
            tree.unread += 1
            self._ask(directory)
        tree.children[child] = tuple(directories)

    def _drop_child(self, tree: Tree, child: str) -> None:
        for directory in tree.children.pop(child, ()):
            self._events += directory.hold(())
            directory.gone = True
            if not directory.fresh:
                tree.unread -= 1
            self._by_path.pop(directory.path, None)
        tree.interfaces.pop(child, None)
        if tree.troubled.pop(child, None) is not None:
            self._events.append(Synced(tree.source, child))

    def _look(self, directory: Directory) -> None:
        """NoNode: have its creation watched, and see whether its root still stands.

        Answers come in the order of the questions, so a root that is there afterwards was there when the directory
        was not. One question about the root serves all directories that were missing in one turn; each counts as
        being read until the answer is there.
        """
        assert self._loop is not None
        directory.reading = True
        tree = directory.tree
        if not tree.looking:
            self._loop.call_soon(self._look_at_root, self._epoch, tree)
        tree.looking.append((directory, self._client.exists_async(directory.path, watch=self._watched)))

    def _look_at_root(self, epoch: int, tree: Tree) -> None:
        if epoch == self._epoch:
            looking, tree.looking = tree.looking, []
            root = self._client.exists_async(tree.root.path)
            root.rawlink(lambda _: self._handover.put(self._looked, epoch, looking, root))

    def _looked(self, epoch: int, looking: list[tuple[Directory, Any]], root: Any) -> None:
        if epoch == self._epoch:
            for directory, look in looking:
                self._judge(directory, look, root)

    def _judge(self, directory: Directory, look: Any, root: Any) -> None:
        """What a missing directory means."""
        if directory.gone:
            return
        directory.reading = False
        tree = directory.tree
        if look.exception is not None or root.exception is not None:
            self._later(1.0, directory)
        elif look.value is not None or directory.again:
            directory.again = False
            self._ask(directory)  # it came into being between the read and the watch
        elif not directory.category:
            tree.complete = False
            self._say_trouble(tree, f"{tree.root.path} does not exist on {self._where} (zookeeper[].roots)")
        elif root.value is None:
            # All of the registry is gone, which proves nothing. Whatever returns is read again.
            if directory.fresh:
                directory.fresh = False
                tree.unread += 1
            tree.complete = False
            self._ask(tree.top)
        else:
            self._hold(directory, ())

    def _unreadable(self, directory: Directory, reason: str) -> None:
        """Keep what it held; try again later, because nothing tells when an ACL changes."""
        self._later(RETRY_S, directory)
        tree, child = directory.tree, directory.child
        directory.trouble = f"{directory.path}: {reason}"
        if not directory.category:
            tree.complete = False
            self._say_trouble(tree, directory.trouble)
            return
        text = next(d.trouble for d in tree.children[child] if d.trouble)
        if tree.troubled.get(child) != text:
            tree.troubled[child] = text
            self._events.append(Trouble(tree.source, text, child, tree.interfaces[child]))
        self._events += tree.freshen(directory)

    # ------------------------------------------------------------------ for people

    async def texts(self, source: str, interface: str) -> list[str]:
        """The paths of an interface's leaves as they stand now, secrets masked; [] without a connection."""
        found: list[str] = []
        for tree in self._connected_trees(source):
            found += await asyncio.to_thread(zkreading.texts, self._client, tree, children(tree, {interface}))
        return found

    def names(self, source: str) -> set[str]:
        """The interfaces that have a node in a registry, whether anybody provides them or not."""
        return {name for tree in self._trees if tree.source == source for name in tree.interfaces.values()}

    async def about(
        self, source: str, subjects: Collection[str], what: frozenset[str]
    ) -> dict[str, Reading] | None:
        """What a registry says and is not kept (``zkreading``); None without a connection."""
        trees = self._connected_trees(source)
        if not trees:
            return None
        [tree] = trees
        return await asyncio.to_thread(
            zkreading.about, self._client, tree, set(subjects), what, in_flight=self.settings.max_in_flight
        )

    def _connected_trees(self, source: str) -> list[Tree]:
        connected = self._client is not None and self._connected
        return [tree for tree in self._trees if tree.source == source] if connected else []
