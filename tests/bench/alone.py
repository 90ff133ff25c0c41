"""A worker that has a core for itself, while names change and while they do not.

On the other core are ZooKeeper, its writer, control, the supervisor and dnsperf. There dnsperf also measures how long
it waits for its own core. So with changes it is measured twice: among the others, and before them, for which they get
the policy SCHED_IDLE. What the worker waits for is measured in full both times.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.churn import Churn
from tests.bench.contenders import pinned
from tests.bench.load import at, dnsperf, figures, latencies, questions
from tests.bench.registry import interface_name
from tests.bench.scaling import OWN, SHARED, TOLD_S, pin
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper

SETTLE_S = 5.0
CLIENTS = 100
"""Sockets of dnsperf."""


@dataclass(frozen=True)
class Alone:
    """What dnsperf saw. Times in milliseconds."""

    dnsperf: str
    """How it shares its core."""
    changes_per_second: int
    qps: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    worker_p999_ms: float
    """What 99.9 % of a sample took at most, from the arrival of a question in the kernel to its reply: the upper end of
    a bucket of the worker's histogram."""
    asked: int
    lost: int


def measure(zookeeper: ZooKeeper, folder: Path, options: argparse.Namespace) -> Iterator[Alone]:
    """Without changes, and with them. Raises AssertionError when nothing is answered."""
    asked = folder / "asked"
    asked.write_text(questions("A", [interface_name(number) for number in range(options.names)]))
    soadns = Soadns(folder / "alone", {"zookeeper": [{"name": "main", "hosts": zookeeper.hosts}]})
    soadns.write_config(nameserver=soadns.settings["nameserver"] | {"workers": 1})
    with pinned(SHARED):
        try:
            soadns.start()
            pin(soadns.worker(0), OWN)
            pin(zookeeper.process.pid, SHARED)
            yield _asked(soadns, asked, options, "no changes")
            churn = Churn(
                zookeeper.hosts, "/dubbo", port=soadns.port, interfaces=options.names, rate=options.changes
            )
            with churn:
                for how in ("among the others", "before the others"):
                    if how == "before the others":
                        for pid in (
                            soadns.process.pid,
                            soadns.child("_control"),
                            zookeeper.process.pid,
                            churn.pid,
                        ):
                            _last(pid)
                    time.sleep(SETTLE_S)
                    done, began = churn.done, time.monotonic()
                    found = _asked(soadns, asked, options, how)
                    yield replace(
                        found, changes_per_second=round((churn.done - done) / (time.monotonic() - began))
                    )
        finally:
            soadns.stop()


def _asked(soadns: Soadns, asked: Path, options: argparse.Namespace, how: str) -> Alone:
    before = _buckets(soadns)
    text = dnsperf(
        soadns.port, asked, "-c", str(CLIENTS), "-q", str(CLIENTS), "-l", str(options.alone),
        "-Q", str(options.alone_rate), "-v", core=SHARED,
    )  # fmt: skip
    time.sleep(TOLD_S)
    ranked, found = latencies(text), figures(text)
    assert ranked, "nothing was answered"
    rate = int(found["Queries completed"]) / float(found["Run time"])
    return Alone(
        how, 0, round(rate),
        at(ranked, 0.5), at(ranked, 0.99), at(ranked, 0.999), round(ranked[-1], 3),
        _at_most(before, _buckets(soadns), 0.999), int(found["Queries sent"]), int(found["Queries lost"]),
    )  # fmt: skip


_BUCKET = re.compile(r"^soadns_dns_request_duration_seconds_bucket\{(.*)\} (\S+)$", re.MULTILINE)


def _buckets(soadns: Soadns) -> dict[float, float]:
    """The worker's histogram of answering times, of all zones: how many took at most so many seconds."""
    found: defaultdict[float, float] = defaultdict(float)
    for labels, count in _BUCKET.findall(soadns.http("/metrics")[1]):
        found[float(re.findall(r'le="([^"]+)"', labels)[0])] += float(count)
    return dict(found)


def _at_most(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Milliseconds that so great a share did not exceed."""
    grown = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    whole = max(grown.values())
    return 1000 * next(bound for bound, count in grown.items() if count >= share * whole)


def _last(pid: int) -> None:
    """All threads of a process run when nobody else wants to."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
