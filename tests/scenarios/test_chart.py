"""The Helm chart: real Helm lints and renders it, a real kube-apiserver takes all of it, its roles are the least."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from soadns import pod
from soadns.composition import kube_settings, mesh_cluster, mesh_wants
from soadns.mesh import access
from soadns.settings.config import Config
from soadns.settings.configfile import parse
from soadns.sources.kubeaccess import rbac
from tests.scenarios.stage.helm import CHART, RELEASE, VALUES, Document, documents, helm, of_kind, rendered
from tests.scenarios.stage.kubernetes import ADMIN, ApiServer, collection
from tests.scenarios.stage.monitoringkinds import define
from tests.scenarios.stage.pages import block
from tests.scenarios.stage.process import command_of, printed

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("Role", "ClusterRole")
EVERY = pytest.mark.parametrize("values", VALUES)


@pytest.fixture
def own_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The configuration is looked at as in a pod of the release."""
    (tmp_path / "namespace").write_text("soadns")
    monkeypatch.setattr(pod, "NAMESPACE", tmp_path / "namespace")
    monkeypatch.setenv("ZOOKEEPER_CREDENTIALS", "soadns:secret")


def configuration(found: list[Document]) -> Config:
    [text] = [
        each["data"]["soadns.yaml"] for each in of_kind(found, "ConfigMap") if "soadns.yaml" in each["data"]
    ]
    return parse(text, where="soadns.yaml")


@EVERY
def test_helm_finds_nothing_to_complain_of(values: str) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, "--values", VALUES[values])


def test_the_plain_manifests_are_the_chart_rendered() -> None:
    """``make chart`` writes them; by then they are to be committed."""
    source = "import chart, json; print(json.dumps(chart.manifests()))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", source], cwd=ROOT / "tools", check=True, capture_output=True, text=True
    )
    for name, text in json.loads(done.stdout).items():
        assert (ROOT / "deploy" / "kubernetes" / name).read_text(encoding="utf-8") == text, (
            f"make chart: {name}"
        )


WRONG = r"""
config.zookeper=x                             | additional properties 'zookeper' not allowed
config.sidecar.istio.mode=wirte               | value must be one of 'none', 'read', 'write'
config.binding.linger=soon                    | does not match pattern
config.nameserver.workers=two                 | got string, want null or integer
kind=DaemonSet                                | value must be one of 'StatefulSet', 'Deployment'
replicas=3                                    | additional properties 'replicas' not allowed
image.digest=latest                           | does not match pattern
config.zones=                                 | config.zones is empty
config.kubernetes=                            | would know nothing. For example config.zookeeper
config.http.probes=                           | Services and probes lead there. Usual is 0.0.0.0:8054
config.http=null                              | config.http.probes is empty
config.http.probes=127.0.0.1:8054             | nobody outside of the pod could reach that. Say 0.0.0.0:8054
config.nameserver.listen=                     | config.nameserver.listen is empty
config.nameserver=null                        | config.nameserver.listen is empty
config.state.directory=                       | config.state.directory is no absolute path
config.state=null                             | config.state.directory is no absolute path
replicaCount=null                             | missing property 'replicaCount'
replicaCount=-1                               | minimum: got -1, want 0
replicaCount=1000000                          | maximum: got 1×10⁰⁶, want 64
replicaServices.clusterIPs={10.0.0.1,10.0.0.2,10.0.0.3} | 3 addresses for 2 replicas
podDisruptionBudget.maxUnavailable=0          | no node that one runs on could be drained
podDisruptionBudget.minAvailable=2            | lets none of 2 replicas go
podDisruptionBudget.minAvailable=100%         | lets none of 2 replicas go
podDisruptionBudget.maxUnavailable=-1         | minimum: got -1, want 0
podDisruptionBudget.maxUnavailable=           | does not match pattern
persistence.size=                             | persistence.size is empty
service.port=null                             | missing property 'port'
service.port=0                                | minimum: got 0, want 1
service.clusterIPs={}                         | minLength: got 0, want 1
image.repository=                             | minLength: got 0, want 1
nameOverride=Not_a_label                      | does not match pattern
terminationGracePeriodSeconds=0               | minimum: got 0, want 11
peers=null                                    | missing property 'peers'
"""
ODD = """
replicaCount=0
replicaCount=1
podDisruptionBudget.minAvailable=1
podDisruptionBudget.maxUnavailable=null
podDisruptionBudget.maxUnavailable=50%
livenessProbe=null
readinessProbe=null
service.clusterIPs={10.96.0.60}
config.http.livez=
replicaServices.clusterIPs=null
podAnnotations=null
topologySpreadConstraints=null
resources=null
podSecurityContext=null
serviceMonitor.enabled=true,serviceMonitor.interval=
revisionHistoryLimit=null
terminationGracePeriodSeconds=null
autoscaling.enabled=true,replicaCount=1
peers.tls.secretName=soadns-peers-tls
"""
"""Empty and unusual, and right."""


