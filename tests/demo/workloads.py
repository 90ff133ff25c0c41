"""The manifests of the example in a town: what controllers and the kubelet do with them, and what ``kubectl`` says.

The objects stand in the real API server as they are written. No controller runs there: pods of a Deployment are made
here, as namespaces in which the image's program runs, and EndpointSlices follow the readiness that its probe finds.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from tests.scenarios.stage.clients import JAVA
from tests.scenarios.stage.cluster import MACHINE_NAME, NAMESPACE
from tests.scenarios.stage.network import OLD_WORLD
from tests.scenarios.stage.process import Process, command_of
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Town

MANIFESTS = Path(__file__).resolve().parents[2] / "examples" / "dubbo-demo" / "kubernetes"
TOOLBOX = "busybox"
"""The image of the machine's own programs."""
_NOT_THEIRS = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"}
"""Of the environment that the demo was started in."""


def documents(file: str) -> list[dict[str, Any]]:
    """The objects of a manifest."""
    return list(yaml.safe_load_all((MANIFESTS / file).read_text(encoding="utf-8")))


class Pod:
    """A pod of a Deployment: init containers, sidecars, and a container that runs the jar its image is named after."""

    def __init__(
        self, town: Town, name: str, template: dict[str, Any], configs: dict[str, dict[str, str]]
    ) -> None:
        spec = template["spec"]
        container = spec["containers"][0]
        self.name = name
        self.labels = dict(template["metadata"]["labels"])
        further = spec.get("dnsConfig", {})
        self.home = town.home(
            name,
            further=further.get("nameservers", ()),
            options=[f"{each['name']}:{each['value']}" for each in further.get("options", ())],
        )
        self._town = town
        self._probe = container.get("readinessProbe", {}).get("tcpSocket", {}).get("port", 0)
        self._volumes = self._made(spec, configs)
        self.sidecars: list[Process] = []
        """Those of its containers that run as long as it does."""
        for each in spec.get("initContainers", ()):
            if each.get("restartPolicy") == "Always":
                self._accompanied(each)
            else:
                self._done(each)
        command, environment = self._started(container)
        environment |= {"HOSTNAME": name, "HOME": str(self.home.folder)}
        options = [f"-Duser.home={self.home.folder}", f"-Dlogging.path={self.home.folder}/logs", *JAVA]
        environment["JDK_JAVA_OPTIONS"] = " ".join(options)
        self.process = self._process("log", command, environment)
        self.process.start()

    def _made(self, spec: dict[str, Any], configs: dict[str, dict[str, str]]) -> dict[str, Path]:
        """Its volumes, by name: a ConfigMap's files, or an empty folder."""
        found = {}
        for volume in spec.get("volumes", ()):
            folder = found[volume["name"]] = self.home.folder / volume["name"]
            folder.mkdir()
            files = configs[volume["configMap"]["name"]] if "configMap" in volume else {}
            for file, text in files.items():
                (folder / file).write_text(text, encoding="utf-8")
        return found

    def _started(self, container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        """How a container is started: the program that its image is named after, with its arguments.

        The image's root file system is the machine's here, in which there may be no such folder to mount at: so paths
        are those of the volumes themselves.
        """
        program = container["image"].rpartition("/")[2].partition(":")[0]
        command, environment = ([], dict(os.environ)) if program == TOOLBOX else command_of(program)
        environment = {key: text for key, text in environment.items() if key not in _NOT_THEIRS}
        environment |= {each["name"]: each["value"] for each in container.get("env", ())}
        arguments = list(container.get("args", ()))
        for mount in container.get("volumeMounts", ()):
            path, folder = mount["mountPath"], str(self._volumes[mount["name"]])
            environment = {key: text.replace(path, folder) for key, text in environment.items()}
            arguments = [text.replace(path, folder) for text in arguments]
        return [*command, *arguments], environment

    def _process(self, log: str, command: list[str], environment: dict[str, str]) -> Process:
        return Process(self.name, command, log=self.home.folder / log, env=environment, place=self.home.place)

    def _done(self, container: dict[str, Any]) -> None:
        """Run a container to its end."""
        command, environment = self._started(container)
        done = subprocess.run(
            self.home.place.command(command), env=environment, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert not done.returncode, f"{container['name']} of {self.name}: {done.stdout}{done.stderr}"

    def _accompanied(self, container: dict[str, Any]) -> None:
        """Start a sidecar container, and wait until it has started."""
        sidecar = self._process(f"{container['name']}.log", *self._started(container))
        sidecar.start()
        self.sidecars.append(sidecar)
        port = container.get("startupProbe", {}).get("tcpSocket", {}).get("port", 0)
        sidecar.wait_until(lambda: not port or self._listens(port), within=60.0)

    def ready(self) -> bool:
        """Whether it runs, and what its probe finds."""
        for process in (self.process, *self.sidecars):
            assert process.running, f"{self.name} ended by itself:\n{process.tail()}"
        return not self._probe or self._listens(self._probe)

    def _listens(self, port: int) -> bool:
        try:
            with self._town.node.inside(), socket.create_connection((self.home.ip, port), timeout=1.0):
                return True
        except OSError:
            return False

    def lines(self) -> list[str]:
        """What it has logged."""
        return self.process.log.read_text(encoding="utf-8", errors="replace").splitlines()


class Workloads:
    """What was applied, and what runs of it."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._number = itertools.count(1)
        self._present: dict[str, object] = {}
        """What was applied, by kind and name."""
        self._configs: dict[str, dict[str, str]] = {}
        self._templates: dict[str, object] = {}
        self.services: dict[str, Service] = {}
        self._selectors: dict[str, dict[str, str]] = {}
        self.pods: dict[str, list[Pod]] = defaultdict(list)
        self._leaving: list[Pod] = []

    def apply(self, file: str) -> str:
        """``kubectl apply -f FILE``: what it says. New pods are started; old ones end when those are ready."""
        said = []
        for document in documents(file):
            name = document["metadata"]["name"]
            what = {"Deployment": "deployment.apps", "EndpointSlice": "endpointslice.discovery.k8s.io"}
            title = f"{what.get(document['kind'], document['kind'].lower())}/{name}"
            before = self._present.get(title)
            said.append(
                f"{title} {'created' if before is None else 'unchanged' if before == document else 'configured'}"
            )
            if before != document:
                self._present[title] = document
                getattr(self, f"_{document['kind'].lower()}")(name, document)
        return "".join(f"{line}\n" for line in said)

    def _service(self, name: str, document: dict[str, Any]) -> None:
        metadata = document["metadata"]
        service = Service(self._town.api, metadata["namespace"], name, document["spec"], node=MACHINE_NAME)
        service.annotations = dict(metadata.get("annotations", {}))
        service.apply()
        self.services[name] = service
        self._selectors[name] = document["spec"].get("selector", {})
        for pods in list(self.pods.values()):
            for pod in pods:
                self._follow(pod)

    def _endpointslice(self, _name: str, document: dict[str, Any]) -> None:
        """The registry's: where the town has its ZooKeeper, and at the port that this one has."""
        [port], [endpoint] = document["ports"], document["endpoints"]
        assert endpoint["addresses"] == [OLD_WORLD]
        self._town.api.apply(document | {"ports": [port | {"port": self._town.zookeeper.port}]})

    def _configmap(self, name: str, document: dict[str, Any]) -> None:
        self._town.api.apply(document)
        self._configs[name] = document["data"]

    def config_map(self, name: str, file: str, text: str) -> str:
        """``kubectl create configmap NAME --from-file=FILE``: what it says."""
        metadata = {"name": name, "namespace": NAMESPACE}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {file: text}}
        self._configmap(name, document)
        return f"configmap/{name} created\n"

    def _deployment(self, name: str, document: dict[str, Any]) -> None:
        self._town.api.apply(document)
        template, replicas = document["spec"]["template"], document["spec"]["replicas"]
        if template != self._templates.get(name):
            self._templates[name] = template
            self._leaving += self.pods.pop(name, [])
        while len(self.pods[name]) < replicas:
            pod = Pod(self._town, f"{name}-{next(self._number)}", template, self._configs)
            self.pods[name].append(pod)

    def rolled_out(self) -> bool:
        """``kubectl rollout status`` of all Deployments: pods that are ready are in their Services, old ones gone."""
        if not all(pod.ready() for pods in self.pods.values() for pod in pods):
            return False
        for pods in self.pods.values():
            for pod in pods:
                self._follow(pod)
        leaving, self._leaving = self._leaving, []
        self._end(leaving)
        return True

    def scale_to_none(self, name: str) -> str:
        """``kubectl scale deployment NAME --replicas=0``: what it says."""
        self._end(self.pods.pop(name))
        return f"deployment.apps/{name} scaled\n"

    def annotate(self, name: str, **annotations: str) -> str:
        """``kubectl annotate service NAME soadns.io/KEY=TEXT``: what it says; an empty text removes one."""
        self.services[name].annotate(**annotations)
        return f"service/{name} annotated\n"

    def _follow(self, pod: Pod) -> None:
        """Have a pod in the Services that select it, as ready as it is."""
        for service in self._selecting(pod):
            service.endpoint(pod.home.ip, ready=pod.ready())

    def _end(self, pods: list[Pod]) -> None:
        """As pods are deleted: their endpoints go at the same time as they are told."""
        for pod in pods:
            for service in self._selecting(pod):
                service.without(pod.home.ip)
            pod.process.signal(signal.SIGTERM)
        for pod in pods:
            pod.process.stop(within=60.0)
            for sidecar in pod.sidecars:
                sidecar.stop()

    def _selecting(self, pod: Pod) -> list[Service]:
        chosen = {
            name
            for name, wanted in self._selectors.items()
            if wanted and wanted.items() <= pod.labels.items()
        }
        return [service for name, service in self.services.items() if name in chosen]
