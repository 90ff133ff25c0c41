"""The pure step of one name: previous state, evidence and time in; state, answer and reasons out.

The state machine of ``docs/binding.md``. ``step`` is called whenever something that the name depends on
changed and whenever a clock it asked for is due; calling it more often changes nothing. It never
reads a clock, never logs, and never sees another name. Who wins among several is ``soadns.binding.choice``;
this module says when a winner stays, moves or goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from soadns.binding.choice import OUT_OF_SYNC, Standing, choose, judge, votes
from soadns.binding.evidence import DECLARED, NO_STRENGTH, Evidence
from soadns.binding.pool import EPSILON, Seen, observe
from soadns.binding.state import Rules, State
from soadns.model import ObjectRef, ServedPort


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one step."""

    state: State
    standings: tuple[Standing, ...]
    removal: str = ""
    """``vanished`` or ``no`` when the name is due to go; the caller asks the guard and calls ``remove``."""
    at: float | None = None
    """When to step again if nothing changes before."""


def step(state: State, evidence: Evidence, rules: Rules) -> Step:
    """Advance one name to ``evidence.now``."""
    ballots = votes(evidence, dict(state.ballots))
    standings = judge(evidence, ballots, board_share=rules.board_share)
    # A name keeps the vote of a Service that is gone only while it may return to it.
    kept = tuple(sorted(ballots.items()))
    if kept != state.ballots:
        state = replace(state, ballots=kept)
    if state.winner is not None:
        state = _follow_winner(state, evidence, standings)
        if (absent := _awaited(state, evidence, rules)) is not None:
            standings = judge(evidence, ballots, board_share=rules.board_share, absent=absent)
        moved = _move(state, evidence, standings, rules)
        state = moved if moved is not None else _watch_better(state, evidence, standings)
        if _due(state.better_since, rules.linger, evidence) and state.better is not None:
            better = standings[state.better]
            state = _won(state, evidence, better, "better") if not better.obstacle else state
    if state.winner is None:
        state = _take(state, evidence, standings)
    if state.winner is None:
        return _unmapped(state, evidence, standings, rules)
    removal, at = _clocks(state, evidence, rules)
    own = standings.get(state.winner)
    stays = own is not None and not own.obstacle
    if stays != state.stays:
        state = replace(state, stays=stays)
    awaited = any(s.obstacle == OUT_OF_SYNC for s in standings.values())
    return Step(state, tuple(standings.values()), "" if stays or awaited else removal, at)


def remove(state: State, now: float) -> State:
    """The state of a name that was allowed to go; nothing but its votes and the time is carried over."""
    return State(since=now, cause="removed", ballots=state.ballots)


# ------------------------------------------------------------------------------ the winner


def _follow_winner(state: State, evidence: Evidence, standings: Mapping[ObjectRef, Standing]) -> State:
    """Bring the clocks and the remembered answer up to date with the winner's present standing."""
    now = evidence.now
    present = evidence.winner
    if present is None:
        return replace(
            state,
            deleted_at=_since(state.deleted_at, now, holds=True),
            lost_at=_since(state.lost_at, now, holds=True),
        )
    standing = standings[present.ref]
    service, tally = present.service, present.tally
    if service.uid != state.uid:
        state = replace(state, uid=service.uid, since=now, cause="recreated", lost_at=None)
    registered = tally.registered > 0 or any(row > DECLARED for row in present.rows)
    vanished = not registered and (state.was_registered or not present.declared)
    empty = (vanished and tally.addresses == 0) or not present.reachable
    unready = vanished and tally.ready == 0
    no = not vanished and _says_no(standing)
    return replace(
        state,
        deleted_at=_since(state.deleted_at, now, holds=not present.reachable),
        created=service.created,
        addresses=present.addresses if present.reachable else state.addresses,
        ports=served_ports(standing, evidence) or state.ports,
        strength=state.strength if standing.strength == NO_STRENGTH else standing.strength,
        was_registered=state.was_registered or registered,
        lost_at=_since(state.lost_at, now, holds=vanished or not present.reachable),
        empty_at=_since(state.empty_at, now, holds=empty),
        unready_at=_since(state.unready_at, now, holds=unready),
        no_at=_since(state.no_at, now, holds=no),
    )


