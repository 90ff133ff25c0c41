"""A source that soadns never heard of: what it might know is not denied, what others know is answered."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Callers, Soadns
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import ZooKeeper, close

USER, ACCOUNT = "com.alipay.user.UserService", "com.alipay.user.AccountService"
NEVER = "com.alipay.user.NeverSeen"


@pytest.fixture
def later(tmp_path: Path) -> Iterator[ZooKeeper]:
    """A ZooKeeper that does not run yet."""
    server = ZooKeeper(tmp_path / "later")
    yield server
    server.stop()


def reloaded(soadns: Soadns) -> None:
    """Read the file again, and wait for the successor to be in force."""
    before = soadns.child("_control")
    assert soadns.cli("reload")[0] == 0
    assert eventually(lambda: soadns.child("_control") not in (0, before), within=10)
    soadns.process.wait_until(lambda: soadns.http("/livez")[0] == 200, within=20)


def test_sources_that_a_reload_adds_and_that_are_down_stop_nothing_and_deny_nothing(
    stage: Stage, later: ZooKeeper
) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)
    soadns.says(NEVER, "NXDOMAIN")

    [known], [cluster] = soadns.settings["zookeeper"], soadns.settings["kubernetes"]
    elsewhere = soadns.folder / "east.kubeconfig"
    text = Path(cluster["kubeconfig"]).read_text()
    elsewhere.write_text(re.sub(r"(https://127\.0\.0\.1):\d+", rf"\1:{free_port()}", text))
    added = {"name": "added", "hosts": later.hosts}
    soadns.write_config(
        zookeeper=[known, added], kubernetes=[cluster, {"name": "east", "kubeconfig": str(elsewhere)}]
    )
    with Callers(soadns, USER) as callers:
        reloaded(soadns)
        soadns.says(NEVER, "SERVFAIL")
    assert not callers.unharmed
    assert "EDE: 14 (Not Ready)" in soadns.dig(NEVER).text
    status, text = soadns.http("/readyz")
    assert status == 200
    assert f"zone {ZONE}: ready, but denies no name before kube/east, zookeeper/added/dubbo is read\n" in text
    assert "never synced: zookeeper/added/dubbo: " in text
    assert "never synced: kube/east: " in text
    assert soadns.logged("zone-ready", "level=warning", "kube/east, zookeeper/added/dubbo")

    # What the others see goes on being learnt, bound and moved.
    stage.pod(account).registers(ACCOUNT)
    soadns.answers(ACCOUNT, account.cluster_ip)
    gone = account.cluster_ip
    account.delete()
    stage.service("holder", clusterIP=gone)
    account.apply()
    assert account.cluster_ip != gone
    soadns.answers(ACCOUNT, account.cluster_ip)

    # A control process that is started again does not begin to wait, either.
    before = soadns.child("_control")
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: soadns.child("_control") not in (0, before), within=10)
    soadns.wait_ready()
    soadns.says(NEVER, "SERVFAIL")
    soadns.answers(USER, user.cluster_ip)

    # One that nobody has heard yet is taken out again without questions, the other one joins when it is there.
    soadns.write_config(kubernetes=[cluster])
    reloaded(soadns)
    soadns.says(NEVER, "SERVFAIL")
    later.start()
    client = later.client()
    client.ensure_path("/dubbo")
    close(client)
    soadns.says(NEVER, "NXDOMAIN", within=20)
    assert f"zone {ZONE}: ready\n" in soadns.http("/readyz")[1]


def test_a_registry_that_was_added_while_soadns_was_stopped_stops_nothing_and_denies_nothing(
    stage: Stage,
) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)
    soadns.says(NEVER, "NXDOMAIN")
    soadns.stop()

    [known] = soadns.settings["zookeeper"]
    added = {"name": "added", "hosts": f"127.0.0.1:{free_port()}"}
    soadns.write_config(zookeeper=[known, added])
    soadns.start()  # it was ready before, so it is ready
    soadns.answers(USER, user.cluster_ip)
    soadns.says(NEVER, "SERVFAIL")
    stage.pod(account).registers(ACCOUNT)
    soadns.answers(ACCOUNT, account.cluster_ip)

    soadns.stop()
    soadns.write_config(zookeeper=[known, added | {"required": False}])
    soadns.start()
    soadns.answers(ACCOUNT, account.cluster_ip)
    soadns.says(NEVER, "NXDOMAIN")
    status, text = soadns.http("/readyz")
    assert status == 200
    assert "never synced: zookeeper/added/dubbo" in text  # still to be seen


def test_a_first_start_waits_for_every_registry(stage: Stage) -> None:
    [known] = stage.settings()["zookeeper"]
    down = {"name": "down", "hosts": f"127.0.0.1:{free_port()}"}
    soadns = stage.soadns_not_started(zookeeper=[known, down]).start(ready=False)
    user = stage.service("user")
    stage.pod(user).registers(USER)
    waits = f"zone {ZONE}: waits for zookeeper/down/dubbo\n"
    soadns.process.wait_until(lambda: waits in soadns.http("/readyz")[1], within=20)
    assert soadns.http("/readyz")[0] == 503
    soadns.says(USER, "SERVFAIL")  # nothing is bound from half the evidence
    soadns.says(NEVER, "SERVFAIL")


def test_a_zone_that_a_reload_adds_over_a_registry_that_is_down_concerns_no_other(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    [known], [zone] = soadns.settings["zookeeper"], soadns.settings["zones"]
    down = {"name": "down", "hosts": f"127.0.0.1:{free_port()}"}
    zones = [zone | {"registries": ["main"]}, {"name": "gray.example", "registries": ["down"]}]
    soadns.write_config(zookeeper=[known, down], zones=zones)
    with Callers(soadns, USER) as callers:
        reloaded(soadns)
        soadns.says(f"{USER}.gray.example.", "SERVFAIL")
        stage.pod(account).registers(ACCOUNT)
        soadns.answers(ACCOUNT, account.cluster_ip)
    assert not callers.unharmed
    soadns.says(NEVER, "NXDOMAIN")
    status, text = soadns.http("/readyz")
    assert status == 200
    assert "zone gray.example: waits for zookeeper/down/dubbo\n" in text


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
    assert "zone gray.example: waits for zookeeper/down/dubbo" in text
