"""What survives a restart: observations with their marks, names' states, sites, serials, history. Pure.

A snapshot holds *observations and decisions*, never wire bytes, so a newer soadns can read an older
one's data by the same rules. ``capture`` takes all of it, or what is to be said of some of it (``changes``);
``snapshotfile`` has the file. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from soadns.binding.estate import Estate
from soadns.binding.history import Transition
from soadns.binding.observations import same
from soadns.binding.restoring import restore_decisions, restore_observations
from soadns.binding.sites import HostPort, Site, SiteMemory
from soadns.binding.state import State
from soadns.binding.zone import Zone
from soadns.model import (
    EndpointSlice,
    InterfaceId,
    Key,
    Node,
    ObjectRef,
    Observation,
    Override,
    Provider,
    Service,
)
from soadns.routemodel import Move


@dataclass(frozen=True, slots=True)
class SavedSource:
    """One source's observations by kind, and what identifies what it observed."""

    name: str
    identity: str = ""
    providers: list[tuple[Key, Provider]] = field(default_factory=list)
    overrides: list[tuple[Key, Override]] = field(default_factory=list)
    services: list[tuple[Key, Service]] = field(default_factory=list)
    slices: list[tuple[Key, EndpointSlice]] = field(default_factory=list)
    nodes: list[tuple[Key, Node]] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """When it was out of sync: that time counts for no clock, after a restart neither."""
    paused_at: float | None = None
    """Since when it is out of sync; None while in sync."""
    unreadable: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Scopes that can not be read and hold an interface → its name and the reason: it must not be denied."""


@dataclass(frozen=True, slots=True)
class SavedSite:
    """What a lost session keeps at one host:port, and who shares or took over the process."""

    host: str
    port: int
    kept: list[InterfaceId] = field(default_factory=list)
    kept_until: float | None = None
    shared: list[str] = field(default_factory=list)
    stale: list[tuple[InterfaceId, tuple[str, str, int, str, str]]] = field(default_factory=list)
    stale_until: float | None = None
    unsettled: float | None = None
    """Since when, if what it registers does not count against anything yet."""
    keepers: list[ObjectRef] = field(default_factory=list)
    """For which Services it is kept."""


@dataclass(frozen=True, slots=True)
class SavedZone:
    """One zone's decisions."""

    name: str
    serial: int = 0
    complete: bool = False
    """Whether the zone had seen everything it waits for."""
    states: list[tuple[InterfaceId, State, tuple[str, ...]]] = field(default_factory=list)
    held: list[tuple[InterfaceId, float]] = field(default_factory=list)
    sites: list[SavedSite] = field(default_factory=list)
    had_ready: list[ObjectRef] = field(default_factory=list)
    departed: list[tuple[str, float]] = field(default_factory=list)
    history: list[Transition] = field(default_factory=list)
    released: list[InterfaceId] = field(default_factory=list)
    """Names whose removal an operator released and that have not gone yet."""
    fed: str = ""
    """What it was fed from, and how (``composition.fed``)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole snapshot, taken at ``saved``."""

    saved: float
    sources: list[SavedSource] = field(default_factory=list)
    zones: list[SavedZone] = field(default_factory=list)
    moves: dict[str, list[Move]] = field(default_factory=dict)
    """By zone: interfaces that callers of a Service may still send to it."""
    untold: dict[str, list[tuple[Move, float]]] = field(default_factory=dict)
    """By zone: what was forgotten, and when, and other replicas were not told yet."""
    shared: bool = False
    """Whether what other replicas saw move is among the moves."""
    ready: bool = False
    """Whether every zone had been complete once, in the process that saved it or in one before."""

    @property
    def heard(self) -> float:
        """How new it is: the moments up to which its sources were in sync, added up. Unix seconds.

        To be compared where sources are the same: of two replicas that lost them one after another, the later one
        knows more, whenever it saved that.
        """
        return sum(self.saved if source.paused_at is None else source.paused_at for source in self.sources)


KINDS: tuple[tuple[str, type[Observation]], ...] = (
    ("providers", Provider),
    ("overrides", Override),
    ("services", Service),
    ("slices", EndpointSlice),
    ("nodes", Node),
)


@dataclass(frozen=True, slots=True)
class Touched:
    """Of what a snapshot has, the keys of some."""

    keys: dict[str, set[Key]] = field(default_factory=dict)
    """By source: observations."""
    names: dict[str, set[InterfaceId]] = field(default_factory=dict)
    """By zone: states, what is held, and what was released."""
    past: dict[str, set[InterfaceId]] = field(default_factory=dict)
    """By zone: history."""
    sites: dict[str, set[HostPort]] = field(default_factory=dict)
    """By zone."""
    services: dict[str, set[ObjectRef]] = field(default_factory=dict)
    """By zone: who had a ready endpoint."""
    moves: dict[str, set[tuple[ObjectRef, InterfaceId]]] = field(default_factory=dict)
    """By zone: who was left, and by what."""
    scopes: dict[str, set[str]] = field(default_factory=dict)
    """By source: what of it could not be read, or can not."""


