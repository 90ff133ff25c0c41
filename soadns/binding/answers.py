"""From a name's state to what it answers: addresses, kind and reasons.

Pure. ``outcome`` says what one interface answers now; which owner names carry that answer is
``soadns.binding.owners``. Addresses are never protected by linger, guard or snapshot: those of a deleted
Service end with the grace, and at once when another Service holds them.
"""

from __future__ import annotations

from soadns import naming
from soadns.binding.choice import Standing
from soadns.binding.clusters import Clusters
from soadns.binding.evidence import Evidence
from soadns.binding.pool import answer_set, fit
from soadns.binding.state import Rules, State
from soadns.binding.store import Store
from soadns.model import Binding, ObjectRef, Outcome, Reason, Records, Unbound


def outcome(
    store: Store,
    state: State,
    evidence: Evidence,
    standings: tuple[Standing, ...],
    *,
    rules: Rules,
    clusters: Clusters,
    owner_octets: int,
) -> Outcome:
    """What the interface answers at ``evidence.now``."""
    reasons = reasons_of(state, standings)
    interface = evidence.interface
    if state.winner is None:
        return _without_service(state, evidence, standings, reasons, rules, owner_octets)
    if evidence.winner is not None and evidence.winner.mode == "registry" and evidence.providers:
        addresses, ports = answer_set(evidence.providers, owner_octets)
        if addresses:
            return Binding(interface, "providers", addresses, ports, state.winner, "", 0, reasons)
    kind, addresses = _addresses(store, state, evidence, rules, clusters, owner_octets)
    host = clusters.host(state.winner)
    return Binding(interface, kind, addresses, state.ports, state.winner, host, state.strength, reasons)


def _without_service(
    state: State,
    evidence: Evidence,
    standings: tuple[Standing, ...],
    reasons: tuple[Reason, ...],
    rules: Rules,
    owner_octets: int,
) -> Outcome:
    interface = evidence.interface
    if rules.unmapped == "providers":
        addresses, ports = answer_set(state.seen.answered, owner_octets)
        if addresses:
            return Binding(interface, "providers", addresses, ports, None, "", 0, reasons)
    return Unbound(interface, *_why_unbound(evidence, standings), reasons)


def _why_unbound(evidence: Evidence, standings: tuple[Standing, ...]) -> tuple[str, str]:
    """The obstacle of the strongest candidate, or what is missing altogether."""
    for standing in sorted(standings, key=lambda s: (s.strength, s.ref)):
        if standing.obstacle and standing.obstacle != "no evidence":
            slug = standing.obstacle.replace(" ", "-")
            return slug, f"Service {standing.ref}: {standing.detail or standing.obstacle}"
    if evidence.named and not evidence.providers:
        return "host-names", "its providers registered host names, which are not answered"
    if evidence.providers:
        return "unmapped", "providers are registered, but no Service runs them and unmapped is nxdomain"
    return "no-provider", "no usable provider is registered and no Service declares it"


def _addresses(
    store: Store,
    state: State,
    evidence: Evidence,
    rules: Rules,
    clusters: Clusters,
    owner_octets: int,
) -> tuple[str, tuple[str, ...]]:
    """The kind of the answer and its addresses, for a name with a winner."""
    assert state.winner is not None
    candidate = evidence.winner
    home = state.winner.cluster == clusters.home
    kind = "service" if home else "remote"
    if candidate is None or not candidate.reachable:
        if state.deleted_at is not None and evidence.now >= state.deleted_at + rules.recreate_grace:
            return kind, ()
        if not state.addresses and rules.unmapped == "providers":
            # It had its pods' addresses: the registry knows which of them are still there.
            return "headless", answer_set(evidence.providers, owner_octets)[0]
        numbers = {port.port for port in state.ports}
        twin = None if home else clusters.twin(store.services, state.winner, numbers)
        held = state.addresses if twin is None else twin.cluster_ips
        return kind, tuple(ip for ip in held if ip not in evidence.stolen)
    # A remote one without an address of its own is reached by its pods, in flat networks.
    if candidate.service.headless if home else not candidate.addresses:
        return "headless", _pods(store, state.winner, owner_octets)
    return kind, candidate.addresses if home else fit(candidate.addresses, owner_octets)


def _pods(store: Store, ref: ObjectRef, owner_octets: int) -> tuple[str, ...]:
    roster = store.rosters.get(ref)
    if roster is None:
        return ()
    return fit([ip for ip, address in roster.addresses.items() if address.ready], owner_octets)


def records_of(answer: Binding, *, ttl: int, provider_ttl: int) -> Records:
    """What is published for an answer: its addresses and ports, and texts for people.

    Interfaces of one Service have equal records, which workers hold once. So only a name that is not the interface's
    own says whose it is.
    """
    steady = answer.kind in ("service", "remote")
    own = answer.interface.plain and naming.alias(answer.interface) is None
    texts = [] if own else [f"interface={answer.interface}"]
    texts.append(f"kind={answer.kind}")
    if answer.host and answer.kind != "providers":
        texts.append(f"host={answer.host}")
        numbers = sorted({number for _, number in answer.ports})
        texts.extend(f"cluster=outbound|{number}||{answer.host}" for number in numbers)
        texts.append(f"evidence={answer.evidence}")
    return Records(
        addresses=answer.addresses,
        ttl=ttl if steady else provider_ttl,
        ports=answer.ports,
        texts=tuple(texts),
        rotate=not steady and len(answer.addresses) > 1,
    )


def reasons_of(state: State, standings: tuple[Standing, ...]) -> tuple[Reason, ...]:
    """Every candidate and what became of it, the winner first."""
    reasons = []
    for standing in sorted(standings, key=lambda s: (s.ref != state.winner, s.strength, s.ref)):
        name = str(standing.ref)
        if standing.ref == state.winner:
            reasons.append(Reason(name, "winner", state.cause))
        elif standing.obstacle:
            reasons.append(Reason(name, standing.obstacle, standing.detail))
        else:
            verdict = "conflict" if state.winner is not None else "candidate"
            reasons.append(Reason(name, verdict, "could serve the name as well"))
    return tuple(reasons)


def is_conflict(reasons: tuple[Reason, ...]) -> bool:
    """Whether more than one Service wants the interface."""
    return any(r.verdict == "conflict" for r in reasons)
