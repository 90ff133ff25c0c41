"""The survey of a real registry: who calls whom, what nobody registers any more, and what can not be read."""

from __future__ import annotations

from typing import Any

from kazoo.security import make_digest_acl

from tests.bench.registry import fill, fill_callers
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import close

USER, ROLE, PAY = "com.example.User", "com.example.Role", "com.example.Pay"


def test_a_boarded_interface_that_stops_registering_is_told_while_the_old_world_calls_it(
    stage: Stage,
) -> None:
    assert stage.zookeeper is not None
    soadns = stage.soadns()
    user, pay = stage.service("user"), stage.service("pay", port=12200)
    user.annotate(interfaces=USER)
    pod = stage.pod(user)
    pod.registers(USER, ROLE)
    stage.pod(pay).registers(PAY, dialect="sofa")
    shop = stage.pod(stage.service("shop", port=8080), application="shop")
    shop.calls(USER, ROLE)
    shop.calls(PAY, dialect="sofa")
    stage.process("192.168.9.8", 8080, "legacy").calls(USER, ROLE)
    for interface, service in ((USER, user), (ROLE, user), (PAY, pay)):
        soadns.answers(interface, service.cluster_ip)

    data = soadns.cli_json("survey")
    assert (data["counts"]["safe"], data["silent"], data["unread"]) == (3, [], [])
    assert [(row["application"], row["canBoard"]) for row in data["applications"]] == [
        ("legacy", False),
        ("shop", True),
    ]
    assert [(row["application"], row["calls"], row["interfaces"]) for row in data["calls"]] == [
        ("legacy", "user", 2),
        ("shop", "user", 2),
        ("shop", "pay", 1),
    ]

    pod.unregisters()
    found = eventually(
        lambda: {
            item["interface"]: item["heldBy"] for item in soadns.cli_json("survey")["items"] if item["heldBy"]
        },
        within=30.0,
        until=lambda held: len(held) == 2,
    )
    assert found == {USER: "declaration", ROLE: "endpoints"}
    assert (
        f"  {ROLE}: 1 address of legacy; {user.ref} is answered by the ready addresses"
        in (soadns.cli("survey")[1])
    )

    client = stage.zookeeper.client(stage.chroot)
    try:
        client.set_acls(f"/dubbo/{USER}/consumers", [make_digest_acl("reg", "s3cr3t", all=True)])
    finally:
        close(client)
    status, text = soadns.cli("survey")
    assert status == 0
    assert f"  /dubbo/{USER}/consumers: " in text
    assert "  Callers of 1 interface are not known: " in text

    stage.zookeeper.kill()
    soadns.process.wait_until(lambda: "stale: zookeeper" in soadns.http("/readyz")[1], within=30.0)
    status, text = soadns.cli("survey")
    assert status == 1
    assert text.startswith("soadns: ")
    assert "can not be read now: who calls, routers and configurators are there" in text


INTERFACES, PROVIDERS, CALLERS, RULED = 500, 2, 3, 50


def test_a_survey_asks_for_what_is_not_known_and_for_each_interface_twice(stage: Stage) -> None:
    """Of the four directories of an interface two are watched; nothing is read again that is known to be empty."""
    assert stage.zookeeper is not None
    root = f"{stage.chroot}/dubbo"
    fill(stage.zookeeper, root, INTERFACES, PROVIDERS)
    fill_callers(stage.zookeeper, root, INTERFACES, CALLERS, RULED)
    [ensemble] = stage.settings()["zookeeper"]
    # Who loses the connection reads all again: that is not what is counted here.
    soadns = stage.soadns(zookeeper=[ensemble | {"sessionTimeout": "10s"}])

    def requests(*verb: str) -> tuple[dict[str, Any], int]:
        assert stage.zookeeper is not None
        before = stage.zookeeper.received()
        data = soadns.cli_json(*verb)
        return data, stage.zookeeper.received() - before

    data, asked = requests("survey")
    assert data["counts"]["interfaces"] == INTERFACES
    assert (
        sum(caller["addresses"] for item in data["items"] for caller in item["callers"])
        == CALLERS * INTERFACES
    )
    [rules] = [row["interfaces"] for row in data["reasons"] if row["reason"] == "rules"]
    assert rules == INTERFACES // RULED
    assert data["unread"] == []
    # `consumers` and `routers`; beside them pings, and the slow round through everything.
    assert 2 * INTERFACES <= asked <= 2.2 * INTERFACES

    data, asked = requests("export", "resolve", "--everyone")
    assert len(data["items"]) == INTERFACES
    assert 2 * INTERFACES <= asked <= 2.2 * INTERFACES

    data, asked = requests("export", "resolve", "--application", "app-003")
    mine = len(data["items"])
    assert 0 < mine < INTERFACES
    assert INTERFACES + mine <= asked <= 1.2 * INTERFACES + mine
