"""A real kube-apiserver on a real etcd, with RBAC on. No controllers run: EndpointSlices are written by tests."""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.process import Process, command_of, eventually, printed

ADMIN, READER = "admin-token", "soadns-token"
SERVICE_RANGE = "10.96.0.0/16,fd00:10:96::/112"
_WATCHES = re.compile(
    r'^apiserver_longrunning_requests\{.*?group="(.*?)",resource="(.*?)",.*?verb="WATCH".*?\} (\d+)$',
    re.MULTILINE,
)


def opened(request: urllib.request.Request | str, *, timeout: float, context: ssl.SSLContext) -> Any:
    """The answer of a server here. Who asks for proxies reads the environment, which pytest changes meanwhile."""
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    return urllib.request.build_opener(*handlers).open(request, timeout=timeout)


class Etcd:
    """One member; restarts keep its data.

    ``tls`` (CA, key, certificate of ``localhost``): it wants a certificate of that CA from whoever asks.
    """

    def __init__(
        self, folder: Path, *, place: Place = OUTSIDE, tls: tuple[Path, Path, Path] | None = None
    ) -> None:
        self.port, peer = free_port(), free_port()
        self._tls: ssl.SSLContext | None = None
        folder.mkdir(parents=True, exist_ok=True)
        command, env = command_of("etcd")
        listens, peer_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{peer}"
        self.url = listens
        if tls is not None:
            ca, key, certificate = tls
            self._tls = ssl.create_default_context(cafile=ca)
            self._tls.load_cert_chain(certificate, key)
            listens, self.url = listens.replace("http", "https"), f"https://localhost:{self.port}"
            command += [f"--trusted-ca-file={ca}", f"--key-file={key}", f"--cert-file={certificate}"]
            command.append("--client-cert-auth")
        command += [
            "--data-dir",
            str(folder / "data"),
            "--listen-client-urls",
            listens,
            "--advertise-client-urls",
            self.url,
        ]
        command += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
        command += ["--initial-cluster", f"default={peer_url}", "--unsafe-no-fsync"]
        if not _understands(command[0], "--unsafe-no-fsync"):
            command.remove("--unsafe-no-fsync")
        self.process = Process("etcd", command, log=folder / "log", env=env, place=place)

    def start(self) -> None:
        if not self.process.running:
            self.process.start()
            self.process.wait_until(lambda: b"true" in self._get("/health"), within=90.0)

    def compact(self) -> None:
        """Forget all revisions but the present one: watches that resume from before get 410."""
        status = self.post("/v3/kv/range", {"key": base64.b64encode(b"\0").decode(), "limit": "1"})
        revision = status["header"]["revision"]
        self.post("/v3/kv/compaction", {"revision": revision, "physical": True})

    def put(self, pairs: dict[str, str]) -> None:
        """Write up to 128 keys in one transaction."""
        puts = [
            {"requestPut": {"key": _base64(key), "value": _base64(value)}} for key, value in pairs.items()
        ]
        self.post("/v3/kv/txn", {"success": puts})

    def post(self, path: str, body: dict[str, Any], *, token: str = "") -> dict[str, Any]:
        """The answer to one request of its JSON gateway; with a token where users are known."""
        headers = {"Authorization": token} if token else {}
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), headers)
        with (
            self.process.place.inside(),
            opened(request, timeout=10, context=self._tls) as answer,
        ):
            return dict(json.load(answer))

    def _get(self, path: str) -> bytes:
        url = f"{self.url}{path}"
        with self.process.place.inside(), opened(url, timeout=2, context=self._tls) as answer:
            return bytes(answer.read())


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _understands(binary: str, flag: str) -> bool:
    done = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False)
    return flag in done.stdout + done.stderr


