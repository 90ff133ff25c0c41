"""Questions asked with the real ``dig``, and what it printed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.process import printed

_STATUS = re.compile(r"status: (\w+)")


@dataclass(frozen=True)
class Dug:
    """One reply: its status, the data of the answer section in order, and everything as printed."""

    status: str
    data: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.status} {' '.join(self.data)}".strip()


def dig(
    port: int,
    name: str,
    kind: str = "A",
    *,
    tcp: bool = False,
    server: str = "127.0.0.1",
    recurse: bool = False,
    patience_s: int = 5,
    place: Place = OUTSIDE,
) -> Dug:
    """Ask one question, without a second try; resolvers want RD (``recurse``), and wait for five seconds."""
    rd = "+recurse" if recurse else "+norecurse"
    asked = [f"@{server}", "-p", str(port), "+tries=1", f"+time={patience_s}", rd, "+noall", "+comments"]
    asked += ["+answer", "+authority", "+additional", *(["+tcp"] if tcp else []), name, kind]
    done = printed("dig", *asked, within=60, by=place.command([]))
    found = _STATUS.search(done.stdout)
    rows: list[str] = []
    section = ""
    for line in done.stdout.splitlines():
        if line.startswith(";; "):
            section = line
        elif section.startswith(";; ANSWER SECTION") and line.strip() and not line.startswith(";"):
            rows.append(line.split(None, 4)[4])
    return Dug(found.group(1) if found else "TIMEOUT", tuple(rows), done.stdout)
