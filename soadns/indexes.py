"""Multi-maps and counters that hold no empty entries. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


def count(counts: dict[K, int], key: K, by: int) -> None:
    """Add to a counter that holds no zeros."""
    total = counts.get(key, 0) + by
    if total:
        counts[key] = total
    else:
        del counts[key]


def place(index: dict[K, set[V]], key: K, value: V, *, add: bool) -> None:
    """Add to or remove from a multi-map that holds no empty sets."""
    if add:
        index.setdefault(key, set()).add(value)
    elif (values := index.get(key)) is not None:
        values.discard(value)
        if not values:
            del index[key]
