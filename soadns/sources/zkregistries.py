"""What reads of an ensemble say of its registries: what came, what went, and what can not be told.

Rules of proof (a name never vanishes because a source is in trouble): a root that is missing or
forbidden is trouble; a directory that is missing while its root stands is empty; a forbidden directory keeps
what it held, and its interface stays in trouble until all its directories can be read. Only what a finished
read does not list any more is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from soadns.model import Event, Synced, Trouble
from soadns.sources import Emit
from soadns.sources.dialects import DIALECTS
from soadns.sources.handover import Handover
from soadns.sources.zkclient import (
    CONNECTION_ERRORS,
    AuthFailedError,
    KazooException,
    NoAuthError,
    NoNodeError,
)
from soadns.sources.zkreads import Reads
from soadns.sources.zksettings import ZooKeeperSettings
from soadns.sources.zktree import Directory, Tree

RETRY_S = 30.0
"""Until a root or directory that can not be read is tried again (nothing tells when an ACL changes)."""
EMIT_BATCH = 2_000
ADD_AT_ONCE = 500
"""Children of a root that are added in one turn of the event loop."""


class Registries:
    """The roots of one ensemble. Everything happens on the event loop."""

    def __init__(self, settings: ZooKeeperSettings, handover: Handover) -> None:
        self._where = settings.hosts
        self._handover = handover
        self._client: Any = None
        self._events: list[Event] = []
        self.emit: Emit = lambda _: None
        """Whom events are given to."""
        self.trees = [
            Tree(f"zookeeper/{settings.name}{root.path}", root, DIALECTS[root.dialect])
            for root in settings.roots
        ]
        self.reads = Reads(
            settings.max_in_flight, handover, read=self._read, refused=self._unreadable, flush=self.flush
        )
        for tree in self.trees:
            self.reads.directories[tree.top.path] = tree.top

    def flush(self) -> None:
        """Give away what was found."""
        if self._events:
            events, self._events = self._events, []
            self.emit(events)

    # ------------------------------------------------------------------ passes

    def begin(self, client: Any) -> None:
        """Read everything again: no watch has survived."""
        self._client = client
        self.reads.begin(client)
        for tree in self.trees:
            tree.complete = False
            tree.unread = 0
            for directory in (tree.top, *(d for ds in tree.children.values() for d in ds)):
                directory.fresh = False
                tree.unread += 1
            # Reads come from one server, which may lag behind what was seen before: catch up first.
            result = client.sync_async(tree.root.path)
            result.rawlink(self.reads.handed(self._caught_up, tree))

    def end(self, reason: str) -> None:
        """The connection is gone; ``reason`` is ``''`` where nobody need be told."""
        self.reads.end()
        for tree in self.trees:
            tree.looking.clear()
        if reason:
            self.trouble(reason)

    def trouble(self, reason: str) -> None:
        """Nothing can be read."""
        for tree in self.trees:
            tree.complete = False
            self._say_trouble(tree, reason)
        self.flush()

    def _say_trouble(self, tree: Tree, reason: str) -> None:
        if tree.trouble != reason:
            tree.trouble = reason
            self._events.append(Trouble(tree.source, reason))

    def _caught_up(self, tree: Tree, done: Any) -> None:
        # A server in read-only mode refuses sync; its data is as good as it gets.
        if done.exception is not None and not isinstance(done.exception, KazooException):
            self.reads.later(RETRY_S, tree.top)
            return
        self.reads.ask(tree.top)

    # ------------------------------------------------------------------ results

    def _read(self, directory: Directory, done: Any) -> None:
        error = done.exception
        if error is None:
            if directory.category:
                self._hold(directory, done.value)
            else:
                self._list_root(directory.tree, done.value)
        elif isinstance(error, NoNodeError):
            self._look(directory)
            return
        elif isinstance(error, CONNECTION_ERRORS):
            self.reads.later(1.0, directory)  # the connection's own trouble is told by its state
            return
        elif isinstance(error, (NoAuthError, AuthFailedError)):
            self._unreadable(directory, "no permission to read it (zookeeper[].auth)")
        else:
            self._unreadable(directory, f"can not be read: {type(error).__name__}")
        if directory.again:
            directory.again = False
            self.reads.ask(directory)
        if len(self._events) >= EMIT_BATCH:
            self.flush()

    def _hold(self, directory: Directory, names: Sequence[str]) -> None:
        """Its leaves are these: it could be read."""
        self._events += directory.hold(names)
        directory.trouble = ""
        self._events += directory.tree.freshen(directory)

    def _unreadable(self, directory: Directory, reason: str) -> None:
        """Keep what it held; try again later, because nothing tells when an ACL changes."""
        self.reads.later(RETRY_S, directory)
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

    # ------------------------------------------------------------------ the children of a root

    def _list_root(self, tree: Tree, names: list[str]) -> None:
        fresh = set(names)
        for child in tree.top.leaves:
            if child not in fresh:
                self._drop_child(tree, child)
        for child in names:
            if child not in tree.top.leaves:
                tree.coming.append(child)
            elif not tree.complete:
                for directory in tree.children.get(child, ()):
                    if not directory.fresh:
                        self.reads.ask(directory)
        tree.top.leaves = fresh
        self._add_children(tree)

    def _add_children(self, tree: Tree) -> None:
        """Add some of the children that were listed: a hundred thousand at once would hold up everything else.

        Where the connection ends in between, the root is listed again, and they are added then.
        """
        for _ in range(min(ADD_AT_ONCE, len(tree.coming))):
            child = tree.coming.popleft()
            if child in tree.top.leaves and child not in tree.children:
                self._add_child(tree, child)
        if tree.coming:
            self._handover.put(self.reads.bound(self._add_children), tree)
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
            self.reads.directories[directory.path] = directory
            directories.append(directory)
            tree.unread += 1
            self.reads.ask(directory)
        tree.children[child] = tuple(directories)

    def _drop_child(self, tree: Tree, child: str) -> None:
        for directory in tree.children.pop(child, ()):
            self._events += directory.hold(())
            directory.gone = True
            if not directory.fresh:
                tree.unread -= 1
            self.reads.directories.pop(directory.path, None)
        tree.interfaces.pop(child, None)
        if tree.troubled.pop(child, None) is not None:
            self._events.append(Synced(tree.source, child))

    # ------------------------------------------------------------------ what is missing

    def _look(self, directory: Directory) -> None:
        """NoNode: have its creation watched, and see whether its root still stands.

        Answers come in the order of the questions, so a root that is there afterwards was there when the directory
        was not. One question about the root serves all directories that were missing in one turn; each counts as
        being read until the answer is there.
        """
        directory.reading = True
        tree = directory.tree
        if not tree.looking:
            asyncio.get_running_loop().call_soon(self.reads.bound(self._look_at_root), tree)
        tree.looking.append((directory, self._client.exists_async(directory.path, watch=self.reads.watched)))

    def _look_at_root(self, tree: Tree) -> None:
        looking, tree.looking = tree.looking, []
        root = self._client.exists_async(tree.root.path)
        root.rawlink(self.reads.handed(self._looked, looking))

    def _looked(self, looking: list[tuple[Directory, Any]], root: Any) -> None:
        for directory, look in looking:
            self._judge(directory, look, root)

    def _judge(self, directory: Directory, look: Any, root: Any) -> None:
        """What a missing directory means."""
        if directory.gone:
            return
        directory.reading = False
        tree = directory.tree
        if look.exception is not None or root.exception is not None:
            self.reads.later(1.0, directory)
        elif look.value is not None or directory.again:
            directory.again = False
            self.reads.ask(directory)  # it came into being between the read and the watch
        elif not directory.category:
            tree.complete = False
            self._say_trouble(tree, f"{tree.root.path} does not exist on {self._where} (zookeeper[].roots)")
        elif root.value is None:
            # All of the registry is gone, which proves nothing. Whatever returns is read again.
            if directory.fresh:
                directory.fresh = False
                tree.unread += 1
            tree.complete = False
            self.reads.ask(tree.top)
        else:
            self._hold(directory, ())