class ApiServer:
    """One API server; restarts keep its port and certificates."""

    def __init__(self, folder: Path, etcd: Etcd, *, host: str = "127.0.0.1", place: Place = OUTSIDE) -> None:
        self.port = free_port()
        self.host = host
        self.folder = folder
        self.etcd = etcd
        folder.mkdir(parents=True, exist_ok=True)
        key, tokens = folder / "sa.key", folder / "tokens.csv"
        printed("openssl", "genrsa", "-out", key, "2048").check_returncode()
        tokens.write_text(f'{ADMIN},admin,1,"system:masters"\n{READER},soadns,2,"readers"\n')
        command, env = command_of("kube-apiserver")
        command += [
            f"--etcd-servers={etcd.url}", f"--secure-port={self.port}", f"--bind-address={host}",
            "--endpoint-reconciler-type=none", f"--cert-dir={folder}", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-account-issuer=https://soadns.test",
            f"--token-auth-file={tokens}", f"--service-cluster-ip-range={SERVICE_RANGE}", "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount", "--etcd-compaction-interval=0",
        ]  # fmt: skip
        self.process = Process("kube-apiserver", command, log=folder / "log", env=env, place=place)

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def start(self) -> None:
        self.etcd.start()
        if not self.process.running:
            self.process.start()
            self.process.wait_until(self._ready, within=90.0)

    def _ready(self) -> bool:
        try:
            return bool(self.request("GET", "/readyz", raw=True) == b"ok")
        except AssertionError:
            return False

    def kill(self) -> None:
        self.process.kill()

    def kubeconfig(self, token: str = READER) -> Path:
        """A kubeconfig for one of the tokens."""
        path = self.folder / f"kubeconfig-{token}.yaml"
        cluster = {
            "server": self.url,
            "certificate-authority": f"{self.folder}/apiserver.crt",
        }
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1", "kind": "Config", "current-context": "test",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "test", "user": {"token": token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                }
            )
        )  # fmt: skip
        return path

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str = "application/json",
        raw: bool = False,
        token: str = ADMIN,
    ) -> Any:
        """One request with a body as it is or to be JSON; the decoded answer.

        Raises AssertionError with the server's words.
        """
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        context = ssl.create_default_context(cafile=f"{self.folder}/apiserver.crt")
        try:
            with (
                self.process.place.inside(),
                opened(request, timeout=20, context=context) as response,
            ):
                answer = response.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(
                f"{method} {path}: {error.code}: {error.read().decode(errors='replace')}"
            ) from None
        return answer if raw else json.loads(answer)

    def watches(self) -> Counter[str]:
        """How many watch each kind of object at this moment, its own parts among them."""
        found: Counter[str] = Counter()
        for group, resource, count in _WATCHES.findall(self.request("GET", "/metrics", raw=True).decode()):
            found[f"{resource}.{group}"] += int(count)
        return found

    def apply(self, document: dict[str, Any], *, subresource: str = "") -> dict[str, Any]:
        """Server-side apply, as kubectl does it."""
        path = f"{collection(document)}/{document['metadata']['name']}"
        path += f"/{subresource}" if subresource else ""
        path += "?fieldManager=test&force=true"
        return dict(self.request("PATCH", path, document, kind="application/apply-patch+yaml"))

    def delete(self, document: dict[str, Any]) -> None:
        self.request("DELETE", f"{collection(document)}/{document['metadata']['name']}")

    def create_namespace(self, name: str) -> None:
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def grant(self, rules: list[dict[str, Any]], *, namespace: str = "") -> None:
        """Give the reader these rules, and no others, in one namespace or in the whole cluster; they hold when this
        returns.
        """
        group, kind = "rbac.authorization.k8s.io", "Role" if namespace else "ClusterRole"
        shared: dict[str, Any] = {"apiVersion": f"{group}/v1", "metadata": {"name": "soadns"}}
        if namespace:
            shared["metadata"]["namespace"] = namespace
        reference = {"apiGroup": group, "kind": kind, "name": "soadns"}
        subjects = [{"kind": "User", "name": "soadns", "apiGroup": group}]
        self.apply(shared | {"kind": kind, "rules": rules})
        self.apply(shared | {"kind": f"{kind}Binding", "roleRef": reference, "subjects": subjects})
        # The API server watches roles as everybody does: who asks at once may be refused, and asks again much later.
        held = eventually(lambda: self._reader_may(rules, namespace), within=30.0)
        assert held, f"the reader has not got {rules}"

    def _reader_may(self, rules: list[dict[str, Any]], namespace: str) -> bool:
        """Whether the API server goes by these rules."""
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace or "default"},
        }  # fmt: skip
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        found = self.request("POST", path, review, token=READER)["status"]["resourceRules"]
        return all(
            {"resourceNames": [], **rule} in [{"resourceNames": [], **each} for each in found]
            for rule in rules
        )


PLURALS = {
    "Service": "services", "Pod": "pods", "EndpointSlice": "endpointslices", "Namespace": "namespaces", "Node": "nodes",
    "ConfigMap": "configmaps", "Deployment": "deployments", "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
    "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles", "RoleBinding": "rolebindings",
    "EnvoyFilter": "envoyfilters", "VirtualService": "virtualservices", "DestinationRule": "destinationrules",
    "PeerAuthentication": "peerauthentications", "ServiceEntry": "serviceentries", "Sidecar": "sidecars",
}  # fmt: skip


def collection(document: dict[str, Any]) -> str:
    """The path of all objects of this one's kind, in its namespace if it has one."""
    version = document["apiVersion"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    namespace = document["metadata"].get("namespace")
    return (
        f"{root}/namespaces/{namespace}/{PLURALS[document['kind']]}"
        if namespace
        else f"{root}/{PLURALS[document['kind']]}"
    )
