"""What operators see of the estate: plain data for HTTP, command line and log. Pure.

The shapes are documented in ``docs/http.md`` and stable: keys are added, never renamed. Times are ISO 8601 in
UTC, durations seconds. Nothing here decides anything. Everything about one name is in ``soadns.reports.explain``.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from soadns import naming
from soadns.binding.answers import is_conflict
from soadns.binding.estate import Estate
from soadns.binding.observations import SourceState
from soadns.binding.zone import Zone
from soadns.model import Binding, InterfaceId, Unbound

Data = dict[str, Any]
FLAGS = ("unbound", "conflict", "stale", "held", "half-boarded")
_PORT_LABELS = re.compile(r"^_[^.]+\._(?:tcp|udp)\.", re.IGNORECASE)


def when(moment: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC; None and 0 are None."""
    if not moment:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Found:
    """An interface in a zone."""

    zone: Zone
    interface: InterfaceId


# --------------------------------------------------------------------------- finding


def find(estate: Estate, text: str, *, zone: str = "") -> list[Found]:
    """What a name means: an interface as typed, or an owner name, relative or with its zone."""
    found = []
    for name, each in estate.zones.items():
        if zone and zone != name:
            continue
        inner = relative(text, [name])
        # Names that differ by case are one in DNS and several interfaces: as typed comes first.
        candidates = [naming.parse_interface(inner)]
        if (at := each.owners.at(inner)) is not None:
            candidates.append(at)
        if "--" in inner:
            candidates.append(naming.interface_of(inner))
        hit = next((i for i in candidates if i in each.outcomes or each.history.of(i)), None)
        wanted = candidates[-1]
        if hit is None and not (
            wanted.group or wanted.version
        ):  # a variant that is not there is another name
            hit = next((i for i in each.outcomes if i.name == wanted.name), None)
            if hit is None:
                hit = next((i for i in each.outcomes if i.name.lower() == wanted.name.lower()), None)
        if hit is not None:
            found.append(Found(each, hit))
    return found


def relative(text: str, zones: Iterable[str]) -> str:
    """A name as typed without its zone, the final dot and the ``_dubbo._tcp`` of a port's owner name."""
    name = text.strip().removesuffix(".")
    for zone in sorted(zones, key=len, reverse=True):
        if name.lower().endswith(f".{zone}"):
            name = name[: -len(zone) - 1]
            break
    return _PORT_LABELS.sub("", name)


def nearest(estate: Estate, text: str) -> list[str]:
    """Known interfaces that resemble the text, the likeliest first."""
    inner = relative(text, estate.zones)
    name = (naming.interface_of(inner) if "--" in inner else naming.parse_interface(inner)).name
    variants = sorted({str(i) for zone in estate.zones.values() for i in zone.outcomes if i.name == name})
    names = {i.name for zone in estate.zones.values() for i in zone.outcomes}
    last = name.rpartition(".")[2].lower()
    same_class = sorted(n for n in names if n.rpartition(".")[2].lower() == last)[:3]
    # difflib is quadratic in the worst case: only names of about the same length compete.
    close = heapq.nsmallest(2_000, names, key=lambda n: (abs(len(n) - len(name)), n))
    return list(dict.fromkeys(variants + same_class + get_close_matches(name, close, n=3, cutoff=0.6)))


# --------------------------------------------------------------------------- lists


def flags(found: Found) -> list[str]:
    """Which of ``FLAGS`` hold for a name."""
    zone, interface = found.zone, found.interface
    outcome = zone.outcomes.get(interface)
    state = zone.states.get(interface)
    said = []
    if not isinstance(outcome, Binding) or not zone.owners.names_of(interface):
        said.append("unbound")
    if outcome is not None and is_conflict(outcome.reasons):
        said.append("conflict")
    sources = [zone.observations.source(s) for s in zone.sources.get(interface, ())]
    unheard = any(not source.in_sync or unreadable(source, interface) for source in sources)
    if unheard or (state is not None and state.vanishing):
        said.append("stale")
    if interface in zone.guard.held:
        said.append("held")
    if half_boarded(zone, interface):
        said.append("half-boarded")
    return said


def half_boarded(zone: Zone, interface: InterfaceId) -> bool:
    """Whether addresses of a Service provide an interface, and hosts of the old world as well."""
    known = zone.store.interfaces.get(interface)
    return interface in zone.outcomes and known is not None and bool(known.outside) and bool(known.rosters)


