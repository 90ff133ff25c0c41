"""What a running soadns counts: plain values that the control process fills and metrics read."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Figures:
    """Counters of the control process. Times in seconds."""

    started: float = field(default_factory=time.time)
    transitions: Counter[str] = field(default_factory=Counter)
    """By cause."""
    events: Counter[str] = field(default_factory=Counter)
    """By source."""
    latencies: list[float] = field(default_factory=list)
    """From an event to the worker that answers by it, since the last look."""
    source_failures: Counter[str] = field(default_factory=Counter)
    reloads: Counter[str] = field(default_factory=Counter)
    """By outcome: ``done``, ``bad``, ``refused``."""
    snapshots: int = 0
    snapshot_failures: int = 0
    snapshot_at: float = 0.0
    snapshot_octets: int = 0


@dataclass(slots=True)
class WorkerFigures:
    """Cumulative figures of one worker, over all processes that were this worker."""

    queries: Counter[str] = field(default_factory=Counter)
    """By transport: ``udp``, ``tcp``."""
    hits: Counter[int] = field(default_factory=Counter)
    """By QTYPE: usual questions answered with data."""
    replies: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    """By (zone, QTYPE, RCODE): all other replies."""
    dropped: int = 0
    malformed: int = 0
    unsent: int = 0
    refused: int = 0
    """TCP connections closed at once for want of room."""

    def plus(self, other: WorkerFigures) -> WorkerFigures:
        """Both together."""
        return WorkerFigures(
            self.queries + other.queries,
            self.hits + other.hits,
            self.replies + other.replies,
            self.dropped + other.dropped,
            self.malformed + other.malformed,
            self.unsent + other.unsent,
            self.refused + other.refused,
        )


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker as its feed sees it."""

    pid: int
    generation: int
    behind: bool
    names: int
    connections: int
    figures: WorkerFigures
