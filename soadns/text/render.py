"""What the API says, as text for tired people at night. Pure: plain data in, lines out.

Takes the shapes of ``docs/http.md`` (made by ``soadns.reports.views``, usually in another process) and nothing else.
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


def interface_list(data: Data, *, width: int = 0, narrowed: bool = False) -> list[str]:
    """The lines of ``soadns list``: one per interface, or two if that is wider than ``width`` columns.

    ``width`` 0 means no limit, ``narrowed`` that only some interfaces were asked for.
    """
    items = data["items"]
    several = len({item["zone"] for item in items}) > 1
    rows = [_list_row(item) + ([item["zone"]] if several else []) for item in items]
    head = ["INTERFACE", "ANSWER", "SERVICE", "STATE", *(["ZONE"] if several else [])]
    lines = table([head, *rows]) if rows else []
    if width and any(len(line) > width for line in lines):
        below = table([row[1:] for row in rows], indent="  ")
        lines = [line for row, under in zip(rows, below, strict=True) for line in (row[0], under)]
    lines += waiting(data["waiting"])
    if lines:
        return lines
    if narrowed:
        return ["no interface matches; all of them: soadns list"]
    return ["no interface is known; what the sources hold: soadns list --sources"]


def _list_row(item: Data) -> list[str]:
    state = " ".join([item["state"], *(flag for flag in item["flags"] if flag != item["state"])])
    return [
        item["interface"],
        _some(item.get("addresses", ()), 3) or "-",
        item.get("service") or "-",
        state if "reason" not in item else f"{state}: {item['reason']}",
    ]


def waiting(rows: Iterable[Data]) -> list[str]:
    """Zones that do not know everything yet, and what each waits for."""
    lines = []
    for row in rows:
        lines.append(f"zone {row['zone']} answers SERVFAIL for what it does not know, until these are read:")
        lines += [f"  {s['source']}: {s['trouble'] or 'not read yet'}" for s in row["sources"]]
    return lines


def replies(rows: Sequence[Data], name: str) -> list[str]:
    """The lines of ``soadns lookup`` for ``name``, much as dig has them."""
    lines = []
    for row in rows:
        lines.append(
            f";; {row['question']} {row['type']}: {row['status']} from {row['server']} ({row['transport']})"
        )
        for error in row["ede"]:
            meaning = f" ({error['meaning']})" if error["meaning"] else ""
            lines.append(f"; EDE: {error['code']}{meaning}" + (f": {error['text']}" if error["text"] else ""))
        records = (*row["answer"], *row["authority"])
        lines += [f"{r['name']} {r['ttl']} IN {r['type']} {r['data']}" for r in records]
    statuses = {row["status"] for row in rows}
    if "REFUSED" in statuses:
        lines.append(";; the name is in none of this server's zones, which are those of: soadns config")
    elif not any(row["answer"] for row in rows):
        lines.append(f";; why: soadns explain {name}")
    return lines


def findings(rows: Sequence[Data]) -> list[str]:
    """The lines of ``soadns check``."""
    lines = []
    for row in rows:
        word, said = ("ok", "") if row["ok"] else ("FAIL", row["problem"])
        if row["note"]:
            word, said = "note", row["note"]
        lines.append(f"{word.ljust(4)} {row['source']}: {row['what']}" + (f": {said}" if said else ""))
    cures = {row["cure"]: row for row in rows if row["cure"] and not row["ok"]}
    notes = {row["cure"]: row for row in rows if row["cure"] and row["cure"] not in cures}
    for cure in cures:
        lines += [
            "",
            "missing permissions; apply this and bind it to soadns's ServiceAccount:",
            cure.rstrip(),
        ]
    for cure in notes:
        lines += ["", "to have what is noted above as well, apply this and bind it likewise:", cure.rstrip()]
    return lines


def reloaded(data: Data) -> list[str]:
    """The lines of ``soadns reload``."""
    lines = ["the configuration is in force", *(f"removed: {text}" for text in data["removed"])]
    if data["needsRestart"]:
        lines.append(f"these hold from the next start only: {data['needsRestart']}")
    return lines


def released(data: Data) -> list[str]:
    """The lines of ``soadns release``."""
    if not data["names"]:
        return [f"{data['source']}: no removal is pending there"]
    return [f"{data['source']}: {data['names']} pending removals may happen now"]


def source_list(rows: Iterable[Data]) -> list[str]:
    """Each source and its state; below it since when, what is wrong, and what the guard holds."""
    lines = []
    for row in rows:
        line = f"{row['source']}: {row['state']}, {row['observations']} observations"
        if row["rejected"]:
            line += ", rejected " + " ".join(f"{reason}={n}" for reason, n in row["rejected"].items())
        lines.append(line)
        since = f" since {row['outOfSyncSince']}" if row["outOfSyncSince"] else ""
        lines += [f"  out of sync{since}: {row['trouble']}"] if row["trouble"] else []
        lines += [f"  {trouble}" for trouble in list(row["troubledScopes"].values())[:MOST_TROUBLES]]
        for zone, guard in row["guard"].items():
            if guard["held"]:
                lines.append(
                    f"  the guard holds {guard['held']} removals in {zone} ({guard['vanishing']} of "
                    f"{guard['names']} names vanish). If that is meant: soadns release {row['source']}"
                )
    return lines


def _some(values: Sequence[str], most: int) -> str:
    shown = ",".join(values[:most])
    return f"{shown},... ({len(values)})" if len(values) > most else shown


def _words(name: str) -> str:
    """camelCase → words."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name)


def beside_direct_urls(data: Data) -> list[str]:
    """What there is to say of exported direct URLs that no file holds: decisions, and who may not reach the names."""
    lines = [f"{row['key']}: {note}" for row in data["items"] if row["exported"] for note in row["notes"]]
    lines += [f"{row['protocol']}: {row['text']}" for row in data["advice"]]
    if outside := data["outside"]:
        lines.append(
            f"{len(outside)} of their callers are not known to be in a cluster: neither endpoints nor Nodes, nor in "
            "its pod networks (kubernetes[].networks). Whoever is outside can not reach a ClusterIP:"
        )
        lines += [f"  {row['address']} {row['application'] or ''}".rstrip() for row in outside]
    if not data["callersRead"]:
        lines.append(
            "no registry in ZooKeeper is read, so nothing is known of callers, routers and configurators"
        )
    lines += [f"not read: {text}" for text in data["unread"]]
    return printable(lines)


def printable(lines: Iterable[str]) -> list[str]:
    """Lines with what strangers wrote into a registry: that is no command to a terminal."""
    return ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines]
