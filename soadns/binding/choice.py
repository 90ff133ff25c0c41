"""Which candidate may take a name, and which of several is preferred.

Pure rules over ``soadns.binding.evidence``; no state and no clocks. A candidate's *standing* is its strength
after the rule that declarations do not hijack, its vote, and what keeps it from taking the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from soadns.binding.evidence import DECLARED, ENDPOINT, NO_STRENGTH, Candidate, Evidence
from soadns.binding.rosters import Tally
from soadns.model import ObjectRef

OUT_OF_SYNC = "out of sync"
"""Obstacle of a Service that could take the name if its cluster could be seen now."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate, judged."""

    candidate: Candidate
    strength: int
    """1 to 4, or ``NO_STRENGTH``."""
    yes: bool
    """Whether its registered addresses vote that it serves the interface."""
    obstacle: str = ""
    """Why it may not take the name now (``waits``, ``boarding``, ``out of sync``, ``off`` ...), or ``''``."""
    detail: str = ""

    @property
    def ref(self) -> ObjectRef:
        """The Service's reference."""
        return self.candidate.ref


def vote(tally: Tally, before: bool) -> bool:
    """Whether the registered addresses say that the Service serves the interface.

    Yes when at least three quarters of them provide it, no when those that count against it are more
    than half, else as ``before``.
    """
    if not tally.registered:
        return before
    if tally.providing * 4 >= tally.registered * 3:
        return True
    if tally.against * 2 > tally.registered:
        return False
    return before


def votes(evidence: Evidence, before: Mapping[ObjectRef, bool]) -> dict[ObjectRef, bool]:
    """The votes of all candidates.

    Those known only from outside (3, 4) serve while a provider lives, if they ever had a ready endpoint:
    nothing else says that anybody stands behind their ClusterIP.
    """
    result: dict[ObjectRef, bool] = {}
    for candidate in evidence.candidates:
        if candidate.tally.registered or ENDPOINT in candidate.rows:
            result[candidate.ref] = vote(candidate.tally, before.get(candidate.ref, False))
        elif any(row > ENDPOINT for row in candidate.rows):
            result[candidate.ref] = candidate.had_ready
        else:
            result[candidate.ref] = before.get(candidate.ref, False)
    return result


def judge(
    evidence: Evidence,
    ballots: Mapping[ObjectRef, bool],
    *,
    board_share: float,
    absent: ObjectRef | None = None,
) -> dict[ObjectRef, Standing]:
    """Judge every candidate against all others.

    ``absent`` is a winner whose evidence of the kinds 2 to 4 is gone but still waited for.
    """
    strengths = {c.ref: strength(c, evidence.candidates, absent) for c in evidence.candidates}
    served = {
        c.ref
        for c in evidence.candidates
        if ballots[c.ref] and strengths[c.ref] != NO_STRENGTH and c.mode != "off"
    }
    return {
        c.ref: _standing(c, strengths[c.ref], ballots[c.ref], evidence, served, board_share)
        for c in evidence.candidates
    }


def strength(candidate: Candidate, candidates: Sequence[Candidate], absent: ObjectRef | None = None) -> int:
    """The candidate's strongest evidence that counts.

    A declaration counts where a claim gives the name to its namespace, or where everything else that
    speaks for other Services lives in its own namespace (or there is nothing else).
    """
    own = [row for row in candidate.rows if row != DECLARED]
    if candidate.declared:
        others = [c.ref for c in candidates if any(row != DECLARED for row in c.rows)]
        if absent is not None:
            others.append(absent)
        home = candidate.ref[:2]
        if candidate.claimed or all(ref[:2] == home for ref in others if ref != candidate.ref):
            return DECLARED
    return min(own, default=NO_STRENGTH)


def _standing(
    candidate: Candidate,
    level: int,
    yes: bool,
    evidence: Evidence,
    served: set[ObjectRef],
    board_share: float,
) -> Standing:
    obstacle, detail = _obstacle(candidate, level, yes, evidence, served, board_share)
    if not obstacle and not candidate.heard:
        obstacle = OUT_OF_SYNC
        detail = (
            f"cluster {candidate.ref.cluster} can not be seen now: its addresses may be other pods' by now"
        )
    return Standing(candidate, level, yes, obstacle, detail)


