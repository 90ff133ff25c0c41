"""What a scenario talks to: Services, pods and machines of one story, and the soadns that looks at them."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.zookeeper import SESSION_S, Registration, ZooKeeper, close

QUICK = {"linger": "3s", "settle": "300ms", "recreateGrace": "1500ms", "unready": "2s", "stale": "2s"}
"""The clocks of binding as the scenarios set them: the rules are the same, people just wait less."""

_stories = itertools.count(1)
_pod_numbers = itertools.count(1)

RULES = [
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
]
"""What soadns may do; Nodes are not among it (``nodes: auto``)."""


class Service:
    """A Service with its EndpointSlice, as it stands in the API server."""

    def __init__(
        self, api: ApiServer, namespace: str, name: str, spec: dict[str, Any], *, node: str = ""
    ) -> None:
        """``node`` is where its pods are: kube-proxy asks for it."""
        self._api = api
        self._node = {"nodeName": node} if node else {}
        self.name = name
        self.namespace = namespace
        self.annotations: dict[str, str] = {}
        self._spec = spec
        self._endpoints: dict[str, dict[str, bool]] = {}
        """By address, its conditions."""
        self._pods: dict[str, str] = {}
        self._one_after_another = threading.Lock()  # the last write is the newest
        self.cluster_ip = ""
        self.cluster_ips: list[str] = []
        self.apply()

    @property
    def ref(self) -> str:
        return f"home/{self.namespace}/{self.name}"

    @property
    def port(self) -> int:
        return int(self._spec["ports"][0]["port"])

    @property
    def ready(self) -> set[str]:
        """The addresses of its endpoints that are ready."""
        return {ip for ip, conditions in self._endpoints.items() if conditions["ready"]}

    def _document(self) -> dict[str, Any]:
        metadata = {"name": self.name, "namespace": self.namespace, "annotations": dict(self.annotations)}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": self._spec}

    def _slice(self) -> dict[str, Any]:
        labels = {"kubernetes.io/service-name": self.name}
        return {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"{self.name}-1", "namespace": self.namespace, "labels": labels},
            "ports": [
                {
                    "name": port.get("name", ""),
                    "port": port.get("targetPort", port["port"]),
                    "protocol": port.get("protocol", "TCP"),
                }
                for port in self._spec["ports"]
            ],
            "endpoints": [
                {"addresses": [ip], "conditions": conditions, **self._node, **self._pod(ip)}
                for ip, conditions in self._endpoints.items()
            ],
        }  # fmt: skip

    def _pod(self, ip: str) -> dict[str, Any]:
        reference = {"kind": "Pod", "namespace": self.namespace, "name": self._pods.get(ip)}
        return {"targetRef": reference} if ip in self._pods else {}

    def refer(self, ip: str, pod: str) -> None:
        """Say whose an endpoint's address is: of a Pod that stands in the API server, too."""
        with self._one_after_another:
            self._pods[ip] = pod
            self._api.apply(self._slice())

    def apply(self) -> None:
        """Write it; the API server allocates ClusterIPs."""
        self.cluster_ips = list(self._api.apply(self._document())["spec"].get("clusterIPs", []))
        self.cluster_ip = self.cluster_ips[0] if self.cluster_ips else ""

    def annotate(self, **annotations: str) -> None:
        """Set ``soadns.io/*`` annotations; an empty text removes one."""
        for name, text in annotations.items():
            self.annotations[f"soadns.io/{name}"] = text
            if not text:
                del self.annotations[f"soadns.io/{name}"]
        self.apply()

    def rename_port(self, name: str) -> None:
        """Give its first port another name."""
        self._spec["ports"][0]["name"] = name
        with self._one_after_another:
            self.apply()
            self._api.apply(self._slice())

    def endpoint(self, ip: str, *, ready: bool = True) -> None:
        """Add an endpoint address, or change its readiness."""
        self._holds(ip, {"ready": ready})

    def terminating(self, ip: str) -> None:
        """Its pod is deleted and serves on; kube-proxy uses that where nobody else is ready."""
        self._holds(ip, {"ready": False, "serving": True, "terminating": True})

    def _holds(self, ip: str, conditions: dict[str, bool]) -> None:
        with self._one_after_another:
            self._endpoints[ip] = conditions
            self._api.apply(self._slice())

    def without(self, ip: str) -> None:
        """Remove an endpoint address."""
        with self._one_after_another:
            self._endpoints.pop(ip, None)
            self._api.apply(self._slice())

    def delete(self) -> None:
        """Delete the Service; its EndpointSlice stays, no controller runs that would remove it."""
        self._api.delete(self._document())

    def delete_with_endpoints(self) -> None:
        """Delete both."""
        self.delete()
        if self._endpoints:
            self._api.delete(self._slice())
            self._endpoints.clear()


