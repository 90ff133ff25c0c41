"""What speaks for which Service, for one interface at one instant: the input of binding.

``collect`` reads the zone's store and returns frozen values; ``soadns.binding.bind`` decides on them and on
nothing else. The four kinds of evidence are numbered as in ``docs/binding.md``: 1 declared,
2 endpoint, 3 exposed, 4 application.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from soadns.binding.clusters import Clusters
from soadns.binding.crowd import Usable
from soadns.binding.known import Known
from soadns.binding.observations import heard
from soadns.binding.pool import Spot, is_address
from soadns.binding.rosters import Tally
from soadns.binding.store import Store
from soadns.model import InterfaceId, ObjectRef, Port, Provider, ServedPort, Service

DECLARED, ENDPOINT, EXPOSED, APPLICATION = 1, 2, 3, 4
NO_STRENGTH = 9
"""Behind all of them: no evidence that counts, and what the old world's own addresses have."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Gives names that match ``prefix`` (``fnmatch``) to the declarations of one namespace."""

    prefix: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Service and what speaks for it."""

    service: Service
    rows: tuple[int, ...]
    """Kinds of evidence that hold now, ascending; empty for a winner that has lost all of it."""
    tally: Tally
    ports: int
    """How many of the ports that the providers register it offers where it is answered."""
    had_ready: bool
    mode: str
    """Traffic mode for this interface: ``mesh``, ``registry``, ``off`` or ``''`` (nothing said)."""
    claimed: bool
    """Whether a claim gives the name to the Service's namespace."""
    reachable: bool = True
    """Whether anything of it can be answered where the zone is answered."""
    outside: int = 0
    """Hosts of the old world that are its own by evidence 3 or 4; counted where it has no other."""
    heard: bool = True
    """False while its cluster is out of sync and the name is not its own already."""
    addresses: tuple[str, ...] = ()
    """What is answered for it and is its own, so that it stays good for the grace: no pods' addresses."""
    offers: tuple[Port, ...] = ()
    """Its ports, as far as they are there at these addresses."""

    @property
    def ref(self) -> ObjectRef:
        """The Service's reference."""
        return self.service.ref

    @property
    def narrowed(self) -> bool:
        """Whether the home Service by which it is answered lacks some of its ports."""
        return len(self.offers) < len(self.service.ports)

    @property
    def declared(self) -> bool:
        """Whether the Service's annotation names the interface."""
        return DECLARED in self.rows


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything binding may know of one interface at ``now`` (Unix seconds)."""

    interface: InterfaceId
    now: float
    candidates: tuple[Candidate, ...]
    """Services with evidence, and the present winner if it exists, sorted by reference."""
    winner: Candidate | None
    """The present winner among the candidates; None when its Service is gone (or there is none)."""
    outside: int
    """Hosts of the old world: live providers at addresses that are no Service's endpoint."""
    answerable: bool
    """Whether some of them are addresses, so that the old world can be answered; while a candidate is not heard
    every provider counts as the old world."""
    stolen: frozenset[str]
    """Of the last addresses of a winner that is gone or out of reach, those that another Service holds now."""
    providers: frozenset[Spot]
    """Usable providers with an address; only filled in without a winner, or when it is gone or says ``registry``."""
    named: bool
    """Whether a usable provider has registered a host name; filled in likewise."""
    ports: tuple[tuple[str, int], ...]
    """(protocol, port) that usable providers register, else those that can not be used; most frequent first."""
    outages: tuple[tuple[float, float], ...]
    """Intervals in which a source that could bring evidence was out of sync, sorted, not overlapping;
    one that lasts ends at infinity."""

    @property
    def paused(self) -> bool:
        """Whether one of those sources is out of sync now."""
        return bool(self.outages) and self.outages[-1][1] > self.now

    def elapsed(self, since: float) -> float:
        """Seconds since then during which every source concerned was in sync."""
        return heard(self.outages, since, self.now)


def collect(
    store: Store,
    interface: InterfaceId,
    *,
    now: float,
    winner: ObjectRef | None,
    held: Sequence[str],
    held_ports: Sequence[ServedPort],
    claims: Sequence[Claim],
    clusters: Clusters,
    outages: tuple[tuple[float, float], ...],
    other_services: Iterable[ObjectRef] = (),
    unheard: Set[str] = frozenset(),
) -> Evidence:
    """Read the store for one interface.

    ``held`` and ``held_ports`` are what the winner was reached by when last seen, ``other_services`` further
    Services whose standing matters (an earlier winner), ``unheard`` the clusters that are out of sync.
    """
    known = store.interfaces.get(interface)
    rows = _rows(store, interface, known)
    for ref in (winner, *other_services):
        if ref is not None and ref in store.services.by_ref:
            rows.setdefault(ref, set())
    candidates = tuple(
        _candidate(store, interface, ref, tuple(sorted(found)), known, claims, clusters)
        for ref, found in sorted(rows.items())
    )
    paused = bool(outages) and outages[-1][1] > now
    if paused or unheard:
        candidates = tuple(_doubted(c, winner, unheard, paused=paused) for c in candidates)
    present = next((c for c in candidates if c.ref == winner), None)
    wants_providers = present is None or present.mode == "registry"
    usable = known.usable() if known is not None and wants_providers else Usable(frozenset(), named=False)
    ports = sorted(known.dialled.items(), key=lambda item: (-item[1], item[0])) if known is not None else []
    return Evidence(
        interface=interface,
        now=now,
        candidates=candidates,
        winner=present,
        outside=len(known.outside) if known is not None else 0,
        answerable=known is not None and _answerable(known, whole=not all(c.heard for c in candidates)),
        stolen=_stolen(store, held, held_ports, winner, clusters.home)
        if winner is not None and (present is None or not present.reachable)
        else frozenset(),
        providers=usable.spots,
        named=usable.named,
        ports=tuple(pair for pair, _ in ports),
        outages=outages,
    )


