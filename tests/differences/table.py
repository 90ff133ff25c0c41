"""The table of differences in ``docs/dns.md``: what is listed there, and how two replies differ in its words."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dns.md"
FENCE = "```differences\n"

Place = tuple[str, str, str]
"""Packet, transport, other server."""


@dataclass(frozen=True)
class Row:
    """One line: packets (patterns), transports, servers, what differs, and why."""

    line: str
    packets: tuple[str, ...]
    transports: tuple[str, ...]
    servers: tuple[str, ...]
    what: str
    why: str

    def places(self, names: Collection[str]) -> Iterator[Place]:
        """Everywhere the row says that there is this difference; every pattern stands for something."""
        for pattern in self.packets:
            found = [name for name in names if fnmatchcase(name, pattern)]
            assert found, f"{self.line!r}: no packet is called {pattern}"
            for name in found:
                for transport in self.transports:
                    for server in self.servers:
                        yield name, transport, server


def rows(text: str) -> Iterator[Row]:
    """The rows of the page."""
    block = text.partition(FENCE)[2].partition("```")[0]
    for line in block.splitlines():
        packets, transports, servers, what, why = (cell.strip() for cell in line.split("|"))
        yield Row(line, tuple(packets.split()), tuple(transports.split()), tuple(servers.split()), what, why)


def listed(names: Collection[str], text: str) -> dict[Place, str]:
    """What the page says of each place; nothing twice."""
    found: dict[Place, str] = {}
    for row in rows(text):
        assert row.why, f"{row.line!r}: why?"
        for place in row.places(names):
            assert place not in found, f"{row.line!r}: {' '.join(place)} is listed twice"
            found[place] = row.what
    return found


def difference(ours: dict[str, str], theirs: dict[str, str]) -> str:
    """How two replies differ, in the words of the table; empty when they do not.

    The size is a difference of its own only where nothing else explains it.
    """
    if ours["reply"] != "yes" or theirs["reply"] != "yes":
        return "" if ours["reply"] == theirs["reply"] else f"reply {ours['reply']}/{theirs['reply']}"
    found = []
    for field in ("rcode", "flags", "question", "answer", "authority", "additional", "edns", "options"):
        if ours[field] == theirs[field]:
            continue
        if field == "flags":
            mine, other = set(ours[field].split()), set(theirs[field].split())
            found += [f"-{flag}" for flag in sorted(mine - other)] + [
                f"+{flag}" for flag in sorted(other - mine)
            ]
        elif field in ("answer", "authority", "additional"):
            found.append(field)
        else:
            found.append(f"{field} {ours[field]}/{theirs[field]}")
    if not found and ours["size"] != theirs["size"]:
        found.append(f"size {ours['size']}/{theirs['size']}")
    # As the table has them: sections before what surrounds them.
    order = (
        "reply",
        "rcode",
        "-",
        "+",
        "answer",
        "authority",
        "additional",
        "question",
        "edns",
        "options",
        "size",
    )
    return ", ".join(
        sorted(found, key=lambda item: next(i for i, word in enumerate(order) if item.startswith(word)))
    )