class Stage:
    """One story: a chroot of ZooKeeper and a namespace of the cluster for itself."""

    def __init__(self, folder: Path, *, zookeeper: ZooKeeper | None, api: ApiServer | None) -> None:
        self.number = next(_stories)
        self.folder = folder
        self.zookeeper = zookeeper
        self.api = api
        self.chroot = f"/story-{self.number}"
        self.namespace = f"story-{self.number}"
        self.session_s = SESSION_S
        """How long the sessions of processes last that begin from now on."""
        self._registrations: list[Registration] = []
        self._instances: list[Soadns] = []
        self._services: list[Service] = []
        self._last: list[Callable[[], None]] = []
        if zookeeper is not None:
            client = zookeeper.client()
            for root in ("dubbo", "sofa-rpc"):
                client.ensure_path(f"{self.chroot}/{root}")
            close(client)
        if api is not None:
            api.create_namespace(self.namespace)
            api.grant(RULES)

    # ------------------------------------------------------------------ soadns

    def settings(self, **changes: Any) -> dict[str, Any]:
        """A configuration for the sources of the story."""
        found: dict[str, Any] = {"binding": dict(QUICK), "zones": [{"name": ZONE}]}
        if self.zookeeper is not None:
            roots = [{"path": "/dubbo"}, {"path": "/sofa-rpc", "dialect": "sofa"}]
            ensemble = {"name": "main", "hosts": f"{self.zookeeper.hosts}{self.chroot}", "roots": roots}
            found["zookeeper"] = [ensemble | {"sessionTimeout": "2s"}]
        if self.api is not None:
            found["kubernetes"] = [
                {"name": "home", "kubeconfig": str(self.api.kubeconfig()), "nodes": "never"}
            ]
            found["zones"] = [{"name": ZONE, "namespaces": [self.namespace]}]
        return found | changes

    def soadns(self, **changes: Any) -> Soadns:
        """A soadns over the story's sources, started and ready."""
        return self.soadns_not_started(**changes).start()

    def soadns_not_started(self, **changes: Any) -> Soadns:
        """The same before its first start."""
        name = f"soadns-{len(self._instances)}"
        instance = Soadns(self.folder / name, self.settings(**changes))
        self._instances.append(instance)
        return instance

    # ------------------------------------------------------------------ applications

    def service(self, name: str, *, port: int = 20880, endpoints: int = 0, **spec: Any) -> Service:
        """A Service with a ClusterIP of its own, and so many ready endpoint addresses."""
        assert self.api is not None
        ports = [{"name": f"tcp-{port}", "port": port, "protocol": "TCP"}]
        service = Service(self.api, self.namespace, name, {"ports": ports, "selector": {"app": name}, **spec})
        self._services.append(service)
        for _ in range(endpoints):
            service.endpoint(self.new_ip())
        return service

    def new_ip(self) -> str:
        number = next(_pod_numbers)
        return f"10.244.{number // 250}.{number % 250 + 1}"

    def pod(self, service: Service, *, application: str = "", ready: bool = True) -> Registration:
        """A pod of the Service: an endpoint address, and a process there with a session of its own."""
        ip = self.new_ip()
        service.endpoint(ip, ready=ready)
        return self.process(ip, service.port, application or service.name)

    def machine(self, *, application: str = "legacy", port: int = 20880) -> Registration:
        """A machine of the old world."""
        number = next(_pod_numbers)
        return self.process(f"192.168.{number // 250}.{number % 250 + 1}", port, application)

    def process(self, host: str, port: int, application: str) -> Registration:
        """An application process with a ZooKeeper session."""
        assert self.zookeeper is not None
        found = Registration(
            self.zookeeper,
            self.chroot,
            host=host,
            port=port,
            application=application,
            session_s=self.session_s,
        )
        self._registrations.append(found)
        return found

    def at_the_end(self, remove: Callable[[], None]) -> None:
        """Call it when the story's soadns has ended: what that wrote stands in the next story's cluster, too."""
        self._last.append(remove)

    def end(self) -> None:
        """End everything that the story started; what can not be ended does not keep the rest alive."""
        running = [instance for instance in self._instances if instance.process.running]
        for instance in running:  # all at once: each has a second for its TCP connections
            instance.process.signal(signal.SIGTERM)
        with ExitStack() as last_to_first:
            for remove in self._last:
                last_to_first.callback(remove)
            for service in self._services:
                last_to_first.callback(_delete, service)
            for registration in self._registrations:
                last_to_first.callback(registration.close)
            for instance in running:
                last_to_first.callback(instance.process.stop)


@contextmanager
def story(folder: Path, *, zookeeper: ZooKeeper | None, api: ApiServer | None) -> Iterator[Stage]:
    """A stage over servers that run at its beginning and again at its end, whatever the story did to them."""
    servers = [server for server in (zookeeper, api) if server is not None]
    for server in servers:
        server.start()
    stage = Stage(folder, zookeeper=zookeeper, api=api)
    with ExitStack() as last_to_first:
        last_to_first.callback(stage.end)
        for server in servers:
            last_to_first.callback(server.start)
        yield stage


def _delete(service: Service) -> None:
    with suppress(AssertionError):  # the story has deleted it
        service.delete_with_endpoints()
