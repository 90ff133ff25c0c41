"""What a timeline of faults cost each client, as a file that the page of clients is made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.scenarios.stage.riders import CLIENTS, Client
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

FILE = Path(__file__).resolve().parents[3] / "build" / "clients" / "timeline.json"


def row(costs: Costs, client: Client) -> dict[str, Any]:
    """One client: for each way in which it called, calls per pod and what failed, by fault."""
    ways = {}
    for way in client.ways:
        rider = client.key, way
        ways[way] = {
            "calls": costs.calls(rider),
            "per_pod": _shares(costs, rider, CALM),
            "per_pod_after": _shares(costs, rider, AFTERWARDS),
            "restarted": _fault(costs, rider, RESTARTED, AFTERWARDS),
            "killed": _fault(costs, rider, KILLED),
            **{what: _fault(costs, rider, lost(what), back(what)) for what in LOSSES},
        }
    return {"program": client.program, "protocol": client.protocol, "ways": ways}


def _fault(costs: Costs, rider: tuple[str, str], *phases: str) -> dict[str, float]:
    return {
        "calls": costs.calls(rider, *phases),
        "failed": costs.failed(rider, *phases),
        "gap_ms": costs.gap_ms(rider, *phases),
    }


def _shares(costs: Costs, rider: tuple[str, str], phase: str) -> list[int]:
    """Calls that each pod answered, the most first."""
    return sorted(costs.phases[phase][rider].by.values(), reverse=True)


def write(costs: Costs, clients: Sequence[Client] = CLIENTS, file: Path = FILE) -> None:
    """All clients in one file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [row(costs, client) for client in clients]
    file.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
