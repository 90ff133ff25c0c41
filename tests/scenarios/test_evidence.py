"""Providers that register other addresses than their pods': what else shows whose they are, on the real API server."""

from __future__ import annotations

from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import RULES, Stage

CRM = "com.alipay.crm.CustomerService"
NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}


def test_a_provider_behind_an_external_ip(stage: Stage) -> None:
    soadns = stage.soadns()
    crm = stage.service("crm", endpoints=1, externalIPs=["192.0.2.10"])
    stage.process("192.0.2.10", 20880, "crm").registers(CRM)
    soadns.answers(CRM, crm.cluster_ip)
    assert soadns.explain(CRM)["evidenceText"].startswith("exposed")


def test_a_provider_behind_a_node_port_when_nodes_may_be_read(stage: Stage, api_server: ApiServer) -> None:
    [cluster] = stage.settings()["kubernetes"]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{stage.number}"}}
    api_server.apply(node)
    try:
        addresses = [{"type": "InternalIP", "address": "198.51.100.7"}]
        api_server.apply(node | {"status": {"addresses": addresses}}, subresource="status")
        # What providers register is what callers dial: the node port has to be the Service's port.
        ports = [{"name": "dubbo", "port": 31880, "nodePort": 31880}]
        crm = stage.service("crm", endpoints=1, type="NodePort", ports=ports)
        process = stage.process("198.51.100.7", 31880, "crm")
        process.registers(CRM)

        blind = stage.soadns(kubernetes=[cluster | {"nodes": "auto"}])  # its role says nothing of Nodes
        blind.answers(CRM, process.host)
        said = "evidence by nodePort is not available"
        assert eventually(lambda: said in blind.cli("list", "--sources")[1], within=20.0)

        api_server.grant([*RULES, NODES])
        seeing = stage.soadns(kubernetes=[cluster | {"nodes": "auto"}])
        seeing.answers(CRM, crm.cluster_ip)
    finally:
        api_server.delete(node)


def test_a_provider_of_the_application_that_a_service_says_it_runs(stage: Stage) -> None:
    soadns = stage.soadns()
    crm = stage.service("crm", endpoints=1)
    process = stage.process("203.0.113.9", 20880, "crm")  # behind NAT
    process.registers(CRM)
    other = stage.process("203.0.113.9", 12200, "crm")
    other.registers("com.alipay.crm.ReportService", dialect="sofa")
    soadns.answers(CRM, process.host)

    crm.annotate(application="crm", traffic="mesh")
    soadns.answers(CRM, crm.cluster_ip)
    soadns.keeps_answering("com.alipay.crm.ReportService", other.host, seconds=0.5)
    candidate, *_ = eventually(
        lambda: soadns.explain("com.alipay.crm.ReportService")["candidates"], within=20.0
    )
    assert (candidate["service"], candidate["verdict"]) == (crm.ref, "port mismatch")


def test_a_service_without_selector_gives_machines_a_cluster_ip(stage: Stage) -> None:
    soadns = stage.soadns()
    machines = [stage.machine() for _ in range(2)]
    for machine in machines:
        machine.registers(CRM)
    soadns.answers(CRM, *(machine.host for machine in machines))

    crm = stage.service("crm", selector=None)
    for machine in machines:
        crm.endpoint(machine.host)
    soadns.answers(CRM, crm.cluster_ip)


def test_an_external_name_is_no_address_and_says_so(cluster_stage: Stage) -> None:
    soadns = cluster_stage.soadns()
    outside = cluster_stage.service("outside", type="ExternalName", externalName="crm.example.com")
    outside.annotate(interfaces=CRM)
    soadns.says(CRM, "NXDOMAIN")
    [row] = eventually(lambda: soadns.cli_json("list", "--unbound")["items"], within=20.0)
    assert (row["interface"], row["reason"]) == (CRM, "external-name")
