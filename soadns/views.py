"""What operators see of the estate: plain data for HTTP, command line and log. Pure.

The shapes are documented in ``docs/http.md`` and stable: keys are added, never renamed. Times are ISO 8601 in
UTC, durations seconds. Nothing here decides anything; ``explain`` repeats, in words, what binding decided.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from typing import Any
from urllib.parse import quote_plus

from soadns import naming
from soadns.addresses import print_address
from soadns.binding.answers import is_conflict
from soadns.binding.bind import step
from soadns.binding.choice import Standing
from soadns.binding.estate import Estate
from soadns.binding.history import Transition
from soadns.binding.observations import Observations, SourceState
from soadns.binding.sites import Live
from soadns.binding.zone import Zone
from soadns.model import Binding, InterfaceId, Unbound

Data = dict[str, Any]
EVIDENCE = {
    0: "registry", 1: "declared (soadns.io/interfaces)", 2: "endpoint (provider address is an endpoint)",
    3: "exposed (external IP, load balancer or node port)", 4: "application (soadns.io/application)",
}  # fmt: skip
FLAGS = ("unbound", "conflict", "stale", "held", "half-boarded")
_PORT_LABELS = re.compile(r"^_[^.]+\._(?:tcp|udp)\.", re.IGNORECASE)
MAX_BAD_SERVICES = 5
"""Services with malformed annotations that ``explain`` of an unknown name lists."""
MAX_PROVIDERS = 200
"""Providers that ``explain`` lists; the count is always the whole one."""


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
        inner = _relative(text, [name])
        # Names that differ by case are one in DNS and several interfaces: as typed comes first.
        candidates = [naming.parse_interface(inner)]
        if (at := each.owners.at(inner)) is not None:
            candidates.append(at)
        if "--" in inner:
            candidates.append(naming.interface_of(inner))
        hit = next((i for i in candidates if i in each.outcomes or each.history.of(i)), None)
        if hit is None:
            hit = next((i for i in each.outcomes if i.name == candidates[-1].name), None)
        if hit is None:
            hit = next((i for i in each.outcomes if i.name.lower() == candidates[-1].name.lower()), None)
        if hit is not None:
            found.append(Found(each, hit))
    return found


def _relative(text: str, zones: Iterable[str]) -> str:
    """A name as typed without its zone, the final dot and the ``_dubbo._tcp`` of a port's owner name."""
    name = text.strip().removesuffix(".")
    for zone in sorted(zones, key=len, reverse=True):
        if name.lower().endswith(f".{zone}"):
            name = name[: -len(zone) - 1]
            break
    return _PORT_LABELS.sub("", name)


def nearest(estate: Estate, text: str) -> list[str]:
    """Known interfaces that resemble the text, the likeliest first."""
    name = naming.parse_interface(_relative(text, estate.zones)).name
    names = {i.name for zone in estate.zones.values() for i in zone.outcomes}
    last = name.rpartition(".")[2].lower()
    same_class = sorted(n for n in names if n.rpartition(".")[2].lower() == last)[:3]
    # difflib is quadratic in the worst case: only names of about the same length compete.
    close = heapq.nsmallest(2_000, names, key=lambda n: (abs(len(n) - len(name)), n))
    return list(dict.fromkeys(same_class + get_close_matches(name, close, n=3, cutoff=0.6)))


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
    unheard = any(not source.in_sync or _unreadable(source, interface) for source in sources)
    if unheard or (state is not None and state.vanishing):
        said.append("stale")
    if interface in zone.guard.held:
        said.append("held")
    known = zone.store.interfaces.get(interface)
    if outcome is not None and known is not None and known.outside and known.rosters:
        said.append("half-boarded")
    return said


def _unreadable(source: SourceState, interface: InterfaceId) -> str:
    """What of this interface a source can not read now; ``''`` when it can."""
    # The scope is the znode's name, which a Dubbo registry form-encodes (``Outer%24Inner``).
    scopes = source.troubled_scopes
    return scopes.get(interface.name, "") or scopes.get(quote_plus(interface.name), "") if scopes else ""


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
    }


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


