"""What the API says of Envoy filters, as text. Pure: the shapes of ``docs/http.md`` in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Data = dict[str, Any]


def tier(port: Data) -> str:
    """The tier of a port, in a word: that of all callers, and that of pods with files."""
    word = f"tier {port['tier']}"
    return f"{word}, and 3 in {', '.join(port['files'])}" if port["files"] else word


def explained(ports: Sequence[Data], *, ruled: bool) -> list[str]:
    """What ``soadns explain`` says of them: nothing where nothing is done, and nothing would be to do."""
    shown = [port for port in ports if ruled or port["tier"] or port["files"]]
    rows = [f"    {port['service']} port {port['port']}: {tier(port)}: {port['why']}" for port in shown]
    return ["  Istio's sidecars", *rows] if rows else []


def comments(item: Data) -> list[str]:
    """What to know of one Service, as comments above its objects."""
    lines = []
    for port in item["ports"]:
        lines.append(f"{item['service']} port {port['port']}: {tier(port)}: {port['why']}")
        lines += [f"  not told: {text}" for text in port["untold"]]
        if port["harm"]:
            lines.append(f"  it should not be in force: {port['harm']}")
        if port["lost"]:
            lines.append(f"  lost by that: {', '.join(port['lost'])}")
    lines += [f"  NOT WRITTEN: {text}" for text in item["problems"]]
    return [f"# {line}" for line in lines]


def beside(data: Data, left_out: list[str]) -> list[str]:
    """What to know of all of them."""
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
    found += [f"no room in the ConfigMaps for {name}: raise sidecar.istio.files.shards" for name in left_out]
    return found
