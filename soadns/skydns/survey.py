"""A whole zone held against all that etcd has below it, key by key, in the order of keys. Pure.

Nothing of etcd is kept but counts: of each name how many keys are as they should be.
"""

from __future__ import annotations

from collections.abc import Iterator

from soadns.nameserver.zone import ZoneData
from soadns.skydns.plan import Vanishing
from soadns.skydns.records import Layout, Wanted, names_of

PAGE = 2_000
"""How many keys are read at once: etcd counts all keys of a range for each page of it."""
SLICE = 200
"""How many of them, or of names, are looked at before others have a turn."""


class Survey:
    """One comparison."""

    def __init__(self, layout: Layout, zone: ZoneData) -> None:
        self._layout = layout
        self._zone = zone
        self._last: tuple[bytes, Wanted] = (b"", Wanted())
        self._right: dict[bytes, int] = {}
        self._answered: set[bytes] = set()
        """Names of which etcd has data of ours."""
        self._lost: set[bytes] = set()
        """Those of them that have none any more."""
        self._nested = [layout.below(origin) for origin in zone.nested_wire]
        self.wrong: dict[bytes, None] = {}
        """Names of which etcd has something of ours that should be other, or should not be."""
        self.foreign: list[str] = []
        """Keys of others."""
        self.keys = 0
        """Keys of ours."""

    def vanished(self) -> set[bytes]:
        """Those among ``wrong`` that have no data: what etcd has of them would go."""
        return {name for name in self.wrong if not self._layout.wanted(self._zone, name).data}

    @property
    def vanishing(self) -> Vanishing:
        """How much of all that is answered from etcd would go."""
        return Vanishing(len(self._lost), len(self._answered))

    def see(self, key: str, value: str) -> None:
        """Etcd has this key."""
        if any(start <= key < end for start, end in self._nested):
            return  # of another zone
        name = self._layout.name_of(key)
        if name is None or not name.endswith(self._zone.origin_wire):
            self.foreign.append(key)
            return
        wanted = self._wanted(name)
        same = wanted.values.get(key) == value
        if not same and not self._layout.is_ours(value):
            self.foreign.append(key)
            return
        self.keys += 1
        if key.rpartition("/")[2][:1] in "AT":
            self._answered.add(name)
        if wanted.stands:
            return
        if same:
            self._right[name] = self._right.get(name, 0) + 1
            return
        self.wrong[name] = None
        if name in self._answered and not wanted.data:
            self._lost.add(name)

    def missing(self) -> Iterator[bytes | None]:
        """Names that lack keys, after all that etcd has was seen; None in place of each one that does not."""
        for name in names_of(self._zone):
            wanted = self._layout.wanted(self._zone, name)
            complete = wanted.stands or self._right.get(name, 0) == len(wanted.values)
            yield None if complete and not wanted.unfit else name

    def _wanted(self, name: bytes) -> Wanted:
        if self._last[0] != name:
            self._last = name, self._layout.wanted(self._zone, name)
        return self._last[1]
