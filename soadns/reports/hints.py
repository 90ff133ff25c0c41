"""What to type next about a name: annotations and commands that change how it stands. Pure.

Nothing here decides; each hint names a rule of ``docs/binding.md`` by what would satisfy it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from soadns.binding.choice import Standing
from soadns.binding.zone import Zone
from soadns.model import InterfaceId, ObjectRef, Unbound

INTERFACES, TRAFFIC = "soadns.io/interfaces", "soadns.io/traffic"
MOST = 3
"""Services that one kind of hint names."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Something to type, and what comes of it."""

    do: str
    effect: str


def hints(zone: Zone, interface: InterfaceId, standings: Sequence[Standing], *, stale: bool) -> list[Hint]:
    """What would change how a name stands, the most urgent first. ``stale``: a source of it is in trouble."""
    said = []
    if interface in zone.guard.held and (sources := zone.sources.get(interface, ())):
        # Any of them would do; what vanishes is mostly what a registry held.
        source = min(sources, key=lambda each: (each.startswith("kube/"), each))
        said.append(
            Hint(f"soadns release {source}", "it goes, with every other pending removal of that source")
        )
    if stale:
        said.append(Hint("soadns list --sources", "says what is wrong with the source that is out of sync"))
    state = zone.states.get(interface)
    winner = state.winner if state is not None else None
    losers = _first(standing for standing in standings if standing.ref != winner)
    said += filter(None, (_for_loser(zone, interface, s, taken=winner is not None) for s in losers))
    outcome = zone.outcomes.get(interface)
    if isinstance(outcome, Unbound) and outcome.reason == "unmapped":
        where = f"unmapped: providers in zone {zone.settings.name} of the configuration"
        said.append(Hint(where, "its providers' own addresses are answered"))
    known = zone.store.interfaces.get(interface)
    unmapped = winner is None and not standings and known is not None and bool(known.live)
    if unmapped and zone.owners.names_of(interface):
        where = f"a Service with these addresses as endpoints, or annotated {INTERFACES}: {interface}"
        said.append(Hint(where, "its ClusterIP is answered"))
    return said


def _first(standings: Iterable[Standing]) -> list[Standing]:
    return sorted(standings, key=lambda s: (s.strength, s.ref))[:MOST]


def _for_loser(zone: Zone, interface: InterfaceId, standing: Standing, *, taken: bool) -> Hint | None:
    """What would let a candidate take the name, or end its wish for it."""
    ref = standing.ref
    match standing.obstacle:
        case "" if taken:
            return Hint(_annotate(zone, ref, interface, "off"), f"{ref} wants the name no longer")
        case "boarding":
            share = f"{zone.settings.rules.board_share:.0%} of all providers (binding.boardShare)"
            effect = f"{ref} takes the name now; by itself it does with {share}"
            return Hint(_annotate(zone, ref, interface, "mesh"), effect)
        case "waits":
            effect = f"{ref} takes the name now; by itself it does once it serves it"
            return Hint(_annotate(zone, ref, interface, "mesh"), effect)
        case "conflict":
            claim = f"claims: [{{prefix: {interface.name}, namespace: {ref.namespace}}}]"
            where = f"{claim} in zone {zone.settings.name} of the configuration"
            return Hint(where, f"the declaration of {ref} counts")
        case "port mismatch":
            there = f" in cluster {zone.settings.clusters.home}" if standing.candidate.narrowed else ""
            service = f"Service {ref.namespace}/{ref.name}{there}"
            where = f"a port of {service} with the number that the providers register"
            return Hint(where, f"{ref} may take the name")
        case "unreachable":
            where = f"a Service {ref.namespace}/{ref.name} in cluster {zone.settings.clusters.home}"
            return Hint(where, f"its ClusterIP is answered for {ref}")
        case _:
            return None


def _annotate(zone: Zone, ref: ObjectRef, interface: InterfaceId, mode: str) -> str:
    """How to set the traffic mode of one interface: by kubectl, or in the file that holds the Service."""
    value = f"{interface}={mode}"
    source = zone.settings.cluster_sources.get(ref.cluster, "")
    if source.startswith("kube/"):
        return f"kubectl -n {ref.namespace} annotate service {ref.name} '{TRAFFIC}={value}'"
    return f"{TRAFFIC}: {value} on Service {ref.namespace}/{ref.name} in the files of {source}"
