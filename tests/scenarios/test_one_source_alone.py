"""ZooKeeper alone, Kubernetes alone, files alone: each is a configuration people run."""

from __future__ import annotations

import json

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import QUICK, Stage

USER = "com.alipay.user.UserService"


def test_zookeeper_alone_answers_with_the_providers_own_addresses(registry_stage: Stage) -> None:
    soadns = registry_stage.soadns(binding=QUICK | {"linger": "8s"})
    machines = [registry_stage.machine() for _ in range(4)]
    for machine in machines:
        machine.registers(USER)
    hosts = [machine.host for machine in machines]
    soadns.answers(USER, *hosts)

    machines[0].unregisters()
    soadns.answers(USER, *hosts[1:])  # three of four remain: it leaves at once
    machines[1].unregisters()
    soadns.answers(USER, *hosts[2:])  # two of four: still at least half of those seen lately
    machines[2].unregisters()
    machines[3].unregisters()
    # None is left: those of the last minute, for the linger.
    soadns.keeps_answering(USER, *hosts, seconds=2.0)
    soadns.says(USER, "NXDOMAIN", within=30)


def test_providers_that_are_switched_off_are_no_answer(registry_stage: Stage) -> None:
    soadns = registry_stage.soadns()
    good, off, overridden, named = (registry_stage.machine() for _ in range(4))
    good.registers(USER)
    off.registers(USER, enabled="false")
    overridden.registers(USER)
    named.host = "crm-0.example"
    named.registers(USER)
    soadns.answers(USER, good.host, overridden.host)

    rule = f"override%3A%2F%2F{overridden.host}%3A20880%2F{USER}%3Fdisabled%3Dtrue%26dynamic%3Dfalse"
    good.registers_leaf("rule", f"/dubbo/{USER}/configurators", rule)
    soadns.answers(USER, good.host)
    good.unregisters("rule")
    soadns.answers(USER, good.host, overridden.host)


def test_a_bad_provider_url_is_rejected_alone(registry_stage: Stage) -> None:
    soadns = registry_stage.soadns()
    machine = registry_stage.machine()
    machine.registers(USER)
    machine.registers_leaf(
        "bad", f"/dubbo/{USER}/providers", f"dubbo%3A%2F%2F10.0.0.1%3Anoport%2F{USER}%3Fside%3Dprovider"
    )
    soadns.answers(USER, machine.host)
    assert eventually(lambda: len(soadns.explain(USER)["rejected"]) == 1, within=20)
    [rejected] = soadns.explain(USER)["rejected"]
    assert rejected["reason"] == "bad-port"
    assert soadns.metric('soadns_rejected_total{reason="bad-port",source="zookeeper/main/dubbo"}') == 1


def test_kubernetes_alone_answers_what_is_declared(cluster_stage: Stage) -> None:
    soadns = cluster_stage.soadns()
    risk = cluster_stage.service("risk", port=12201, endpoints=1)
    soadns.says("com.alipay.risk.RiskService", "NXDOMAIN")
    risk.annotate(interfaces="com.alipay.risk.RiskService, blue/com.alipay.risk.ScoreService:2.0")
    soadns.answers("com.alipay.risk.RiskService", risk.cluster_ip)
    soadns.answers("com.alipay.risk.ScoreService--g-blue--v-2-0", risk.cluster_ip)
    soadns.answers("_tcp._tcp.com.alipay.risk.RiskService",
                   "0 100 12201 com.alipay.risk.RiskService.rpc.cluster.local.", kind="SRV")  # fmt: skip

    risk.annotate(interfaces="com.alipay.risk.ScoreService")
    soadns.answers("com.alipay.risk.ScoreService", risk.cluster_ip)
    soadns.says("com.alipay.risk.RiskService", "NXDOMAIN", within=15)  # after its linger


def test_files_alone_follow_every_edit_and_survive_a_broken_one(registry_stage: Stage) -> None:
    folder = registry_stage.folder / "files"
    folder.mkdir()
    document = {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "risk", "namespace": "risk", "annotations": {"soadns.io/interfaces": USER}},
        "spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"], "ports": [{"port": 12201}]},
    }  # fmt: skip
    file = folder / "risk.yaml"

    def write(text: str) -> None:
        """All at once: a file that is empty for a moment says that there is nothing."""
        fresh = registry_stage.folder / "fresh"
        fresh.write_text(text)
        fresh.replace(file)

    write(json.dumps(document))
    soadns = registry_stage.soadns(zookeeper=[], static=[{"name": "files", "paths": [str(folder)]}])
    soadns.answers(USER, "10.96.7.7")

    document["spec"]["clusterIPs"] = (document["spec"]["clusterIP"],) = ["10.96.7.8"]
    write(json.dumps(document))
    soadns.answers(USER, "10.96.7.8")

    write("kind: Service\nmetadata: {name: [")
    assert eventually(lambda: soadns.logged("source-trouble", "risk.yaml line 3"), within=20)
    soadns.keeps_answering(USER, "10.96.7.8", seconds=1.0)

    file.unlink()
    soadns.says(USER, "NXDOMAIN")  # files are edited on purpose: no linger
