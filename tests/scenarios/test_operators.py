"""What operators type and scrape: every verb, its exit status and its JSON, the probes, the metrics."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from soadns import __version__
from tests.ports import free_port
from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import ZooKeeper

USER = "com.alipay.user.UserService"


def test_verbs_against_a_running_soadns(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER, "com.alipay.user.AddressService")
    soadns.answers(USER, user.cluster_ip)

    assert soadns.cli("lookup", USER)[0] == 0
    replies = soadns.cli_json("lookup", USER, "--tcp")["replies"]
    assert [(r["type"], r["transport"], [row["data"] for row in r["answer"]]) for r in replies] == [
        ("A", "tcp", [user.cluster_ip]),
        ("AAAA", "tcp", []),
    ]
    assert soadns.cli("lookup", "com.alipay.user.NoService")[0] == 1
    assert [row["interface"] for row in soadns.cli_json("list", "--match", "address")["items"]] == [
        "com.alipay.user.AddressService"
    ]
    status, text = soadns.cli("list", "--held")
    assert (status, text) == (1, "no interface matches; all of them: soadns list\n")
    status, text = soadns.cli("explain", "com.alipay.user.UserServise")
    assert status == 1
    assert USER in text  # the nearest known one
    assert "it would exist with:" in text
    status, text = soadns.cli("explain", "--raw", USER)
    assert status == 0
    assert f"/dubbo/{USER}/providers/dubbo%3A%2F%2F" in text
    assert soadns.cli("explain", f"{USER.upper()}.RPC.cluster.local")[0] == 0  # DNS knows no case
    status, text = soadns.cli("release", "zookeeper/main/nowhere")
    assert status == 1
    assert "known are kube/home, zookeeper/main/dubbo" in text
    assert soadns.cli_json("release", "kube/home")["names"] == 0
    assert soadns.cli_json("config")["zookeeper"][0]["name"] == "main"
    found = soadns.cli_json("check")
    assert found["ok"], found


def test_the_version_needs_no_configuration() -> None:
    command = [sys.executable, "-m", "soadns", "version", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["soadns"] == __version__


def test_when_none_runs_the_verbs_say_so_and_what_to_do() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    for verb in (["explain", USER], ["list"], ["reload"], ["release", "kube/home"]):
        done = subprocess.run(
            [sys.executable, "-m", "soadns", *verb, "--url", nowhere],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 3
        assert done.stderr.startswith(f"soadns: no soadns answers at {nowhere}")
        assert "soadns serve --config FILE" in done.stderr


def test_check_names_what_is_missing(
    stage: Stage, api_server: ApiServer, zookeeper_server: ZooKeeper
) -> None:
    soadns = stage.soadns_not_started()
    found = soadns.cli_json("check")
    assert found["ok"], json.dumps(found, indent=1)

    [ensemble] = soadns.settings["zookeeper"]
    [cluster] = soadns.settings["kubernetes"]
    wrong = ensemble | {"hosts": f"{zookeeper_server.hosts}/nowhere"}
    nodes = cluster | {"nodes": "always"}
    soadns.write_config(zookeeper=[wrong], kubernetes=[nodes])
    status, text = soadns.cli("check")
    assert status == 1
    assert "FAIL zookeeper/main: read /dubbo: it does not exist" in text
    assert "FAIL kube/home: list and watch nodes: may not list or watch nodes" in text
    assert '- {apiGroups: [""], resources: [nodes], verbs: [get, list, watch]}' in text


def test_the_rbac_that_check_prints_is_enough(stage: Stage, api_server: ApiServer) -> None:
    """The text is applied to the real API server as it stands."""
    import yaml

    soadns = stage.soadns_not_started()
    [cluster] = soadns.settings["kubernetes"]
    soadns.write_config(kubernetes=[cluster | {"nodes": "auto"}])
    api_server.grant([{"apiGroups": ["example.com"], "resources": ["nothing"], "verbs": ["get"]}])
    found = soadns.cli_json("check")
    assert not found["ok"]
    tried = [row["what"] for row in found["findings"]]
    assert "list and watch nodes" in tried
    [note] = [row for row in found["findings"] if row["note"]]
    assert (note["what"], note["ok"]) == ("list and watch nodes", True)
    assert "a node's address with a nodePort are not matched" in note["note"]
    [cure] = {row["cure"] for row in found["findings"] if row["cure"]}
    api_server.grant(yaml.safe_load(cure)["rules"])
    assert soadns.cli_json("check")["ok"]


def test_probes_and_metrics(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)
    assert soadns.http("/readyz") == (200, "zone rpc.cluster.local: ready\n")
    assert soadns.http("/livez")[0] == 200

    def answering() -> re.Match[str] | None:
        """One for each core. Whoever starts has shown no sign of life yet."""
        status, text = soadns.http("/livez", port=soadns.livez_port)
        assert status == 200
        return re.match(r"(\d+) of \1 workers answer\n", text)

    found = eventually(answering, within=10)
    assert found is not None, soadns.http("/livez", port=soadns.livez_port)
    # Workers share the listening socket: which of them had the question over TCP is not known.
    samples = [f'soadns_worker_requests_total{{proto="tcp",worker="{n}"}}' for n in range(int(found[1]))]
    assert eventually(lambda: sum(map(soadns.metric, samples)) >= 1, within=5)
    assert soadns.metric('soadns_interfaces{state="bound",zone="rpc.cluster.local"}') == 1
    assert soadns.metric('soadns_source_in_sync{source="kube/home"}') == 1
    assert soadns.metric('soadns_source_age_seconds{source="zookeeper/main/dubbo"}') == 0
    # It is over when the last worker has it, and the first one may have answered already.
    assert eventually(lambda: soadns.metric("soadns_change_to_answer_seconds_count") >= 1, within=5)
    status, text = soadns.http("/v1/interfaces?limit=1")
    assert status == 200
    assert json.loads(text)["items"][0]["addresses"] == [user.cluster_ip]
    assert soadns.http("/v1/interfaces?flag=nonsense")[0] == 409
    assert soadns.http(f"/v1/interfaces/{USER}")[0] == 200
    assert soadns.http("/v1/explain/com.x.Unknown")[0] == 404
    assert soadns.http("/v1/nothing")[0] == 404


def test_probes_are_for_everybody_and_the_estate_for_who_has_the_token(stage: Stage) -> None:
    token = stage.folder / "token"
    token.write_text("open-sesame\n")
    probes = free_port()
    soadns = stage.soadns_not_started()
    soadns.write_config(
        http=soadns.settings["http"] | {"tokenFile": str(token), "probes": f"127.0.0.1:{probes}"}
    )
    soadns.start()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    for path in ("/readyz", "/metrics", "/livez"):
        assert soadns.http(path)[0] == soadns.http(path, port=probes)[0] == 200
    estate = ("/v1/interfaces", f"/v1/interfaces/{USER}", f"/v1/explain/{USER}", "/v1/sources")
    changes = (("/v1/release", {"source": "kube/home"}), ("/v1/reload", {}))
    for path, body in (*((path, None) for path in estate), *changes):
        assert soadns.http(path, body=body)[0] == 401
        assert soadns.http(path, body=body, token="open")[0] == 401
        assert soadns.http(path, body=body, token="open-sesame", port=probes)[0] == 404
    assert all(soadns.http(path, token="open-sesame")[0] == 200 for path in estate)
    assert soadns.cli("release", "kube/home")[0] == 0  # it reads the file that the configuration names
    assert soadns.logged("event=released", "source=kube/home")

    token.write_text("something-else")  # rotated: nothing has to be restarted
    assert soadns.http("/v1/sources", token="open-sesame")[0] == 401
    assert soadns.cli("list")[0] == 0


def test_a_second_soadns_on_the_same_port_says_which_setting_to_change(stage: Stage) -> None:
    soadns = stage.soadns()
    second = stage.soadns_not_started(nameserver={"listen": [f"127.0.0.1:{soadns.port}"]})
    status, text = second.cli("serve")
    assert status == 1
    assert f"can not listen on UDP 127.0.0.1:{soadns.port}" in text
    assert "nameserver.listen" in text


def test_no_secret_is_ever_shown(stage: Stage, zookeeper_server: ZooKeeper) -> None:
    secret = stage.folder / "zk"
    secret.write_text("reader:hunter-two")
    token = stage.folder / "token"
    token.write_text("open-sesame")
    [ensemble] = stage.settings()["zookeeper"]
    auth = {"scheme": "digest", "credentialsFile": str(secret)}
    soadns = stage.soadns_not_started(zookeeper=[ensemble | {"auth": auth}])
    soadns.write_config(http=soadns.settings["http"] | {"tokenFile": str(token)})
    soadns.start()
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER, token="s3cr3t-token")
    pod.registers_leaf(
        "bad",
        f"/dubbo/{USER}/providers",
        f"dubbo%3A%2F%2Fadmin%3Apa55word%4010.0.0.1%3Ax%2F{USER}%3Ftoken%3Ds3cr3t-token",
    )
    soadns.answers(USER, user.cluster_ip)
    assert eventually(lambda: "bad-port" in soadns.cli("explain", USER)[1], within=20)

    assert soadns.http("/v1/interfaces")[0] == 401
    assert soadns.cli("list")[0] == 0  # the command line reads the token file that the configuration names
    said = soadns.process.log.read_text() + soadns.http("/metrics")[1]
    for verb in (
        ["explain", USER],
        ["explain", USER, "-o", "json"],
        ["config"],
        ["config", "-o", "json"],
        ["check"],
    ):
        said += soadns.cli(*verb)[1]
    assert "bad-port" in said
    for word in ("hunter-two", "open-sesame", "s3cr3t-token", "pa55word"):
        assert word not in said
