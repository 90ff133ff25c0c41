"""Keys of what changed since somebody last took it away. Pure.

Before that is done for the first time nobody asks, so nothing is kept: what grows with every change must have somebody
who empties it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Marks(Generic[K]):
    """The keys of one kind of thing."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: set[K] | None = None

    def __len__(self) -> int:
        return len(self._keys) if self._keys is not None else 0

    @property
    def whole(self) -> bool:
        """Whether ``take`` would say None."""
        return self._keys is None

    def add(self, key: K) -> None:
        """Something changed."""
        if self._keys is not None:
            self._keys.add(key)

    def update(self, keys: Iterable[K]) -> None:
        """Many things did."""
        if self._keys is not None:
            self._keys.update(keys)

    def lose(self) -> None:
        """What changed can not be told by keys any more."""
        self._keys = None

    def take(self) -> set[K] | None:
        """What changed since the last call; None at the first one, and after ``lose``: all."""
        keys, self._keys = self._keys, set()
        return keys
