"""What a question costs with one worker and with two, and how sockets of callers spread over them.

There are two cores, and dnsperf needs one: so one worker is measured on a core of its own and on dnsperf's, and two
with one on each, which must cost what one does at these places. Questions a second with two workers say little, for
dnsperf has less than a core then; processor time per question is the figure that counts. Times are those of the workers
alone, from ``/proc/PID/stat``. At a bounded rate a worker with a core of its own is woken for each question, where one
that waits for its core finds several, which costs less.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import Contender
from tests.bench.load import dnsperf, figures, questions
from tests.scenarios.stage import shop
from tests.scenarios.stage.soadns import Soadns

OWN, SHARED = 0, 1
"""Cores."""
PLACES = {"one, own core": (OWN,), "one, dnsperf's core": (SHARED,), "two, one on each": (OWN, SHARED)}
"""Where workers run."""
TOLD_S = 1.2
"""Seconds in which workers have told control their counts."""
UNDER_WAY = 100
"""Questions at any moment."""


@dataclass(frozen=True)
class Load:
    """How it is asked."""

    text: str
    transport: str
    sockets: int
    rate: int
    """Questions a second for each worker; 0 for as many as are answered."""


LOADS = (
    Load("UDP, 100 sockets, full speed", "udp", 100, 0),
    Load("UDP, 100 sockets, 10,000 q/s each", "udp", 100, 10_000),
    Load("UDP, one socket, 10,000 q/s each", "udp", 1, 10_000),
    Load("TCP, 100 connections, 10,000 q/s each", "tcp", 100, 10_000),
)


@dataclass(frozen=True)
class Cost:
    """One load on workers at their places."""

    workers: str
    load: str
    qps: int
    us: float
    """Microseconds of processor time per question, of all workers together. How much of it the system took is not told:
    Linux guesses that from ticks, a hundred a second."""
    shares: tuple[float, ...]
    """Of the questions, by worker."""
    lost: int


COLUMNS = ("asked", "workers", "q/s", "µs", "shares", "lost")


def cells(cost: Cost) -> tuple[str, ...]:
    """One row as a table shows it."""
    shares = " : ".join(f"{share:.0%}" for share in cost.shares)
    return cost.load, cost.workers, f"{cost.qps:,}", f"{cost.us:.1f}", shares, str(cost.lost)


def measure(interfaces: int, seconds: float) -> Iterator[Cost]:
    """Each load on workers at all places. Raises AssertionError for answers that are not as they must be."""
    with tempfile.TemporaryDirectory(prefix="soadns-bench-") as name:
        folder = Path(name)
        names = shop.write(folder / "shop", interfaces)
        asked = folder / "asked"
        asked.write_text(questions("A", names))
        for workers, cores in PLACES.items():
            with _running(folder / f"soadns-{len(cores)}-{cores[0]}", folder / "shop", cores) as soadns:
                for load in LOADS:
                    yield _cost(soadns, workers, load, asked, seconds)


def _cost(soadns: Soadns, workers: str, load: Load, asked: Path, seconds: float) -> Cost:
    count = len(PLACES[workers])
    those = [Contender("", "", soadns.port, soadns.worker(index)) for index in range(count)]
    how = ["-m", load.transport, "-c", str(load.sockets), "-q", str(UNDER_WAY), "-l", f"{seconds:g}"]
    if load.rate:
        how += ["-Q", str(load.rate * count)]
    time.sleep(TOLD_S)
    before, counted = [each.spent() for each in those], _requests(soadns, count, load.transport)
    found = figures(dnsperf(soadns.port, asked, *how, core=SHARED))
    time.sleep(TOLD_S)
    after, then = [each.spent() for each in those], _requests(soadns, count, load.transport)
    answered = int(found["Queries completed"])
    assert answered, f"{load.text}: nothing was answered"
    took = sum(sum(late) - sum(early) for early, late in zip(before, after, strict=True))
    grown = [late - early for early, late in zip(counted, then, strict=True)]
    return Cost(
        workers, load.text,
        qps=round(answered / float(found["Run time"])),
        us=round(took / answered * 1e6, 2),
        shares=tuple(round(one / sum(grown), 3) for one in grown),
        lost=int(found["Queries lost"]),
    )  # fmt: skip


def _requests(soadns: Soadns, workers: int, transport: str) -> list[float]:
    metric = 'soadns_worker_requests_total{{proto="{}",worker="{}"}}'
    return [soadns.metric(metric.format(transport, index)) for index in range(workers)]


@contextmanager
def _running(folder: Path, files: Path, cores: tuple[int, ...]) -> Iterator[Soadns]:
    """A soadns with a worker on each of these cores; everything else of it runs on the shared one."""
    soadns = Soadns(folder, {"static": [{"name": "shop", "paths": [str(files)]}]})
    soadns.write_config(nameserver=soadns.settings["nameserver"] | {"workers": len(cores)})
    try:
        soadns.start()
        pin(soadns.process.pid, SHARED)
        pin(soadns.child("_control"), SHARED)
        for index, core in enumerate(cores):
            pin(soadns.worker(index), core)
        yield soadns
    finally:
        soadns.stop()


def pin(pid: int, core: int) -> None:
    """All threads of a process run on this core alone from now on."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})
