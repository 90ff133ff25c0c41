"""Who may write: the decisions of one candidate for a Lease (coordination.k8s.io/v1). Pure.

As client-go's leader election: whoever holds the Lease renews it, and others take it over when they have not seen it
change for as long as it says. Everybody counts that by a clock of his own, from the moment when he saw it; the times
in it are for people alone. A holder stops sooner: when it could not renew for two thirds of that time, counted from
when it *asked*, so that there are never two, however long an answer takes and whatever the API server's clock says.
Times are seconds of a steady clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """``lease``: after so many seconds without a sign of its holder others take it over."""

    lease: float

    @property
    def deadline(self) -> float:
        """For how long a holder may write since it last asked with success (client-go: 10 of 15 seconds)."""
        return self.lease * 2 / 3

    @property
    def retry(self) -> float:
        """Between two looks (client-go: 2 of 15 seconds)."""
        return self.lease * 2 / 15

    @property
    def answer(self) -> float:
        """Within which a request must be answered: two may fail before the deadline."""
        return self.lease / 4


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A Lease as it was read."""

    holder: str
    """``''``: nobody."""
    duration: float
    """Seconds for which it holds without being renewed."""
    transitions: int
    acquired: str
    renewed: str
    """As the holder wrote it: that it changes is all that counts."""


class LeaseState:
    """What one candidate knows."""

    def __init__(self, identity: str, times: LeaseTimes) -> None:
        self.identity = identity
        self.times = times
        self.seen: LeaseRecord | None = None
        self._seen_at = -inf
        self._until = -inf

    def holds(self, now: float) -> bool:
        """Whether this candidate may write."""
        return now < self._until

    def see(self, record: LeaseRecord | None, now: float) -> None:
        """Take in what the Lease is (None: there is none)."""
        if record != self.seen:
            self.seen, self._seen_at = record, now
        if record is None or record.holder != self.identity:
            self._until = -inf

    def may_take(self, now: float) -> bool:
        """Whether it is to be written now: to renew it, or to take over what nobody has or renews."""
        seen = self.seen
        if seen is None or seen.holder in ("", self.identity):
            return True
        return now >= self._seen_at + seen.duration

    def next(self, moment: str) -> LeaseRecord:
        """What to write; ``moment`` is the time for people."""
        seen = self.seen
        if seen is not None and seen.holder == self.identity:
            return LeaseRecord(self.identity, self.times.lease, seen.transitions, seen.acquired, moment)
        transitions = seen.transitions + 1 if seen is not None else 0
        return LeaseRecord(self.identity, self.times.lease, transitions, moment, moment)

    def written(self, record: LeaseRecord, asked: float, now: float) -> None:
        """It was written as ``next`` said, by a request that began at ``asked``."""
        self.see(record, now)
        self._until = asked + self.times.deadline

    def step_down(self) -> None:
        """Write nothing from now on."""
        self._until = -inf
