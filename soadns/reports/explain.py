"""``soadns explain``: everything about one name, from znode and Service to answer and Istio host, as plain data. Pure.

The shape is documented in ``docs/http.md``. It repeats, in words, what binding decided, and decides nothing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from urllib.parse import quote_plus

from soadns import naming
from soadns.addresses import print_address
from soadns.binding.bind import step
from soadns.binding.choice import Standing, behind
from soadns.binding.estate import Estate
from soadns.binding.evidence import Evidence
from soadns.binding.history import Transition
from soadns.binding.observations import Observations
from soadns.binding.sites import Live
from soadns.binding.state import State
from soadns.binding.zone import Zone
from soadns.model import Binding, InterfaceId
from soadns.reports.hints import hints
from soadns.reports.views import Data, Found, find, nearest, relative, summary, unreadable, waiting, when

EVIDENCE = {
    0: "registry", 1: "declared (soadns.io/interfaces)", 2: "endpoint (provider address is an endpoint)",
    3: "exposed (external IP, load balancer or node port)", 4: "application (soadns.io/application)",
}  # fmt: skip
MAX_BAD_SERVICES = 5
"""Services with malformed annotations that an unknown name's explanation lists."""
MAX_PROVIDERS = 200
"""Providers that are listed; the count is always the whole one."""


def explain(estate: Estate, text: str, now: float, *, zone: str = "") -> Data:
    """Everything about a name, in every zone that knows it."""
    found = find(estate, text, zone=zone)
    data: Data = {"name": text, "known": bool(found), "now": when(now), "waiting": waiting(estate)}
    if not found:
        inner = relative(text, estate.zones)
        interface = naming.interface_of(inner) if "--" in inner else naming.parse_interface(inner)
        impossible = naming.problem(interface, "")
        data |= {
            "nearest": nearest(estate, text),
            "rejected": _rejected_of_unknown(estate, interface.name),
            "impossible": impossible[1] if impossible is not None else None,
            "hint": _what_would_have_to_exist(estate, interface) if impossible is None else [],
            "unreadable": _unreadable(estate, interface),
            "outOfSync": _out_of_sync(estate),
        }
    return data | {"zones": [_explain(each, now) for each in found]}


def _what_would_have_to_exist(estate: Estate, interface: InterfaceId) -> list[str]:
    said = []
    variant = "".join(
        f", with {key}={value}"
        for key, value in (("group", interface.group), ("version", interface.version))
        if value
    )
    for source in sorted(estate.observations.sources):
        kind, _, rest = source.partition("/")
        if kind == "zookeeper":
            name, _, root = rest.partition("/")
            said.append(f"a provider registered as {name}:/{root}/{interface.name}/providers/...{variant}")
        elif kind == "static":
            said.append(f"a provider URL of {interface.name}{variant} in the files of {source}")
    return [*said, f"a Service with the annotation soadns.io/interfaces: {interface}"]


def _unreadable(estate: Estate, interface: InterfaceId) -> list[Data]:
    """The sources that hold the interface and do not show it: its names are SERVFAIL."""
    told = ((name, unreadable(s, interface)) for name, s in sorted(estate.observations.sources.items()))
    return [{"source": name, "trouble": trouble} for name, trouble in told if trouble]


def _out_of_sync(estate: Estate) -> list[Data]:
    return [
        {"source": name, "trouble": state.trouble or None}
        for name, state in sorted(estate.observations.sources.items())
        if not state.in_sync
    ]


def _rejected_of_unknown(estate: Estate, name: str) -> list[Data]:
    """What the name might have come from: its own rejected leaves, and Services whose annotations are malformed."""
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
    state = zone.states.get(interface)
    data = summary(found) | _answer(found)
    data["since"] = when(state.since) if state is not None else None
    data["cause"] = state.cause if state is not None else None
    data |= {"clocks": {}, "deadlines": {}, "candidates": []}
    standings: tuple[Standing, ...] = ()
    if state is not None:
        evidence = zone.evidence(interface, state, now)
        standings = step(state, evidence, zone.settings.rules).standings
        data |= _clocks(found, state, evidence)
        data["candidates"] = _candidates(found, state, evidence, standings)
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
    stale = any(source["state"] != "in sync" for source in data["sources"])
    told = hints(zone, interface, standings, stale=stale)
    data["next"] = [{"do": hint.do, "effect": hint.effect} for hint in told]
    return data