# --------------------------------------------------------------------------- explain


def explain(estate: Estate, text: str, now: float, *, zone: str = "") -> Data:
    """Everything about a name, from znode and Service to answer and Istio host, in every zone that knows it."""
    found = find(estate, text, zone=zone)
    if not found:
        return {
            "name": text,
            "known": False,
            "nearest": nearest(estate, text),
            "rejected": _rejected_of_unknown(estate, text),
            "hint": _what_would_have_to_exist(estate, text),
            "zones": [],
        }
    return {"name": text, "known": True, "zones": [_explain(each, now) for each in found]}


def _what_would_have_to_exist(estate: Estate, text: str) -> list[str]:
    inner = _relative(text, estate.zones)
    interface = naming.interface_of(inner) if "--" in inner else naming.parse_interface(inner)
    hints = []
    for source in sorted(estate.observations.sources):
        kind, _, rest = source.partition("/")
        if kind == "zookeeper":
            name, _, root = rest.partition("/")
            hints.append(f"a provider registered as {name}:/{root}/{interface.name}/providers/...")
        elif kind == "static":
            hints.append(f"a provider URL of {interface.name} in the files of {source}")
    hints.append(f"a Service with the annotation soadns.io/interfaces: {interface}")
    troubled = [
        f"{name} is not in sync ({state.trouble or 'not read yet'}): it may know more"
        for name, state in estate.observations.sources.items()
        if not state.in_sync
    ]
    return [hints[0], *(f"or {hint}" for hint in hints[1:]), *troubled]


def _rejected_of_unknown(estate: Estate, text: str) -> list[Data]:
    """What the name might have come from: its own rejected leaves, and Services whose annotations are malformed."""
    name = naming.parse_interface(_relative(text, estate.zones)).name
    rows = _rejected(estate.observations, name)
    services = {
        s.ref: s for z in estate.zones.values() for s in z.store.services.by_ref.values() if s.problems
    }
    for ref, service in islice(sorted(services.items()), MAX_BAD_SERVICES):
        rows += [{"where": str(ref), "reason": "annotation", "detail": text} for text in service.problems]
    return rows


def _rejected(observations: Observations, name: str) -> list[Data]:
    scopes = dict.fromkeys((name, quote_plus(name)))  # a Dubbo registry form-encodes (``Outer%24Inner``)
    return [
        {"where": r.where, "reason": r.reason, "detail": r.detail}
        for scope in scopes
        for r in observations.rejected_in(scope)
    ]


def _explain(found: Found, now: float) -> Data:
    zone, interface = found.zone, found.interface
    data = summary(found)
    outcome, state = zone.outcomes.get(interface), zone.states.get(interface)
    data["since"] = when(state.since) if state is not None else None
    data["cause"] = state.cause if state is not None else None
    if isinstance(outcome, Binding):
        steady = outcome.kind in ("service", "remote")
        data |= {
            "ttl": zone.settings.ttl if steady else zone.settings.provider_ttl,
            "ports": [{"protocol": p.protocol, "port": p.port} for p in outcome.ports],
            "clusters": [
                f"outbound|{port}||{outcome.host}" for port in sorted({p.port for p in outcome.ports})
            ]
            if outcome.host
            else [],
            "evidenceText": EVIDENCE[outcome.evidence],
        }
    data["clocks"] = _clocks(found)
    data["candidates"] = _candidates(found, now)
    known = zone.store.interfaces.get(interface)
    lives = sorted(known.live.values(), key=lambda live: live.provider.identity) if known is not None else []
    data["providerCount"] = len(lives)
    data["providers"] = [_provider(zone, live) for live in lives[:MAX_PROVIDERS]]
    split = zone.owners.split(interface.name)
    data["variants"] = sorted(str(i) for i in zone.outcomes if i.name == interface.name and i != interface)
    data["split"] = [str(ref) if ref else "old world" for ref in split] if len(split) > 1 else []
    data["sources"] = [_source(zone, name, interface, now) for name in zone.sources.get(interface, ())]
    data["rejected"] = _rejected(zone.observations, interface.name)
    data["history"] = [_transition(t) for t in zone.history.of(interface)]
    return data


