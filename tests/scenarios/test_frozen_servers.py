"""Servers that neither die nor answer. A frozen ZooKeeper expires everybody when it wakes."""

from __future__ import annotations

import time

from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import eventually, frozen
from tests.scenarios.stage.soadns import Callers
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import ZooKeeper

SESSION_S = 3.0
NAMES = [f"com.alipay.mass.Service{i:02d}" for i in range(25)]


def test_a_zookeeper_that_wakes_and_expires_every_session(stage: Stage, zookeeper_server: ZooKeeper) -> None:
    """The storm that empties registries: all at once every provider is gone, and none of them is."""
    soadns = stage.soadns()
    user = stage.service("user")
    stage.session_s = SESSION_S
    pods = [stage.pod(user) for _ in range(2)]
    for pod in pods:
        pod.registers(*NAMES)
    machines = [stage.machine() for _ in range(2)]
    for machine in machines:
        machine.registers("com.alipay.legacy.OldService")
    soadns.answers(NAMES[-1], user.cluster_ip)
    soadns.answers("com.alipay.legacy.OldService", *(machine.host for machine in machines))

    with Callers(soadns, NAMES[0]) as callers, Callers(soadns, "com.alipay.legacy.OldService") as old_callers:
        expired = False
        for _ in range(8):  # whether the server looks for the dead first is a matter of luck, mostly good
            with frozen(zookeeper_server.process):
                assert eventually(lambda: soadns.logged("source-trouble", "connection lost"), within=30)
                time.sleep(SESSION_S + 1.0)
                soadns.answers(NAMES[-1], user.cluster_ip)
            assert eventually(lambda: "zookeeper/main/dubbo" not in soadns.http("/readyz")[1], within=60)
            expired = bool(eventually(lambda: soadns.explain(NAMES[0])["providerCount"] == 0, within=1.0))
            for pod in (*pods, *machines):  # Dubbo registers again, late
                pod.registers_again()
            if expired:
                break  # else the pods were back before it looked for the dead
        assert expired
        assert eventually(lambda: soadns.explain(NAMES[-1])["providerCount"] == 2, within=60)
        soadns.answers(NAMES[-1], user.cluster_ip)
        soadns.answers("com.alipay.legacy.OldService", *(machine.host for machine in machines))
    assert not callers.unharmed
    assert not old_callers.unharmed
    assert not soadns.logged("event=transition", "after=nothing")


def test_a_frozen_api_server_holds_nobody_up(stage: Stage, api_server: ApiServer) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(NAMES[0])
    soadns.answers(NAMES[0], user.cluster_ip)

    with frozen(api_server.process):
        with Callers(soadns, NAMES[0]) as callers:
            pod.registers(NAMES[1])  # what ZooKeeper says is still heard
            soadns.answers(NAMES[1], user.cluster_ip)
            assert soadns.http("/readyz")[0] == 200
        assert not callers.unharmed
        assert soadns.stop() == 0
        soadns.start()  # from the snapshot: the cluster does not say who it is, nor anything else
        soadns.answers(NAMES[1], user.cluster_ip)
    account = stage.service("account")
    stage.pod(account).registers(NAMES[2])
    soadns.answers(NAMES[2], account.cluster_ip, within=60)
