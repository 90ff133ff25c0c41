"""The clock that says when the machine stood still."""

from __future__ import annotations

import os
import signal
import time

from tests.stalls import Machine, Stood


def test_what_stands_still_is_noted_with_its_time() -> None:
    with Machine() as machine:
        time.sleep(0.05)
        began = time.time()
        os.kill(machine.pid, signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(machine.pid, signal.SIGCONT)
        ended = time.time()
        time.sleep(0.05)
    stood = machine.outcome
    assert stood.longest_ms >= 290
    assert stood.during(began, ended) >= 0.29
    assert stood.during(began, began + 0.2) >= 0.19


def test_time_counts_once_however_many_cores_stood_still() -> None:
    stood = Stood([[10.0, 11.0], [10.5, 12.0], [10.6, 10.7], [20.0, 21.0]])
    assert stood.during(0.0, 30.0) == 3.0
    assert stood.during(10.5, 20.5) == 2.0
    assert stood.during(12.0, 20.0) == 0.0
    assert stood.longest_ms == 1500.0
    assert Stood().longest_ms == 0.0
