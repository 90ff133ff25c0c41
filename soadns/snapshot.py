"""What survives a restart: observations with their marks, names' states, sites, serials, history.

A snapshot holds *observations and decisions*, never wire bytes, so a newer soadns can read an older
one's data by the same rules. It is a header line (format, checksum, identity) and a msgpack body;
the file is replaced atomically. A corrupt, older or foreign file is reported and set aside.

``capture`` and ``restore`` are pure; ``read`` and ``write`` touch the file. Times are Unix seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from soadns.binding.estate import Estate
from soadns.binding.history import Transition
from soadns.binding.observations import same
from soadns.binding.restoring import restore_decisions, restore_observations
from soadns.binding.sites import SiteMemory
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

FORMAT = 2
"""Of the body. A field that is added with a default leaves it as it is: it is passed over by an older soadns, and
missing from its files. Whatever else changes needs another number, so that no older file is misread."""
MAGIC = "soadns-snapshot"


class SnapshotError(Exception):
    """The file can not be used; the message says why, for people."""


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


_KINDS: tuple[tuple[str, type[Observation]], ...] = (
    ("providers", Provider),
    ("overrides", Override),
    ("services", Service),
    ("slices", EndpointSlice),
    ("nodes", Node),
)


def capture(estate: Estate, now: float, *, identities: dict[str, str], serials: dict[str, int]) -> Snapshot:
    """Everything worth keeping. ``identities`` names what each source observes (a cluster's UID ...)."""
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
        for key, value in state.values.items():
            for attribute, kind in _KINDS:
                if isinstance(value, kind):
                    getattr(saved, attribute).append((key, value))
                    break
        sources.append(saved)
    return Snapshot(
        now, sources, [_capture_zone(estate, name, serials.get(name, 0)) for name in estate.zones]
    )


def _capture_zone(estate: Estate, name: str, serial: int) -> SavedZone:
    zone = estate.zones[name]
    sites = []
    for (host, port), site in zone.store.sites.items():
        if site.kept or site.shared or site.stale_until is not None or not site.settled:
            stale = [
                (live.provider.interface, identity)
                for live in site.live
                if live.stale
                for identity, other in zone.store.interfaces[live.provider.interface].live.items()
                if other is live
            ]
            sites.append(
                SavedSite(
                    host,
                    port,
                    sorted(site.kept),
                    site.kept_until,
                    sorted(site.shared),
                    stale,
                    site.stale_until,
                    None if site.settled else site.changed_at,
                )
            )
    return SavedZone(
        name=name,
        serial=serial,
        complete=zone.complete,
        states=[(i, state, zone.sources.get(i, ())) for i, state in zone.states.items()],
        held=list(zone.guard.held.items()),
        released=sorted(zone.guard.released),
        sites=sites,
        had_ready=sorted(ref for ref, roster in zone.store.rosters.items() if roster.had_ready),
        departed=list(zone.store.departed.items()),
        history=list(zone.history),
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
        values = [pair for attribute, _ in _KINDS for pair in getattr(saved, attribute)]
        paused_at = snapshot.saved if saved.paused_at is None else saved.paused_at
        identity = expected or saved.identity
        estate.observations.restore(
            saved.name, values, saved=paused_at, pauses=saved.pauses, identity=identity
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


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Snapshot] = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """The file's content."""
    body = _encoder.encode(snapshot)
    header = {
        "magic": MAGIC,
        "format": FORMAT,
        "saved": snapshot.saved,
        "sha256": hashlib.sha256(body).hexdigest(),
        "sources": {source.name: source.identity for source in snapshot.sources},
    }
    return json.dumps(header).encode() + b"\n" + body


def decode(data: bytes) -> Snapshot:
    """The snapshot in a file's content. Raises SnapshotError."""
    line, _, body = data.partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError:
        raise SnapshotError("it does not begin with a snapshot header") from None
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        raise SnapshotError("it is no soadns snapshot")
    if header.get("format") != FORMAT:
        raise SnapshotError(f"it has format {header.get('format')}, this soadns reads format {FORMAT}")
    if hashlib.sha256(body).hexdigest() != header.get("sha256"):
        raise SnapshotError("its checksum is wrong: it is damaged or incomplete")
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise SnapshotError(f"its content does not fit: {error}") from None


def _private(path: str, flags: int) -> int:
    """Open for this user alone: a snapshot holds who runs what and where."""
    return os.open(path, flags, 0o600)


def write(path: Path, data: bytes) -> None:
    """Replace the file atomically and durably. Raises OSError."""
    unfinished = temporary(path, os.getpid())
    try:
        with open(unfinished, "wb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def temporary(path: Path, pid: int) -> Path:
    """Where a process writes the file before it takes its place."""
    return path.with_name(f"{path.name}.{pid}.tmp")


def read(path: Path, *, report: Callable[[str], None]) -> Snapshot | None:
    """The snapshot of a file, or None; an unusable file is renamed and reported, never an error."""
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        report(f"snapshot {path} can not be read ({error.strerror}); starting without it")
        return None
    except SnapshotError as error:
        aside = path.with_name(f"{path.name}.unusable")
        try:
            os.replace(path, aside)
            where = f"it was set aside as {aside}"
        except OSError as problem:
            where = f"it could not be set aside ({problem.strerror})"
        report(f"snapshot {path} is not used: {error}; {where}")
        return None