def as_won(evidence: Evidence, winner: ObjectRef) -> Evidence:
    """Evidence for a name without a winner, as ``collect`` gives it again now that one of the candidates has won."""
    present = next(c for c in evidence.candidates if c.ref == winner)
    if present.mode == "registry":
        return replace(evidence, winner=present)
    return replace(evidence, winner=present, providers=frozenset(), named=False)


def _doubted(candidate: Candidate, winner: ObjectRef | None, unheard: Set[str], *, paused: bool) -> Candidate:
    """A candidate while sources are out of sync: its addresses may be somebody else's by now."""
    lost = candidate.ref.cluster in unheard
    if paused or lost:
        # What registers at an address counts against nobody while it may be somebody else's.
        candidate = replace(candidate, tally=replace(candidate.tally, against=0))
    return replace(candidate, heard=False) if lost and candidate.ref != winner else candidate


def _answerable(known: Known, *, whole: bool) -> bool:
    if whole:
        return any(live.usable and is_address(live.provider.host) for live in known.live.values())
    return any(is_address(host.rpartition("!")[2]) for host in known.outside)


def _stolen(
    store: Store, held: Sequence[str], ports: Sequence[ServedPort], winner: ObjectRef, home: str
) -> frozenset[str]:
    """Which of the addresses are another Service's ClusterIP at home, or lead to another one of its own cluster."""
    holders, exposures = store.services.by_cluster_ip, store.services.exposures

    def taken(ip: str) -> bool:
        if any(ref.cluster == home and ref[1:] != winner[1:] for ref in holders.get(ip, ())):
            return True
        if winner.cluster == home:
            return False
        return any(ref != winner for _, port in ports for ref in exposures.at((ip, port)))

    return frozenset(ip for ip in held if taken(ip))


def _rows(store: Store, interface: InterfaceId, known: Known | None) -> dict[ObjectRef, set[int]]:
    rows: dict[ObjectRef, set[int]] = {}
    for ref in store.services.declared.get(interface, ()):
        rows.setdefault(ref, set()).add(DECLARED)
    if known is None:
        return rows
    for application in known.applications:
        for ref in store.services.everything.get(application, ()):
            rows.setdefault(ref, set()).add(DECLARED)
        for ref in store.services.applications.get(application, ()):
            rows.setdefault(ref, set()).add(APPLICATION)
    for ref in known.rosters:
        if ref in store.services.by_ref:
            rows.setdefault(ref, set()).add(ENDPOINT)
    if store.services.exposures:
        hosts = store.services.exposures.hosts
        for live in known.live.values():
            if live.provider.host in hosts and live.usable:
                for ref in store.services.exposures.at((live.provider.host, live.provider.port)):
                    rows.setdefault(ref, set()).add(EXPOSED)
    return rows


def _candidate(
    store: Store,
    interface: InterfaceId,
    ref: ObjectRef,
    rows: tuple[int, ...],
    known: Known | None,
    claims: Sequence[Claim],
    clusters: Clusters,
) -> Candidate:
    service = store.services.by_ref[ref]
    roster = store.rosters.get(ref)
    registered = {port for _, port in known.ports} if known is not None else set()
    way = clusters.way(store.services, service, registered)
    return Candidate(
        service=service,
        rows=rows,
        tally=roster.tally(interface) if roster is not None else Tally(),
        ports=len({port.port for port in way.ports} & registered),
        had_ready=roster is not None and roster.had_ready,
        mode=traffic_mode(service, interface),
        claimed=any(c.namespace == ref.namespace and fnmatchcase(interface.name, c.prefix) for c in claims),
        reachable=clusters.reachable(service, way),
        addresses=way.addresses,
        offers=way.ports,
        outside=_own_outside(store, service, known)
        if known is not None and min(rows, default=0) > ENDPOINT
        else 0,
    )


def _own_outside(store: Store, service: Service, known: Known) -> int:
    """Hosts of the old world that are exposed for the Service, or run its application."""
    exposures = store.services.exposures
    return len(
        {
            live.provider.host
            for live in known.live.values()
            if live.usable
            and (
                service.ref in exposures.at((live.provider.host, live.provider.port))
                or _runs(live.provider, service)
            )
        }
    )


def _runs(provider: Provider, service: Service) -> bool:
    return bool(service.application) and provider.application == service.application


def traffic_mode(service: Service, interface: InterfaceId) -> str:
    """The mode of the last matching ``soadns.io/traffic`` rule, or ``''``."""
    mode = ""
    for rule in service.traffic or ():
        if fnmatchcase(interface.name, rule.pattern) or fnmatchcase(str(interface), rule.pattern):
            mode = rule.mode
    return mode
