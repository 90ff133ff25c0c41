"""What callers do whose providers prefer a serialization that not all of them know: a file that the page of clients is
made of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.scenarios.stage.outcomes import FOLDER

FILE = FOLDER / "preferences.json"
SERIALIZATIONS = {2: "hessian2", 23: "fastjson2"}
"""By their numbers in Dubbo's header (``org.apache.dubbo.common.serialize.Constants``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One boarded caller at one provider."""

    caller: str
    """A framework and its version, in words."""
    provider: str
    says: str
    """What the provider's URL in the registry says of serializations; ``''``: nothing."""
    told: str
    """What ``soadns export resolve`` says of the interface: ``safe``, or why it is not."""
    requests: tuple[str, ...]
    """Serializations of its calls on the wire, by name; nothing was sent where there is none."""
    answers: tuple[str, ...]
    by_name: str
    """Its calls ``succeed`` or ``fail``."""
    by_registry: str
    """The same before it was boarded."""


def write(rows: Iterable[Preference]) -> None:
    """Write rows for the page."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[Preference, ...]:
    """Read what ``write`` wrote; nothing where there is no file, or one that an older run wrote."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    if any(row.keys() != Preference.__dataclass_fields__.keys() for row in rows):
        return ()
    return tuple(
        Preference(**row | {key: tuple(row[key]) for key in ("requests", "answers")}) for row in rows
    )