LISTS = ("config.zones", "config.kubernetes", "config.nameserver.listen")


@pytest.mark.parametrize("row", WRONG.strip().splitlines())
def test_values_that_can_not_work_are_refused_before_anything_is_installed(row: str) -> None:
    setting, said = (word.strip() for word in row.split("|"))
    key, _, value = setting.partition("=")
    how = "--set-json" if value in ("", "null") and key in LISTS else "--set"
    done = printed("helm", "template", "soadns", CHART, how, f"{key}=[]" if how == "--set-json" else setting)
    assert done.returncode != 0
    assert said in done.stderr, done.stderr


@EVERY
@pytest.mark.usefixtures("own_namespace")
def test_roles_are_what_the_configuration_takes_and_no_more(values: str) -> None:
    found = documents(values)
    config = configuration(found)
    wanted: dict[tuple[str, str], set[str]] = {}
    home = next((cluster for cluster in config.kubernetes if not cluster.kubeconfig), None)
    if home is not None:
        for role in yaml.safe_load_all(rbac(kube_settings(home))):
            wanted[role["metadata"]["name"], role["metadata"].get("namespace", "")] = rights(role["rules"])
    if mesh_cluster(config) == [home]:
        for need in access.needs(mesh_wants(config)):
            rules = yaml.safe_load("\n".join(rule.yaml() for rule in need.rules))
            wanted[need.role, need.namespace] = rights(rules)
    name = configured_name(found)
    given = {}
    for role in of_kind(found, *ROLES):
        metadata = role["metadata"]
        place = metadata["name"].replace(name, "soadns", 1), metadata.get("namespace", "")
        given[place] = rights(role["rules"])
    assert given == wanted
    [pods] = {each["spec"]["template"]["spec"]["automountServiceAccountToken"] for each in workloads(found)}
    assert pods == bool(wanted), "who has no rights has no token"


def rights(rules: list[dict[str, Any]]) -> set[str]:
    return {
        f"{verb} {group}/{resource} {name}"
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def workloads(found: list[Document]) -> list[Document]:
    return of_kind(found, "StatefulSet", "Deployment")


def configured_name(found: list[Document]) -> str:
    [workload] = workloads(found)
    return str(workload["metadata"]["name"])


def test_replicas_are_asked_by_the_name_that_the_certificate_of_the_page_is_for() -> None:
    certificate = yaml.safe_load(block("install.md", "yaml certificate"))["spec"]
    secret = certificate["secretName"]
    text = helm("template", RELEASE, CHART, "--namespace", RELEASE, "--set", f"peers.tls.secretName={secret}")
    found = [each for each in yaml.safe_load_all(text) if each]
    peers = configuration(found).state.peers
    assert [host.rpartition(":")[0] for host in peers.hosts] == certificate["dnsNames"]
    [workload] = workloads(found)
    pods = [workload["spec"]["template"]["spec"], *(each["spec"] for each in of_kind(found, "Pod"))]
    for spec in pods:
        [volume] = [
            each["name"] for each in spec["volumes"] if each.get("secret", {}).get("secretName") == secret
        ]
        [container] = spec["containers"]
        [folder] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == volume]
        files = [peers.tls.cert, peers.tls.key, peers.tls.ca]
        assert files == [f"{folder}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")]
    assert len(pods) == 2, "replicas, and what tries their configuration"


