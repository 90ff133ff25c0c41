"""What operators are told of each client, and a run is held to: by the tests of the run, and by that of the page.

Clients are named by their ``key``, ``dubbo-3.3.5/tri``.
"""

from __future__ import annotations

from tests.scenarios.stage.network import NODE_LOCAL
from tests.scenarios.stage.riders import Client
from tests.scenarios.stage.timeline import COREDNS, DOWN_S, SILENT, SOADNS

DUBBO_3 = frozenset({"dubbo-3.2.16/dubbo", "dubbo-3.2.16/tri", "dubbo-3.3.5/dubbo", "dubbo-3.3.5/tri"})
REST, SOFARPC = "rest/http", "sofarpc-5.12.0/bolt"
LOOKS_UP = DUBBO_3 | {REST, SOFARPC}
"""Who looks a name up though it is connected: when the JVM has forgotten it, for each call, or every ten seconds."""
FAILS = frozenset({REST, SOFARPC})
"""Whose calls fail when nobody answers."""
BY_THEMSELVES = frozenset({REST, SOFARPC})
"""Who goes to another Service while its connection works."""
NEVER = frozenset({"dubbo-3.2.16/tri", "dubbo-3.3.5/tri"})
"""Who looks a name up once in its life to connect, and goes nowhere else."""

UNNOTICED_S = 3.0
"""Who notices nothing may be without an answer for so long, on a machine that does much else."""
LOOK_UP_S = 10.0
"""How long glibc asks one name server for a name, in two attempts."""
WAITS_S = {SOADNS: 4.0, SILENT: 7.0, COREDNS: DOWN_S[COREDNS] + LOOK_UP_S}
"""How long a look-up waits while each of them is away: that of a name which CoreDNS, with ``stub.Corefile``, has
answered within the hour."""
CALLS_LEFT = {SOADNS: 0.6, SILENT: 0.4}
"""Only the first look-ups wait: which part of the calls that they make without soadns those make by name, at least, who
look up at every call or every second."""


def longest_s(client: Client, what: str) -> float:
    """How long a caller by name may be without an answer while something is lost and comes back, at most.

    Behind NodeLocal DNSCache nobody waits for CoreDNS.
    """
    looks_up = f"{client.program}/{client.protocol}" in LOOKS_UP
    cached = client.nameserver == NODE_LOCAL and what == COREDNS
    return UNNOTICED_S + (WAITS_S.get(what, 0.0) if looks_up and not cached else 0.0)
