"""The tables of ``docs/situations.md``, from the catalogue that the tests run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.situations.catalogue import Situation
from tests.situations.masses import MASSES, Mass
from tests.situations.rows import THEMES


def one_name() -> str:
    """Situations of one name, a table for each theme."""
    head = ("name", "what happens", "excess", "changes", "remarks")
    return "\n".join(
        f"### {title}\n\n{_table(head, (_row(row) for row in rows))}" for title, rows in THEMES.items()
    )


def many_names() -> str:
    """Situations of many names at once."""
    head = ("name", "what happens", "excess", "changes", "held by the guard", "remarks")
    return _table(head, (_mass(row) for row in MASSES))


def _row(row: Situation) -> tuple[str, ...]:
    return (f"`{row.name}`", row.what, f"{row.excess:.1f}", str(row.changes), row.remark)


def _mass(row: Mass) -> tuple[str, ...]:
    excess = f"{row.excess:.1f}"
    if row.suffering != frozenset(row.interfaces):
        excess += f" for {len(row.suffering)} of {len(row.interfaces)}"
    held = f"{len(row.held)} names" if row.held else "nothing"
    return (f"`{row.name}`", row.what, excess, str(row.changes), held, row.remark)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)
