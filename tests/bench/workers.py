"""``make bench-workers``: what callers notice at 10,000 questions a second while processes die, hang and are replaced.

Control killed, control stopped for a minute, a worker killed and a worker stopped while control is stopped as well,
all workers replaced one after another; callers over TCP while workers are replaced and die; what a question costs
with one worker and with two; and what memory a worker takes. Writes ``build/bench/workers.json``. Everything runs on
loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import report, scaling
from tests.crowd import Crowd
from tests.scenarios.stage import shop
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.tcp_crowd import TcpCrowd

KEPT = 20
"""Connections that are kept over TCP."""


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Processes die and hang under load.")
    parser.add_argument("--rate", type=int, default=10_000, help="questions a second (%(default)s)")
    parser.add_argument(
        "--tcp-rate", type=int, default=1_000, help="the same over TCP, of each kind of callers (%(default)s)"
    )
    parser.add_argument("--interfaces", type=int, default=10_000)
    parser.add_argument(
        "--stopped", type=float, default=60.0, help="seconds for which control hangs (%(default)s)"
    )
    parser.add_argument("--each", type=float, default=4.0, help="seconds of each load (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/workers.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soadns-bench-") as folder:
        found = run(Path(folder), options)
    print("what a question costs with one worker and with two", flush=True)
    costs = list(scaling.measure(options.interfaces, options.each))
    found["machine"], found["costs"] = report.machine(), [asdict(cost) for cost in costs]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    columns = ("asked", "per_second", "lost", "repeated", "median", "p99", "slowest")
    print(f"{'':34}" + "".join(f"{column:>12}" for column in columns))
    for story, outcome in found["stories"].items():
        print(f"{story:34}" + "".join(f"{outcome[column]:>12}" for column in columns))
    columns = ("asked", "lost", "repeated", "unanswered", "reset", "closed", "median", "p99", "slowest")
    print(f"\n{'over TCP':34}" + "".join(f"{column:>12}" for column in columns))
    for story, kinds in found["tcp"].items():
        for kind, outcome in kinds.items():
            print(f"{f'{story}: {kind}':34}" + "".join(f"{outcome[column]:>12}" for column in columns))
    print()
    for row in (scaling.COLUMNS, *map(scaling.cells, costs)):
        print(f"{row[0]:40}{row[1]:20}" + "".join(f"{cell:>12}" for cell in row[2:]))
    print(f"memory of a worker: {found['worker_mib']:.1f} MiB with {found['names']} names")
    print(f"written to {options.output}")
    over_tcp = [outcome for kinds in found["tcp"].values() for outcome in kinds.values()]
    return int(any(outcome["lost"] for outcome in [*found["stories"].values(), *over_tcp, *found["costs"]]))


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    names = shop.write(folder / "shop", options.interfaces)
    # soadns does not give up a control process that hangs for as long as this: half a minute is its patience.
    soadns = Soadns(folder / "soadns", {"static": [{"name": "shop", "paths": [str(folder / "shop")]}]})
    soadns.write_config(nameserver=soadns.settings["nameserver"] | {"workers": 2})
    soadns.start()
    stories: dict[str, Callable[[Soadns], None]] = {
        "nothing happens": lambda _: time.sleep(5.0),
        "control killed": control_killed,
        f"control stopped for {options.stopped:g} s": lambda it: control_stopped(it, options.stopped),
        "worker killed, control stopped": lambda it: worker(it, signal.SIGKILL),
        "worker stopped, control stopped": lambda it: worker(it, signal.SIGSTOP),
        "workers replaced in turn": workers_replaced,
    }
    over_tcp: dict[str, Callable[[Soadns], None]] = {
        "nothing happens": lambda _: time.sleep(5.0),
        "replaced in turn": workers_replaced,
        "one killed": worker_killed,
    }
    found: dict[str, Any] = {"rate": options.rate, "interfaces": options.interfaces, "stories": {}, "tcp": {}}
    asked_for = [f"{name}.{ZONE}" for name in names[:100]]
    try:
        for story, happens in stories.items():
            print(story, flush=True)
            with Crowd(soadns.port, *asked_for, rate=options.rate, patience=4.0) as crowd:
                time.sleep(1.0)
                happens(soadns)
                time.sleep(1.0)
            found["stories"][story] = asdict(crowd.outcome)
            soadns.wait_ready()
        for story, happens in over_tcp.items():
            print(f"over TCP: {story}", flush=True)
            single = TcpCrowd(soadns.port, *asked_for, rate=options.tcp_rate)
            keeping = TcpCrowd(soadns.port, *asked_for, rate=options.tcp_rate, kept=KEPT)
            with single, keeping:
                time.sleep(1.0)
                happens(soadns)
                time.sleep(1.0)
            found["tcp"][story] = {
                "one question each": asdict(single.outcome), f"{KEPT} kept": asdict(keeping.outcome),
            }  # fmt: skip
        found["worker_mib"] = soadns.metric('soadns_worker_memory_bytes{worker="0"}') / 2**20
        found["names"] = soadns.metric('soadns_worker_names{worker="0"}')
    finally:
        soadns.stop()
    return found


def control_killed(soadns: Soadns) -> None:
    """And started again."""
    first = soadns.child("_control")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: soadns.child("_control") not in (0, first), within=10)
    soadns.wait_ready()


def control_stopped(soadns: Soadns, seconds: float) -> None:
    """For longer than the supervisor waits for it, perhaps."""
    control = soadns.child("_control")
    os.kill(control, signal.SIGSTOP)
    time.sleep(seconds)
    if soadns.child("_control") == control:
        os.kill(control, signal.SIGCONT)


def worker(soadns: Soadns, number: signal.Signals) -> None:
    """While control can not help."""
    control, first = soadns.child("_control"), soadns.worker(0)
    os.kill(control, signal.SIGSTOP)
    os.kill(first, number)
    eventually(lambda: soadns.worker(0) != first, within=10)
    time.sleep(2.0)
    os.kill(control, signal.SIGCONT)


def worker_killed(soadns: Soadns) -> None:
    """And started again."""
    first = soadns.worker(0)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: soadns.worker(0) != first, within=10)
    time.sleep(2.0)


def workers_replaced(soadns: Soadns) -> None:
    """Each by a successor that answers before it stops."""
    before = [soadns.worker(0), soadns.worker(1)]
    soadns.process.signal(signal.SIGUSR1)
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), within=20)


if __name__ == "__main__":
    sys.exit(main())
