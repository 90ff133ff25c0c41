"""What a timeline of faults cost each client, as a file that the page of clients is made of.

``{"rows": [...], "node_local": [...], "away": {...}}``: a row is ``{"program", "protocol", "ways": {way: {...}}}``, of
each way connections, calls per pod, and by fault how many calls were made, how many failed and the longest time without
an answer; ``away`` says by loss for how long all of it was down, and when it worked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tests.scenarios.stage.outcomes import FOLDER
from tests.scenarios.stage.riders import CLIENTS, LOCAL, Client
from tests.scenarios.stage.timeline import (
    AFTERWARDS,
    CALM,
    KILLED,
    LOSSES,
    RESTARTED,
    Costs,
    back,
    lost,
)

FILE = FOLDER / "timeline.json"
FAULTS = (*LOSSES, "restarted", "killed")
FIGURES = ("calls", "failed", "gap_ms")
AWAY = ("down_s", "back_s")


def row(costs: Costs, client: Client) -> dict[str, Any]:
    """One client."""
    ways = {}
    for way in client.ways:
        rider = client.key, way
        ways[way] = {
            "calls": costs.calls(rider),
            "connections": costs.connections[rider],
            "per_pod": _shares(costs, rider, CALM),
            "per_pod_after": _shares(costs, rider, AFTERWARDS),
            "restarted": _fault(costs, rider, RESTARTED, AFTERWARDS),
            "killed": _fault(costs, rider, KILLED),
            **{what: _fault(costs, rider, lost(what), back(what)) for what in LOSSES},
        }
    return {"program": client.program, "protocol": client.protocol, "ways": ways}


def _fault(costs: Costs, rider: tuple[str, str], *phases: str) -> dict[str, float]:
    figures = costs.calls(rider, *phases), costs.failed(rider, *phases), costs.gap_ms(rider, *phases)
    return dict(zip(FIGURES, figures, strict=True))


def _shares(costs: Costs, rider: tuple[str, str], phase: str) -> list[int]:
    """Calls that each pod answered, the most first."""
    return sorted(costs.phases[phase][rider].by.values(), reverse=True)


def rows(costs: Costs) -> dict[str, Any]:
    """All clients."""
    return {
        "rows": [row(costs, client) for client in CLIENTS],
        "node_local": [row(costs, client) for client in LOCAL],
        "away": {what: asdict(costs.away[what]) for what in LOSSES},
    }


def write(costs: Costs) -> None:
    """All clients in one file."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(rows(costs), indent=1) + "\n", encoding="utf-8")


def missing(found: Mapping[str, Any]) -> Iterator[str]:
    """What a file does not say that ``rows`` would have."""
    for what in LOSSES:
        if absent := set(AWAY) - found.get("away", {}).get(what, {}).keys():
            yield f"{what}: {', '.join(sorted(absent))}"
    for part, clients in (("rows", CLIENTS), ("node_local", LOCAL)):
        said = {(each["program"], each["protocol"]): each["ways"] for each in found.get(part, ())}
        for client in clients:
            ways = said.get((client.program, client.protocol), {})
            for way in client.ways:
                faults = ways.get(way, {})
                missed = [fault for fault in FAULTS if set(FIGURES) - faults.get(fault, {}).keys()]
                if missed:
                    yield f"{client.key}, {way}: {', '.join(missed)}"