@EVERY
def test_each_role_is_bound_to_the_account_of_the_pods(values: str) -> None:
    found = documents(values)
    [workload] = workloads(found)
    account = workload["spec"]["template"]["spec"]["serviceAccountName"]
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"], each["metadata"].get("namespace", ""))
        for each in of_kind(found, "RoleBinding", "ClusterRoleBinding")
        if each["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "soadns"}]
    }
    roles = of_kind(found, *ROLES)
    assert bound == {
        (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace", "")) for each in roles
    }


# --------------------------------------------------------------------------- ports


def ports_of(found: list[Document]) -> dict[tuple[str, str], int]:
    """Ports of the pods, by name and protocol."""
    [workload] = workloads(found)
    [container] = workload["spec"]["template"]["spec"]["containers"]
    return {(port["name"], port["protocol"]): port["containerPort"] for port in container["ports"]}


@EVERY
def test_nothing_leads_to_a_port_that_pods_do_not_have(values: str) -> None:
    found = documents(values)
    ports = ports_of(found)
    assert {type(port) for port in ports.values()} == {int}
    [workload] = workloads(found)
    [container] = workload["spec"]["template"]["spec"]["containers"]
    probes = [container[name] for name in ("livenessProbe", "readinessProbe") if name in container]
    led = {(probe["httpGet"]["port"], "TCP") for probe in probes}
    for service in of_kind(found, "Service"):
        led |= {(port["targetPort"], port["protocol"]) for port in service["spec"]["ports"]}
    assert led == set(ports), "and none is for nobody"
    for policy in of_kind(found, "NetworkPolicy"):
        rules = policy["spec"]["ingress"]
        assert {(port["port"], port["protocol"]) for rule in rules for port in rule["ports"]} == set(ports)


@pytest.mark.usefixtures("own_namespace")
def test_secondaries_reach_each_replica_where_the_page_has_them_ask() -> None:
    found = documents("transfer")
    asked = re.findall(r"^    address: ([\d.]+)@(\d+)$", block("scaling.md", "knot.conf"), re.M)
    assert len(asked) == 2
    ports = ports_of(found)
    services = {service["spec"].get("clusterIP"): service["spec"] for service in of_kind(found, "Service")}
    for number, (address, port) in enumerate(asked):
        spec = services[address]
        assert spec["selector"]["statefulset.kubernetes.io/pod-name"] == f"soadns-{number}"
        for protocol in ("UDP", "TCP"):
            [target] = [
                each["targetPort"]
                for each in spec["ports"]
                if (each["port"], each["protocol"]) == (int(port), protocol)
            ]
            [listen] = configuration(found).transfer.listen
            assert ports[target, protocol] == int(listen.rpartition(":")[2])
    [policy] = of_kind(found, "NetworkPolicy")
    [rule] = [
        each for each in policy["spec"]["ingress"] if {"port": "transfer", "protocol": "UDP"} in each["ports"]
    ]
    assert {"port": "transfer-tcp", "protocol": "TCP"} in rule["ports"]
    assert rule["from"] == [{"ipBlock": {"cidr": "10.0.5.0/24"}}]


def test_who_wants_no_probe_of_the_supervisor_has_none() -> None:
    [workload] = workloads(documents("transfer"))
    [container] = workload["spec"]["template"]["spec"]["containers"]
    assert "livenessProbe" not in container
    assert "readinessProbe" in container


# --------------------------------------------------------------------------- the API server


@pytest.fixture(scope="module")
def prepared(api_server: ApiServer) -> Iterator[ApiServer]:
    """Namespaces that the values speak of, the strictest standard for pods in that of soadns, Prometheus's kinds."""
    api_server.start()
    define(api_server)
    for name in ("shop", "pay", "web", "canary", "istio-system", "istio-config"):
        api_server.create_namespace(name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api_server.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "soadns", "labels": labels}}
    )
    return api_server


