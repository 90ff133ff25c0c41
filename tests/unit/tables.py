"""The tables of ``docs/binding.md`` as text: fenced blocks ``rules`` with cases, rows and words.

A line that is not indented names a rule; the indented lines below it are ``what happens | what is answered then``,
in order. What the words do is in ``tests/unit/notation.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soadns.model import InterfaceId

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Row:
    """One line of a case: statements, and what must be answered after them."""

    number: int
    given: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One rule: its sentence and its rows."""

    name: str
    rows: tuple[Row, ...]


def cases(path: Path, kind: str = "rules") -> list[Case]:
    """All cases of a page in fenced blocks of this kind, in order."""
    found: list[tuple[str, list[Row]]] = []
    inside = False
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line.startswith("```"):
            inside = not inside and line.strip() == f"```{kind}"
        elif inside and line.strip():
            if not line.startswith(" "):
                found.append((line.strip(), []))
                continue
            given, _, answers = line.partition("|")
            found[-1][1].append(Row(number, _pieces(given), _pieces(answers)))
    return [Case(name, tuple(rows)) for name, rows in found]


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(piece.strip() for piece in text.split(";") if piece.strip())


def expand(words: list[str]) -> Iterator[str]:
    """``I{1..3}`` stands for I1 I2 I3; numbers keep leading zeros."""
    for word in words:
        match = re.search(r"\{(\d+)\.\.(\d+)\}", word)
        if match is None:
            yield word
            continue
        for number in range(int(match[1]), int(match[2]) + 1):
            yield f"{word[: match.start()]}{number:0{len(match[1])}}{word[match.end() :]}"


def seconds(text: str) -> float:
    """``10m``, ``1m30s``."""
    return sum(float(n) * UNITS[u] for n, u in re.findall(r"([\d.]+)([smhd])", text))


def words_of(statement: str) -> tuple[list[str], dict[str, str]]:
    """Plain words and ``name=value`` words."""
    words = statement.split()
    options = dict(word.split("=", 1) for word in words if "=" in word)
    return [word for word in words if "=" not in word], options


def interface_id(text: str) -> InterfaceId:
    """``[group/]interface[:version]``, as a registry may hold it: too long a name included."""
    rest, _, version = text.partition(":")
    group, _, name = rest.rpartition("/")
    return InterfaceId(name, group, version)


def host_port(text: str) -> tuple[str, int]:
    """``10.1.0.1:20881``, ``[fd00::1]:20881`` or a host alone (port 20880)."""
    match = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+)(?::(\d+))?", text)
    if match is None:
        return text, 20880
    return match[1] or match[3], int(match[2] or match[4] or 20880)
