"""Settings that show only between real processes: each set to something else than its default."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.ports import free_port
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import QUICK, Stage
from tests.scenarios.stage.zookeeper import ZooKeeper, close

USER, OLD, NEVER = "com.alipay.user.UserService", "com.alipay.user.OldService", "com.alipay.user.NeverSeen"


def shown(soadns: Soadns, name: str) -> str:
    """What dig shows, with single blanks."""
    return " ".join(soadns.dig(name).text.split())


def test_ttls_and_the_guards_share(stage: Stage) -> None:
    zone = {"name": ZONE, "namespaces": [stage.namespace], "ttl": 41, "providerTtl": 7, "negativeTtl": 3}
    soadns = stage.soadns(zones=[zone], guard={"minimum": 2, "share": 0.6})
    user = stage.service("user")
    stage.pod(user).registers(USER)
    old = stage.machine()
    old.registers(OLD)
    soadns.answers(USER, user.cluster_ip)
    soadns.answers(OLD, old.host)
    assert f"{USER}.{ZONE}. 41 IN A" in shown(soadns, USER)
    assert f"{OLD}.{ZONE}. 7 IN A" in shown(soadns, OLD)
    soadns.says(NEVER, "NXDOMAIN")
    assert f"{ZONE}. 3 IN SOA" in shown(soadns, NEVER)

    names = [f"com.alipay.share.S{number}" for number in range(8)]
    half, most = stage.machine(), stage.machine()
    half.registers(*names[:4])
    most.registers(*names[4:])
    for number, name in enumerate(names):
        soadns.answers(name, (half if number < 4 else most).host)
    half.close()  # 4 of 10: by the default of a fifth they would be held
    for name in names[:4]:
        soadns.says(name, "NXDOMAIN", within=20)
    most.close()  # 4 of 6 are more than 0.6
    assert eventually(lambda: soadns.cli_json("list", "--held")["items"], within=20)
    soadns.answers(names[7], most.host)


def test_a_context_of_a_kubeconfig_that_is_not_its_current_one(cluster_stage: Stage) -> None:
    user = cluster_stage.service("user", endpoints=1)
    user.annotate(interfaces=USER)
    [cluster] = cluster_stage.settings()["kubernetes"]
    whole = yaml.safe_load(Path(cluster["kubeconfig"]).read_text())
    elsewhere = {"name": "elsewhere", "cluster": {"server": f"https://127.0.0.1:{free_port()}"}}
    whole["clusters"].append(elsewhere)
    user_of = whole["contexts"][0]["context"]["user"]
    whole["contexts"].append({"name": "elsewhere", "context": {"cluster": "elsewhere", "user": user_of}})
    here, whole["current-context"] = whole["current-context"], "elsewhere"
    path = cluster_stage.folder / "kubeconfig"
    path.write_text(yaml.safe_dump(whole))
    soadns = cluster_stage.soadns(kubernetes=[cluster | {"kubeconfig": str(path), "context": here}])
    soadns.answers(USER, user.cluster_ip)


def test_a_server_without_quorum_is_read_only_where_that_is_configured(tmp_path: Path) -> None:
    """It lost the other two: what it holds is still to be read, and what is answered from it is seen to be."""
    folder = tmp_path / "zookeeper"
    alone = ZooKeeper(folder)
    alone.start()
    client = alone.client()
    client.create(f"/dubbo/{OLD}/providers/dubbo%3A%2F%2F10.9.0.1%3A20880%2F{OLD}", makepath=True)
    close(client)
    alone.stop()
    (folder / "data" / "myid").write_text("1\n")
    members = [f"server.{n}=127.0.0.1:{free_port()}:{free_port()}" for n in (1, 2, 3)]
    one_of_three = ZooKeeper(
        folder,
        "localSessionsEnabled=true",
        "initLimit=5",
        "syncLimit=2",
        *members,
        properties=["readonlymode.enabled=true"],
    )
    ensemble = {"hosts": one_of_three.hosts, "sessionTimeout": "2s"}
    first = Soadns(tmp_path / "first", {"binding": QUICK, "zookeeper": [ensemble | {"readOnly": True}]})
    second = Soadns(tmp_path / "second", {"binding": QUICK, "zookeeper": [ensemble]})
    try:
        one_of_three.start()
        first.start()
        first.answers(OLD, "10.9.0.1")
        second.start(ready=False)
        second.says(OLD, "SERVFAIL", within=20)
    finally:
        for soadns in (first, second):
            if soadns.process.running:
                soadns.stop()
        one_of_three.stop()
