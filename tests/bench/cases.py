"""What the servers are asked: one base, and what differs from it in one thing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """What is asked, and how."""

    names: int
    mix: str
    """``A``; ``AAAA``, of which there is none; ``search``, eight questions a name; ``EDNS``, A with an OPT record."""
    transport: str
    concurrency: int
    """Questions under way at any moment, each from a socket of its own."""


CONCURRENCY = (10, 50, 100, 200, 500)
NAMES = (100, 10_000, 100_000)
MIXES = ("A", "AAAA", "search", "EDNS")
TRANSPORTS = ("udp", "tcp")
BASE = Case(10_000, "A", "udp", 100)


def cases(*, full: bool) -> list[Case]:
    """What is measured, the base first."""
    if full:
        return [Case(*one) for one in itertools.product(NAMES, MIXES, TRANSPORTS, CONCURRENCY)]
    base = [Case(BASE.names, BASE.mix, BASE.transport, number) for number in CONCURRENCY]
    varied = [
        *(Case(BASE.names, mix, BASE.transport, BASE.concurrency) for mix in MIXES if mix != BASE.mix),
        Case(BASE.names, BASE.mix, "tcp", BASE.concurrency),
        *(Case(names, BASE.mix, BASE.transport, BASE.concurrency) for names in NAMES if names != BASE.names),
    ]
    return base + varied


def case_text(case: Case) -> str:
    """A case in one line, for ``--only``."""
    return f"{case.transport} {case.mix} {case.names} names {case.concurrency} at once"
