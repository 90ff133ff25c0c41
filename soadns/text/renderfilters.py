"""What the API says of Envoy filters, as text. Pure: the shapes of ``docs/http.md`` in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from soadns.text.render import printable

Data = dict[str, Any]


def tier(port: Data) -> str:
    """The tier of a port, in a word: that of all callers, and that of pods with files."""
    word = f"tier {port['tier']}"
    return f"{word}, and 3 in {', '.join(port['files'])}" if port["files"] else word


def explained(ports: Sequence[Data], *, ruled: bool) -> list[str]:
    """What ``soadns explain`` says of them: nothing where nothing is done, and nothing would be to do."""
    shown = [port for port in ports if ruled or port["tier"] or port["files"] or port["crowded"]]
    rows = []
    for port in shown:
        rows.append(f"    {port['service']} port {port['port']}: {tier(port)}: {port['why']}")
        rows += [f"      {port[key]}" for key in ("crowded", "full") if port[key]]
    return ["  Istio's sidecars", *rows] if rows else []


def about(port: Data, what: str) -> list[str]:
    """The tier of a port, why, and what that costs; ``what`` stands before its number."""
    lines = [f"{what} {port['port']}: {tier(port)}: {port['why']}"]
    lines += [f"  {port[key]}" for key in ("crowded", "full") if port[key]]
    lines += [f"  not told: {text}" for text in port["untold"]]
    if port["harm"]:
        lines.append(f"  it should not be in force: {port['harm']}")
    if port["lost"]:
        lines.append(f"  lost by that: {', '.join(port['lost'])}")
    return lines


def comments(item: Data) -> list[str]:
    """What to know of one Service, as comments above its objects."""
    lines = [line for port in item["ports"] for line in about(port, f"{item['service']} port")]
    lines += [f"  NOT WRITTEN: {text}" for text in (*item["problems"], *item["withheld"])]
    return [
        f"# {line}" for line in printable(lines)
    ]  # what is printed is applied: a line that ended would be YAML


def beside(data: Data, maps: Data) -> list[str]:
    """What to know of all of them, and of the ConfigMaps with files."""
    found = []
    counts = [0, 0, 0, 0]
    for item in data["items"]:
        counts[item["tier"]] += 1
    services = ", ".join(f"{count} at tier {number}" for number, count in enumerate(counts) if count)
    found.append(f"Services: {services or 'none has routes'}")
    if not data["istioRead"] and any(counts[1:]):
        found.append(
            "VirtualServices and DestinationRules were not read: compare their tcp routes before you apply this"
        )
    if crowded := sum(bool(port["crowded"]) for item in data["items"] for port in item["ports"]):
        found.append(
            f"{crowded} ports have no filter though they want one, for there is room for {data['most']} "
            "(sidecar.istio.most): istiod's work for each push grows with them"
        )
    if full := sum(bool(port["full"]) for item in data["items"] for port in item["ports"]):
        found.append(
            f"{full} ports have no file of rules in some namespace, for no more than {data['files']['most']} of one "
            "may (sidecar.istio.files.most): each is an inotify instance of every Envoy"
        )
    for key, what in (("leftOut", "a file"), ("outdated", "the new rules of a file")):
        found += [
            f"no room in the ConfigMaps for {what}, {name}: raise sidecar.istio.files.shards, the mounts first"
            for name in maps[key]
        ]
    return printable(found)
