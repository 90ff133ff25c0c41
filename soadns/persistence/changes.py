"""What changed since a snapshot: taken from a running process, and put together with the snapshot again. Pure.

A change is a snapshot of little: the keys of what changed, and what there is of these now. Whatever it has a key for
and says nothing of is gone. What is small is in each of them as a whole: serials, outages, addresses that left lately.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from soadns.binding.estate import Estate
from soadns.binding.history import Transition
from soadns.marks import Marks
from soadns.model import InterfaceId, Key, Observation
from soadns.persistence.snapshot import KINDS, SavedSource, SavedZone, Snapshot, Touched, of_kind
from soadns.routemodel import Move
from soadns.sidecar.moves import Moves

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed between two moments; the second one is ``now.saved``."""

    touched: Touched
    now: Snapshot
    """Of the keys, what there is; of each source and zone what is small."""


# --------------------------------------------------------------------------- of a running process


def _marks(estate: Estate, moves: Mapping[str, Moves]) -> list[Marks[Any]]:
    """Everything that notes what is not saved."""
    found: list[Marks[Any]] = [estate.observations.changed, estate.observations.scoped]
    found += [each.changed for each in moves.values()]
    for zone in estate.zones.values():
        found += [
            zone.memory.changed, zone.guard.changed, zone.history.changed, zone.store.judged, zone.store.rated,
        ]  # fmt: skip
    return found


def count(estate: Estate, moves: Mapping[str, Moves]) -> int | None:
    """How much is not saved; None where that is everything, or can not be told."""
    found = _marks(estate, moves)
    return None if any(each.whole for each in found) else sum(map(len, found))


def take(estate: Estate, moves: Mapping[str, Moves]) -> Touched | None:
    """What is not saved, which counts as saved from now on; None where that is everything, or can not be told."""
    whole = count(estate, moves) is None
    touched = Touched()
    for source, key in estate.observations.changed.take() or ():
        touched.keys.setdefault(source, set()).add(key)
    for source, scope in estate.observations.scoped.take() or ():
        touched.scopes.setdefault(source, set()).add(scope)
    for name, zone in estate.zones.items():
        touched.names[name] = (zone.memory.changed.take() or set()) | (zone.guard.changed.take() or set())
        touched.past[name] = zone.history.changed.take() or set()
        touched.sites[name] = zone.store.judged.take() or set()
        touched.services[name] = zone.store.rated.take() or set()
    touched.moves.update({name: each.changed.take() or set() for name, each in moves.items()})
    return None if whole else touched


def moved(moves: Mapping[str, Moves], touched: Touched) -> dict[str, list[Move]]:
    """Of what moved, what there is of these keys."""
    return {
        name: [move for key in sorted(touched.moves.get(name, ())) if (move := each.get(*key)) is not None]
        for name, each in moves.items()
    }


# --------------------------------------------------------------------------- of a file


def merged(snapshot: Snapshot, changes: Sequence[Changes]) -> Snapshot:
    """What a snapshot and the changes since then, in order, come to."""
    if not changes:
        return snapshot
    last = changes[-1].now
    moves = {}
    for name in {*snapshot.moves, *(name for each in changes for name in each.touched.moves)}:
        parts = [(each.touched.moves.get(name, ()), each.now.moves.get(name, ())) for each in changes]
        table = _table(snapshot.moves.get(name, ()), parts, lambda move: (move.service, move.interface))
        moves[name] = list(table.values())
    return replace(
        last,
        sources=[_source(source.name, snapshot, changes) for source in last.sources],
        zones=[_zone(zone.name, snapshot, changes) for zone in last.zones],
        moves={name: found for name, found in moves.items() if found},
    )


def _source(name: str, snapshot: Snapshot, changes: Sequence[Changes]) -> SavedSource:
    parts = [(each.touched.keys.get(name, ()), _observations(each.now, name)) for each in changes]
    [last] = (source for source in changes[-1].now.sources if source.name == name)
    found = replace(last, providers=[], overrides=[], services=[], slices=[], nodes=[], unreadable={})
    scopes = [(each.touched.scopes.get(name, ()), _unreadable(each.now, name)) for each in changes]
    found.unreadable.update(_table(_unreadable(snapshot, name), scopes, lambda row: row[0]).values())
    for key, value in _table(_observations(snapshot, name), parts, lambda row: row[0]).values():
        of_kind(found, value).append((key, value))
    return found


def _observations(snapshot: Snapshot, name: str) -> Iterable[tuple[Key, Observation]]:
    found = (source for source in snapshot.sources if source.name == name)
    return (row for source in found for attribute, _ in KINDS for row in getattr(source, attribute))


def _unreadable(snapshot: Snapshot, name: str) -> Iterable[tuple[str, tuple[str, str]]]:
    return (row for source in snapshot.sources if source.name == name for row in source.unreadable.items())


def _zone(name: str, snapshot: Snapshot, changes: Sequence[Changes]) -> SavedZone:
    whole = next((zone for zone in snapshot.zones if zone.name == name), SavedZone(name))
    steps = [(each.touched, zone) for each in changes for zone in each.now.zones if zone.name == name]
    names = [touched.names.get(name, set()) for touched, _ in steps]
    states = [zone.states for _, zone in steps]
    held = [zone.held for _, zone in steps]
    released = [zone.released for _, zone in steps]
    sites = [(touched.sites.get(name, ()), zone.sites) for touched, zone in steps]
    services = [(touched.services.get(name, ()), zone.had_ready) for touched, zone in steps]
    pasts = [(touched.past.get(name, ()), _pasts(zone.history)) for touched, zone in steps]
    past = _table(_pasts(whole.history), pasts, lambda each: each[0].interface)
    return replace(
        steps[-1][1],
        states=[*_table(whole.states, zip(names, states, strict=True), lambda row: row[0]).values()],
        held=[*_table(whole.held, zip(names, held, strict=True), lambda row: row[0]).values()],
        released=[*_table(whole.released, zip(names, released, strict=True), lambda interface: interface)],
        sites=[*_table(whole.sites, sites, lambda site: (site.host, site.port)).values()],
        had_ready=[*_table(whole.had_ready, services, lambda ref: ref)],
        history=[transition for each in past.values() for transition in each],
    )


def _pasts(history: Iterable[Transition]) -> Iterable[tuple[Transition, ...]]:
    """By interface, in the order of their last ones."""
    found: dict[InterfaceId, list[Transition]] = {}
    for each in history:
        found.setdefault(each.interface, []).append(each)
    return sorted(map(tuple, found.values()), key=lambda past: past[-1].when)


def _table(
    whole: Iterable[V], parts: Iterable[tuple[Iterable[K], Iterable[V]]], of: Callable[[V], K]
) -> dict[K, V]:
    """Values by their keys: all there were, and then what became of some, in order."""
    found = {of(value): value for value in whole}
    for keys, values in parts:
        for key in keys:
            found.pop(key, None)
        found.update((of(value), value) for value in values)
    return found