def _answer(found: Found) -> Data:
    """How it is answered, and by which names Istio knows the same."""
    zone, outcome = found.zone, found.zone.outcomes.get(found.interface)
    if not isinstance(outcome, Binding):
        return {}
    steady = outcome.kind in ("service", "remote")
    ports = sorted({port.port for port in outcome.ports})
    return {
        "ttl": zone.settings.ttl if steady else zone.settings.provider_ttl,
        "ports": [{"protocol": p.protocol, "port": p.port} for p in outcome.ports],
        "clusters": [f"outbound|{port}||{outcome.host}" for port in ports] if outcome.host else [],
        "evidenceText": EVIDENCE[outcome.evidence],
    }


def _clocks(found: Found, state: State, evidence: Evidence) -> Data:
    """What runs towards a change of the name: since when, and until when if nothing happens before."""
    zone, interface = found.zone, found.interface
    rules = (
        replace(zone.settings.rules, linger=0.0, recreate_grace=0.0, unready=0.0)
        if _on_files_alone(found)
        else zone.settings.rules
    )
    rows: tuple[tuple[str, float | None, float | None], ...] = (
        ("heldByGuardSince", zone.guard.held.get(interface), None),
        ("evidenceLostSince", state.lost_at or state.seen.gone_since, rules.linger),
        ("serviceDeletedSince", state.deleted_at, rules.recreate_grace),
        ("withoutEndpointsSince", state.empty_at, rules.recreate_grace),
        ("noneReadySince", state.unready_at, rules.unready),
        ("voteNoSince", state.no_at, rules.linger),
        ("betterCandidateSince", state.better_since, rules.linger),
    )
    clocks, deadlines = {}, {}
    for name, since, duration in rows:
        if since is not None:
            clocks[name] = when(since)
            stands = duration is None or (evidence.paused and name != "serviceDeletedSince")
            passed = evidence.now - since if name == "serviceDeletedSince" else evidence.elapsed(since)
            deadlines[name] = None if stands else when(evidence.now + max(0.0, (duration or 0.0) - passed))
    return {"clocks": clocks, "deadlines": deadlines}


def _on_files_alone(found: Found) -> bool:
    sources = found.zone.sources.get(found.interface, ())
    return bool(sources) and found.zone.settings.immediate.issuperset(sources)


def _candidates(
    found: Found, state: State, evidence: Evidence, standings: tuple[Standing, ...]
) -> list[Data]:
    """Every candidate and why it won or lost, the winner first and the old world last."""
    winner = next((standing for standing in standings if standing.ref == state.winner), None)
    rows = [_candidate(found, standing, state, winner) for standing in standings]
    rows.sort(key=lambda row: (row["verdict"] != "winner", row["evidence"], row["service"]))
    if evidence.outside:
        hosts = "host" if evidence.outside == 1 else "hosts"
        verdict = "winner" if state.winner is None else "beaten"
        detail = f"{evidence.outside} {hosts} at addresses that are no Service's endpoint"
        rows.append({"service": "old world", "verdict": verdict, "detail": detail, "evidence": 0})
    return rows


def _lost(standing: Standing, state: State, winner: Standing | None) -> str:
    """Why a candidate that could serve the name does not have it."""
    if standing.ref == state.better:
        return "it is preferred by now, and takes over when its clock ends"
    said = behind(standing, winner) if winner is not None else ""
    return said or "it came when the winner had the name already"


def _won(found: Found, standing: Standing) -> str:
    """What there is to say of a winner: what would keep it from taking the name again, where that tells something."""
    known = found.zone.store.interfaces.get(found.interface)
    live = known is not None and bool(known.live)
    if standing.candidate.tally.providing and not live:
        return "its registrations are gone and its addresses are ready: what those provided is kept"
    redundant = standing.obstacle == "not served" or (standing.obstacle == "port mismatch" and not live)
    return "" if redundant else standing.detail


def _candidate(found: Found, standing: Standing, state: State, winner: Standing | None) -> Data:
    zone, candidate, service = found.zone, standing.candidate, standing.candidate.service
    tally, detail = candidate.tally, standing.detail
    outcome = zone.outcomes.get(found.interface)
    taken = isinstance(outcome, Binding) and outcome.service is not None
    if standing.ref == state.winner:
        verdict, detail = "winner", _won(found, standing)
    elif standing.obstacle:
        verdict = standing.obstacle
    else:
        verdict = "conflict" if taken else "candidate"
        detail = detail or _lost(standing, state, winner)
    return {
        "service": str(service.ref),
        "host": zone.settings.clusters.host(service.ref),
        "verdict": verdict,
        "detail": detail,
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
    part = unreadable(state, interface)
    return {
        "source": name,
        "state": "in sync" if state.in_sync and not part else "stale",
        "staleFor": round(now - since, 1) if since else None,
        "trouble": state.trouble or part or None,
    }


def _transition(transition: Transition) -> Data:
    return {
        "when": when(transition.when),
        "from": transition.before,
        "to": transition.after,
        "why": transition.why,
        "source": transition.source,
    }