def _obstacle(
    candidate: Candidate,
    level: int,
    yes: bool,
    evidence: Evidence,
    served: set[ObjectRef],
    board_share: float,
) -> tuple[str, str]:
    service, tally = candidate.service, candidate.tally
    if candidate.mode == "off":
        return "off", "soadns.io/traffic says off"
    if service.type == "ExternalName":
        return "external-name", f"an ExternalName Service has no address of ours ({service.external_name})"
    if service.terminating:
        return "terminating", "the Service is being deleted"
    if not candidate.reachable:
        return "unreachable", (
            "it is in a remote cluster, without a Service of its name here, an address outside, or flat networks"
        )
    if level == NO_STRENGTH:
        if candidate.declared:
            return "conflict", "declared, but the evidence for the name lives in another namespace"
        return "no evidence", ""
    if level == DECLARED:
        return _declared_obstacle(candidate, yes, evidence, served)
    if not yes:
        if not tally.registered:
            return "not served", "none of its endpoints was ever ready"
        figures = f"{tally.providing} of {tally.registered} registered addresses provide it"
        return "not served", figures
    if not candidate.ports:
        whose = "the ports that the home Service of its name has, too," if candidate.narrowed else "its ports"
        return "port mismatch", f"none of {whose} is one that the providers register"
    others = max(0, evidence.outside - candidate.outside)
    if others and candidate.mode != "mesh":
        own = tally.providing + candidate.outside
        if own / (own + others) < board_share:
            return "boarding", f"{own} of its own against {others} hosts of the old world"
    return "", ""


def _declared_obstacle(
    candidate: Candidate, yes: bool, evidence: Evidence, served: set[ObjectRef]
) -> tuple[str, str]:
    if candidate.mode == "mesh":
        return "", ""
    if not (evidence.outside or served - {candidate.ref}):
        return "", ""
    if not candidate.had_ready:
        return "waits", "declared, not served yet: it never had a ready endpoint"
    if candidate.tally.registered and not yes:
        tally = candidate.tally
        return "waits", (
            f"declared, not served yet: {tally.providing} of {tally.registered} "
            "registered addresses provide it"
        )
    return "", ""


def choose(standings: Iterable[Standing]) -> Standing | None:
    """The preferred of those that may take the name (rule *Choice*), or None."""
    able = [s for s in standings if not s.obstacle]
    if len(able) < 2:
        return able[0] if able else None
    best = min(s.strength for s in able)
    able = [s for s in able if s.strength == best]
    with_ip = [s for s in able if not s.candidate.service.headless]
    able = with_ip or able
    most = max(s.candidate.ports for s in able)
    able = [s for s in able if s.candidate.ports == most]
    largest = max(s.candidate.tally.providing for s in able)
    able = [s for s in able if s.candidate.tally.providing * 2 > largest or not largest]
    return min(able, key=lambda s: (s.candidate.service.created, s.ref.namespace, s.ref.name, s.ref.cluster))


def behind(loser: Standing, winner: Standing) -> str:
    """What puts one candidate behind another by the rule *Choice*, in words; ``''`` when it is not behind."""
    one, other = loser.candidate, winner.candidate
    if loser.strength != winner.strength:
        return "its evidence is weaker" if loser.strength > winner.strength else ""
    if one.service.headless != other.service.headless:
        return "it is headless, the winner has a ClusterIP" if one.service.headless else ""
    if one.ports != other.ports:
        return (
            f"{one.ports} of its ports are registered, {other.ports} of the winner's"
            if one.ports < other.ports
            else ""
        )
    if one.tally.providing * 2 <= other.tally.providing:
        return f"{one.tally.providing} of its addresses provide it, {other.tally.providing} of the winner's"
    if one.tally.providing >= other.tally.providing * 2 and one.tally.providing:
        return ""
    if one.service.created != other.service.created:
        return "it is the younger Service" if one.service.created > other.service.created else ""
    return "it is as old as the winner, and later by name" if loser.ref > winner.ref else ""
