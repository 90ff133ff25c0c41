"""What happens every day: a process is restarted, a Service is rolled out, a pod's address is used again."""

from __future__ import annotations

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Callers, Soadns
from tests.scenarios.stage.stage import QUICK, Stage

USER, ADDRESS = "com.alipay.user.UserService", "com.alipay.user.AddressService"


def serial(soadns: Soadns) -> int:
    return int(soadns.dig("rpc.cluster.local.", "SOA").data[0].split()[2])


def test_a_restarted_process_changes_no_record(stage: Stage) -> None:
    """Its znode has another name each time, and both are there until the old session ends."""
    soadns = stage.soadns()
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)
    before, history = serial(soadns), soadns.explain(USER)["history"]

    with Callers(soadns, USER) as callers:
        for _ in range(3):
            again = stage.process(pod.host, pod.port, pod.application)
            again.registers(USER)
            pod.session_expires()
            pod = again
        soadns.keeps_answering(USER, user.cluster_ip, seconds=1.0)
    assert not callers.unharmed
    assert soadns.explain(USER)["providerCount"] == 1
    assert soadns.explain(USER)["history"] == history
    assert serial(soadns) == before


def test_a_rollout_pod_by_pod_keeps_the_answer(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    pods = [stage.pod(user) for _ in range(3)]
    for pod in pods:
        pod.registers(USER, ADDRESS)
    soadns.answers(USER, user.cluster_ip)
    history = soadns.explain(USER)["history"]

    with Callers(soadns, USER) as callers:
        for old in pods:
            new = stage.pod(user, ready=False)
            new.registers(USER, ADDRESS)
            user.endpoint(new.host, ready=True)
            user.endpoint(old.host, ready=False)
            old.unregisters()
            user.without(old.host)
        assert eventually(lambda: soadns.explain(USER)["candidates"][0]["addresses"] == 3, within=20)
        soadns.keeps_answering(USER, user.cluster_ip, seconds=4.0)  # longer than the linger
    assert not callers.unharmed
    assert soadns.explain(USER)["history"] == history


def test_a_version_without_the_interface_gives_it_up_when_most_pods_run_it(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    old = [stage.pod(user) for _ in range(3)]
    for pod in old:
        pod.registers(USER, ADDRESS)
    soadns.answers(ADDRESS, user.cluster_ip)

    # One pod of the new version beside three of the old: it says nothing yet.
    stage.pod(user).registers(USER)
    soadns.keeps_answering(ADDRESS, user.cluster_ip, seconds=1.0)
    # The whole Service runs it: a settled `no`. Nobody else serves the name, so it lingers and goes.
    for pod in old:
        stage.pod(user).registers(USER)
        pod.unregisters()
        user.without(pod.host)
    soadns.says(ADDRESS, "NXDOMAIN", within=20)
    soadns.keeps_answering(USER, user.cluster_ip, seconds=0.5)


def test_the_address_of_a_dead_pod_in_new_hands_is_no_evidence_for_the_newcomer(stage: Stage) -> None:
    """A crashed process's registrations outlive it by its session, and all Dubbo applications use one port."""
    # The dead one's session ends while the newcomer is new, and the name lingers for as long as it is looked at.
    soadns = stage.soadns(binding=QUICK | {"stale": "60s", "linger": "10s"})
    user, pay = stage.service("user"), stage.service("pay")
    dead, other = stage.pod(user), stage.pod(user)
    for pod in (dead, other):
        pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)

    user.without(dead.host)
    user.without(other.host)
    other.unregisters()
    pay.endpoint(dead.host)
    stage.process(dead.host, pay.port, "pay").registers("com.alipay.pay.PayService")

    soadns.answers("com.alipay.pay.PayService", pay.cluster_ip)
    left = eventually(
        lambda: soadns.explain(USER)["providers"], within=8, until=lambda providers: len(providers) == 1
    )
    assert [each["problems"] for each in left] == [["stale: another application took over its address"]]
    soadns.keeps_answering(USER, user.cluster_ip, seconds=1.0)
    dead.session_expires()
    soadns.says(USER, "NXDOMAIN", within=30)  # after its linger; never the ClusterIP of `pay`
    assert all(pay.cluster_ip not in step["to"] for step in soadns.explain(USER)["history"])
