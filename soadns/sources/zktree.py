"""What is known of a registry tree while it is being read: directories and their leaves. Pure."""

from __future__ import annotations

from binascii import b2a_base64
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from soadns.model import Delete, Event, Key, Rejected, Synced, Upsert
from soadns.sources import FormatError
from soadns.sources.dialects import Dialect
from soadns.sources.providerurl import without_secrets
from soadns.sources.zksettings import Root


def digest_of(leaf: str) -> str:
    """What stands for a leaf's name in keys: 64 bits in eleven characters, for a registry has a million of them."""
    return b2a_base64(blake2b(leaf.encode(), digest_size=8).digest(), newline=False)[:11].decode()


FEW = 4
"""Leaves that are looked through rather than looked up."""


@dataclass(slots=True, eq=False)
class Tree:
    """One root of the ensemble."""

    source: str
    root: Root
    dialect: Dialect
    top: Directory = field(init=False)
    children: dict[str, tuple[Directory, ...]] = field(default_factory=dict)
    coming: deque[str] = field(default_factory=deque)
    """Children that were listed and have no directories yet."""
    interfaces: dict[str, str] = field(default_factory=dict)
    unread: int = 0
    """Directories that are not fresh."""
    complete: bool = False
    """Whether Synced was said since the connection came back."""
    listed: bool = False
    trouble: str = ""
    troubled: dict[str, str] = field(default_factory=dict)
    """Child with a directory that can not be read → what was said of it."""
    looking: list[tuple[Directory, Any]] = field(default_factory=list)
    """Directories that were missing, and the questions whether they are still."""
    pairs: dict[Key, int] = field(default_factory=dict)
    """Key of a leaf with more than one observation → how many."""

    def __post_init__(self) -> None:
        self.top = Directory(self, self.root.path)

    def freshen(self, directory: Directory) -> list[Event]:
        """A directory was tried since the connection came back; returns what that completes."""
        events: list[Event] = []
        if not directory.fresh and not directory.gone:
            directory.fresh = True
            self.unread -= 1
        child = directory.child
        if child in self.troubled and all(d.fresh and not d.trouble for d in self.children[child]):
            del self.troubled[child]
            events.append(Synced(self.source, child))
        if self.unread == 0 and self.listed and not self.complete:
            self.complete = True
            self.trouble = ""
            events.append(Synced(self.source))
        return events

    def is_empty(self, child: str, category: str) -> bool:
        """Whether a directory was read since the pass over everything began, and held nothing."""
        return any(
            each.category == category
            and each.fresh
            and not (each.leaves or each.reading or each.queued or each.trouble)
            for each in self.children.get(child, ())
        )

    def join(self, *parts: str) -> str:
        """The path of something below the root."""
        return "/".join((self.root.path.rstrip("/"), *parts))


@dataclass(slots=True, eq=False)
class Directory:
    """One directory that is read: a root, or a category of an interface."""

    tree: Tree
    path: str
    child: str = ""
    category: str = ""
    leaves: Collection[str] = ()
    """Digests of the leaves it listed last (names of children, for a root)."""
    reading: bool = False
    queued: bool = False
    waiting: bool = False
    """To be tried again after a while."""
    again: bool = False
    """Changed while it was being read."""
    fresh: bool = False
    """Read since the connection came back."""
    trouble: str = ""
    """Why it could not be read when it was last tried."""
    gone: bool = False
    """No longer a child of its root."""
    not_before: float = 0.0
    began: float = 0.0

    def hold(self, names: Iterable[str]) -> list[Event]:
        """Its leaves are these; returns what came, then what went.

        In this order a provider that registers anew under another name never counts as gone.
        """
        digests = {digest_of(name): name for name in names}
        events: list[Event] = []
        for digest in digests.keys() - self.leaves:
            events += self._add(digest, digests[digest])
        for digest in self.leaves:
            if digest not in digests:
                events += self._remove(digest)
        # Nearly all have none or a few: a set of one's own takes 216 octets for as many as four.
        self.leaves = frozenset(digests) if len(digests) > FEW else tuple(digests)
        return events

    def _add(self, digest: str, leaf: str) -> list[Event]:
        tree, key = self.tree, (self.child, self.category, digest)
        try:
            found = tree.dialect.parse(tree.source, tree.interfaces[self.child], self.category, leaf)
        except FormatError as error:
            where = f"{self.path}/{without_secrets(leaf)}"
            return [Rejected(tree.source, key, where, error.reason, error.detail)]
        if len(found) > 1:
            tree.pairs[key] = len(found)
        return [
            Upsert(tree.source, (*key, str(index)) if index else key, value)
            for index, value in enumerate(found)
        ]

    def _remove(self, digest: str) -> list[Event]:
        tree, key = self.tree, (self.child, self.category, digest)
        count = tree.pairs.pop(key, 1) if tree.pairs else 1
        return [Delete(tree.source, (*key, str(index)) if index else key) for index in range(count)]
