"""What a running soadns counts: plain values that the control process fills and metrics read."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from operator import add

DURATIONS = tuple(0.00025 * 2**step for step in range(16))
"""Upper bounds of the buckets of answering times in seconds: CoreDNS's."""
LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""The same of the times from an event to the worker that answers by it."""
GIVEN = ("given", "unready", "denied", "busy", "broken")
"""What becomes of requests of other replicas for the snapshot."""
ASKED = ("taken", "unready", "denied", "silent", "untrusted", "damaged", "oversized", "foreign", "old")
"""What other replicas answer that are asked for theirs."""


@dataclass(slots=True)
class Durations:
    """A histogram of times in seconds: one slot for each upper bound, and one for what took longer."""

    bounds: tuple[float, ...] = DURATIONS
    slots: list[int] = field(default_factory=list)
    seconds: float = 0.0
    """All together."""

    def __post_init__(self) -> None:
        if not self.slots:
            self.slots = [0] * (len(self.bounds) + 1)

    def note(self, seconds: float) -> None:
        """Count one."""
        self.slots[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def plus(self, other: Durations) -> Durations:
        """Both together, of the same bounds."""
        return Durations(self.bounds, list(map(add, self.slots, other.slots)), self.seconds + other.seconds)


@dataclass(slots=True)
class Figures:
    """Counters of the control process. Times in seconds."""

    started: float = field(default_factory=time.time)
    transitions: Counter[str] = field(default_factory=Counter)
    """By cause."""
    events: Counter[str] = field(default_factory=Counter)
    """By source."""
    latencies: Durations = field(default_factory=lambda: Durations(LATENCIES))
    """From an event to the worker that answers by it."""
    source_failures: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    """Of our own, by part: ``ads``, ``events``, ``filters``, ``lease``, ``moves``, ``peers``, ``transfer``."""
    listening: dict[str, bool] = field(default_factory=dict)
    """By part that is configured beside names (``ads``, ``transfer``): whether it listens."""
    reloads: Counter[str] = field(default_factory=Counter)
    """By outcome: ``done``, ``bad``, ``refused``."""
    snapshots: int = 0
    snapshot_failures: int = 0
    snapshot_at: float = 0.0
    snapshot_octets: int = 0
    snapshots_given: Counter[str] = field(default_factory=Counter)
    """Of ``GIVEN``."""
    snapshots_asked: Counter[str] = field(default_factory=Counter)
    """Of ``ASKED``."""
    credentials: CredentialFigures = field(default_factory=lambda: CredentialFigures())
    ads: AdsFigures = field(default_factory=lambda: AdsFigures())
    transfer: TransferFigures = field(default_factory=lambda: TransferFigures())
    skydns: SkydnsFigures | None = None
    """None where nothing is published."""


@dataclass(slots=True)
class CredentialFigures:
    """Secrets and certificates that stand in files which may be renewed, by setting (``skydns.tls``)."""

    reads: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By setting and outcome: ``renewed``, ``refused``."""
    refused: dict[str, bool] = field(default_factory=dict)
    """Whether what the files hold now can not be used, and something older is in force."""


@dataclass(slots=True)
class AdsFigures:
    """What sidecars were told over ADS."""

    pushes: Counter[str] = field(default_factory=Counter)
    """Responses by what is in them: ``clusters``, ``endpoints``, ``routes`` ..."""
    octets: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """Responses that a sidecar did not take, likewise. MOSN refuses without a word."""
    cut: Counter[str] = field(default_factory=Counter)
    """Streams that were ended: ``full``, ``silent``, ``garbled``, ``unknown``, ``unauthenticated``, ``unready``,
    ``stuck``, ``behind``.
    """


@dataclass(slots=True)
class WorkerFigures:
    """Cumulative figures of one worker, over all processes that were this worker."""

    queries: Counter[str] = field(default_factory=Counter)
    """By transport: ``udp``, ``tcp``."""
    replies: Counter[tuple[str, str, int, int, int]] = field(default_factory=Counter)
    """By zone (empty for none), transport, address family (1 is IPv4, 2 IPv6), QTYPE (0 for rare ones), RCODE."""
    dropped: int = 0
    malformed: int = 0
    unsent: int = 0
    refused: int = 0
    """TCP connections closed at once for want of room."""
    handshakes: Counter[str] = field(default_factory=Counter)
    """Those of TLS that failed: ``alert``, ``protocol``, ``unfinished``."""
    durations: dict[str, Durations] = field(default_factory=dict)
    """By zone: from a datagram's arrival in the kernel to its reply, of a sample."""
    processor_s: float = 0.0
    """Seconds of processor time, user and system."""

    def plus(self, other: WorkerFigures) -> WorkerFigures:
        """Both together."""
        return WorkerFigures(
            self.queries + other.queries,
            self.replies + other.replies,
            self.dropped + other.dropped,
            self.malformed + other.malformed,
            self.unsent + other.unsent,
            self.refused + other.refused,
            self.handshakes + other.handshakes,
            self.durations
            | {
                zone: each.plus(self.durations.get(zone, Durations()))
                for zone, each in other.durations.items()
            },
            self.processor_s + other.processor_s,
        )


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker as control sees it: what runs now, and what all its processes have counted."""

    pid: int = 0
    generation: int = 0
    behind: bool = True
    names: int = 0
    connections: int = 0
    figures: WorkerFigures = field(default_factory=WorkerFigures)
    memory: int = 0
    """Octets resident in memory."""
    overflowed: int = 0
    """Datagrams that its sockets had no room for, since they were opened."""
    certificate_refused: bool | None = None
    """Whether what the files of its certificate hold now can not be used; None: no TLS."""
    processes: int = 0
    """How many processes this worker has been."""


@dataclass(slots=True)
class TransferFigures:
    """What secondaries got."""

    transfers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By zone (empty: none of ours) and outcome: ``axfr``, ``ixfr``, ``current``, ``refused``, ``unready`` or
    ``broken``.
    """
    notices: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By secondary and outcome: ``heard``, ``refused``, ``silent``."""
    serials: dict[str, int] = field(default_factory=dict)
    """By zone: the newest version that may be transferred."""


@dataclass(slots=True)
class SkydnsFigures:
    """What is published to etcd. By zone where not said otherwise; what etcd has is known to who leads alone."""

    leads: bool = False
    trouble: bool = False
    """Whether etcd can not be asked, or refuses something."""
    failures: int = 0
    """Of comparisons and writes, in all zones."""
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Keys by zone and what was done: ``put``, ``delete``."""
    keys: dict[str, int] = field(default_factory=dict)
    """Of ours."""
    foreign: dict[str, int] = field(default_factory=dict)
    """Keys of others."""
    held: dict[str, int] = field(default_factory=dict)
    """Names whose keys wait to be deleted."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Names that CoreDNS could not answer rightly."""
    behind_since: dict[str, float] = field(default_factory=dict)
    """Unix seconds; since when something waits to be written. Absent: nothing does."""
