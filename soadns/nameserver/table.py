"""The table from which a worker answers: precompiled answers, names that exist, zones.

Pure; standard library only; held alike by the control process and each worker and kept equal by frames. A
value of ``answers`` is what follows the question in a reply, behind the six octets of the answer,
authority and additional counts; a list holds several of them that are sent in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LOADING, READY = 0, 1

Answer = bytes | list[bytes]


@dataclass(frozen=True, slots=True)
class ZoneEntry:
    """What answers about a zone need besides its names."""

    state: int
    """``LOADING``: names that are not in the table may exist; ``READY``: they do not."""
    soa: bytes
    """The SOA record for ``wire.soa_at``, with its TTL in negative answers (RFC 2308 3)."""
    serial: int
    label: str
    """The zone's name for metrics."""


@dataclass(slots=True)
class Delta:
    """Changes of a table, applied as one. None removes."""

    answers: dict[bytes, Answer | None] = field(default_factory=dict)
    """Folded owner name in wire form + QTYPE (two octets) → answer."""
    names: dict[bytes, bool] = field(default_factory=dict)
    """Folded owner name → whether it exists (with data or below it)."""
    zones: dict[bytes, ZoneEntry | None] = field(default_factory=dict)
    """Folded origin → zone."""

    def merge(self, later: Delta) -> None:
        """Add a later delta to this one."""
        self.answers.update(later.answers)
        self.names.update(later.names)
        self.zones.update(later.zones)

    def __bool__(self) -> bool:
        return bool(self.answers or self.names or self.zones)


class Table:
    """Answers, names and zones; replaced piece by piece between two packets."""

    __slots__ = ("answers", "generation", "names", "zones")

    def __init__(self) -> None:
        self.answers: dict[bytes, Answer] = {}
        self.names: set[bytes] = set()
        self.zones: dict[bytes, ZoneEntry] = {}
        self.generation = 0

    def apply(self, delta: Delta, generation: int) -> None:
        """Take in a delta; afterwards the table has that generation."""
        for key, answer in delta.answers.items():
            if answer is None:
                self.answers.pop(key, None)
            else:
                self.answers[key] = answer
        for name, exists in delta.names.items():
            if exists:
                self.names.add(name)
            else:
                self.names.discard(name)
        for origin, zone in delta.zones.items():
            if zone is None:
                self.zones.pop(origin, None)
            else:
                self.zones[origin] = zone
        self.generation = generation

    def zone_of(self, name: bytes) -> bytes | None:
        """The origin of the closest enclosing zone of a folded name, or None."""
        zones = self.zones
        while True:
            if name in zones:
                return name
            if not name[0]:
                return None
            name = name[name[0] + 1 :]

    def whole(self) -> Delta:
        """Everything, as a delta for an empty table."""
        return Delta(dict(self.answers), dict.fromkeys(self.names, True), dict(self.zones))
