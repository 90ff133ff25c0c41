"""10,000 questions a second, and whoever dies, hangs or is replaced meanwhile: no caller is left without an answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from soadns.nameserver.datagrams import BATCH
from soadns.processes.supervisor import SupervisorSettings
from tests.crowd import Crowd
from tests.scenarios.stage import shop
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.stalls import Machine

pytestmark = pytest.mark.alone

RATE = 10_000
INTERFACES = 1_000
HUNG_S = SupervisorSettings(listen=(), control=()).hung_s
LAMEDUCK_S = 4
PATIENCE_S = 5.0
"""Of callers, as of resolvers: longer than anybody waits who is answered at last. So a question that is repeated was
lost, and no answer was only late."""


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soadns]:
    """One soadns with two workers that outlives what the stories do to it, which is the point."""
    folder = tmp_path_factory.mktemp("load")
    shop.write(folder / "shop", INTERFACES)
    soadns = Soadns(folder / "soadns", {"static": [{"name": "shop", "paths": [str(folder / "shop")]}]})
    soadns.write_config(
        nameserver=soadns.settings["nameserver"] | {"workers": 2, "lameduck": f"{LAMEDUCK_S}s"}
    )
    soadns.start()
    yield soadns
    if soadns.process.running:
        soadns.stop()


@pytest.fixture
def soadns(lasting: Soadns) -> Soadns:
    """The same with everything up."""
    lasting.wait_ready()
    assert eventually(
        lambda: "2 of 2 workers" in lasting.http("/livez", port=lasting.livez_port)[1], within=10
    )
    return lasting


def crowd(soadns: Soadns) -> Crowd:
    """Callers of a hundred interfaces."""
    names = [f"com.alipay.shop{i % 10}.facade.Service{i}.{ZONE}" for i in range(100)]
    return Crowd(soadns.port, *names, rate=RATE, patience=PATIENCE_S)


def slowest_ms(callers: Crowd, machine: Machine) -> float:
    """How long somebody waited for an answer whose question was not lost, without what a machine that stood still has
    added: all of that time, and as much again for the questions that had piled up by its end, which come at no more
    than half of the rate at which they can be answered."""
    return callers.outcome.slowest_once - 2 * machine.outcome.longest_ms


def test_control_is_killed(soadns: Soadns) -> None:
    with crowd(soadns) as callers:
        first = soadns.child("_control")
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: soadns.child("_control") not in (0, first), within=10)
        soadns.wait_ready()
        time.sleep(1.0)  # it replaces the table of the workers
    assert not callers.outcome.unharmed
    assert not callers.outcome.repeated


def test_control_is_stopped_until_it_is_replaced(soadns: Soadns) -> None:
    """Which takes half a minute of silence: it may work on something long."""
    control = soadns.child("_control")
    with Machine() as machine, crowd(soadns) as callers:
        os.kill(control, signal.SIGSTOP)
        time.sleep(HUNG_S - 2.0)
        assert soadns.child("_control") == control
        assert eventually(lambda: soadns.child("_control") not in (0, control), within=20.0)
        soadns.wait_ready()
        time.sleep(1.0)
    assert not callers.outcome.unharmed
    assert not callers.outcome.repeated
    assert slowest_ms(callers, machine) < 1_000


def test_control_is_stopped_and_a_worker_is_killed_meanwhile(soadns: Soadns) -> None:
    control, worker = soadns.child("_control"), soadns.worker(0)
    with Machine() as machine, crowd(soadns) as callers:
        time.sleep(0.5)
        os.kill(control, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(worker, signal.SIGKILL)
        assert eventually(lambda: soadns.worker(0) != worker, within=5)
        time.sleep(2.0)
        os.kill(control, signal.SIGCONT)
        time.sleep(0.5)
    assert soadns.child("_control") == control, "it was not replaced: who was killed needed nothing of it"
    assert not callers.outcome.unharmed
    # The batch that the worker had in hands when it was killed.
    assert callers.outcome.repeated <= BATCH, "what it was about to answer, as docs/architecture.md says"
    assert slowest_ms(callers, machine) < 1_500


def test_a_worker_is_stopped_while_control_is_too(soadns: Soadns) -> None:
    """The questions to it wait in its socket until a successor has taken over, which takes less than a second."""
    control, worker = soadns.child("_control"), soadns.worker(1)
    with Machine() as machine, crowd(soadns) as callers:
        time.sleep(0.5)
        os.kill(control, signal.SIGSTOP)
        stopped = time.monotonic()
        os.kill(worker, signal.SIGSTOP)
        assert eventually(lambda: soadns.worker(1) != worker, within=5)
        replaced = time.monotonic() - stopped
        until = time.time()
        time.sleep(2.0)
        os.kill(control, signal.SIGCONT)
    assert soadns.logged("stuck", "worker-1", f"pid={worker}")
    assert replaced - machine.outcome.during(until - replaced, until) < 0.8
    assert not callers.outcome.unharmed
    assert callers.outcome.repeated <= BATCH, "what it was about to answer, as docs/architecture.md says"
    assert slowest_ms(callers, machine) < 1_500


def test_workers_are_replaced_one_after_another(soadns: Soadns) -> None:
    before = [soadns.worker(0), soadns.worker(1)]
    with Machine() as machine, crowd(soadns) as callers:
        time.sleep(0.5)
        soadns.process.signal(signal.SIGUSR1)
        gone = eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), within=15)
        assert gone
        time.sleep(0.5)
    assert not {soadns.worker(0), soadns.worker(1)} & set(before)
    assert not callers.outcome.unharmed
    assert not callers.outcome.repeated
    assert slowest_ms(callers, machine) < 500, "nobody waits for a worker to start"


def test_the_configuration_is_read_again(soadns: Soadns) -> None:
    before = [soadns.worker(0), soadns.worker(1)]
    with crowd(soadns) as callers:
        time.sleep(0.5)
        control = soadns.child("_control")
        soadns.process.signal(signal.SIGHUP)
        assert eventually(lambda: soadns.child("_control") not in (0, control), within=10)
        soadns.wait_ready()
        time.sleep(1.0)
    assert [soadns.worker(0), soadns.worker(1)] == before
    assert not callers.outcome.unharmed
    assert not callers.outcome.repeated


def test_many_names_change_at_once(soadns: Soadns) -> None:
    folder = Path(soadns.settings["static"][0]["paths"][0])
    with crowd(soadns) as callers:
        time.sleep(0.5)
        shop.write(folder, 3 * INTERFACES)
        soadns.answers(f"com.alipay.shop9.facade.Service{3 * INTERFACES - 1}", "10.96.2.9", within=20)
    assert not callers.outcome.unharmed
    assert not callers.outcome.repeated
    # That every worker shares the load is to be seen in the metrics, and how long answering took.
    shares = [soadns.metric(f'soadns_worker_requests_total{{proto="udp",worker="{i}"}}') for i in (0, 1)]
    assert min(shares) > 1_000
    assert soadns.metric('soadns_dns_request_duration_seconds_count{zone="rpc.cluster.local"}') > 10
    assert soadns.metric('soadns_worker_overflowed_total{worker="0"}') == 0


def test_told_to_stop_it_says_so_answers_on_for_a_while_and_answers_everybody(soadns: Soadns) -> None:
    """The last story: load balancers and CoreDNS look elsewhere in the meantime."""
    with crowd(soadns) as callers:
        time.sleep(0.5)
        soadns.process.signal(signal.SIGTERM)
        told = time.monotonic()
        assert eventually(lambda: soadns.http("/readyz")[0] == 503, within=LAMEDUCK_S / 2)
        assert "stopping" in soadns.http("/readyz")[1]
        time.sleep(max(0.0, told + LAMEDUCK_S / 2 - time.monotonic()))
        soadns.answers("com.alipay.shop1.facade.Service1", "10.96.2.1", within=0)
    assert not callers.outcome.unharmed
    assert soadns.process.stop() == 0