def kubectl(api: ApiServer, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command, env = command_of("kubectl")
    return subprocess.run(
        [*command, f"--kubeconfig={api.kubeconfig(ADMIN)}", *arguments], env=env, input=given, text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip


@EVERY
def test_a_real_api_server_takes_every_object(prepared: ApiServer, values: str) -> None:
    """Each is checked by all that is on its way, with unknown fields and the standards for pods; nothing is kept.

    Roles of the same names may be there: stories before this one give their soadns theirs.
    """
    done = kubectl(
        prepared, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-",
        given=rendered(values),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "warnings, of standards for pods for example"
    assert len(done.stdout.splitlines()) == len(documents(values))


@pytest.mark.parametrize("settings", ODD.strip().splitlines())
def test_a_real_api_server_takes_what_becomes_of_unusual_values(prepared: ApiServer, settings: str) -> None:
    text = helm("template", RELEASE, CHART, "--namespace", RELEASE, "--set", settings)
    done = kubectl(
        prepared, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-",
        given=text,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") or only_of_pod_standards(settings, done.stderr)


def only_of_pod_standards(settings: str, said: str) -> bool:
    """Whether all that is said is that pods without a security context are not kept to the strictest standard."""
    return settings.startswith("podSecurityContext") and "would violate PodSecurity" in said


FIXED = (
    ("persistence.size=2Gi", "field is immutable"),
    ("replicaServices.clusterIPs={10.96.77.2}", "may not change once set"),
    ("service.clusterIP=10.96.77.3", "may not change once set"),
)


def test_what_can_not_change_in_place_is_what_the_page_says(prepared: ApiServer) -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    prepared.create_namespace("fixed")

    def objects(settings: str) -> str:
        text = helm("template", RELEASE, CHART, "--namespace", "fixed", "--set", settings)
        found = [each for each in yaml.safe_load_all(text) if each]
        return yaml.safe_dump_all(of_kind(found, "Service", "StatefulSet"))

    try:
        done = kubectl(prepared, "apply", "-f", "-", given=objects("replicaServices.clusterIPs={10.96.77.1}"))
        assert done.returncode == 0, done.stderr
        for settings, said in FIXED:
            done = kubectl(prepared, "apply", "--dry-run=server", "-f", "-", given=objects(settings))
            assert done.returncode != 0, settings
            assert said in done.stderr, done.stderr
            assert said in page
            assert settings.partition("=")[0].partition(".size")[0] in page
    finally:
        kubectl(prepared, "delete", "service,statefulset", "--all", "--namespace", "fixed")


@EVERY
def test_pods_keep_to_the_strictest_standard(prepared: ApiServer, values: str) -> None:
    """Admission refuses pods, not what they are made from."""
    [workload] = workloads(documents(values))
    template = workload["spec"]["template"]
    spec = template["spec"] | {"priorityClassName": ""}
    mounted = {each["name"] for each in spec["volumes"]}
    claims = workload["spec"].get("volumeClaimTemplates", ())
    spec["volumes"] = [
        *spec["volumes"],
        *(
            {"name": each["metadata"]["name"], "persistentVolumeClaim": {"claimName": "x"}}
            for each in claims
            if each["metadata"]["name"] not in mounted
        ),
    ]
    metadata = template["metadata"] | {"name": "tried", "namespace": "soadns"}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    prepared.request("POST", f"{collection(document)}?dryRun=All", document)
    [container] = spec["containers"]
    loose = container | {"securityContext": {}}
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        prepared.request(
            "POST",
            f"{collection(document)}?dryRun=All",
            document | {"spec": spec | {"containers": [loose]}},
        )
