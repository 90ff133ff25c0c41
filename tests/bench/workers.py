"""``make bench-workers``: what callers notice at 10,000 questions a second while processes die, hang and are replaced.

Control killed, control stopped for a minute, a worker killed and a worker stopped while control is stopped as well,
all workers replaced one after another; and what a worker takes in time and memory with 100,000 names. Writes
``build/bench/workers.json``. Everything runs on loopback and ends by itself.
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

from tests.crowd import Crowd
from tests.scenarios.stage import shop
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Processes die and hang under load.")
    parser.add_argument("--rate", type=int, default=10_000, help="questions a second (%(default)s)")
    parser.add_argument("--interfaces", type=int, default=10_000)
    parser.add_argument(
        "--stopped", type=float, default=60.0, help="seconds for which control hangs (%(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("build/bench/workers.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soadns-bench-") as folder:
        found = run(Path(folder), options)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    columns = ("asked", "per_second", "lost", "repeated", "median", "p99", "slowest")
    print(f"{'':34}" + "".join(f"{column:>12}" for column in columns))
    for story, outcome in found["stories"].items():
        print(f"{story:34}" + "".join(f"{outcome[column]:>12}" for column in columns))
    print(f"memory of a worker: {found['worker_mib']:.1f} MiB with {found['names']} names")
    print(f"written to {options.output}")
    return int(any(outcome["lost"] for outcome in found["stories"].values()))


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
    found: dict[str, Any] = {"rate": options.rate, "interfaces": options.interfaces, "stories": {}}
    try:
        for story, happens in stories.items():
            print(story, flush=True)
            asked_for = [f"{name}.{ZONE}" for name in names[:100]]
            with Crowd(soadns.port, *asked_for, rate=options.rate, patience=4.0) as crowd:
                time.sleep(1.0)
                happens(soadns)
                time.sleep(1.0)
            found["stories"][story] = asdict(crowd.outcome)
            soadns.wait_ready()
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


def workers_replaced(soadns: Soadns) -> None:
    """Each by a successor that answers before it stops."""
    before = [soadns.worker(0), soadns.worker(1)]
    soadns.process.signal(signal.SIGUSR1)
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), within=20)


if __name__ == "__main__":
    sys.exit(main())