def unreadable(source: SourceState, interface: InterfaceId) -> str:
    """What of this interface a source can not read now; ``''`` when it can."""
    scopes = source.scopes_of.get(interface.name)
    return source.troubled_scopes[min(scopes)] if scopes else ""


def summary(found: Found) -> Data:
    """One line of a list."""
    zone, interface = found.zone, found.interface
    outcome = zone.outcomes.get(interface)
    state = zone.states.get(interface)
    data: Data = {
        "interface": str(interface),
        "zone": zone.settings.name,
        "names": [f"{owner}.{zone.settings.name}" for owner in zone.owners.names_of(interface)],
        "state": "unbound",
        "flags": flags(found),
        "since": when(state.since if state is not None else None),
    }
    if isinstance(outcome, Binding):
        data |= {
            "state": "bound" if outcome.kind != "providers" else "providers",
            "kind": outcome.kind,
            "addresses": list(outcome.addresses),
            "service": str(outcome.service) if outcome.service is not None else None,
            "host": outcome.host or None,
            "evidence": outcome.evidence,
        }
    elif isinstance(outcome, Unbound):
        data |= {"reason": outcome.reason, "detail": outcome.detail}
    else:  # known from its history only
        data |= {"reason": "gone", "detail": "nothing speaks for it any more"}
    problem = zone.owners.problem(interface)
    if problem is not None:
        data |= {"state": "unbound", "reason": problem[0], "detail": problem[1], "addresses": []}
    elif not data["names"] and isinstance(outcome, Binding):
        held = ", ".join(str(by) for _, by in zone.owners.shadowed(interface))
        detail = f"its name is held by {held}"
        data |= {"state": "unbound", "reason": "shadowed", "detail": detail, "addresses": []}
    return data


def interfaces(
    estate: Estate, *, zone: str = "", flag: str = "", match: str = "", after: str = "", limit: int = 500
) -> Data:
    """A page of names in order of ``zone interface``; ``next`` is what to pass as ``after``, or None."""
    start = tuple(after.partition(" ")[::2]) if after else ("", "")
    wanted: Iterator[tuple[str, str, Found]] = (
        (name, str(interface), Found(each, interface))
        for name, each in estate.zones.items()
        if not zone or zone == name
        for interface in each.outcomes
        if (name, str(interface)) > start and match.lower() in str(interface).lower()
    )
    passing = (row for row in wanted if not flag or flag in flags(row[2]))
    page = heapq.nsmallest(limit + 1, passing, key=lambda row: row[:2])
    more = len(page) > limit
    page = page[:limit]
    return {
        "items": [summary(found) for _, _, found in page],
        "next": f"{page[-1][0]} {page[-1][1]}" if more else None,
        "waiting": waiting(estate),
    }


def waiting(estate: Estate) -> list[Data]:
    """Zones that do not know everything yet, and the sources that each of them waits for."""
    trouble = {name: state.trouble or None for name, state in estate.observations.sources.items()}
    return [
        {"zone": name, "sources": [{"source": s, "trouble": trouble[s]} for s in zone.awaited]}
        for name, zone in estate.zones.items()
        if zone.awaited
    ]


def sources(estate: Estate, now: float) -> Data:
    """Every source: its state, its age, what it rejected."""
    rows = []
    alarms = {
        (name, alarm.source): alarm for name, zone in estate.zones.items() for alarm in zone.guard.alarms(now)
    }
    for name, state in sorted(estate.observations.sources.items()):
        held = {
            zone: {"names": alarm.bound, "vanishing": alarm.vanishing, "held": alarm.held}
            for (zone, source), alarm in alarms.items()
            if source == name
        }
        rows.append(
            {
                "source": name,
                "state": "in sync" if state.in_sync else ("stale" if state.known else "never synced"),
                "trouble": state.trouble or None,
                "troubledScopes": dict(sorted(state.troubled_scopes.items())[:50]),
                "outOfSyncSince": when(state.paused_at),
                "lastEvent": when(state.last_event),
                "observations": len(state.values),
                "fromSnapshot": state.restored,
                "rejected": dict(sorted(state.rejections.items())),
                "guard": held,
            }
        )
    return {"sources": rows}
