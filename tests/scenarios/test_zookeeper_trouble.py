"""ZooKeeper dies and comes back, sessions expire, half of the registry vanishes: no name goes that is in use."""

from __future__ import annotations

import os
import signal
import time

from kazoo.client import KazooClient

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Callers
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import ZooKeeper, close

MASS = {"linger": "3s", "settle": "200ms", "recreateGrace": "500ms", "unready": "3s"}
"""What vanishes at once is all seen to before the first of it goes."""
BOUND = 'soadns_interfaces{state="bound",zone="rpc.cluster.local"}'
HELD = 'soadns_guard_held{source="zookeeper/main/dubbo",zone="rpc.cluster.local"}'
USER, ADDRESS = "com.alipay.user.UserService", "com.alipay.user.AddressService"


def test_zookeeper_killed_and_restarted(stage: Stage, zookeeper_server: ZooKeeper) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)

    with Callers(soadns, USER) as callers:
        zookeeper_server.kill()
        assert eventually(lambda: soadns.logged("source-trouble", "connection lost"), within=30)
        assert eventually(lambda: "stale: zookeeper/main/dubbo" in soadns.http("/readyz")[1], within=5)
        assert soadns.http("/readyz")[0] == 200  # ready once, ready always
        soadns.keeps_answering(USER, user.cluster_ip, seconds=4.0)  # longer than the linger of 3 s
        assert soadns.explain(USER)["flags"] == ["stale"]
        zookeeper_server.start()
        assert eventually(lambda: "stale" not in soadns.http("/readyz")[1], within=60)
        soadns.answers(USER, user.cluster_ip)
    assert not callers.unharmed

    # What is registered from now on is seen at once: the watches are armed again.
    stage.pod(account).registers("com.alipay.user.AccountService")
    soadns.answers("com.alipay.user.AccountService", account.cluster_ip)


def test_what_changed_while_soadns_had_no_session_is_seen_when_it_is_back(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    pod = stage.pod(user)
    pod.registers(USER, ADDRESS)
    soadns.answers(ADDRESS, user.cluster_ip)

    control = soadns.child("_control")
    os.kill(control, signal.SIGSTOP)  # soadns sees nothing for longer than its session lasts
    pod.unregisters(ADDRESS)
    stage.pod(account).registers("com.alipay.user.NewService")
    time.sleep(3.0)
    os.kill(control, signal.SIGCONT)

    soadns.answers("com.alipay.user.NewService", account.cluster_ip, within=20)
    soadns.says(ADDRESS, "NXDOMAIN", within=20)  # after its linger
    soadns.answers(USER, user.cluster_ip)


def test_expired_sessions_of_living_pods_cost_nothing(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    pods = [stage.pod(user) for _ in range(2)]
    for pod in pods:
        pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)

    with Callers(soadns, USER) as callers:
        for pod in pods:
            pod.session_expires()
        assert eventually(lambda: not soadns.explain(USER)["providerCount"], within=10)
        soadns.keeps_answering(
            USER, user.cluster_ip, seconds=5.0
        )  # linger 3 s: what a ready address had, it keeps
        again = stage.process(pods[0].host, user.port, user.name)
        again.registers(USER)
        assert eventually(lambda: soadns.explain(USER)["providerCount"] == 1, within=10)
        soadns.keeps_answering(USER, user.cluster_ip, seconds=1.0)
    assert not callers.unharmed


def test_half_of_the_registry_gone_at_once_is_held_until_it_is_released(stage: Stage) -> None:
    soadns = stage.soadns(binding=MASS)
    names = [f"com.alipay.mass.Service{i:02d}" for i in range(60)]
    services = [stage.service(f"mass-{i}") for i in range(2)]
    pods = [stage.pod(service) for service in services]
    for index, pod in enumerate(pods):
        pod.registers(*names[index * 30 : index * 30 + 30])
    assert eventually(lambda: soadns.metric(BOUND) == 60, within=30)
    soadns.answers(names[59], services[1].cluster_ip)

    # The second application's pod is unready and its provider nodes go: half of all names.
    services[1].endpoint(pods[1].host, ready=False)
    pods[1].close()
    assert eventually(lambda: soadns.metric(HELD) == 30, within=30), soadns.cli("list", "--sources")[1]
    soadns.keeps_answering(names[59], services[1].cluster_ip, seconds=2.0)
    soadns.answers(names[0], services[0].cluster_ip)
    assert names[30] in soadns.cli("list", "--held")[1]
    assert "soadns release zookeeper/main/dubbo" in soadns.cli("list", "--sources")[1]

    status, text = soadns.cli("release", "zookeeper/main/dubbo")
    assert status == 0, text
    soadns.says(names[59], "NXDOMAIN", within=30)
    soadns.answers(names[0], services[0].cluster_ip)


def test_a_held_removal_ends_when_the_evidence_returns(stage: Stage) -> None:
    soadns = stage.soadns(binding=MASS)
    names = [f"com.alipay.mass.Service{i:02d}" for i in range(30)]
    service = stage.service("mass")
    pod = stage.pod(service)
    pod.registers(*names)
    assert eventually(lambda: soadns.metric(BOUND) == 30, within=30)
    soadns.answers(names[29], service.cluster_ip)
    service.endpoint(pod.host, ready=False)
    pod.close()
    assert eventually(lambda: soadns.metric(HELD) == 30, within=30)
    soadns.answers(names[29], service.cluster_ip)

    stage.pod(service).registers(*names)
    assert eventually(lambda: soadns.metric(HELD) == 0, within=60)
    soadns.answers(names[29], service.cluster_ip)


def test_a_root_that_can_not_be_read_is_trouble_and_no_proof(
    stage: Stage, zookeeper_server: ZooKeeper
) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    client: KazooClient = zookeeper_server.client(stage.chroot)
    try:
        client.delete("/dubbo", recursive=True)  # somebody's slip: the whole registry
        assert eventually(lambda: soadns.logged("source-trouble", "/dubbo does not exist"), within=30)
        soadns.keeps_answering(USER, user.cluster_ip, seconds=4.0)
        client.ensure_path("/dubbo")
    finally:
        close(client)
    stage.process("10.244.9.9", 20880, "new").registers("com.alipay.user.NewService")
    soadns.answers("com.alipay.user.NewService", "10.244.9.9", within=30)


def test_a_service_without_any_endpoint_corroborates_a_mass_removal(stage: Stage) -> None:
    soadns = stage.soadns(binding=MASS)
    names = [f"com.alipay.mass.Service{i:02d}" for i in range(30)]
    service = stage.service("mass")
    pod = stage.pod(service)
    pod.registers(*names)
    assert eventually(lambda: soadns.metric(BOUND) == 30, within=30)
    soadns.answers(names[29], service.cluster_ip)

    pod.unregisters()
    service.without(pod.host)  # undeployed on purpose: not one address is left

    soadns.says(names[29], "NXDOMAIN", within=30)
    assert eventually(lambda: soadns.metric(BOUND) == 0, within=30)
    assert soadns.metric(HELD) == 0
