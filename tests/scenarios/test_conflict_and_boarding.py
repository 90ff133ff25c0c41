"""Several Services want one name; an interface boards from the old world, half and whole; annotations decide."""

from __future__ import annotations

from typing import Any

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Stage

ORDER = "com.alipay.order.OrderService"


def candidates(soadns: Soadns) -> list[dict[str, Any]]:
    return list(soadns.explain(ORDER)["candidates"])


def verdicts(soadns: Soadns, expected: dict[str, str]) -> None:
    """What becomes of the candidates: a name may be answered before all of them are known."""

    def look() -> dict[str, str]:
        return {row["service"]: row["verdict"] for row in candidates(soadns)}

    assert eventually(look, within=20.0, until=expected.__eq__) == expected


def test_of_two_services_the_older_wins_and_the_conflict_is_shown(stage: Stage) -> None:
    soadns = stage.soadns()
    order, gray = stage.service("order"), stage.service("order-gray")
    for service in (order, gray):
        stage.pod(service).registers(ORDER)
        stage.pod(service).registers(ORDER)

    soadns.answers(ORDER, order.cluster_ip)
    verdicts(soadns, {order.ref: "winner", gray.ref: "conflict"})

    status, text = soadns.cli("list", "--conflicts")
    assert status == 0
    assert ORDER in text


def test_boarding_half_and_whole(stage: Stage) -> None:
    soadns = stage.soadns()
    machines = [stage.machine() for _ in range(3)]
    for machine in machines:
        machine.registers(ORDER)
    soadns.answers(ORDER, *(m.host for m in machines))

    # The first pod must not receive everybody: one of four is less than half.
    order = stage.service("order")
    first = stage.pod(order)
    first.registers(ORDER)
    soadns.answers(ORDER, *(m.host for m in machines), first.host)
    # Where the Service is not known yet, its pod is a machine like the others.
    assert eventually(lambda: "half-boarded" in soadns.explain(ORDER)["flags"], within=20.0)
    assert ORDER in soadns.cli("list", "--half-boarded")[1]

    # Two more pods: three of six.
    for _ in range(2):
        stage.pod(order).registers(ORDER)
    soadns.answers(ORDER, order.cluster_ip)


def test_traffic_mesh_boards_at_once_and_registry_goes_back(stage: Stage) -> None:
    soadns = stage.soadns()
    machines = [stage.machine() for _ in range(3)]
    for machine in machines:
        machine.registers(ORDER)
    order = stage.service("order")
    pod = stage.pod(order)
    pod.registers(ORDER)
    everybody = [*(m.host for m in machines), pod.host]
    soadns.answers(ORDER, *everybody)

    order.annotate(traffic="mesh")
    soadns.answers(ORDER, order.cluster_ip)
    order.annotate(traffic="com.alipay.order.*=registry")
    soadns.answers(ORDER, *everybody)
    order.annotate(traffic="nonsense")  # malformed: the last good value stays, and it is shown
    soadns.keeps_answering(ORDER, *everybody, seconds=0.5)
    shown = eventually(
        lambda: [row["problems"] for row in candidates(soadns) if row["service"] == order.ref], within=20.0,
        until=lambda found: any(found),
    )  # fmt: skip
    assert "'nonsense' is no mode" in shown[0][0]
    soadns.answers(ORDER, *everybody)
    order.annotate(traffic="off")
    soadns.answers(ORDER, *everybody)
    order.annotate(traffic="")
    soadns.answers(ORDER, *everybody)  # half-boarded again


def test_a_declared_interface_waits_until_its_service_has_been_ready(stage: Stage) -> None:
    soadns = stage.soadns()
    order, risk = stage.service("order"), stage.service("risk")
    stage.pod(order).registers(ORDER)
    soadns.answers(ORDER, order.cluster_ip)

    risk.annotate(interfaces=f"{ORDER}, com.alipay.risk.RiskService")
    soadns.answers("com.alipay.risk.RiskService", risk.cluster_ip)  # nobody else has it
    soadns.keeps_answering(ORDER, order.cluster_ip, seconds=0.5)
    verdicts(soadns, {order.ref: "winner", risk.ref: "waits"})
    soadns.answers(ORDER, order.cluster_ip)

    risk.endpoint(stage.new_ip())
    soadns.answers(ORDER, risk.cluster_ip)

    risk.annotate(interfaces="com.alipay.order.Order Service")  # malformed: what was declared before stays
    soadns.keeps_answering(ORDER, risk.cluster_ip, seconds=0.5)
    shown = eventually(
        lambda: soadns.cli("explain", ORDER)[1], within=20.0, until=lambda it: "problem:" in it
    )
    assert shown.count("problem:") == 1
    soadns.answers(ORDER, risk.cluster_ip)


def test_groups_and_versions_have_names_of_their_own(stage: Stage) -> None:
    soadns = stage.soadns()
    blue, green = stage.service("blue"), stage.service("green")
    stage.pod(blue).registers(ORDER, group="blue", version="1.0.0")
    green_pod = stage.pod(green)
    green_pod.registers(ORDER, group="green")

    soadns.answers(f"{ORDER}--g-blue--v-1-0-0", blue.cluster_ip)
    soadns.answers(f"{ORDER}--g-green", green.cluster_ip)
    soadns.answers(ORDER, blue.cluster_ip)  # the older Service's variant is the plain name's
    split = eventually(
        lambda: soadns.explain(f"blue/{ORDER}:1.0.0")["split"],
        within=20.0,
        until=lambda found: len(found) > 1,
    )
    assert split == [blue.ref, green.ref]

    green_pod.registers(ORDER)
    soadns.answers(ORDER, green.cluster_ip)  # the variant without group and version takes it


def test_sofarpc_and_nested_classes(stage: Stage) -> None:
    soadns = stage.soadns()
    pay = stage.service("pay", port=12200)
    pod = stage.pod(pay)
    pod.registers("com.alipay.pay.PayService", dialect="sofa", uniqueId="fast")
    pod.registers("com.alipay.pay.Ledger$Reader", dialect="sofa")

    soadns.answers("com.alipay.pay.PayService", pay.cluster_ip)
    soadns.answers("com.alipay.pay.PayService--g-fast", pay.cluster_ip)
    soadns.answers("com.alipay.pay.Ledger-Reader", pay.cluster_ip)
    soadns.answers("_bolt._tcp.com.alipay.pay.PayService", "0 100 12200 com.alipay.pay.PayService.rpc.cluster.local.",
                   kind="SRV")  # fmt: skip


def test_dual_stack_services_answer_a_and_aaaa_together(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user", ipFamilyPolicy="RequireDualStack")
    assert len(user.cluster_ips) == 2
    stage.pod(user).registers(ORDER)
    soadns.answers(ORDER, user.cluster_ips[0])
    soadns.answers(ORDER, user.cluster_ips[1], kind="AAAA")


def test_headless_services_answer_with_their_ready_pods(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user", clusterIP="None")
    pods = [stage.pod(user), stage.pod(user, ready=False)]
    for pod in pods:
        pod.registers(ORDER)
    soadns.answers(ORDER, pods[0].host)
    user.endpoint(pods[1].host, ready=True)
    soadns.answers(ORDER, *(pod.host for pod in pods))
    assert soadns.explain(ORDER)["kind"] == "headless"
