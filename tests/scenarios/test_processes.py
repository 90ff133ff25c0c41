"""Control dies or hangs, a worker dies or hangs, soadns is told to stop: callers notice as little as can be."""

from __future__ import annotations

import os
import signal
import time

from tests.scenarios.stage.process import eventually, lives
from tests.scenarios.stage.soadns import Callers
from tests.scenarios.stage.stage import Stage

USER = "com.alipay.user.UserService"


def test_control_killed_while_queries_run(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    with Callers(soadns, USER) as callers, Callers(soadns, USER, tcp=True) as connected:
        first = soadns.child("_control")
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: soadns.child("_control") not in (0, first), within=10)
        soadns.wait_ready()
        stage.pod(account).registers("com.alipay.user.AccountService")
        soadns.answers("com.alipay.user.AccountService", account.cluster_ip, within=20)
    assert not callers.unharmed
    assert not connected.unharmed
    assert callers.asked > 100


def test_control_stopped_while_queries_run(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    with Callers(soadns, USER) as callers, Callers(soadns, USER, tcp=True) as connected:
        control = soadns.child("_control")
        os.kill(control, signal.SIGSTOP)
        stage.pod(account).registers("com.alipay.user.AccountService")
        time.sleep(5.0)
        soadns.says("com.alipay.user.AccountService", "NXDOMAIN")  # nobody could learn of it
        assert (
            soadns.http("/livez", port=soadns.livez_port)[0] == 200
        )  # the supervisor answers, workers are alive
        os.kill(control, signal.SIGCONT)
        soadns.answers("com.alipay.user.AccountService", account.cluster_ip, within=20)
    assert not callers.unharmed
    assert not connected.unharmed


def test_a_killed_worker_is_replaced_behind_the_same_socket(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    with Callers(soadns, USER) as callers:
        first = soadns.worker()
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: soadns.worker() not in (0, first), within=10)
        time.sleep(2.0)
        soadns.answers(USER, user.cluster_ip)
    assert callers.lost <= 1, callers.unharmed  # the one packet that the dead worker had taken
    assert not callers.refused


def test_a_worker_that_hangs_is_replaced(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)
    first = soadns.worker()

    os.kill(first, signal.SIGSTOP)
    assert eventually(lambda: soadns.worker() not in (0, first), within=30)
    assert soadns.logged("stuck", "worker-0")
    soadns.answers(USER, user.cluster_ip)
    assert eventually(lambda: soadns.http("/livez", port=soadns.livez_port)[0] == 200, within=10)


def test_sigterm_ends_everything_and_leaves_nothing(stage: Stage) -> None:
    soadns = stage.soadns()
    children = [soadns.child("_control"), soadns.worker()]
    assert all(children)
    assert soadns.stop() == 0
    assert not soadns.logged("event=killed"), "each ended by itself"
    assert not any(map(lives, children))


def test_children_end_with_a_killed_supervisor(stage: Stage) -> None:
    soadns = stage.soadns()
    children = [soadns.child("_control"), soadns.worker()]
    assert all(children)
    soadns.process.kill()
    assert eventually(lambda: not any(map(lives, children)), within=30)
