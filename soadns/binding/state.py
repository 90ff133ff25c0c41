"""What one name remembers between two steps, and the durations by which it goes on. Frozen values.

``soadns.binding.bind`` makes the next state of the last one; snapshots keep it (its shape is theirs, too).
"""

from __future__ import annotations

from dataclasses import dataclass

from soadns.binding.pool import Seen
from soadns.model import ObjectRef, ServedPort


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The durations (seconds) and shares of binding, per zone. ``minute`` is no setting but part of the rules."""

    linger: float
    recreate_grace: float
    unready: float
    """How long a winner without any registered and any ready address is waited for."""
    board_share: float
    minute: float = 60.0
    """How long a vanished provider counts as seen lately."""
    unmapped: str
    """``providers`` or ``nxdomain``: what a name without a Service answers."""


@dataclass(frozen=True, slots=True)
class State:
    """What a name remembers. Times are Unix seconds; None means the condition does not hold."""

    winner: ObjectRef | None = None
    uid: str = ""
    created: float = 0.0
    """The age of the winner's Service; it keeps it while its name waits for it to come back."""
    since: float = 0.0
    """When the present winner (or the lack of one) began."""
    cause: str = ""
    """Why it took over: ``choice``, ``stronger``, ``no``, ``split``, ``stolen``, ``loss``, ``better``,
    ``returned``, ``off``, ``recreated`` or ``removed``."""
    previous: ObjectRef | None = None
    """The winner before a takeover by loss or ``no``, to which the name returns."""
    strength: int = 0
    ballots: tuple[tuple[ObjectRef, bool], ...] = ()
    was_registered: bool = False
    """Whether the winner had registered addresses since it won."""
    addresses: tuple[str, ...] = ()
    """Addresses of the winner's own (``Candidate.addresses``) when it was last within reach."""
    ports: tuple[ServedPort, ...] = ()
    lost_at: float | None = None
    """First loss of the evidence in a row: the linger counts from here."""
    deleted_at: float | None = None
    """Its Service is gone, or the one at home that a remote one is reached by: its addresses end with the grace."""
    empty_at: float | None = None
    """Vanished without a single endpoint address."""
    unready_at: float | None = None
    """Vanished, no address ready and none registered."""
    no_at: float | None = None
    better: ObjectRef | None = None
    better_since: float | None = None
    seen: Seen = Seen()
    bound: bool = False
    """Whether the name has been answered and not been removed since."""
    stays: bool = False
    """Whether the winner would be chosen again, so that its name does not go: a declared one, mostly."""

    @property
    def waiting(self) -> bool:
        """Whether the name waits for evidence that is gone."""
        if self.winner is None:
            return self.seen.gone_since is not None
        return self.lost_at is not None or self.deleted_at is not None

    @property
    def vanishing(self) -> bool:
        """Whether the name is to go unless the evidence returns (what the guard counts)."""
        return self.waiting and not self.stays
