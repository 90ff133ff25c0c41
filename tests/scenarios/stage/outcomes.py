"""What was seen of each client: the rows from which ``docs/clients.md`` is made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.scenarios.stage.riders import CLIENTS

FOLDER = Path(__file__).resolve().parents[3] / "build" / "clients"
MATRIX = FOLDER / "matrix.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One client: a program that speaks a protocol."""

    framework: str
    version: str
    """That its process ran; ``''`` where there is none."""
    program: str
    protocol: str
    configurations: tuple[str, ...]
    """By what interfaces were rolled out, all of which worked."""
    names: int
    """How many interfaces there are."""
    resolves: int
    """How many names its pod was seen to ask for, on the wire, and got an address."""
    calls: int
    """How many were called so that the answer named the pod."""
    generic: bool | None
    """Whether generic invocation did the same; None where there is none."""
    follows_kept_s: float | None
    """The interface has moved to another Service, and the old pods serve on: seconds until calls reach a new one, and
    no other. None: not within ``kept_watched_s``."""
    kept_watched_s: float
    calls_kept: int
    """How many were made one after another until then; none of them failed."""
    follows_gone_s: float | None
    """After that the old pods end: seconds from their SIGTERM. None: not within ``gone_watched_s``, until a restart."""
    gone_watched_s: float
    failed_gone: int
    """How many of ``calls_gone``, one after another, failed until then."""
    calls_gone: int
    timeout_holds: bool | None
    """Whether a provider's timeout of 10 s holds for a boarded caller; None where no framework takes it over."""
    attempts: int
    """How often the provider was called by one call that timed out, with ``retries=0``."""
    cure: str
    """What an operator does about what does not hold, one line of Markdown."""


def write(path: Path, rows: Iterable[Outcome]) -> None:
    """Write rows for the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> list[Outcome]:
    """Read what ``write`` wrote."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [Outcome(**row | {"configurations": tuple(row["configurations"])}) for row in rows]


def missing(found: Mapping[str, Any]) -> Iterator[str]:
    """What a file does not say that ``write`` would have written for all clients."""
    rows = {(row["program"], row["protocol"]): row for row in found.get("rows", ())}
    for client in CLIENTS:
        row = rows.get((client.program, client.protocol), {})
        if absent := set(Outcome.__dataclass_fields__) - row.keys():
            yield f"{client.key}: {', '.join(sorted(absent))}"
