"""Keys of this owner that are of no zone that is written: what zones have left behind. Pure.

Whose they are they say themselves, and of which zone the key says that every zone has at its apex. The zone of a key is
the innermost one above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from soadns.skydns.records import APEX_MARK, Layout

Ranges = list[tuple[str, str]]
"""Of keys: from the first one to (without) the second."""

UNKNOWN = "unknown"
"""In place of an origin, for keys of which nothing tells it."""


def outside(prefix: str, zones: Mapping[str, bool]) -> Ranges:
    """What is below a prefix, without the zones (by their paths) that are written."""
    edges = sorted({edge for path in (prefix, *zones) for edge in (f"{path}/", f"{path}0")})
    found: Ranges = []
    for start, end in pairwise(edges):
        around = [path for path in zones if f"{path}/" <= start and end <= f"{path}0"]
        if around and zones[max(around, key=len)]:
            continue
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found


@dataclass(slots=True)
class Left:
    """What one zone has left behind."""

    keys: int = 0
    names: int = 0
    """Those that are answered."""


@dataclass(slots=True)
class Remains:
    """What was seen; keys are shown in their order."""

    layout: Layout
    _keys: dict[str, int] = field(default_factory=dict)
    """By path, without the last part."""
    _answered: set[str] = field(default_factory=set)
    """Paths of names that have data."""
    _origins: set[str] = field(default_factory=set)
    """Paths of zones."""

    def see(self, key: str) -> None:
        """There is this key of ours."""
        path, _, last = key.rpartition("/")
        self._keys[path] = self._keys.get(path, 0) + 1
        if last.startswith(("A", "T")):
            self._answered.add(path)
        if key.endswith(APEX_MARK):
            self._origins.add(key.removesuffix(APEX_MARK))

    def zone_of(self, key: str) -> str:
        """The origin of the zone that a key is of, or ``UNKNOWN``."""
        path = key
        while len(path) > len(self.layout.prefix):
            path = path.rpartition("/")[0]
            if path in self._origins:
                return ".".join(reversed(path[len(self.layout.prefix) + 1 :].split("/")))
        return UNKNOWN

    def is_of(self, zone: str, key: str) -> bool:
        """Whether a key is of that zone."""
        return self.zone_of(key) == zone

    def zones(self) -> dict[str, Left]:
        """By origin, or ``UNKNOWN``."""
        found: dict[str, Left] = {}
        for path, keys in self._keys.items():
            left = found.setdefault(self.zone_of(f"{path}/"), Left())
            left.keys += keys
            left.names += path in self._answered
        return found
