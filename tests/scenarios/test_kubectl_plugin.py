"""``kubectl soadns``, run by a real kubectl against a real API server.

No kubelet is there that would forward a port: real kubectl is seen to ask for it, of the right pod, and to be refused.
What comes after that is told with a stand-in for ``kubectl port-forward`` alone.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.stage.kubernetes import ADMIN
from tests.scenarios.stage.process import command_of
from tests.scenarios.stage.programs import program
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Stage

USER = "com.alipay.user.UserService"
STAND_IN = """
import os, socket, sys, threading
if "port-forward" not in sys.argv:
    os.execv({real!r}, [{real!r}, *sys.argv[1:]])
assert sys.argv[-2:] == ["pod/soadns-1", ":8053"], sys.argv
listening = socket.create_server(("127.0.0.1", 0))
print(f"Forwarding from 127.0.0.1:{{listening.getsockname()[1]}} -> 8053", flush=True)
def copy(one, other):
    while octets := one.recv(65536):
        other.sendall(octets)
    other.shutdown(socket.SHUT_WR)
while True:
    ours, _ = listening.accept()
    print("Handling connection for 8053", flush=True)
    theirs = socket.create_connection(("127.0.0.1", {port}))
    for pair in ((ours, theirs), (theirs, ours)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


class Laptop:
    """A path with kubectl and the plugin, and a kubeconfig."""

    def __init__(self, stage: Stage) -> None:
        assert stage.api is not None
        self.folder = stage.folder / "laptop"
        self.folder.mkdir()
        self.namespace = stage.namespace
        real, self._env = command_of("kubectl")
        source = Path(__file__).resolve().parents[2]
        self._env |= {"KUBECONFIG": str(stage.api.kubeconfig(ADMIN)), "HOME": str(self.folder)}
        self._env |= {"PATH": f"{self.folder}:{os.environ['PATH']}", "PYTHONPATH": str(source)}
        self.program("kubectl", f'exec {shlex.join(real)} "$@"')
        self.program(
            "kubectl-soadns", f'exec {shlex.quote(sys.executable)} -m soadns.commands.kubectlplugin "$@"'
        )
        self.real = real[0]

    def program(self, name: str, text: str) -> None:
        program(self.folder / name, text)

    def forwards_to(self, soadns: Soadns) -> None:
        """From now on ports are forwarded, to this one, whatever the pod."""
        script = self.folder / "stand_in.py"
        script.write_text(STAND_IN.format(real=self.real, port=soadns.http_port))
        self.program("kubectl", f'exec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"')

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / "kubectl"), *arguments]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=False, timeout=60)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.kubectl("soadns", "--namespace", self.namespace, *arguments)


def pod(stage: Stage, name: str, *, ready: bool) -> None:
    """A replica as the chart labels it, and as its kubelet would say that it is."""
    assert stage.api is not None
    document = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": stage.namespace, "labels": {"app.kubernetes.io/name": "soadns"},
        },
        "spec": {"nodeName": "nowhere", "containers": [{"name": "soadns", "image": "soadns"}]},
    }  # fmt: skip
    stage.api.apply(document)
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": "Running", "conditions": [condition]}
    stage.api.request(
        "PATCH", f"/api/v1/namespaces/{stage.namespace}/pods/{name}/status", {"status": status},
        kind="application/strategic-merge-patch+json",
    )  # fmt: skip


@pytest.fixture
def laptop(cluster_stage: Stage) -> Laptop:
    return Laptop(cluster_stage)


def test_kubectl_finds_the_plugin_and_that_finds_a_replica(cluster_stage: Stage, laptop: Laptop) -> None:
    assert str(laptop.folder / "kubectl-soadns") in laptop.kubectl("plugin", "list").stdout
    nobody = laptop.ask("explain", USER)
    assert (nobody.returncode, nobody.stdout) == (3, "")
    assert f"no pod with app.kubernetes.io/name=soadns in namespace {laptop.namespace}" in nobody.stderr
    pod(cluster_stage, "soadns-0", ready=False)
    unready = laptop.ask("explain", USER)
    assert (unready.returncode, unready.stdout) == (3, "")
    assert "no replica is ready: soadns-0 (Running)" in unready.stderr
    pod(cluster_stage, "soadns-1", ready=True)
    # As far as a real kubectl comes: the API server would ask the kubelet of that pod's node.
    asked = laptop.ask("explain", USER)
    assert (asked.returncode, asked.stdout) == (3, "")
    assert "kubectl does not forward to soadns-1: " in asked.stderr
    assert 'nodes "nowhere" not found' in asked.stderr or "error upgrading connection" in asked.stderr

    wrong = laptop.ask("serve", "--config", "x")
    assert wrong.returncode == 2
    assert "serve asks no running soadns; the verbs that do: explain, list" in wrong.stderr
    assert laptop.ask("list", "--url", "http://127.0.0.1:1").returncode == 2
    assert laptop.ask().returncode == 2


def test_verbs_answer_as_they_do_beside_the_replica(cluster_stage: Stage, laptop: Laptop) -> None:
    user = cluster_stage.service("user", endpoints=1)
    user.annotate(interfaces=USER)
    soadns = cluster_stage.soadns()
    soadns.answers(USER, user.cluster_ip)
    pod(cluster_stage, "soadns-0", ready=False)
    pod(cluster_stage, "soadns-1", ready=True)
    laptop.forwards_to(soadns)
    told = laptop.ask("explain", USER, "-o", "json")
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout)["zones"][0]["addresses"] == [user.cluster_ip]
    assert laptop.ask("explain", "com.alipay.user.Unknown").returncode == 1
    listed = laptop.ask("list")
    assert (listed.returncode, listed.stdout) == soadns.cli("list")
    manifest = laptop.folder / "user.yaml"
    manifest.write_text(
        json.dumps({"kind": "Service", "metadata": {"name": "user", "namespace": laptop.namespace}})
    )
    change = laptop.ask("explain", "--manifest", str(manifest))
    assert f"Service {laptop.namespace}/user: changed" in change.stdout, change.stderr
    assert not soadns.logged("denied")