def _clocks(found: Found) -> Data:
    """What runs towards a change of the name, and since when."""
    zone, state = found.zone, found.zone.states.get(found.interface)
    held = zone.guard.held.get(found.interface)
    data = {"heldByGuardSince": when(held)}
    if state is not None:
        data |= {
            "evidenceLostSince": when(state.lost_at or state.seen.gone_since),
            "serviceDeletedSince": when(state.deleted_at),
            "withoutEndpointsSince": when(state.empty_at),
            "voteNoSince": when(state.no_at),
            "betterCandidateSince": when(state.better_since),
        }
    return {name: value for name, value in data.items() if value is not None}


def _candidates(found: Found, now: float) -> list[Data]:
    zone, interface = found.zone, found.interface
    state = zone.states.get(interface)
    if state is None:
        return []
    evidence = zone.evidence(interface, state, now)
    standings = step(state, evidence, zone.settings.rules).standings
    rows = [
        _candidate(zone, standing, interface, winner=standing.ref == state.winner) for standing in standings
    ]
    rows.sort(key=lambda row: (row["verdict"] != "winner", row["evidence"], row["service"]))
    if evidence.outside:
        verdict = "winner" if state.winner is None else "beaten"
        detail = f"{evidence.outside} host(s) at addresses that are no Service's endpoint"
        rows.append({"service": "old world", "verdict": verdict, "detail": detail, "evidence": 0})
    return rows


def _candidate(zone: Zone, standing: Standing, interface: InterfaceId, *, winner: bool) -> Data:
    candidate, service = standing.candidate, standing.candidate.service
    tally = candidate.tally
    outcome = zone.outcomes.get(interface)
    taken = isinstance(outcome, Binding) and outcome.service is not None
    verdict = "winner" if winner else standing.obstacle or ("conflict" if taken else "candidate")
    return {
        "service": str(service.ref),
        "host": zone.settings.clusters.host(service.ref),
        "verdict": verdict,
        "detail": standing.detail,
        "evidence": standing.strength,
        "evidenceRows": [EVIDENCE[row] for row in candidate.rows],
        "clusterIPs": list(service.cluster_ips),
        "type": service.type if not service.headless else "headless",
        "created": when(service.created),
        "application": service.application or None,
        "declares": sorted(str(i) for i in service.declaration.interfaces) if service.declaration else [],
        "traffic": candidate.mode or None,
        "addresses": tally.addresses,
        "ready": tally.ready,
        "registered": tally.registered,
        "providing": tally.providing,
        "against": tally.against,
        "problems": list(service.problems),
    }


def _provider(zone: Zone, live: Live) -> Data:
    provider = live.provider
    where = "old world"
    if refs := zone.store.by_address.get(provider.host):
        where = ", ".join(sorted(map(str, refs)))
    problems = [
        word
        for word, holds in (
            ("disabled in its own URL", not provider.enabled),
            ("disabled by an override", live.disabled),
            ("stale: another application took over its address", live.stale),
        )
        if holds
    ]
    return {
        "address": print_address(provider.host, provider.port),
        "protocol": provider.protocol,
        "application": provider.application or None,
        "registry": provider.registry,
        "at": where,
        "usable": live.usable,
        "problems": problems,
        "since": when(live.since),
    }


def _source(zone: Zone, name: str, interface: InterfaceId, now: float) -> Data:
    state = zone.observations.source(name)
    since = state.paused_at
    unreadable = _unreadable(state, interface)
    return {
        "source": name,
        "state": "in sync" if state.in_sync and not unreadable else "stale",
        "staleFor": round(now - since, 1) if since else None,
        "trouble": state.trouble or unreadable or None,
    }


def _transition(transition: Transition) -> Data:
    return {
        "when": when(transition.when),
        "from": transition.before,
        "to": transition.after,
        "why": transition.why,
        "source": transition.source,
    }
