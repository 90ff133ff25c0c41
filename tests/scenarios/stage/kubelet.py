"""What controllers and the kubelet do for one namespace, with real objects of the real API server and real processes.

A StatefulSet has its Pods (so admission has its say), a Pod has its container (``Image.container``) with its volumes
and the token of its ServiceAccount, probes say whether it is ready, and Services have EndpointSlices of that. Images
are not told apart: there is one.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.scenarios.stage.cluster import MACHINE_NAME, Cluster, Home
from tests.scenarios.stage.image import Image
from tests.scenarios.stage.kubernetes import collection
from tests.scenarios.stage.network import MACHINE
from tests.scenarios.stage.process import Process, eventually

Data = dict[str, Any]
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_EVERY_S = 0.1
_NAME = "statefulset.kubernetes.io/pod-name"
_REVISION = "controller-revision-hash"


class Running:
    """The one container of a Pod, and what it was started with."""

    def __init__(self, kubelet: Kubelet, pod: Data, home: Home) -> None:
        self.home = home
        self.uid = pod["metadata"]["uid"]
        self._image, [self._container] = kubelet.image, pod["spec"]["containers"]
        self._folder = home.folder / "containers"
        self._folder.mkdir()
        self._volumes = kubelet.volumes(pod, self._folder)
        self.leaving = False
        """Whether it was told to end."""
        self.environment = dict(self._image.environment)
        self.environment |= {
            "KUBERNETES_SERVICE_HOST": MACHINE,
            "KUBERNETES_SERVICE_PORT": str(kubelet.api.port),
        }
        self.environment |= {each["name"]: each["value"] for each in self._container.get("env", ())}
        self._numbers = itertools.count(1)
        self.process = Process(
            home.name, self.command([*self._image.entrypoint, *self._container["args"]]), log=home.folder / "log",
            env=self.environment, place=home.place,
        )  # fmt: skip
        self.process.start()

    def command(self, inner: list[str]) -> list[str]:
        """What starts a program in a container as this one is."""
        folder = self._folder / str(next(self._numbers))
        return self._image.container(inner, folder=folder, volumes=self._volumes)

    def run(self, *inner: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """``kubectl exec``: a program in a container beside it, with a text at its standard input."""
        pipe = subprocess.PIPE
        with self.home.place.popen(
            self.command(list(inner)),
            env=self.environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        ) as child:
            out, err = child.communicate(given.encode(), timeout=60)
        return subprocess.CompletedProcess(inner, child.returncode, out.decode(), err.decode())

    def passes(self, probe: str, node: Any) -> bool:
        """Whether a probe succeeds at this moment; one that is not there does."""
        if probe not in self._container:
            return self.process.running
        get = self._container[probe]["httpGet"]
        [port] = [each["containerPort"] for each in self._container["ports"] if each["name"] == get["port"]]
        url = f"http://{self.home.ip}:{port}{get['path']}"
        try:
            with node.inside(), urllib.request.urlopen(url, timeout=2.0):
                return True
        except (urllib.error.URLError, OSError):
            return False


class Kubelet:
    """Follows one namespace from ``start`` to ``end``."""

    def __init__(self, cluster: Cluster, image: Image, namespace: str) -> None:
        self.image = image
        self.api = cluster.api
        self.node = cluster.node
        self._cluster = cluster
        self._namespace = namespace
        self._pods: dict[str, Running] = {}
        self._told: dict[str, Data] = {}
        """The last status of each object, by UID."""
        self._numbers = itertools.count(1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.trouble = ""

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """End all containers."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        for each in self._pods.values():
            each.process.kill()

    def pod(self, name: str) -> Running:
        # Between two looks somebody else may change what the first one saw: the next one sees that.
        eventually(lambda: not self.trouble and name in self._pods, within=30.0)
        assert not self.trouble, self.trouble
        return self._pods[name]

    def _follow(self) -> None:
        while not self._over.wait(_EVERY_S):
            try:
                self._look()
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"  # told by who waits for what does not come
                if not isinstance(error, AssertionError | OSError):
                    raise
            else:
                self.trouble = ""

    def _list(self, group: str, plural: str) -> list[Data]:
        path = f"/{group}/namespaces/{self._namespace}/{plural}"
        kinds = {"pods": "Pod", "services": "Service", "statefulsets": "StatefulSet"}
        version = group.partition("/")[2]
        found = self.api.request("GET", path)["items"]
        return [{"apiVersion": version, "kind": kinds[plural], **each} for each in found]

    def _look(self) -> None:
        sets = self._list("apis/apps/v1", "statefulsets")
        pods = {each["metadata"]["name"]: each for each in self._list("api/v1", "pods")}
        wanted = {name for each in sets for name in self._names(each)}
        for name in [name for name in self._pods if name not in pods]:
            self._pods.pop(name).process.stop(within=30.0)  # nobody waits for it
        owners = {each["metadata"]["uid"] for each in sets}
        for name, pod in list(pods.items()):
            owner = [each["uid"] for each in pod["metadata"].get("ownerReferences", ())]
            orphaned = owner and not (name in wanted and owners.issuperset(owner))
            if (orphaned or "deletionTimestamp" in pod["metadata"]) and self._has_left(name):
                self._delete(pods.pop(name), {"gracePeriodSeconds": 0})
        for each in sets:
            for name in self._names(each):
                if name not in pods:
                    pods[name] = self._made(each, name)
        for name, pod in pods.items():
            if name not in self._pods and pod.get("status", {}).get("phase") == "Pending":
                self._pods[name] = Running(self, pod, self._cluster.home(f"{name}-{next(self._numbers)}"))
        self._tell(sets, pods)

    # ------------------------------------------------------------------ pods

    @staticmethod
    def _names(of: Data) -> list[str]:
        return [f"{of['metadata']['name']}-{number}" for number in range(of["spec"]["replicas"])]

    def _made(self, of: Data, name: str) -> Data:
        template = json.loads(json.dumps(of["spec"]["template"]))
        claims = [
            {"name": name_of, "persistentVolumeClaim": {"claimName": f"{name_of}-{name}"}}
            for name_of in (each["metadata"]["name"] for each in of["spec"].get("volumeClaimTemplates", ()))
        ]
        spec = template["spec"] | {"nodeName": MACHINE_NAME, "hostname": name}
        spec["volumes"] = [*spec.get("volumes", ()), *claims]
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "controller": True}
        owner |= {"name": of["metadata"]["name"], "uid": of["metadata"]["uid"]}
        metadata = {"name": name, "namespace": self._namespace, "ownerReferences": [owner]}
        metadata |= {"labels": template["metadata"]["labels"] | {_NAME: name, _REVISION: _revision(of)}}
        metadata |= {"annotations": template["metadata"].get("annotations", {})}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        return dict(self.api.request("POST", collection(pod), pod))

    def _delete(self, pod: Data, options: Data) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}"
        self.api.request("DELETE", path, options)

    def _has_left(self, name: str) -> bool:
        """Whether a container that is to end has ended; it is told so, once."""
        running = self._pods.get(name)
        if running is not None and running.process.running:
            if not running.leaving:
                running.leaving = True
                running.process.signal(signal.SIGTERM)
            return False
        self._pods.pop(name, None)
        return True

    def volumes(self, pod: Data, folder: Path) -> dict[str, tuple[Path, bool]]:
        """The folders of a Pod's volumes, by the path at which its container has them; and whether it may write."""
        spec, found = pod["spec"], {}
        made = {each["name"]: self._volume(each, pod, folder) for each in spec["volumes"]}
        for mount in spec["containers"][0]["volumeMounts"]:
            found[mount["mountPath"]] = made[mount["name"]], not mount.get("readOnly", False)
        if spec["automountServiceAccountToken"]:
            found[ACCOUNT] = self._account(spec["serviceAccountName"], folder / "account"), False
        return found

    def _volume(self, volume: Data, pod: Data, folder: Path) -> Path:
        place = folder / volume["name"]
        if "persistentVolumeClaim" in volume:
            place = self._cluster.folder / "claims" / volume["persistentVolumeClaim"]["claimName"]
        place.mkdir(parents=True, exist_ok=True)
        path = f"/api/v1/namespaces/{self._namespace}"
        if "configMap" in volume:
            for file, text in self.api.request("GET", f"{path}/configmaps/{volume['configMap']['name']}")[
                "data"
            ].items():
                (place / file).write_text(text, encoding="utf-8")
        elif "secret" in volume:
            secret = volume["secret"]
            for file, text in self.api.request("GET", f"{path}/secrets/{secret['secretName']}")[
                "data"
            ].items():
                (place / file).write_bytes(base64.b64decode(text))
                os.chown(place / file, -1, pod["spec"]["securityContext"]["fsGroup"])
                (place / file).chmod(secret["defaultMode"])
        else:
            os.chown(place, -1, pod["spec"]["securityContext"]["fsGroup"])
            place.chmod(0o2770)
        return place

    def _account(self, name: str, folder: Path) -> Path:
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{name}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        folder.mkdir()
        token = self.api.request("POST", path, request)["status"]["token"]
        (folder / "token").write_text(token, encoding="utf-8")
        (folder / "namespace").write_text(self._namespace, encoding="utf-8")
        (folder / "ca.crt").write_bytes((self.api.folder / "apiserver.crt").read_bytes())
        return folder

    # ------------------------------------------------------------------ what they are told to be

    def _tell(self, sets: list[Data], pods: dict[str, Data]) -> None:
        ready = {name: self._phase(pod) == "Ready" for name, pod in pods.items()}
        for each in sets:
            names, wanted, revision = self._names(each), each["spec"]["replicas"], _revision(each)
            counted = sum(ready.get(name, False) for name in names)
            old = [name for name in names if pods[name]["metadata"]["labels"][_REVISION] != revision]
            current = pods[old[0]]["metadata"]["labels"][_REVISION] if old else revision
            status = {
                "observedGeneration": each["metadata"]["generation"], "replicas": wanted, "readyReplicas": counted,
                "availableReplicas": counted, "currentReplicas": len(old), "updatedReplicas": wanted - len(old),
                "currentRevision": current, "updateRevision": revision,
            }  # fmt: skip
            self._status(each, status)
            if old and counted == wanted:
                self._delete(pods[old[-1]], {})  # one at a time, from the last one on
        for service in self._list("api/v1", "services"):
            chosen = service["spec"].get("selector", {}).items()
            behind = {
                name: ready[name]
                for name, pod in pods.items()
                if chosen <= pod["metadata"]["labels"].items()
                and name in self._pods
                and not self._pods[name].leaving
            }
            self._endpoints(service, behind, pods)

    def _phase(self, pod: Data) -> str:
        running = self._pods.get(pod["metadata"]["name"])
        if running is None or running.leaving:
            return "Leaving"
        process = running.process
        if not process.running:
            phase = "Failed" if process.stop() else "Succeeded"
            self._status(pod, {"phase": phase, "podIP": running.home.ip, "podIPs": [{"ip": running.home.ip}]})
            assert pod["spec"]["restartPolicy"] == "Never", (
                f"{running.home.name} ended by itself:\n{process.tail()}"
            )
            return phase
        alive = running.passes("readinessProbe", self.node)
        condition = {"type": "Ready", "status": "True" if alive else "False", "lastTransitionTime": None}
        name = pod["spec"]["containers"][0]["name"]
        container = {
            "name": name, "ready": alive, "started": True, "restartCount": 0, "image": "", "imageID": "",
            "state": {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}},
        }  # fmt: skip
        self._status(
            pod,
            {
                "phase": "Running", "podIP": running.home.ip, "podIPs": [{"ip": running.home.ip}],
                "conditions": [condition], "containerStatuses": [container],
            },
        )  # fmt: skip
        return "Ready" if alive else "Running"

    def _status(self, of: Data, status: Data) -> None:
        path = f"{collection(of)}/{of['metadata']['name']}/status"
        if self._told.get(of["metadata"]["uid"]) != status:
            self.api.request("PATCH", path, {"status": status}, kind="application/merge-patch+json")
            self._told[of["metadata"]["uid"]] = status

    def _endpoints(self, service: Data, behind: dict[str, bool], pods: dict[str, Data]) -> None:
        name = service["metadata"]["name"]
        document = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": f"{name}-1", "namespace": self._namespace, "labels": {"kubernetes.io/service-name": name},
            },
            "ports": [self._port(port, pods[pod]) for pod in [*behind][:1] for port in service["spec"]["ports"]],
            "endpoints": [
                {
                    "addresses": [self._pods[pod].home.ip], "conditions": {"ready": ready}, "nodeName": MACHINE_NAME,
                    "targetRef": {"kind": "Pod", "namespace": self._namespace, "name": pod},
                }
                for pod, ready in behind.items()
            ],
        }  # fmt: skip
        self.api.apply(document)

    @staticmethod
    def _port(port: Data, pod: Data) -> Data:
        named = {each["name"]: each["containerPort"] for each in pod["spec"]["containers"][0]["ports"]}
        return {
            "name": port["name"],
            "port": named[port["targetPort"]],
            "protocol": port.get("protocol", "TCP"),
        }


def _revision(of: Data) -> str:
    """What changes with what its Pods are made from."""
    template = json.dumps(of["spec"]["template"], sort_keys=True)
    return hashlib.sha256(template.encode()).hexdigest()[:10]
