"""A source that soadns never heard of: what it might know is not denied, what others know is answered."""

from __future__ import annotations

from tests.ports import free_port
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.stage import Stage

USER = "com.alipay.user.UserService"


def test_a_registry_that_was_added_and_is_down_denies_nothing(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)
    soadns.says("com.alipay.user.NeverSeen", "NXDOMAIN")
    soadns.stop()

    [known] = soadns.settings["zookeeper"]
    added = {"name": "added", "hosts": f"127.0.0.1:{free_port()}"}
    soadns.write_config(zookeeper=[known, added])
    soadns.start(ready=False)

    soadns.answers(USER, user.cluster_ip)  # from the snapshot
    soadns.says("com.alipay.user.NeverSeen", "SERVFAIL")
    assert "EDE: 14 (Not Ready)" in soadns.dig("com.alipay.user.NeverSeen").text
    status, text = soadns.http("/readyz")
    assert status == 503
    assert "never synced: zookeeper/added/dubbo" in text
    stage.pod(account).registers("com.alipay.user.AccountService")
    soadns.says("com.alipay.user.AccountService", "SERVFAIL")  # nothing is bound from half the evidence
    soadns.answers(USER, user.cluster_ip)

    soadns.stop()
    soadns.write_config(zookeeper=[known, added | {"required": False}])
    soadns.start()
    soadns.answers("com.alipay.user.AccountService", account.cluster_ip)
    soadns.says("com.alipay.user.NeverSeen", "NXDOMAIN")
    status, text = soadns.http("/readyz")
    assert status == 200
    assert "never synced: zookeeper/added/dubbo" in text  # still to be seen


def test_a_zone_does_not_wait_for_the_sources_of_another(stage: Stage) -> None:
    down = {"name": "down", "hosts": f"127.0.0.1:{free_port()}"}
    [known] = stage.settings()["zookeeper"]
    zones = [
        {"name": ZONE, "namespaces": [stage.namespace], "registries": ["main"]},
        {"name": "gray.example", "namespaces": [stage.namespace], "registries": ["main", "down"]},
    ]
    soadns = stage.soadns_not_started(zookeeper=[known, down], zones=zones).start(ready=False)
    user = stage.service("user")
    stage.pod(user).registers(USER)

    soadns.answers(USER, user.cluster_ip, within=20)
    soadns.says("com.alipay.user.NeverSeen", "NXDOMAIN")
    soadns.says(f"{USER}.gray.example.", "SERVFAIL")
    soadns.says("com.alipay.user.NeverSeen.gray.example.", "SERVFAIL")
    status, text = eventually(lambda: soadns.http("/readyz"), within=5, until=lambda reply: reply[0] == 503)
    assert status == 503
    assert "zone gray.example: waits for its sources" in text
