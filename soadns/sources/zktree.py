"""What is known of a registry tree while it is being read: directories and their leaves. Pure."""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from soadns.sources.dialects import Dialect
from soadns.sources.zkclient import Root


def digest_of(leaf: str) -> str:
    """What stands for a leaf's name in keys: 64 bits in eleven characters, for a registry has a million of them."""
    return b2a_base64(blake2b(leaf.encode(), digest_size=8).digest(), newline=False)[:11].decode()


@dataclass(slots=True, eq=False)
class Tree:
    """One root of the ensemble."""

    source: str
    root: Root
    dialect: Dialect
    top: Directory = field(init=False)
    children: dict[str, tuple[Directory, ...]] = field(default_factory=dict)
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
    pairs: dict[str, int] = field(default_factory=dict)
    """Digest of a leaf with more than one observation → how many."""

    def __post_init__(self) -> None:
        self.top = Directory(self, self.root.path)

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
    leaves: set[str] = field(default_factory=set)
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
