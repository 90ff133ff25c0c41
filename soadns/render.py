"""What the API says, as text for tired people at night. Pure: plain data in, lines out.

Takes the shapes of ``docs/http.md`` (made by ``soadns.views``, usually in another process) and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Data = dict[str, Any]
MOST_TROUBLES = 5
"""Directories or files in trouble that a source's lines name."""


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> list[str]:
    """Columns aligned, the last one unpadded."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        (
            indent + "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        ).rstrip()
        for row in rows
    ]


def interface_list(items: Iterable[Data]) -> list[str]:
    """The lines of ``soadns list``."""
    rows = [["INTERFACE", "ANSWER", "SERVICE", "STATE", "ZONE"]]
    for item in items:
        state = " ".join([item["state"], *(flag for flag in item["flags"] if flag != item["state"])])
        rows.append(
            [
                item["interface"],
                _some(item.get("addresses", ()), 3) or "-",
                item.get("service") or "-",
                state if "reason" not in item else f"{state}: {item['reason']}",
                item["zone"],
            ]
        )
    return table(rows) if len(rows) > 1 else ["nothing matches"]


def source_list(rows: Iterable[Data]) -> list[str]:
    """One line per source: state, age, trouble, what the guard holds."""
    lines = []
    for row in rows:
        line = f"{row['source']}: {row['state']}, {row['observations']} observations"
        if row["trouble"]:
            line += f", {row['trouble']}"
        if row["rejected"]:
            line += ", rejected " + " ".join(f"{reason}={n}" for reason, n in row["rejected"].items())
        lines.append(line)
        lines += [f"  {trouble}" for trouble in list(row["troubledScopes"].values())[:MOST_TROUBLES]]
        for zone, guard in row["guard"].items():
            if guard["held"]:
                lines.append(
                    f"  the guard holds {guard['held']} removals in {zone} ({guard['vanishing']} of "
                    f"{guard['names']} names vanish). If that is meant: soadns release {row['source']}"
                )
    return lines


def explanation(data: Data) -> list[str]:
    """The lines of ``soadns explain``."""
    if not data["known"]:
        return _unknown(data)
    lines: list[str] = []
    for zone in data["zones"]:
        lines += [""] if lines else []
        lines += _explain_zone(zone)
    return lines


def _unknown(data: Data) -> list[str]:
    lines = [f"{data['name']}: unknown"]
    if data["rejected"]:
        lines += ["rejected", *(f"  {r['where']}: {r['reason']}: {r['detail']}" for r in data["rejected"])]
    if data["nearest"]:
        lines += ["nearest known:", *(f"  {name}" for name in data["nearest"])]
    return [*lines, "it would exist with:", *(f"  {hint}" for hint in data["hint"])]


def _explain_zone(zone: Data) -> list[str]:
    lines = [f"{zone['interface']} in {zone['zone']}: {_headline(zone)}"]
    facts = [["names", ", ".join(zone["names"]) or "none"]]
    if zone.get("addresses"):
        facts.append(["answer", f"{', '.join(zone['addresses'])} (TTL {zone['ttl']})"])
    if zone.get("host"):
        facts.append(["Istio host", zone["host"]])
    if zone.get("clusters"):
        facts.append(["clusters", ", ".join(zone["clusters"])])
    elif zone.get("ports"):
        facts.append(["ports", ", ".join(f"{p['protocol']} {p['port']}" for p in zone["ports"])])
    if zone.get("evidenceText"):
        facts.append(["evidence", zone["evidenceText"]])
    if zone["since"]:
        facts.append(["since", f"{zone['since']} ({zone['cause'] or 'first seen'})"])
    if zone["flags"]:
        facts.append(["flags", ", ".join(zone["flags"])])
    facts += [[_words(name), value] for name, value in zone["clocks"].items()]
    if zone["variants"]:
        facts.append(["variants", ", ".join(zone["variants"])])
    if zone["split"]:
        facts.append(["split", "variants live in " + ", ".join(zone["split"])])
    lines += table(facts, indent="  ")
    lines += _candidates(zone["candidates"])
    lines += _providers(zone)
    lines += (
        ["  sources", *(f"    {_source(source)}" for source in zone["sources"])] if zone["sources"] else []
    )
    if zone["rejected"]:
        lines.append("  rejected")
        lines += [f"    {r['where']}: {r['reason']}: {r['detail']}" for r in zone["rejected"]]
    if zone["history"]:
        rows = [
            [h["when"], f"{h['from']} -> {h['to']}", " ".join(filter(None, (h["why"], h["source"])))]
            for h in zone["history"]
        ]
        lines += ["  history", *table(rows, indent="    ")]
    if zone.get("znodes"):
        lines += ["  znodes", *(f"    {path}" for path in zone["znodes"])]
    return lines


def _headline(zone: Data) -> str:
    if "reason" in zone:
        return f"unbound, {zone['reason']}: {zone['detail']}"
    if zone["state"] == "providers":
        return "answered with its providers' own addresses (no Service runs it)"
    return f"{zone['service']}"


def _candidates(candidates: Sequence[Data]) -> list[str]:
    if not candidates:
        return []
    lines = ["  candidates"]
    for row in candidates:
        lines.append(
            f"    {row['service']}: {row['verdict']}" + (f", {row['detail']}" if row["detail"] else "")
        )
        if "clusterIPs" in row:
            said = [", ".join(row["clusterIPs"]) or row["type"]]
            said += [f"{row['providing']} of {row['registered']} registered addresses provide it"]
            said += [f"{row['ready']} of {row['addresses']} endpoints ready"]
            said += [f"traffic {row['traffic']}"] if row["traffic"] else []
            lines.append(f"      {'; '.join(said)}")
            lines.append(f"      evidence: {', '.join(row['evidenceRows']) or 'none now'}")
            lines += [f"      problem: {problem}" for problem in row["problems"]]
    return lines


def _providers(zone: Data) -> list[str]:
    if not zone["providerCount"]:
        return []
    lines = [f"  providers ({zone['providerCount']})"]
    rows = [
        [
            f"{p['protocol']}://{p['address']}",
            p["application"] or "-",
            p["at"],
            ", ".join(p["problems"]) or "used",
        ]
        for p in zone["providers"][:20]
    ]
    lines += table(rows, indent="    ")
    if zone["providerCount"] > len(rows):
        lines.append(f"    ... and {zone['providerCount'] - len(rows)} more (-o json shows up to 200)")
    return lines


def _source(source: Data) -> str:
    text = f"{source['source']}: {source['state']}"
    if source["staleFor"] is not None:
        text += f" for {source['staleFor']:g} s"
    return text + (f" ({source['trouble']})" if source["trouble"] else "")


def _some(values: Sequence[str], most: int) -> str:
    shown = ",".join(values[:most])
    return f"{shown},... ({len(values)})" if len(values) > most else shown


def _words(name: str) -> str:
    """camelCase → words."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name)