def _awaited(state: State, evidence: Evidence, rules: Rules) -> ObjectRef | None:
    """A winner by evidence 2 to 4 that is gone for now: what declarations may not hijack meanwhile."""
    waits = (
        state.lost_at is not None and state.strength > DECLARED and not _loss_is_due(state, evidence, rules)
    )
    return state.winner if waits else None


def _since(before: float | None, now: float, *, holds: bool) -> float | None:
    """Since when a condition holds, given since when it held before."""
    if not holds:
        return None
    return now if before is None else before


def _move(
    state: State, evidence: Evidence, standings: Mapping[ObjectRef, Standing], rules: Rules
) -> State | None:
    """The state after the winner was left, or None while it stays (table *Moving*)."""
    others = [s for s in standings.values() if s.ref != state.winner]
    best = choose(others)
    own = standings.get(state.winner) if state.winner is not None else None
    if own is not None and own.obstacle in ("off", "external-name"):
        return _won(state, evidence, best, "off") if best else _left(state, evidence, "off")
    if _loss_is_due(state, evidence, rules) and best is not None:
        # Before all others: who takes over only now is to give the name back.
        return _won(state, evidence, best, "loss")
    if best is not None and best.strength < state.strength and _is_served(best):
        return _won(state, evidence, best, "stronger")
    returned = _returned(state, standings)
    if returned is not None:
        return _won(state, evidence, returned, "returned")
    if own is not None and state.no_at is not None:
        # Nothing is won by moving to another one that does not serve it either.
        return _to_best(state, evidence, rules, choose(s for s in others if not _says_no(s)), "no")
    if own is not None and (split := _split(state, own, others)) is not None:
        return _won(state, evidence, split, "split")
    if evidence.stolen:
        return _to_best(state, evidence, rules, best, "stolen")
    if _loss_is_due(state, evidence, rules):
        return _to_best(state, evidence, rules, best, "loss")
    return None


def _watch_better(state: State, evidence: Evidence, standings: Mapping[ObjectRef, Standing]) -> State:
    """Start, keep or stop the clock of a candidate that Choice would prefer to the winner."""
    field = [
        replace(s, obstacle="")
        if s.obstacle == OUT_OF_SYNC or (s.ref == state.winner and s.obstacle in _PASSED)
        else s
        for s in standings.values()
    ]
    best = choose(field)
    if best is None or best.ref == state.winner or not best.candidate.tally.unanimous:
        return state if state.better is None else replace(state, better=None, better_since=None)
    if best.ref == state.better:
        return state
    return replace(state, better=best.ref, better_since=evidence.now)


_PASSED = ("boarding", "port mismatch", "not served", "waits")
"""Obstacles to taking a name that are none to keeping it."""


def _says_no(standing: Standing) -> bool:
    tally = standing.candidate.tally
    return not standing.yes and tally.registered > 0 and tally.against > 0


def _is_served(standing: Standing) -> bool:
    return standing.yes or (standing.candidate.declared and standing.candidate.tally.ready > 0)


def _returned(state: State, standings: Mapping[ObjectRef, Standing]) -> Standing | None:
    """The earlier winner, if it lost the name by loss or ``no`` and is whole again."""
    if state.previous is None:
        return None
    earlier = standings.get(state.previous)
    if earlier is None or earlier.obstacle not in ("", "boarding"):
        return None
    tally = earlier.candidate.tally
    return earlier if tally.unanimous and tally.ready > 0 else None


def _split(state: State, own: Standing, others: list[Standing]) -> Standing | None:
    """A whole candidate to which the interface is being moved, one release at a time."""
    tally = own.candidate.tally
    if not tally.against:
        return None
    able = [
        s
        for s in others
        if s.strength <= state.strength
        and s.candidate.tally.unanimous
        and s.candidate.tally.providing >= tally.providing
    ]
    return choose(able)


def _loss_is_due(state: State, evidence: Evidence, rules: Rules) -> bool:
    if state.deleted_at is not None:
        # An address may be answered for the grace only, whatever the sources' state.
        return evidence.now >= state.deleted_at + rules.recreate_grace
    if evidence.paused:
        # What is known of the other candidates may be as old as the outage.
        return False
    return (
        _due(state.empty_at, rules.recreate_grace, evidence)
        or _due(state.unready_at, rules.unready, evidence)
        or _due(state.lost_at, rules.linger, evidence)
    )


def _due(since: float | None, duration: float, evidence: Evidence) -> bool:
    return since is not None and evidence.elapsed(since) >= duration - EPSILON


