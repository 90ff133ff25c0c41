"""Callers over TCP while workers are replaced, die, and are told to stop: no question goes without its answer.

Some take a connection for each question, as NodeLocal DNSCache does; others keep connections and ask one question after
another. A server may end a connection between two questions (RFC 7766 6.2.4), by FIN; no worker that ends in order does
so with a question under way.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crowd import question
from tests.scenarios.stage import shop
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.tcp_crowd import TcpCrowd

pytestmark = pytest.mark.alone

RATE = 400
"""Questions a second of each kind of callers."""
KEPT = 8
"""Kept connections: each is asked every 20 ms, and begun anew every second."""
LAMEDUCK_S = 3
"""Long enough for callers that come when it was told to stop, and stay until it ends."""
PAUSE_S = 0.005
"""Of a caller between connection and question: a round trip."""


@pytest.fixture
def soadns(tmp_path: Path) -> Iterator[Soadns]:
    """Two workers."""
    shop.write(tmp_path / "shop", 100)
    soadns = Soadns(tmp_path / "soadns", {"static": [{"name": "shop", "paths": [str(tmp_path / "shop")]}]})
    soadns.write_config(
        nameserver=soadns.settings["nameserver"] | {"workers": 2, "lameduck": f"{LAMEDUCK_S}s"}
    )
    try:
        soadns.start()
        yield soadns
    finally:
        if soadns.process.running:
            soadns.stop()


@contextmanager
def crowds(soadns: Soadns) -> Iterator[tuple[TcpCrowd, TcpCrowd]]:
    """Callers with a connection for each question, and callers that keep theirs."""
    names = [f"com.alipay.shop{i % 10}.facade.Service{i}.{ZONE}" for i in range(100)]
    single = TcpCrowd(soadns.port, *names, rate=RATE, pause=PAUSE_S)
    keeping = TcpCrowd(soadns.port, *names, rate=RATE, kept=KEPT, pause=PAUSE_S)
    with single, keeping:
        yield single, keeping


def test_workers_are_replaced_one_after_another(soadns: Soadns) -> None:
    before = [soadns.worker(0), soadns.worker(1)]
    with crowds(soadns) as (single, keeping):
        time.sleep(0.5)
        soadns.process.signal(signal.SIGUSR1)
        assert eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), within=20)
        time.sleep(0.5)
    assert not {soadns.worker(0), soadns.worker(1)} & set(before)
    assert not single.outcome.unharmed
    assert not keeping.outcome.unharmed
    assert keeping.outcome.closed, "some connections were between two questions"


def test_a_worker_is_killed(soadns: Soadns) -> None:
    """What it had accepted ends with it, in the middle of a question or not; whoever asks again is answered."""
    first = soadns.worker(0)
    with crowds(soadns) as (single, keeping):
        time.sleep(0.5)
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: soadns.worker(0) != first, within=5)
        time.sleep(0.5)
    for outcome in (single.outcome, keeping.outcome):
        assert outcome.asked
        assert (outcome.lost, outcome.bad, outcome.refused, outcome.silent) == (0, 0, 0, 0), outcome


def test_told_to_stop_it_answers_on_and_ends_kept_connections_between_two_questions(soadns: Soadns) -> None:
    with crowds(soadns) as (single, keeping):
        time.sleep(0.3)
        soadns.process.signal(signal.SIGTERM)
        time.sleep(0.3)
    assert not single.outcome.unharmed
    assert not keeping.outcome.unharmed
    # These ask on to the end, and do not come back.
    kept = [socket.create_connection(("127.0.0.1", soadns.port), timeout=5.0) for _ in range(KEPT)]
    answered = [0] * KEPT
    while kept:
        for number, caller in enumerate(list(kept)):
            if ended(caller):
                caller.close()
                kept.remove(caller)
                continue
            caller.sendall(len(QUESTION).to_bytes(2) + QUESTION)
            assert caller.recv(4096), f"FIN instead of an answer, after {answered[number]} of them"
            answered[number] += 1
        time.sleep(0.02)
    assert min(answered) > 1
    with pytest.raises(ConnectionRefusedError):
        # Before all processes have ended: nobody is left waiting in a queue that nobody reads.
        socket.create_connection(("127.0.0.1", soadns.port))
    assert soadns.process.stop() == 0


QUESTION = b"\0\x07" + question(f"com.alipay.shop1.facade.Service1.{ZONE}")


def ended(caller: socket.socket) -> bool:
    """Whether FIN has come; RST is an error."""
    caller.setblocking(False)
    try:
        return not caller.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        caller.settimeout(5.0)
