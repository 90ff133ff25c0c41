"""``soadns explain --manifest``: the files that are read, and what the running soadns says of them, as text."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from soadns.commands.console import NO, OK, UsageError, api, show
from soadns.text.narrate import CAUSES, CLOCKS
from soadns.text.render import table

Data = dict[str, Any]
STDIN = "standard input"
WAITS = "waits"
"""Verdict of a Service that declares a name and has nobody ready yet: pods come after their Service."""


def rehearse(options: argparse.Namespace) -> int:
    """What would change if the manifests were applied; 1 where something of them would have no effect."""
    if options.raw:
        raise UsageError(
            "--raw is for the name of an interface: manifests say themselves whose names they touch"
        )
    body = {"files": [_read(path) for path in options.manifest], "cluster": options.cluster}
    data = api(options).post("/v1/rehearse", body)
    if options.zone:
        data["zones"] = [
            zone for zone in data["zones"] if zone["zone"] == options.zone.removesuffix(".").lower()
        ]
    show(options, data, rehearsal)
    return NO if refusals(data) else OK


def _read(path: str) -> dict[str, str]:
    try:
        if path == "-":
            return {"name": STDIN, "text": sys.stdin.read()}
        return {"name": path, "text": Path(path).read_text(encoding="utf-8")}
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise UsageError(f"{path}: {reason}") from None


def refusals(data: Data) -> int:
    """How much of the manifests would have no effect: what can not be understood, and names that are not got."""
    lost = sum(
        row["declared"] and row["verdict"] != WAITS for zone in data["zones"] for row in zone["refused"]
    )
    unread = sum(row["state"] == "not read" for row in data["objects"])
    return int(len(data["rejected"]) + lost + unread)


def rehearsal(data: Data) -> list[str]:
    """The lines of it."""
    lines = [f"{row['object']}: {row['state']}" for row in data["objects"]]
    if data["passedOver"]:
        others = ", ".join(f"{kind} {count}" for kind, count in sorted(data["passedOver"].items()))
        lines.append(f"passed over, for they are not for soadns: {others}")
    lines += [f"{row['where']}: {row['reason']}: {row['detail']}" for row in data["rejected"]]
    for zone in data["zones"]:
        for name, told in _by_name(zone).items():
            lines += ["", f"{name} in {zone['zone']}", *told]
        if zone["omitted"]:
            lines += ["", f"{zone['omitted']} further names of {zone['zone']} were not looked at"]
    changes = sum(len(zone["changes"]) for zone in data["zones"])
    refused = refusals(data)
    names = "no name" if not changes else "1 name" if changes == 1 else f"{changes} names"
    said = f"{names} would change" + (
        f"; {refused} of what is declared would have no effect" if refused else ""
    )
    return [*lines, "", said]


def _by_name(zone: Data) -> dict[str, list[str]]:
    """What there is to say of each name: what changes at once, what will, and who does not get it."""
    told: dict[str, list[str]] = {}
    for row in zone["changes"]:
        told[row["interface"]] = _change(row)
    for row in zone["later"]:
        clocks = sorted(row["deadlines"].items(), key=lambda clock: (clock[1], clock[0]))
        told.setdefault(row["interface"], []).extend(
            f"  at {end}: {CLOCKS[clock][0]}, {CLOCKS[clock][1]}" for clock, end in clocks
        )
    for row in zone["refused"]:
        told.setdefault(row["interface"], []).append(f"  {row['service']} {_refusal(row)}")
    return told


def _change(row: Data) -> list[str]:
    rows = [[word, *_side(row[word])] for word in ("before", "after")]
    lines = table(rows, indent="  ")
    after = row["after"]
    if after is not None and after.get("cause") and after["cause"] != (row["before"] or {}).get("cause"):
        lines.append(f"  {CAUSES[after['cause']]}")
    return lines


def _side(side: Data | None) -> list[str]:
    if side is None:
        return ["unknown", ""]
    if "reason" in side:
        return ["unbound", f"{side['reason']}{_behind(side['detail'])}"]
    addresses = " ".join(side["addresses"]) or "-"
    if side["unassigned"]:
        addresses = "the ClusterIP that it gets"
    return [addresses, side["service"] or "its providers' own addresses"]


def _refusal(row: Data) -> str:
    if row["verdict"] == WAITS:
        return f"does not get it yet: {row['detail']}"
    return f"does not get it: {row['verdict']}{_behind(row['detail'])}"


def _behind(detail: str) -> str:
    return f", {detail}" if detail else ""
