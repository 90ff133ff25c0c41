"""What callers of CoreDNS wait for while replicas of soadns fail, and its bounds: two tables of ``docs/coredns.md``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.crowd import Outcome

FILE = Path(__file__).resolve().parents[3] / "build" / "coredns" / "failures.json"
WAYS = ("UDP", "TCP", "TLS")
PATIENCE_S = 5.0
"""Of a caller: what takes longer is lost."""
READ_TIMEOUT_S = 2.0
"""How long CoreDNS waits for one replica before it asks the other."""


@dataclass(frozen=True)
class Event:
    """What happens to replicas."""

    whom: str
    what: str
    longest_s: float = PATIENCE_S
    """Without an answer, at most."""
    ways: tuple[str, ...] = WAYS


EVENTS = {
    "killed": Event("one of two replicas", "killed (SIGKILL of all its processes)"),
    "stopped": Event("", "stopped (SIGSTOP) for 8 seconds"),
    "restarted": Event(
        "both, one after another",
        "ended with a `lameduck` of a second, and started again",
        READ_TIMEOUT_S,
    ),
    "rolled": Event("", "rolled (SIGUSR1)", READ_TIMEOUT_S),
    "both": Event(
        "both at once",
        "stopped for 0.3 of every 0.4 seconds, then killed, or stopped, for 3 seconds: other names of "
        "`cluster.local`, asked 300 times a second of `stub.Corefile` and `bare-names.Corefile`",
        READ_TIMEOUT_S,
        ("UDP",),
    ),
}
"""What is longer than ``READ_TIMEOUT_S`` met a replica that said nothing: none may where replicas say that they end."""

EVERY_S, CALLERS, SILENT_S = 0.1, 2, 10.0
"""Who looks up at each call: so many callers, one call after another, while both replicas are silent for so long."""


@dataclass(frozen=True)
class Variant:
    """A way to write the block of ``forward``."""

    has: str
    since: str
    changes: Mapping[str, str] = field(default_factory=dict)
    """Of lines of ``stub.Corefile``, by their first word."""


DEFAULTS, DEPLOYED, SOONER = "defaults", "deployed", "read_timeout"
_FAILFAST = "failfast_all_unhealthy_upstreams"
VARIANTS = {
    DEFAULTS: Variant("its defaults", "", {"max_fails": "", _FAILFAST: ""}),
    "failfast": Variant(f"`{_FAILFAST}`", "1.12.1", {"max_fails": ""}),
    DEPLOYED: Variant("**that and `max_fails 1`**, as in the files here", "1.12.1"),
    SOONER: Variant(
        "those and `read_timeout 500ms`", "1.14.5", {"max_fails": "max_fails 1\n        read_timeout 500ms"}
    ),
}


@dataclass(frozen=True)
class Looked:
    """What became of those who look up at each call."""

    answered: int
    failed: int
    longest_ms: float


@dataclass
class Found:
    """What a run found so far."""

    slowest_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """By event and way."""
    lost: dict[str, int] = field(default_factory=dict)
    variants: dict[str, Looked] = field(default_factory=dict)

    def note(self, event: str, way: str, outcome: Outcome) -> None:
        """What became of a crowd's questions."""
        slowest = self.slowest_ms.setdefault(event, {})
        slowest[way] = max(outcome.slowest, slowest.get(way, 0.0))
        self.lost[event] = self.lost.get(event, 0) + outcome.lost + outcome.bad

    def write(self) -> None:
        """For the page."""
        FILE.parent.mkdir(parents=True, exist_ok=True)
        variants = {name: vars(each) for name, each in self.variants.items()}
        plain = {"slowest_ms": self.slowest_ms, "lost": self.lost, "variants": variants}
        FILE.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def read(file: Path = FILE) -> Found:
    """What a run wrote; nothing where there was none."""
    if not file.exists():
        return Found()
    plain = json.loads(file.read_text(encoding="utf-8"))
    variants = {name: Looked(**each) for name, each in plain["variants"].items()}
    return Found(plain["slowest_ms"], plain["lost"], variants)


def absent(found: Found) -> list[str]:
    """What the tables have and a run did not find."""
    events = [
        name for name, event in EVENTS.items() if found.slowest_ms.get(name, {}).keys() != {*event.ways}
    ]
    return events + [name for name in VARIANTS if name not in found.variants]


# --------------------------------------------------------------------------- on the page


def events(found: Found) -> Iterator[str]:
    """The table of what happens to replicas."""
    yield f"| what happens to | | lost | slowest answer by {' | '.join(WAYS)} |"
    yield "|---|---|---|---|---|---|"
    for name, event in EVENTS.items():
        slowest = found.slowest_ms[name]
        cells = [duration(slowest[way]) if way in slowest else "" for way in WAYS]
        yield f"| {' | '.join([event.whom, event.what, str(found.lost[name]), *cells])} |"


def variants(found: Found) -> Iterator[str]:
    """The table of what lines of ``forward`` are worth."""
    most = round(CALLERS * SILENT_S / EVERY_S)
    yield f"| `forward` has | from CoreDNS | answered, of {most} | failed | longest wait |"
    yield "|---|---|---|---|---|"
    for name, variant in VARIANTS.items():
        each = found.variants[name]
        cells = [variant.has, variant.since, str(each.answered), str(each.failed), duration(each.longest_ms)]
        yield f"| {' | '.join(cells)} |"


def duration(ms: float) -> str:
    """As people read it."""
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"


def seconds(text: str) -> float:
    """What ``duration`` wrote."""
    number, unit = text.split()
    return float(number) * {"s": 1.0, "ms": 0.001}[unit]
