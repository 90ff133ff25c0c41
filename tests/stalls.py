"""When the machine itself stood still, beside what a test measures: a clock for each core, in a process of its own.

How long somebody waited says something of who was asked only for the time in which there was a processor. A machine
that shares its cores with others stands still now and then, for a second even; whoever is asked meanwhile has done
nothing wrong. ``python -m tests.stalls`` looks on until its standard input ends, and prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field

from tests.crowd import Callers

EVERY_S = 0.01
LEAST_S = 0.05
"""Who sleeps and is woken so much later had no processor. Who only has to share one gets it much sooner: the scheduler
prefers whoever has slept."""


@dataclass(frozen=True)
class Stood:
    """When cores stood still: beginning and end of each time, in seconds of the system's clock."""

    stalls: list[list[float]] = field(default_factory=list)

    @property
    def longest_ms(self) -> float:
        """The longest time."""
        return 1000 * max((end - begin for begin, end in self.stalls), default=0.0)

    def during(self, begin: float, end: float) -> float:
        """For how many seconds of a time some core stood still."""
        stood, until = 0.0, begin
        for came, went in sorted(self.stalls):
            stood += max(0.0, min(went, end) - max(came, until))
            until = max(until, went)
        return stood


class Machine(Callers[Stood]):
    """A context: it looks on as long as that lasts; ``outcome`` tells afterwards."""

    def __init__(self) -> None:
        super().__init__("tests.stalls", Stood)


def _look_on(core: int, over: threading.Event, stalls: list[list[float]]) -> None:
    os.sched_setaffinity(0, {core})  # of this thread
    while not over.is_set():
        before = time.time()
        time.sleep(EVERY_S)
        after = time.time()
        if after - before - EVERY_S > LEAST_S:
            stalls.append([before, after])


def main() -> None:
    """Look on until the end of standard input."""
    over, stalls = threading.Event(), list[list[float]]()
    threads = [
        threading.Thread(target=_look_on, args=(core, over, stalls)) for core in os.sched_getaffinity(0)
    ]
    for each in threads:
        each.start()
    print("asking", flush=True)
    sys.stdin.read()
    over.set()
    for each in threads:
        each.join()
    print(json.dumps({"stalls": stalls}))


if __name__ == "__main__":
    main()
