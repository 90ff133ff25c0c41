"""Which process is replaced, and when: by real processes that work, sleep or are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from soadns.processes.children import BACKOFF_S, STEADY_S, Post, Process, Seat
from soadns.processes.supervisor import Supervisor, SupervisorSettings
from tests.unit.waiting import before_long

WORKS = "while True: pass"
SLEEPS = "import time; time.sleep(60)"
NOW = 1_000.0


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """One that runs nothing: it is only asked."""
    found = Supervisor(SupervisorSettings((), control=(), workers=1), log=lambda line: None)
    yield found
    found.close()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        process.kill()
        process.wait()


SILENCE = [
    # what a worker does, for how long it has answered nothing (- : it never did), is it replaced
    (WORKS, "R", 0.6, False),
    (WORKS, "R", 4.9, False),
    (WORKS, "R", 5.1, True),
    (SLEEPS, "S", 0.3, False),
    (SLEEPS, "S", 0.6, True),
    (SLEEPS, "T", 0.3, False),
    (SLEEPS, "T", 0.6, True),
    (SLEEPS, "S", None, False),
    (WORKS, "R", None, False),
    (SLEEPS, "T", None, True),
]


@pytest.mark.parametrize(("code", "state", "silent", "replaced"), SILENCE)
def test_a_worker_that_can_run_and_does_not_answer_is_replaced_sooner_than_one_that_is_slow(
    supervisor: Supervisor,
    started: list[subprocess.Popen[bytes]],
    code: str,
    state: str,
    silent: float | None,
    replaced: bool,
) -> None:
    [post] = supervisor._workers
    popen = subprocess.Popen([sys.executable, "-S", "-c", code])
    started.append(popen)
    process = Process(popen, post.seats[0], NOW - 60)
    if state == "T":
        os.kill(popen.pid, signal.SIGSTOP)
    before_long(lambda: process.state() == state)
    if silent is not None:
        process.last_sign = NOW - silent
    post.processes.append(process)
    supervisor._judge(post, process, NOW)
    assert process.killed == replaced


def test_who_was_heard_while_nobody_looked_was_not_heard_in_the_future(
    supervisor: Supervisor, started: list[subprocess.Popen[bytes]]
) -> None:
    """A supervisor that did not run for a while takes that off everybody's silence, and no more."""
    [post] = supervisor._workers
    popen = subprocess.Popen([sys.executable, "-S", "-c", SLEEPS])
    started.append(popen)
    now = time.monotonic()
    process = Process(popen, post.seats[0], now - 60, last_sign=now - 0.2)
    post.processes.append(process)
    supervisor._forgive(0.1, now)
    assert process.last_sign == pytest.approx(now - 0.1)
    supervisor._forgive(5.0, now)
    assert process.last_sign == now
    assert process.started == pytest.approx(now - 54.9)
    assert "last sign -" not in supervisor._report()[1]


def test_who_fails_again_and_again_waits_longer_and_longer_until_it_has_run_for_a_while() -> None:
    post = Post("control", [])
    waits = []
    for _ in range(7):
        post.back_off(NOW - 1, NOW)
        waits.append(post.again_at - NOW)
    assert waits == pytest.approx([*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]])
    post.back_off(NOW - STEADY_S - 1, NOW)
    assert post.again_at == NOW


def test_a_worker_is_followed_on_its_other_seat_and_control_only_when_it_has_ended(
    started: list[subprocess.Popen[bytes]],
) -> None:
    seats = [Seat(lambda: False, ([sys.executable, "-S", "-c", SLEEPS], [])) for _ in range(2)]
    for post in (Post("worker-0", seats), Post("control", seats[:1])):
        seat = post.vacant(NOW)
        assert seat is seats[0]
        first = post.start(seat, NOW)
        started.append(first.popen)
        assert post.vacant(NOW) is None
        first.kill()
        assert post.vacant(NOW) is (seats[1] if post.name == "worker-0" else None)
        first.popen.wait()
        post.ended(first, NOW, on_purpose=False)
        assert post.vacant(NOW) is seats[0]


def test_a_worker_that_is_renewed_stays_until_its_successor_is_there(
    started: list[subprocess.Popen[bytes]],
) -> None:
    seats = [Seat(lambda: False, ([sys.executable, "-S", "-c", SLEEPS], [])) for _ in range(2)]
    post = Post("worker-0", seats)
    old = post.start(seats[0], NOW)
    started.append(old.popen)
    post.renewed = True
    assert post.vacant(NOW) is seats[1]
    new = post.start(seats[1], NOW)
    started.append(new.popen)
    assert (post.serving, post.successor, post.vacant(NOW)) == (old, new, None)
    # The successor dies: another one is tried, and the first serves on.
    new.popen.kill()
    new.popen.wait()
    post.ended(new, NOW, on_purpose=False)
    assert (post.serving, post.vacant(NOW)) == (old, seats[1])
    new = post.start(seats[1], NOW)
    started.append(new.popen)
    # The first dies by itself meanwhile: its successor is what was wanted.
    old.popen.kill()
    old.popen.wait()
    post.ended(old, NOW, on_purpose=False)
    assert (post.serving, post.successor, post.vacant(NOW + 60)) == (new, None, None)


def test_a_command_that_is_not_there_is_tried_again_later() -> None:
    seat = Seat(lambda: False, (["/nonexistent/command"], []))
    post = Post("control", [seat])
    post.failures = 2
    with pytest.raises(FileNotFoundError):
        post.start(seat, NOW)
    assert not post.processes
    assert post.vacant(NOW) is None
    assert post.vacant(NOW + 1.1) is seat
