"""What ``explain`` says of a name, as text for tired people at night. Pure: plain data in, lines out.

From top to bottom: what is answered, why and since when; who else wants the name; where the evidence comes from; what
happened before; what to type next. Takes the shape of ``docs/http.md`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from soadns.text import renderfilters
from soadns.text.render import table, waiting
from soadns.text.renderroutes import explained

Data = dict[str, Any]
MOST_PROVIDERS = 20
CAUSES = {
    "choice": "chosen among the candidates",
    "stronger": "its evidence is stronger than that of the one before",
    "no": "the one before no longer serves it",
    "split": "the interface was split off to it",
    "stolen": "another Service holds the ClusterIP of the one before",
    "loss": "the one before was deleted, or vanished",
    "better": "preferred for a whole linger",
    "returned": "the earlier one is whole again",
    "off": "soadns.io/traffic took the one before out",
    "recreated": "its Service was re-created",
    "removed": "nothing spoke for it any more",
    "": "first seen",
}
"""Causes of ``docs/binding.md`` in words."""
CLOCKS = {
    "heldByGuardSince": ("held by guard", "until it is released, or its Service has no endpoint left"),
    "evidenceLostSince": (
        "evidence lost",
        "it goes, or moves to another candidate, unless the evidence returns",
    ),
    "serviceDeletedSince": ("Service deleted", "its address is answered no longer"),
    "withoutEndpointsSince": ("no endpoints", "another candidate takes it, if there is one"),
    "noneReadySince": ("none ready", "another candidate takes it, if there is one"),
    "voteNoSince": ("not served", "it goes, unless its Service serves it again"),
    "betterCandidateSince": ("a better one", "that candidate takes it"),
}
"""Clocks: what runs, and what happens at its end."""


def explanation(data: Data) -> list[str]:
    """The lines of ``soadns explain``."""
    if not data["known"]:
        return _unknown(data)
    lines: list[str] = []
    for zone in data["zones"]:
        lines += [""] if lines else []
        lines += _zone(zone, data["now"])
    return lines + waiting(data["waiting"])


def _unknown(data: Data) -> list[str]:
    lines = [f"{data['name']}: unknown"]
    if data["impossible"]:
        return [*lines, f"it can not exist: {data['impossible']}"]
    hidden = [f"  {source['source']}: {source['trouble']}" for source in data["unreadable"]]
    if hidden:
        lines += ["DNS answers SERVFAIL, for a registry holds it and does not show it to soadns:", *hidden]
    lines += waiting(data["waiting"]) or ([] if hidden else ["DNS answers NXDOMAIN in zones of this soadns"])
    if data["rejected"]:
        lines += ["rejected", *(f"  {r['where']}: {r['reason']}: {r['detail']}" for r in data["rejected"])]
    if data["nearest"]:
        lines += ["nearest known:", *(f"  {name}" for name in data["nearest"])]
    lines += [] if hidden else ["it would exist with:", *_alternatives(data["hint"])]
    said = {source["source"] for zone in data["waiting"] for source in zone["sources"]}
    if others := [source for source in data["outOfSync"] if source["source"] not in said]:
        lines += ["out of sync, so they may know more:"]
        lines += [f"  {s['source']}: {s['trouble'] or 'not read yet'}" for s in others]
    return lines


def _alternatives(texts: Sequence[str]) -> list[str]:
    return [f"  {'or ' if index else ''}{text}" for index, text in enumerate(texts)]


def _zone(zone: Data, now: str) -> list[str]:
    lines = [f"{zone['interface']} in {zone['zone']}", f"  {_headline(zone)}"]
    lines += table(_facts(zone, now), indent="  ")
    lines += _candidates(zone["candidates"])
    lines += _providers(zone)
    if zone["sources"]:
        lines += ["  sources", *(f"    {_source(source)}" for source in zone["sources"])]
    if zone["rejected"]:
        lines.append("  rejected")
        lines += [f"    {r['where']}: {r['reason']}: {r['detail']}" for r in zone["rejected"]]
    if "routes" in zone:
        lines += explained(zone["routes"])
        lines += renderfilters.explained(zone.get("istio", ()), ruled=bool(zone["routes"]["rules"]))
    if zone["history"]:
        lines += ["  history", *table([_event(event) for event in zone["history"]], indent="    ")]
    if "znodes" in zone:
        lines += ["  znodes", *(f"    {path}" for path in zone["znodes"] or ["none: no ZooKeeper holds it"])]
    if zone["next"]:
        lines.append("  to change that")
        lines += [line for hint in zone["next"] for line in (f"    {hint['do']}", f"      {hint['effect']}")]
    return lines


def _headline(zone: Data) -> str:
    if "reason" in zone:
        return f"unbound, {zone['reason']}: {zone['detail']}"
    if zone["state"] == "providers":
        if zone["service"]:
            return (
                f"answered with its providers' own addresses, as soadns.io/traffic of {zone['service']} says"
            )
        return "answered with its providers' own addresses: no Service has it"
    how = {"headless": "the pods of the headless Service", "remote": "the remote cluster's Service"}
    return f"answered with {how.get(zone['kind'], 'Service')} {zone['service']}"


def _facts(zone: Data, now: str) -> list[list[str]]:
    """What holds of a name: a word and its value each."""
    facts = [["name", name] for name in zone["names"]] or [["name", "none"]]
    if zone.get("addresses"):
        facts.append(["answer", f"{', '.join(zone['addresses'])} (TTL {zone['ttl']})"])
    if zone.get("host"):
        facts.append(["Istio host", zone["host"]])
    if zone.get("clusters"):
        facts += [["Istio cluster", cluster] for cluster in zone["clusters"]]
    elif zone.get("ports"):
        facts.append(["ports", ", ".join(f"{p['protocol']} {p['port']}" for p in zone["ports"])])
    if zone.get("evidenceText"):
        facts.append(["evidence", zone["evidenceText"]])
    if zone["since"]:
        cause = zone["cause"] or ""
        facts.append(["since", f"{_moment(zone['since'], now)}: {CAUSES.get(cause, cause)}"])
    if zone["flags"]:
        facts.append(["flags", ", ".join(zone["flags"])])
    facts += [_clock(name, since, zone["deadlines"][name], now) for name, since in zone["clocks"].items()]
    facts += [["other variant", variant] for variant in zone["variants"]]
    if zone["split"]:
        facts.append(["split", "its variants live in " + ", ".join(zone["split"])])
    return facts


def _clock(name: str, since: str, deadline: str | None, now: str) -> list[str]:
    word, then = CLOCKS.get(name, (name, ""))
    text = f"since {_moment(since, now)}"
    if deadline is not None:
        left = _seconds(now, deadline)
        return [word, f"{text}; {f'in {_span(left)}: {then}' if left > 0 else 'its time is over'}"]
    stands = then if name == "heldByGuardSince" else "this clock stands while a source is out of sync"
    return [word, f"{text}; {stands}"]


def _candidates(candidates: Sequence[Data]) -> list[str]:
    if not candidates:
        return []
    lines = ["  candidates"]
    for row in candidates:
        lines.append(
            f"    {row['service']}: {row['verdict']}" + (f", {row['detail']}" if row["detail"] else "")
        )
        if "clusterIPs" in row:
            said = [", ".join(row["clusterIPs"]) or row["type"], _tally(row)]
            said += [f"{row['ready']} of {row['addresses']} endpoints ready"]
            said += [f"traffic {row['traffic']}"] if row["traffic"] else []
            lines.append(f"      {'; '.join(said)}")
            lines.append(f"      evidence: {', '.join(row['evidenceRows']) or 'none now'}")
            lines += [f"      problem: {problem}" for problem in row["problems"]]
    return lines


def _tally(row: Data) -> str:
    if not row["registered"]:
        return "none of its addresses is registered"
    return f"{row['providing']} of {row['registered']} registered addresses provide it"


def _providers(zone: Data) -> list[str]:
    if not zone["providerCount"]:
        return []
    rows = [
        [
            f"{p['protocol']}://{p['address']}",
            p["application"] or "-",
            p["at"],
            ", ".join(p["problems"]) or "used",
        ]
        for p in zone["providers"][:MOST_PROVIDERS]
    ]
    lines = [f"  providers ({zone['providerCount']})", *table(rows, indent="    ")]
    if zone["providerCount"] > len(rows):
        lines.append(f"    ... and {zone['providerCount'] - len(rows)} more (-o json shows up to 200)")
    return lines


def _source(source: Data) -> str:
    text = f"{source['source']}: {source['state']}"
    if source["staleFor"] is not None:
        text += f" for {_span(source['staleFor'])}"
    return text + (f" ({source['trouble']})" if source["trouble"] else "")


def _event(event: Data) -> list[str]:
    why = ", ".join(filter(None, (event["why"], event["source"])))
    return [_short(event["when"]), f"{event['from']} -> {event['to']}", f"({why})"]


# --------------------------------------------------------------------------- time


def _moment(moment: str, now: str) -> str:
    return f"{_short(moment)} ({_span(max(0.0, _seconds(moment, now)))} ago)"


def _short(moment: str) -> str:
    """Whole seconds are enough for people."""
    return moment[:19] + "Z" if moment.endswith("Z") else moment


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _span(seconds: float) -> str:
    """``42 s``, ``12 min``, ``7 h``, ``3 days``."""
    for unit, least in (("days", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= least:
            return f"{seconds // (least // 2):.0f} {unit}"
    return f"{seconds:.0f} s"
