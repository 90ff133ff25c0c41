"""What is to be written so that etcd has of some names what is wanted, and touches nothing of others. Pure.

Every step names the revision that it replaces, so whoever wrote in between is seen, and nothing of his is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """A value that etcd has, and the revision of its last change."""

    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class Step:
    """A key to be written, or (``value`` None) deleted; ``revision`` is that of its last change, 0: there is no key."""

    key: str
    value: str | None
    revision: int


def steps(wanted: Mapping[str, str], held: Mapping[str, Held], is_ours: Callable[[str], bool]) -> list[Step]:
    """What makes ``wanted`` of what is held of a name, writes first; only what ``is_ours`` is replaced or deleted."""
    writes, deletes = [], []
    for key, value in wanted.items():
        found = held.get(key)
        if found is None:
            writes.append(Step(key, value, 0))
        elif found.value != value and is_ours(found.value):
            writes.append(Step(key, value, found.revision))
    for key, found in held.items():
        if key not in wanted and is_ours(found.value):
            deletes.append(Step(key, None, found.revision))
    return writes + deletes


def batches(units: Iterable[list[Step]], most: int) -> Iterator[list[Step]]:
    """Steps in batches of at most so many. A unit, what changes of one name, is in one batch if there is room for it.

    One that is larger is cut; as its writes come first, there is something at its name all the time.
    """
    batch: list[Step] = []
    for unit in units:
        if batch and len(batch) + len(unit) > most:
            yield batch
            batch = []
        batch += unit
        while len(batch) > most:
            yield batch[:most]
            batch = batch[most:]
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Vanishing:
    """How many names with data would lose all of it, of how many that etcd has."""

    names: int
    of: int

    def trips(self, share: float, minimum: int) -> bool:
        """Whether that is so much that nobody can have meant it (``binding.guard``)."""
        return self.names >= minimum and self.names > share * self.of