def _to_best(
    state: State, evidence: Evidence, rules: Rules, best: Standing | None, cause: str
) -> State | None:
    """To the best other candidate, the old world last if it is answered; None when there is nobody."""
    if best is not None:
        return _won(state, evidence, best, cause)
    if evidence.answerable and rules.unmapped == "providers":
        return _left(state, evidence, cause)
    return None


def _won(state: State, evidence: Evidence, standing: Standing, cause: str) -> State:
    candidate = standing.candidate
    return State(
        winner=candidate.ref,
        uid=candidate.service.uid,
        created=candidate.service.created,
        since=evidence.now,
        cause=cause,
        previous=state.winner if cause in ("loss", "no") else None,
        strength=standing.strength,
        ballots=state.ballots,
        was_registered=candidate.tally.registered > 0 or any(row > DECLARED for row in candidate.rows),
        addresses=candidate.addresses,
        ports=served_ports(standing, evidence),
        bound=True,
        stays=not standing.obstacle,
    )


def _left(state: State, evidence: Evidence, cause: str) -> State:
    return State(
        since=evidence.now,
        cause=cause,
        previous=state.winner if cause in ("loss", "no") else None,
        ballots=state.ballots,
        bound=True,
    )


def _clocks(state: State, evidence: Evidence, rules: Rules) -> tuple[str, float | None]:
    """Which removal is due for a name with a winner, and when to look again."""
    if _due(state.no_at, rules.linger, evidence):
        return "no", None
    if _due(state.lost_at, rules.linger, evidence):
        return "vanished", None
    waits = [
        (state.no_at, rules.linger),
        (state.lost_at, rules.linger),
        (state.empty_at, rules.recreate_grace),
        (state.unready_at, rules.unready),
        (state.better_since, rules.linger),
    ]
    first = _first_end(waits, evidence)
    times = [first] if first is not None else []
    if state.deleted_at is not None and evidence.now < state.deleted_at + rules.recreate_grace:
        times.append(state.deleted_at + rules.recreate_grace)
    return "", min(times, default=None)


def _first_end(clocks: list[tuple[float | None, float]], evidence: Evidence) -> float | None:
    """When the first of some (begin, duration) that have not ended ends, if no outage comes or goes."""
    left = [
        duration - passed
        for since, duration in clocks
        if since is not None and (passed := evidence.elapsed(since)) < duration - EPSILON
    ]
    if not left:
        return None
    # In an outage nothing ends; looking again once a second is enough to go on where it was.
    return evidence.now + max(min(left), 1.0 if evidence.paused else 0.0)


# ------------------------------------------------------------------------------ taking a name


def _take(state: State, evidence: Evidence, standings: Mapping[ObjectRef, Standing]) -> State:
    """Let a candidate take a name that has no winner."""
    returned = _returned(state, standings)
    best = returned or choose(standings.values())
    if best is None:
        return state
    return _won(state, evidence, best, "returned" if returned else "choice")


def _unmapped(
    state: State, evidence: Evidence, standings: Mapping[ObjectRef, Standing], rules: Rules
) -> Step:
    seen = observe(
        state.seen, evidence.providers, evidence.now, minute=rules.minute, elapsed=evidence.elapsed
    )
    if rules.unmapped != "providers":
        return Step(replace(state, seen=Seen(), bound=False), tuple(standings.values()))
    state = replace(state, seen=seen, bound=state.bound or bool(seen))
    removal = "vanished" if _due(seen.gone_since, rules.linger, evidence) else ""
    at = _first_end([(seen.gone_since, rules.linger), (seen.short_since, rules.minute)], evidence)
    return Step(state, tuple(standings.values()), removal, at)


def served_ports(standing: Standing, evidence: Evidence) -> tuple[ServedPort, ...]:
    """Ports by which the interface can be dialled at the Service's address."""
    offers = standing.candidate.offers
    offered = {port.port for port in offers}
    registered = tuple(ServedPort(p, n) for p, n in evidence.ports if n in offered)
    if registered or evidence.ports:
        return registered
    # Nothing registered: the Service's own port names say the protocol, as Istio reads them.
    return tuple(
        ServedPort((p.app_protocol or p.name).split("-")[0].lower() or "tcp", p.port)
        for p in offers
        if p.protocol == "TCP"
    )
