"""What pods wait for while replicas fail that CoreDNS reaches at ClusterIPs: a table of ``docs/coredns.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.scenarios.stage import failures
from tests.scenarios.stage.failures import PATIENCE_S, READ_TIMEOUT_S, VARIANTS, Event, duration
from tests.scenarios.stage.wiretap import Question
from tests.stalls import Stood

FILE = failures.FILE.with_name("replicas.json")
LATE_S = 0.4
"""An answer that took so long has waited for a replica that said nothing."""


@dataclass(frozen=True)
class Way:
    """How CoreDNS reaches replicas."""

    has: str
    """ClusterIPs and options of ``forward``."""
    file: str = "stub"
    """Of ``deploy/coredns``."""
    shared: bool = False
    """Whether it has nothing but the ClusterIP of both."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """Of lines of the file, by their first word."""
    lost: float = 0.0
    """The share of questions that may be."""
    longest_s: float = PATIENCE_S
    """Until an answer, at most."""


SHARED, PLAIN, OWN, FIRST = "shared", "plain", "own", "first"
WAYS = {
    SHARED: Way("one for both", shared=True, lost=1.0),
    PLAIN: Way(
        "one for both, without `max_fails 1` and `failfast_all_unhealthy_upstreams`",
        shared=True,
        changes=VARIANTS[failures.DEFAULTS].changes,
        lost=0.01,
    ),
    OWN: Way("**one for each**, as in `stub.Corefile`", longest_s=READ_TIMEOUT_S + 1.0),
    FIRST: Way("**one for both, then one for each**, as in `shared-first.Corefile`", "shared-first"),
}
"""Where there is only the one for both, what is sent there in vain twice is lost: that is a matter of luck."""
GOES_S, STOPPED_S = 1.0, 5.0
"""After so long Kubernetes takes a pod out of its Services whose process has ended; one is silent for so long."""
STEADY_S = READ_TIMEOUT_S + 1.0
"""Between two that are replaced; the chart's ``minReadySeconds`` is more. Who waited for the first is answered then."""
EVENTS = {
    "killed": Event("one of two replicas", "killed (SIGKILL), and started again in its pod"),
    "stopped": Event("", f"stopped (SIGSTOP) for {STOPPED_S:g} seconds: no probe has found it out by then"),
    "restarted": Event("", "ended (SIGTERM), and started again in its pod"),
    "rolled": Event(
        "both, one after another",
        f"replaced by a new pod, with another address; {STEADY_S:g} seconds between",
    ),
}


@dataclass(frozen=True)
class Seen:
    """What became of the questions for some names, read off the wire of a CoreDNS."""

    asked: int
    lost: int
    late: int
    """Of those that were not lost: answered after ``LATE_S`` or more."""
    longest_ms: float
    """Of those that were not lost."""

    @classmethod
    def of(cls, questions: Iterable[Question], machine: Stood) -> Seen:
        """Lost is what was not answered with data in the time that a resolver waits; for which the machine must run."""
        waits = [each.waited - machine.during(each.asked, each.asked + each.waited) for each in questions]
        answered = [wait for wait in waits if wait <= PATIENCE_S]
        late = sum(wait >= LATE_S for wait in answered)
        longest_ms = round(max(answered, default=0.0) * 1000, 1)
        return cls(len(waits), len(waits) - len(answered), late, longest_ms)


@dataclass(frozen=True)
class Row:
    """One event, as the callers of one CoreDNS saw it."""

    zone: Seen
    cluster: Seen
    """Another name of ``cluster.local``."""


@dataclass
class Found:
    """What a run found so far: by event and way."""

    rows: dict[str, dict[str, Row]] = field(default_factory=dict)

    def write(self) -> None:
        """For the page."""
        FILE.parent.mkdir(parents=True, exist_ok=True)
        plain = {event: {way: asdict(row) for way, row in them.items()} for event, them in self.rows.items()}
        FILE.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def read(file: Path = FILE) -> Found:
    """What a run wrote; nothing where there was none."""
    plain = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return Found(
        {
            event: {
                way: Row(**{part: Seen(**seen) for part, seen in row.items()}) for way, row in them.items()
            }
            for event, them in plain.items()
        }
    )


def absent(found: Found) -> list[str]:
    """What the table has and a run did not find."""
    return [
        f"{event} behind ClusterIPs" for event in EVENTS if found.rows.get(event, {}).keys() != WAYS.keys()
    ]


def table(found: Found) -> Iterator[str]:
    """One row for each event and way."""
    yield (
        f"| what happens to | | ClusterIPs | lost | later than {LATE_S:g} s | slowest answer "
        "| other names of `cluster.local` |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, event in EVENTS.items():
        for way, each in WAYS.items():
            row = found.rows[name][way]
            first = [event.whom, event.what] if way == SHARED else ["", ""]
            lost, late = f"{row.zone.lost} of {row.zone.asked}", str(row.zone.late)
            cluster = f"{row.cluster.lost} lost, {duration(row.cluster.longest_ms)}"
            cells = [*first, each.has, lost, late, duration(row.zone.longest_ms), cluster]
            yield f"| {' | '.join(cells)} |"
