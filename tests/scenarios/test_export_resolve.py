"""Direct URLs from a real registry: who calls, rules wherever they stand, secrets, and one that can not be read."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from tests.scenarios.stage.process import eventually, frozen
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import close

CALLS_ON = "cluster.availablecheck=false&send.reconnect=true"
USER, ROLE, PAY = "com.example.User", "com.example.Role", "com.example.Pay"


def told(soadns: Soadns, *arguments: str) -> list[str]:
    """What is exported, and why the rest is not: one line per interface."""
    data = soadns.cli_json("export", "resolve", *arguments)
    return [_line(row) for row in data["items"]]


def tells(soadns: Soadns, expected: list[str], *arguments: str) -> None:
    """The same in the end: of interfaces that are registered together, each is known by itself."""
    assert eventually(lambda: told(soadns, *arguments), within=20.0, until=expected.__eq__) == expected


def _line(row: dict[str, Any]) -> str:
    return str(row["url"]) if row["exported"] else f"{row['key']}: {'; '.join(row['why'])}"


def paths(client: KazooClient, top: str = "") -> list[str]:
    """Every znode of the story."""
    found = [top] if top else []
    for child in client.get_children(top or "/"):
        found += paths(client, f"{top}/{child}")
    return sorted(found)


def test_rules_are_found_wherever_they_stand_and_nothing_is_written(stage: Stage) -> None:
    assert stage.zookeeper is not None
    soadns = stage.soadns()
    service = stage.service("user")
    stage.pod(service).registers(USER, ROLE, PAY)
    soadns.answers(PAY, service.cluster_ip)
    client = stage.zookeeper.client(stage.chroot)
    try:
        before = paths(client)
        urls = [f"dubbo://{name}.rpc.cluster.local:20880?{CALLS_ON}" for name in (PAY, ROLE, USER)]
        tells(soadns, urls, "--everyone")
        assert paths(client) == before

        rule = quote_plus(f"override://0.0.0.0/{USER}?category=configurators&timeout=5000")
        client.create(f"/dubbo/{USER}/configurators/{rule}", makepath=True)
        client.create(f"/dubbo/config/dubbo/{ROLE}::.condition-router", makepath=True)
        # What is known to be empty is not read: of its first rule soadns has to hear.
        found = eventually(
            lambda: told(soadns, "--everyone"), within=20.0, until=lambda lines: "configurator" in lines[2]
        )
        assert found[0] == f"dubbo://{PAY}.rpc.cluster.local:20880?{CALLS_ON}"
        assert found[1].startswith(f"{ROLE}: it has a condition router ({ROLE}::.condition-router in the ")
        assert found[2] == f"{USER}: it has a configurator (override://)"

        client.create(f"/dubbo/config/{PAY}/configurators", makepath=True)  # as 2.7.0 has it
        client.create("/dubbo/config/shop/dubbo.properties", makepath=True)
        assert told(soadns, "--everyone")[0].startswith(
            f"{PAY}: it has a configurator ({PAY}/configurators in the "
        )
        client.delete(f"/dubbo/config/{PAY}/configurators")
        client.create(
            "/dubbo/config/user/condition-router", makepath=True
        )  # of the application that provides it
        assert "it has a condition router (user/condition-router in the " in told(soadns, "--everyone")[0]
        client.delete("/dubbo/config/user/condition-router")

        stage.process("192.168.9.8", 8080, "shop").calls(PAY)
        client.create("/dubbo/config/dubbo/shop.condition-router")  # obeyed by shop, whatever it calls
        rule = "a condition router (shop.condition-router in the configuration centre)"
        mine = f"{PAY}: shop, which calls it, has {rule}"
        tells(soadns, [mine], "--application", "shop")
        assert told(soadns, "--everyone")[0] == mine
        client.delete("/dubbo/config/dubbo/shop.condition-router")

        client.create("/dubbo/config/dubbo/user.tag-router")  # of the application that provides all three
        assert all("it has a tag router (user.tag-router" in line for line in told(soadns, "--everyone"))
        assert told(soadns, "--interface", PAY) == [f"dubbo://{PAY}.rpc.cluster.local:20880?{CALLS_ON}"]

        client.create(f"/dubbo/{PAY}/routers", acl=[make_digest_acl("reg", "s3cr3t", all=True)])
        unread = "it has rules that could not be read"
        assert eventually(lambda: unread in told(soadns, "--everyone")[0], within=20.0)
    finally:
        close(client)


def test_a_token_is_written_only_where_it_is_asked_for(stage: Stage) -> None:
    soadns = stage.soadns()
    service = stage.service("user")
    stage.pod(service).registers(USER, token="s3cr3t")
    soadns.answers(USER, service.cluster_ip)

    status, text = soadns.cli("export", "resolve", "--everyone")
    assert status == 1  # nothing is exported
    assert "its providers want a token" in text
    assert "s3cr3t" not in text
    assert told(soadns, "--everyone", "--with-secrets") == [
        f"dubbo://{USER}.rpc.cluster.local:20880?{CALLS_ON}&token=s3cr3t"
    ]
    assert not soadns.logged("s3cr3t")


def test_callers_of_both_frameworks_are_known_by_their_applications(stage: Stage) -> None:
    soadns = stage.soadns()
    user, pay = stage.service("user"), stage.service("pay", port=12200)
    stage.pod(user).registers(USER, ROLE)
    stage.pod(pay).registers(PAY, dialect="sofa")
    shop, legacy = stage.process("192.168.9.8", 8080, "shop"), stage.machine(application="legacy")
    shop.calls(USER)
    shop.calls(PAY, dialect="sofa")
    legacy.calls(ROLE)
    for interface, service in ((USER, user), (ROLE, user), (PAY, pay)):
        soadns.answers(interface, service.cluster_ip)

    assert told(soadns, "--application", "shop") == [f"dubbo://{USER}.rpc.cluster.local:20880?{CALLS_ON}"]
    assert told(soadns, "--application", "shop", "--format", "sofa") == [
        f"bolt://{PAY}.rpc.cluster.local:12200"
    ]
    assert told(soadns, "--application", "nobody") == []
    outside = soadns.cli_json("export", "resolve", "--everyone")["outside"]
    assert outside == [
        {"address": legacy.host, "application": "legacy"},
        {"address": "192.168.9.8", "application": "shop"},
    ]


def test_who_asks_for_any_version_is_left_out_and_counts_from_wherever_it_calls(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER, ROLE, version="1.0.0")
    any_version = f"application=shop&category=consumers&interface={USER}&side=consumer&version=*"
    shop = stage.process("192.168.9.8", 8080, "shop")
    shop.registers_leaf(
        USER, f"/dubbo/{USER}/consumers", quote_plus(f"consumer://192.168.9.8/{USER}?{any_version}")
    )
    plain = f"application=bill&category=consumers&interface={USER}&side=consumer&version=1.0.0"
    # As 2.7 writes an address that its framework found by itself.
    there = f"consumer://fd00:0:0:0:0:0:9:8/{USER}?{plain}"
    shop.registers_leaf(USER, f"/dubbo/{USER}/consumers", quote_plus(there))
    soadns.answers(ROLE, user.cluster_ip)

    why = "shop, which calls it, asks for version=*, and by a direct URL its calls are refused"
    assert told(soadns, "--application", "shop") == [f"{USER}: {why}"]
    assert told(soadns, "--everyone") == [
        f"dubbo://{ROLE}.rpc.cluster.local:20880?{CALLS_ON}",
        f"{USER}: {why}",
    ]
    assert told(soadns, "--application", "bill") == [f"dubbo://{USER}.rpc.cluster.local:20880?{CALLS_ON}"]
    outside = soadns.cli_json("export", "resolve", "--application", "bill")["outside"]
    assert outside == [{"address": "fd00::9:8", "application": "bill"}]
    found = {row["application"]: row for row in soadns.cli_json("survey")["applications"]}
    assert (found["shop"]["asks"], found["bill"]["asks"]) == ([USER], [])


@pytest.mark.parametrize("mapping", ["mapping", "config/mapping"])
def test_who_is_on_record_by_application_alone_is_told(mapping: str, stage: Stage) -> None:
    assert stage.zookeeper is not None
    soadns = stage.soadns()
    user = stage.service("user", ports=[{"name": "dubbo", "port": 20880, "protocol": "TCP"}])
    stage.pod(user).registers(ROLE)
    user.annotate(interfaces=USER)
    soadns.answers(USER, user.cluster_ip)
    url = f"dubbo://{USER}.rpc.cluster.local:20880?{CALLS_ON}"
    assert told(soadns, "--interface", USER) == [url]
    assert url in told(soadns, "--everyone")

    client = stage.zookeeper.client(stage.chroot)
    try:
        client.create(f"/dubbo/{mapping}/{USER}/user", makepath=True)
    finally:
        close(client)

    [line] = [line for line in told(soadns, "--everyone") if USER in line]
    assert line.startswith(f"{USER}: its providers are on record by application alone: nothing is known of ")
    reasons = {row["reason"]: row["interfaces"] for row in soadns.cli_json("survey")["reasons"]}
    assert reasons["applications"] == 1


def test_who_has_boarded_by_either_framework_is_exported_again_and_watched(stage: Stage) -> None:
    assert stage.zookeeper is not None
    soadns = stage.soadns()
    user, pay = stage.service("user"), stage.service("pay", port=12200)
    stage.pod(user).registers(USER, ROLE, token="s3cr3t")
    stage.pod(pay).registers(PAY, dialect="sofa")
    shop = stage.pod(stage.service("shop", port=8080), application="shop")
    shop.calls(USER)
    shop.calls(PAY, dialect="sofa")
    for interface, service in ((USER, user), (ROLE, user), (PAY, pay)):
        soadns.answers(interface, service.cluster_ip)
    files = {"resolve": stage.folder / "shop.properties", "sofa": stage.folder / "shop-sofa.properties"}
    for form, file in files.items():
        words = ("export", "resolve", "--application", "shop", "--format", form, "--with-secrets")
        file.write_text(soadns.cli(*words)[1])
    both = stage.folder / "both.properties"
    both.write_text("".join(file.read_text() for file in files.values()))

    found = soadns.cli_json("boarded", str(both), "--application", "shop")
    assert [each["problems"] for each in found["items"]] == [
        [f"shop asks the registry for it at {shop.host}"]
    ] * 2
    shop.unregisters()
    status, text = soadns.cli("boarded", str(both), "--application", "shop")
    assert (status, text.splitlines()[0]) == (0, "2 interfaces called by name: all well")
    assert "s3cr3t" not in text
    for form, file in files.items():
        words = ("export", "resolve", "--application", "shop", "--format", form, "--with-secrets")
        assert soadns.cli(*words)[0] == 1
        assert soadns.cli(*words, "--previous", str(file)) == (0, file.read_text())

    client = stage.zookeeper.client(stage.chroot)
    try:
        client.set_acls(f"/dubbo/{USER}/consumers", [make_digest_acl("reg", "s3cr3t", all=True)])
    finally:
        close(client)
    status, text = soadns.cli("boarded", str(both), "--application", "shop")
    assert status == 1
    assert "Could not be read, so who goes by the registry is not known" in text


def test_nothing_is_exported_while_the_registry_can_not_be_asked(stage: Stage) -> None:
    assert stage.zookeeper is not None
    soadns = stage.soadns()
    service = stage.service("user")
    stage.pod(service).registers(USER)
    soadns.answers(USER, service.cluster_ip)
    stage.zookeeper.kill()
    soadns.process.wait_until(lambda: "stale: zookeeper" in soadns.http("/readyz")[1], within=30.0)

    status, text = soadns.cli("export", "resolve", "--everyone")

    assert status == 1
    assert "zookeeper/main/dubbo can not be read now" in text


def test_a_registry_that_does_not_answer_keeps_nobody_waiting_and_exports_nothing(stage: Stage) -> None:
    assert stage.zookeeper is not None
    patient = stage.settings()["zookeeper"][0] | {
        "sessionTimeout": "30s"
    }  # so that it is not yet known to be gone
    soadns = stage.soadns(zookeeper=[patient])
    service = stage.service("user")
    stage.pod(service).registers(USER, ROLE)
    for interface in (USER, ROLE):
        soadns.answers(interface, service.cluster_ip)

    with frozen(stage.zookeeper.process):
        status, text = soadns.cli("export", "resolve", "--everyone")

    assert status == 1
    assert f"{USER}: not safe to board: it has rules that could not be read (/dubbo/" in text
    assert "no answer within 3 s" in text