def capture(
    estate: Estate,
    now: float,
    *,
    identities: dict[str, str],
    serials: dict[str, int],
    fed: Mapping[str, str],
    only: Touched | None = None,
) -> Snapshot:
    """Everything worth keeping. ``identities`` names what each source observes (a cluster's UID ...).

    ``fed`` says by zone what it is fed from. With ``only``, of observations, names, sites and Services only what
    there is of these keys.
    """
    sources = []
    for name, state in estate.observations.sources.items():
        if not state.known:
            continue
        saved = SavedSource(
            name,
            state.identity or identities.get(name, ""),
            pauses=list(state.pauses),
            paused_at=state.paused_at,
        )
        values: Iterable[tuple[Key, Observation]] = state.values.items()
        if only is not None:
            touched = only.keys.get(name, ())
            values = [(key, state.values[key]) for key in touched if key in state.values]
        for key, value in values:
            of_kind(saved, value).append((key, value))
        scopes = state.unreadable if only is None else only.scopes.get(name, ())
        saved.unreadable.update(
            (scope, (state.unreadable[scope], state.troubled_scopes[scope]))
            for scope in scopes
            if scope in state.unreadable
        )
        sources.append(saved)
    zones = [
        _capture_zone(estate, name, serials.get(name, 0), fed.get(name, ""), only) for name in estate.zones
    ]
    return Snapshot(now, sources, zones)


def of_kind(saved: SavedSource, value: Observation) -> list[tuple[Key, Observation]]:
    """Where such an observation is saved."""
    attribute = next(attribute for attribute, kind in KINDS if isinstance(value, kind))
    found: list[tuple[Key, Observation]] = getattr(saved, attribute)
    return found


def _capture_zone(estate: Estate, name: str, serial: int, fed: str, only: Touched | None) -> SavedZone:
    zone = estate.zones[name]
    store, guard = zone.store, zone.guard
    names: Iterable[InterfaceId] = zone.states
    held: Iterable[InterfaceId] = guard.held
    released: Iterable[InterfaceId] = guard.released
    sites: Iterable[HostPort] = store.sites
    services: Iterable[ObjectRef] = store.rosters
    history: Iterable[Transition] = zone.history
    if only is not None:
        touched = only.names.get(name, set())
        names, held, released = (
            touched & zone.states.keys(),
            touched & guard.held.keys(),
            touched & guard.released,
        )
        sites = only.sites.get(name, set()) & store.sites.keys()
        services = only.services.get(name, set()) & store.rosters.keys()
        history = [each for interface in only.past.get(name, ()) for each in zone.history.of(interface)]
    return SavedZone(
        name=name,
        serial=serial,
        complete=zone.complete,
        states=[(i, zone.states[i], zone.sources.get(i, ())) for i in names],
        held=[(i, guard.held[i]) for i in held],
        released=sorted(released),
        sites=[_capture_site(zone, key, site) for key in sites if _remembers(site := store.sites[key])],
        had_ready=sorted(ref for ref in services if store.rosters[ref].had_ready),
        departed=list(store.departed.items()),
        history=list(history),
        fed=fed,
    )


def _remembers(site: Site) -> bool:
    """Whether there is more to a site than what is registered there."""
    return bool(site.kept or site.shared or site.stale_until is not None or not site.settled)


def _capture_site(zone: Zone, key: HostPort, site: Site) -> SavedSite:
    stale = [
        (live.provider.interface, identity)
        for live in site.live
        if live.stale
        for identity, other in zone.store.interfaces[live.provider.interface].live.items()
        if other is live
    ]
    return SavedSite(
        *key,
        kept=sorted(site.kept),
        kept_until=site.kept_until,
        shared=sorted(site.shared),
        stale=stale,
        stale_until=site.stale_until,
        unsettled=None if site.settled else site.changed_at,
        keepers=sorted(site.keepers) if site.kept else [],
    )


def restore(estate: Estate, snapshot: Snapshot, now: float, *, identities: dict[str, str]) -> list[str]:
    """Put a snapshot back into a fresh estate; returns what was refused, one sentence each.

    A source whose identity is known and differs from the saved one is another cluster's or
    registry's: nothing of it is taken over, and no name that stands on it.
    """
    refused = []
    taken: set[str] = set()
    foreign: set[str] = set()
    for saved in snapshot.sources:
        if saved.name not in estate.observations.sources:
            continue
        expected = identities.get(saved.name, "")
        if not same(expected, saved.identity):
            refused.append(f"source {saved.name}: saved from {saved.identity}, now {expected}; ignored")
            foreign.add(saved.name)
            continue
        values = [pair for attribute, _ in KINDS for pair in getattr(saved, attribute)]
        paused_at = snapshot.saved if saved.paused_at is None else saved.paused_at
        identity = expected or saved.identity
        estate.observations.restore(
            saved.name,
            values,
            saved=paused_at,
            pauses=saved.pauses,
            unreadable=saved.unreadable,
            identity=identity,
        )
        taken.add(saved.name)
    by_name = {zone.name: zone for zone in snapshot.zones}
    for name, zone in estate.zones.items():
        saved_zone = by_name.get(name)
        restore_observations(zone, now)
        if saved_zone is not None and zone.settings.sources & taken:
            states = [row for row in saved_zone.states if foreign.isdisjoint(row[2])]
            names = {interface for interface, _, _ in states}
            restore_decisions(
                zone,
                now,
                states=states,
                held=[(interface, since) for interface, since in saved_zone.held if interface in names],
                released=names.intersection(saved_zone.released),
                sites=[
                    SiteMemory(
                        s.host,
                        s.port,
                        frozenset(s.kept),
                        s.kept_until,
                        frozenset(s.shared),
                        s.stale,
                        s.stale_until,
                        s.unsettled,
                        frozenset(s.keepers),
                    )
                    for s in saved_zone.sites
                ],
                had_ready=saved_zone.had_ready,
                departed=() if foreign else saved_zone.departed,
                history=saved_zone.history,
                complete=saved_zone.complete and _is_whole(zone, saved_zone, taken),
            )
    return refused


def _is_whole(zone: Zone, saved: SavedZone, taken: set[str]) -> bool:
    """Whether every source that the zone's names stand upon is there; or, where none do, all that are required."""
    stood_on = {source for _, _, sources in saved.states for source in sources}
    return not zone.awaited or (bool(stood_on) and stood_on <= taken & zone.settings.sources)
