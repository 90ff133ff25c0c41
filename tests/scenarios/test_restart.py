"""soadns starts again while everything it learns from is down: it answers what it knew and denies nothing."""

from __future__ import annotations

from tests.scenarios.stage.kubernetes import ApiServer, Etcd
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import RULES, Stage
from tests.scenarios.stage.zookeeper import ZooKeeper

USER = "com.alipay.user.UserService"
MORE = "com.alipay.user.MoreService"


def test_restart_with_everything_down(
    stage: Stage, zookeeper_server: ZooKeeper, api_server: ApiServer
) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)
    serial = int(soadns.dig("rpc.cluster.local.", "SOA").data[0].split()[2])
    history = soadns.explain(USER)["history"]
    assert history[-1]["to"] == f"{user.ref} {user.cluster_ip}"
    assert soadns.stop() == 0

    zookeeper_server.kill()
    api_server.kill()
    soadns.start()

    assert soadns.logged("restored")
    soadns.keeps_answering(USER, user.cluster_ip, seconds=4.0)  # no clock runs while the sources are away
    soadns.says("com.alipay.user.NeverSeen", "NXDOMAIN")  # the zone had been complete when it was saved
    assert int(soadns.dig("rpc.cluster.local.", "SOA").data[0].split()[2]) >= serial
    assert soadns.explain(USER)["history"] == history

    zookeeper_server.start()
    api_server.start()
    # An API server that has only just begun may forbid all for a moment, which is not asked again at once.
    assert eventually(lambda: "stale" not in soadns.http("/readyz")[1], within=60)
    soadns.answers(USER, user.cluster_ip)
    stage.pod(account).registers("com.alipay.user.AccountService")
    soadns.answers("com.alipay.user.AccountService", account.cluster_ip)


def test_a_first_start_with_everything_down_denies_nothing(
    stage: Stage, zookeeper_server: ZooKeeper, api_server: ApiServer
) -> None:
    user = stage.service("user")
    stage.pod(user).registers(USER)
    zookeeper_server.kill()
    soadns = stage.soadns_not_started()
    soadns.start(ready=False)

    status = eventually(lambda: soadns.dig(USER).status, within=60, until=lambda s: s != "TIMEOUT")
    assert status == "SERVFAIL"
    assert "EDE: 14 (Not Ready)" in soadns.dig(USER).text
    soadns.says("com.alipay.user.NeverSeen", "SERVFAIL")
    soadns.says("www.example.com.", "REFUSED")
    assert soadns.dig("rpc.cluster.local.", "SOA").status == "NOERROR"
    waits = "zone rpc.cluster.local: waits for zookeeper/main/dubbo, zookeeper/main/sofa-rpc\n"
    status, text = eventually(
        lambda: soadns.http("/readyz"), within=30, until=lambda reply: waits in reply[1]
    )
    assert status == 503
    assert waits in text
    assert "never synced: zookeeper/main/dubbo" in text
    assert soadns.http("/livez", port=soadns.livez_port)[0] == 200

    zookeeper_server.start()
    soadns.wait_ready()
    soadns.answers(USER, user.cluster_ip)
    soadns.says("com.alipay.user.NeverSeen", "NXDOMAIN")


def test_what_changed_since_the_snapshot_survives_that_everything_is_killed(
    stage: Stage, zookeeper_server: ZooKeeper
) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)
    saved = eventually(lambda: int(soadns.metric("soadns_snapshots_total")), within=20.0)
    snapshot = soadns.folder / "state" / "snapshot"
    whole = snapshot.read_bytes()
    pod.registers(MORE)
    soadns.answers(MORE, user.cluster_ip)
    assert eventually(lambda: soadns.metric("soadns_snapshots_total") > saved, within=20.0)
    assert eventually(lambda: MORE.encode() in snapshot.read_bytes(), within=20.0)
    assert snapshot.read_bytes().startswith(whole), "it went behind what there was"

    soadns.kill()
    zookeeper_server.kill()
    with snapshot.open("ab") as file:
        file.write(bytes(100))  # the power went while something was written
    soadns.start()

    assert soadns.logged("event=snapshot", "ends with 100 octets that are no whole change")
    soadns.keeps_answering(MORE, user.cluster_ip, seconds=2.0)
    soadns.answers(USER, user.cluster_ip)
    zookeeper_server.start()


def test_a_damaged_snapshot_is_set_aside_and_reported(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)
    soadns.stop()
    snapshot = soadns.folder / "state" / "snapshot"
    data = bytearray(snapshot.read_bytes())
    data[data.index(b"\n") + 100] ^= 0xFF  # of the whole: changes come behind it
    snapshot.write_bytes(data)

    soadns.start()

    assert soadns.logged("level=error", "checksum is wrong", "snapshot.unusable")
    soadns.answers(USER, user.cluster_ip)
    assert (soadns.folder / "state" / "snapshot.unusable").exists()


def test_the_snapshot_of_another_cluster_is_refused(stage: Stage) -> None:
    """A cluster's identity is the UID of its namespace kube-system."""
    soadns = stage.soadns()
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)
    soadns.stop()

    etcd = Etcd(stage.folder / "other-etcd")
    other = ApiServer(stage.folder / "other-api-server", etcd)
    try:
        other.start()
        other.create_namespace(stage.namespace)
        other.grant(RULES)
        [cluster] = soadns.settings["kubernetes"]
        soadns.write_config(kubernetes=[cluster | {"kubeconfig": str(other.kubeconfig())}])
        soadns.start()
        assert soadns.logged("snapshot-refused", "kube/home")
        soadns.answers(USER, pod.host)  # that cluster has no such Service: never the first one's ClusterIP
    finally:
        other.kill()
        etcd.process.kill()
