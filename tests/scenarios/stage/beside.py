"""What it is worth to have soadns beside CoreDNS among the name servers of pods: a table of ``docs/coredns.md``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scenarios.stage.clients import Tally
from tests.scenarios.stage.cluster import DNS

FILE = Path(__file__).resolve().parents[3] / "build" / "coredns" / "beside.json"
SOADNS = "10.96.0.53"
TURNS_S = 3
"""After so long a resolver turns from one name server to the next."""
ONE, ALL = "one of two CoreDNS killed", "all CoreDNS gone for {:g} s, and back"
GONE_S = 18.0
"""For longer than SOFARPC (10 s) and caches (5 s) go without it."""
THREADS = 2
"""Of each caller."""
IN_THE_MOMENT = 2 * THREADS
"""So many calls may fail, at most, of those that look up until a CoreDNS that died is out of kube-proxy's rules."""
LONGEST_S = TURNS_S + 3.0
"""Who has soadns beside CoreDNS is without an answer for no longer: a look-up, on a machine that has time."""
BUSY_S = 10.0
"""The same on one that has not; who asks CoreDNS alone waits until it is back."""


@dataclass(frozen=True)
class Pods:
    """Name servers of pods, in the order in which they are asked, and options of their resolver."""

    asks: str
    beside: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


ALONE = Pods("CoreDNS alone")
BESIDE = Pods(f"CoreDNS, then soadns (`timeout:{TURNS_S}`)", (SOADNS,), (f"timeout:{TURNS_S}",))
CLIENTS = {
    "SOFARPC 5.12.0, `bolt`": ("sofarpc-5.12.0", "bolt"),
    "Dubbo 3.3.5, `dubbo`": ("dubbo-3.3.5", "dubbo"),
    "REST over HTTP": ("rest", "rest"),
}
"""In words: program and protocol of those who look a name up though they are connected."""
EVENTS = (ONE, ALL.format(GONE_S))
Rows = Mapping[tuple[str, str], Mapping[str, Tally]]
"""By client in words and whom its pod asks; then by event."""


def manifest() -> dict[str, Any]:
    """What a pod's manifest says for ``BESIDE``; ``DNS`` is the kubelet's own."""
    options = [dict(zip(("name", "value"), each.split(":"), strict=True)) for each in BESIDE.options]
    assert DNS not in BESIDE.beside
    return {"dnsPolicy": "ClusterFirst", "dnsConfig": {"nameservers": [*BESIDE.beside], "options": options}}


def write(rows: Rows) -> None:
    """For the page."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    plain = [
        {"client": client, "asks": asks, "events": {event: vars(tally) for event, tally in found.items()}}
        for (client, asks), found in rows.items()
    ]
    FILE.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def read(file: Path = FILE) -> Rows:
    """What a run wrote; nothing where there was none."""
    plain = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return {
        (row["client"], row["asks"]): {event: Tally(**tally) for event, tally in row["events"].items()}
        for row in plain
    }


def absent(rows: Rows) -> list[str]:
    """What the table has and a run did not find."""
    expected = [(client, pods.asks) for client in CLIENTS for pods in (ALONE, BESIDE)]
    return [", ".join(key) for key in expected if rows.get(key, {}).keys() != {*EVENTS}]


def table(rows: Rows) -> Iterator[str]:
    """Calls that failed, of how many, and the longest time without an answer."""
    yield f"| client | its pod asks | {' | '.join(EVENTS)} |"
    yield "|---|---|---|---|"
    for client in CLIENTS:
        for pods in (ALONE, BESIDE):
            cells = [cell(rows[client, pods.asks][event]) for event in EVENTS]
            yield f"| {client} | {pods.asks} | {' | '.join(cells)} |"


def cell(tally: Tally) -> str:
    """One client in one event."""
    return f"{tally.failed} of {tally.calls}, {tally.longest_gap_ms / 1000:.1f} s"
