"""``docs/install.md`` from top to bottom: each command is typed in a small real cluster, and prints what is shown.
Then what the page says of replicas that are replaced while ZooKeeper is away, under load.

The pods are containers of the image that ``Dockerfile`` makes, with the chart's security contexts, and read the API
server with the tokens of the chart's ServiceAccount: RBAC is on.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crowd import Crowd
from tests.scenarios.stage.cluster import DNS, NAMESPACE, Cluster
from tests.scenarios.stage.failures import PATIENCE_S
from tests.scenarios.stage.image import ROOT, Image
from tests.scenarios.stage.kubelet import Kubelet
from tests.scenarios.stage.kubernetes import ADMIN
from tests.scenarios.stage.network import OLD_WORLD
from tests.scenarios.stage.pages import block
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.programs import of_parts
from tests.scenarios.stage.terminal import Event, Typed, missing, steps
from tests.scenarios.stage.zookeeper import Registration, ZooKeeper, close

PAGE = ROOT / "docs" / "install.md"
ORDER = "com.example.Order"
EXEC = re.compile(
    r"(?:(?P<made>.*) \| )?kubectl exec --namespace soadns (?:--stdin )?(?P<pod>\S+) -- "
    r"(?P<inner>.*?)(?: < (?P<file>\S+))?"
)
"""What the kubelet does for it is done here; its standard input is a file, or what another command prints."""


class Estate(Cluster):
    """A cluster with a registry, CoreDNS that forwards the zone, and an application; soadns is not there yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            self._registry()
            self.order = self.service("order", {"name": "tcp-dubbo", "port": 20880, "protocol": "TCP"})
            self.order.endpoint("10.244.9.1")
            self.provides("order", "10.244.9.1", ORDER)
            ports = [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ]
            self.coredns, home = self.name_server()
            self.service("kube-dns", *ports, clusterIP=DNS).endpoint(home.ip)
            self.coredns.start()
            self.image = Image(folder / "image")
            self.image.build()
            self.kubelet = Kubelet(self, self.image, "soadns")
            self._last_to_first.callback(self.kubelet.end)
            self._shell(folder / "terminal")
        except BaseException:
            self.end()
            raise

    def provides(self, application: str, host: str, *interfaces: str) -> None:
        """A process of an application registers interfaces, and stays."""
        registration = Registration(self.zookeeper, "", host=host, port=20880, application=application)
        self._last_to_first.callback(registration.close)
        registration.registers(*interfaces)

    def _registry(self) -> None:
        self.zookeeper = ZooKeeper(self.folder / "zookeeper", host=OLD_WORLD, place=self.node)
        self.zookeeper.start()
        client = self.zookeeper.client()
        for root in ("/dubbo", "/sofa-rpc"):
            client.ensure_path(root)
        close(client)
        metadata = {"name": "zookeeper", "namespace": NAMESPACE}
        port = {"name": "client", "port": 2181}
        self.api.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [port]}}
        )
        labels = {"kubernetes.io/service-name": "zookeeper"}
        self.api.apply(
            {
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": metadata | {"labels": labels}, "endpoints": [{"addresses": [OLD_WORLD]}],
                "ports": [port | {"port": self.zookeeper.port}],
            }
        )  # fmt: skip

    def _shell(self, folder: Path) -> None:
        """A folder that looks like a checkout, and the programs of the page."""
        programs = folder / "bin"
        of_parts(programs, "helm", "kubectl", "dig")
        (folder / "deploy").symlink_to(ROOT / "deploy")
        for name in ("values", "order-v2"):
            (folder / f"{name}.yaml").write_text(block("install.md", f"yaml {name}"), encoding="utf-8")
        self._folder = folder
        self._env = os.environ | {"KUBECONFIG": str(self.api.kubeconfig(ADMIN)), "HOME": str(folder)}
        self._env |= {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}

    def type(self, command: str) -> tuple[int, str]:
        """Run one line on the machine of the cluster: its status, and what it prints."""
        if command.startswith("docker build "):
            assert command.split()[-1] == "."
            return 0, ""  # what Image.build did
        if found := EXEC.fullmatch(command):
            given = self.type(found["made"])[1] if found["made"] else ""
            if found["file"]:
                given = (self._folder / found["file"]).read_text(encoding="utf-8")
            done = self.kubelet.pod(found["pod"]).run(*shlex.split(found["inner"]), given=given)
            return done.returncode, done.stdout + done.stderr
        with self.node.popen(
            ["bash", "-o", "pipefail", "-c", f"cd {self._folder}\n{command}"], env=self._env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as shell:  # fmt: skip
            out, _ = shell.communicate(timeout=400)
        return shell.returncode, out


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    # Containers run as another user, who may see nothing of pytest's own folders.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        found = Estate(Path(folder))
        try:
            found.kubelet.start()
            yield found
        finally:
            found.end()


def test_the_page_holds_from_top_to_bottom(estate: Estate) -> None:
    once = re.compile(r"(helm (install|upgrade|uninstall|test)|kubectl (create|label|apply|delete|rollout)) ")
    for step in steps(PAGE):
        typed = Typed(step.text, ()) if isinstance(step, Event) else step
        status, said = estate.type(typed.command)
        if not once.match(typed.command):
            _, said = eventually(
                lambda each=typed: estate.type(each.command), within=60.0,
                until=lambda got, each=typed: not (got[0] or missing(each, got[1])),
            )  # fmt: skip
            status = 0
        assert not status, f"$ {typed.command}\nexit status {status}\n{said}\n{estate.kubelet.trouble}"
        assert not missing(typed, said), f"$ {typed.command}\n{missing(typed, said)!r} is not in:\n{said}"


NAMES = [f"com.example.shop.Service{number}" for number in range(40)]
OLD = [f"com.example.legacy.Service{number}" for number in range(20)]
RATE = 200
"""Questions a second, of each of two crowds."""
INSTALL = (
    "deploy/helm/soadns --namespace soadns --values values.yaml --set replicaCount=3 --set persistence.enabled=false "
    "--set 'replicaServices.clusterIPs={10.96.0.53,10.96.0.54,10.96.0.55}' --set service.clusterIP=10.96.0.56"
)
UNCOMPILED = """
import os, sys
import soadns.app, soadns.ads.server, soadns.cli, soadns.commands.checks, soadns.commands.verbs, soadns.mesh.mesh
import soadns.skydns.publisher, soadns.sources.kube, soadns.sources.zookeeper, soadns.transfer.server
mine = [each.__cached__ for each in sys.modules.values() if getattr(each, "__cached__", "")]
print(*[path for path in mine if path.startswith("/opt/soadns/") and not os.path.exists(path)])
"""
"""What a start would compile each time, for nothing can be written in a container."""
ROLLED = "kubectl rollout status statefulset/soadns --namespace soadns --timeout 300s"


def test_a_rolling_update_with_zookeeper_down_and_no_volumes_loses_nothing(estate: Estate) -> None:
    """Three replicas are replaced by empty ones as the chart has it: readiness, SIGTERM, lameduck.

    Callers in a pod ask CoreDNS, which asks two of them, and the Service of all three, to which kube-proxy leads them.
    """
    estate.provides("order", "10.244.9.1", *NAMES)
    estate.provides("legacy", OLD_WORLD, *OLD)
    answers = dict.fromkeys(NAMES, estate.order.cluster_ip) | dict.fromkeys(OLD, OLD_WORLD)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    estate.api.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "soadns", "labels": labels}}
    )
    typed(estate, f"helm install soadns {INSTALL}")
    typed(estate, ROLLED)
    before = uids(estate)
    for name in before:
        assert eventually(lambda each=name: not wrong(estate, each, answers), within=60.0), name
    asked = [f"{name}.rpc.cluster.local={address}" for name, address in answers.items()]
    caller = estate.home("caller")
    estate.zookeeper.kill()
    with caller.place.inside():  # whoever is started is there, too
        by_name_server = Crowd(53, *asked, rate=RATE, patience=PATIENCE_S, host=DNS)
        by_service = Crowd(53, *asked, rate=RATE, patience=PATIENCE_S, host="10.96.0.56")
        with by_name_server, by_service:
            typed(estate, f"helm upgrade soadns {INSTALL} --set config.log.level=debug")
            typed(estate, ROLLED)
    print(f"asked of CoreDNS: {by_name_server.outcome}\nasked of the Service: {by_service.outcome}")
    assert not by_name_server.outcome.unharmed
    assert not by_service.outcome.unharmed
    after = uids(estate)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    for name in after:
        log = estate.kubelet.pod(name).process.log.read_text()
        assert "event=snapshot-taken" in log, log
        heard = estate.kubelet.pod(name).run("soadns", "list", "--sources").stdout
        assert "zookeeper/main/dubbo: stale, 61 observations" in heard, heard
        assert not wrong(estate, name, answers)
        compiled = estate.kubelet.pod(name).run("python", "-c", UNCOMPILED)
        assert compiled.stdout == "\n", compiled
    typed(estate, "helm uninstall soadns --namespace soadns")


def typed(estate: Estate, command: str) -> None:
    status, said = estate.type(command)
    assert not status, f"$ {command}\nexit status {status}\n{said}\n{estate.kubelet.trouble}\n{logs(estate)}"


def logs(estate: Estate) -> str:
    """The ends of those of all pods."""
    items = estate.api.request("GET", "/api/v1/namespaces/soadns/pods")["items"]
    names = [each["metadata"]["name"] for each in items]
    return "\n".join(f"--- {name}\n{estate.kubelet.pod(name).process.tail()}" for name in names)


def uids(estate: Estate) -> dict[str, str]:
    """Of the pods by name."""
    items = estate.api.request("GET", "/api/v1/namespaces/soadns/pods")["items"]
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in items}


def wrong(estate: Estate, pod: str, answers: dict[str, str]) -> list[str]:
    """What a replica does not answer as it should, of all names."""
    done = estate.kubelet.pod(pod).run("soadns", "list", "-o", "json")
    if done.returncode:
        return [done.stderr]
    found = {item["interface"]: item["addresses"] for item in json.loads(done.stdout)["items"]}
    return [name for name, address in answers.items() if found.get(name) != [address]]
