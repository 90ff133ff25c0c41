"""The API server dies and comes back, with its history compacted: what changed meanwhile is seen, nothing is lost."""

from __future__ import annotations

import json

from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Callers
from tests.scenarios.stage.stage import Stage

USER = "com.alipay.user.UserService"


def test_api_server_killed_and_restarted(stage: Stage, api_server: ApiServer) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    with Callers(soadns, USER) as callers:
        api_server.kill()
        assert eventually(lambda: soadns.logged("source-trouble", "kube/home"), within=30)
        soadns.keeps_answering(USER, user.cluster_ip, seconds=4.0)
        assert soadns.http("/readyz")[0] == 200
        api_server.start()
        assert eventually(lambda: "stale" not in soadns.http("/readyz")[1], within=60)
    assert not callers.unharmed

    stage.pod(account).registers("com.alipay.user.AccountService")
    soadns.answers("com.alipay.user.AccountService", account.cluster_ip)


def test_a_compacted_history_is_listed_again_without_a_gap(stage: Stage, api_server: ApiServer) -> None:
    """Two API servers on one etcd: soadns loses its own, the world goes on at the other, revisions are forgotten."""
    soadns = stage.soadns()
    user, other = stage.service("user"), stage.service("other")
    stage.pod(user).registers(USER)
    stage.pod(other).registers("com.alipay.user.OtherService")
    soadns.answers("com.alipay.user.OtherService", other.cluster_ip)
    path = f"/api/v1/namespaces/{stage.namespace}/services"
    seen = api_server.request("GET", path)["metadata"]["resourceVersion"]  # soadns's watch is not newer
    api_server.kill()
    assert eventually(lambda: soadns.logged("source-trouble", "kube/home"), within=30)

    twin = ApiServer(stage.folder / "second-api-server", api_server.etcd)
    twin.start()
    try:
        twin.request("DELETE", f"{path}/user")
        ports = [{"name": "tcp-20880", "port": 20880}]
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "user"}, "spec": {"ports": ports}}
        fresh = twin.request("POST", path, body)["spec"]["clusterIP"]
        for number in range(20):  # revisions to forget
            twin.request("POST", path, body | {"metadata": {"name": f"noise-{number}"}})
    finally:
        twin.kill()
    api_server.etcd.compact()
    api_server.start()
    reply = api_server.request("GET", f"{path}?watch=1&timeoutSeconds=2&resourceVersion={seen}", raw=True)
    assert json.loads(reply.splitlines()[0])["object"]["code"] == 410

    soadns.answers(USER, fresh, within=60)
    soadns.answers("com.alipay.user.OtherService", other.cluster_ip)
    assert soadns.explain(USER)["cause"] == "recreated"
