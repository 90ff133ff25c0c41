"""Permissions that are missing, taken away and given back: trouble that is told, and never a proof of absence."""

from __future__ import annotations

import yaml
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import RULES, Stage
from tests.scenarios.stage.zookeeper import ZooKeeper, close

USER, ADDRESS = "com.alipay.user.UserService", "com.alipay.user.AddressService"
SECRET = "com.alipay.user.SecretService"
NOTHING = [{"apiGroups": ["example.com"], "resources": ["nothing"], "verbs": ["get"]}]


def test_an_api_server_that_refuses_is_no_proof(cluster_stage: Stage, api_server: ApiServer) -> None:
    soadns = cluster_stage.soadns()
    risk = cluster_stage.service("risk", endpoints=1)
    risk.annotate(interfaces=USER)
    soadns.answers(USER, risk.cluster_ip)

    api_server.grant(NOTHING)
    api_server.kill()  # a running watch would go on
    api_server.start()
    assert eventually(lambda: soadns.logged("source-trouble", "kube/home", "forbidden"), within=60)
    soadns.keeps_answering(USER, risk.cluster_ip, seconds=4.0)  # longer than the linger
    assert "forbidden" in soadns.http("/readyz")[1]

    risk.annotate(interfaces=f"{USER},{ADDRESS}")
    api_server.grant(RULES)
    # What was forbidden for long is asked every half a minute.
    soadns.answers(ADDRESS, risk.cluster_ip, within=60)
    assert eventually(lambda: "forbidden" not in soadns.http("/readyz")[1], within=60)


def test_an_interface_that_may_not_be_read_keeps_its_name(
    registry_stage: Stage, zookeeper_server: ZooKeeper
) -> None:
    soadns = registry_stage.soadns()
    machine = registry_stage.machine()
    machine.registers(USER, ADDRESS)
    soadns.answers(ADDRESS, machine.host)

    client: KazooClient = zookeeper_server.client(registry_stage.chroot)
    try:
        owners = make_digest_acl("owner", "secret", all=True)
        others = make_acl("world", "anyone", create=True, delete=True)  # providers come and go unread
        client.set_acls(f"/dubbo/{USER}/providers", [owners, others])
        machine.unregisters(USER, ADDRESS)
        soadns.says(ADDRESS, "NXDOMAIN")  # after its linger
        soadns.stop()
        soadns.start()  # everything is read again, and this is refused
        soadns.keeps_answering(USER, machine.host, seconds=4.0)  # longer than the linger
        for verb in (["explain", USER], ["list", "--sources"]):
            assert f"/dubbo/{USER}/providers: no permission to read it" in soadns.cli(*verb)[1]
        assert USER in soadns.cli("list", "--stale")[1]
        client.add_auth("digest", "owner:secret")
        client.set_acls(f"/dubbo/{USER}/providers", OPEN_ACL_UNSAFE)
    finally:
        close(client)

    soadns.stop()  # it would look again by itself after half a minute
    soadns.start()
    soadns.says(USER, "NXDOMAIN")


def test_an_interface_that_never_could_be_read_is_not_denied_after_a_restart_without_zookeeper(
    registry_stage: Stage, zookeeper_server: ZooKeeper
) -> None:
    machine = registry_stage.machine()
    machine.registers(USER, ADDRESS)
    client: KazooClient = zookeeper_server.client(registry_stage.chroot)
    try:
        client.create(f"/dubbo/{SECRET}")
        client.create(f"/dubbo/{SECRET}/providers", acl=[make_digest_acl("owner", "secret", all=True)])
    finally:
        close(client)
    soadns = registry_stage.soadns()
    soadns.answers(USER, machine.host)
    soadns.says(SECRET, "SERVFAIL")
    assert soadns.stop() == 0

    zookeeper_server.kill()
    soadns.start()
    soadns.says(SECRET, "SERVFAIL")
    soadns.says("com.alipay.user.NeverSeen", "NXDOMAIN")
    assert f"/dubbo/{SECRET}/providers: no permission to read it" in soadns.cli("explain", SECRET)[1]

    zookeeper_server.start()
    assert eventually(lambda: "stale" not in soadns.http("/readyz")[1], within=60)
    soadns.says(SECRET, "SERVFAIL")
    assert soadns.stop() == 0

    client = zookeeper_server.client(registry_stage.chroot)
    try:
        client.add_auth("digest", "owner:secret")
        client.delete(f"/dubbo/{SECRET}", recursive=True)
    finally:
        close(client)
    soadns.start()
    soadns.says(SECRET, "NXDOMAIN")


def test_one_namespace_needs_a_role_in_it_and_no_more(stage: Stage, api_server: ApiServer) -> None:
    [cluster] = stage.settings()["kubernetes"]
    api_server.grant(NOTHING)
    api_server.grant(RULES[:2], namespace=stage.namespace)
    soadns = stage.soadns(kubernetes=[cluster | {"namespaces": [stage.namespace]}])
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    # It is told what it can not do without a further one: tell this cluster from another after a restart.
    found = soadns.cli_json("check")
    assert [row["what"] for row in found["findings"] if not row["ok"]] == ["get namespace kube-system"]
    [cure] = {row["cure"] for row in found["findings"] if row["cure"]}
    for role in yaml.safe_load_all(cure):
        api_server.grant(role["rules"], namespace=role["metadata"]["namespace"])
    assert soadns.cli_json("check")["ok"]
