"""A cluster with Istio, and soadns that writes filters to it. Who calls and who answers speaks Dubbo by hand, and files
are the registry, so that all of it is up in seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tests.scenarios.stage.cluster import NAMESPACE, Cluster, Home
from tests.scenarios.stage.dubbowire import Call, Caller, Provider, Reply
from tests.scenarios.stage.istiod import METRICS, ROOT, Istiod
from tests.scenarios.stage.istiosidecar import NONE, Sidecar
from tests.scenarios.stage.kubernetes import READER, collection
from tests.scenarios.stage.network import PODS
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import QUICK, Service
from tests.scenarios.stage.town import MOUNTED, MOUNTS
from tests.scenarios.stage.volumes import Volume
from tests.scenarios.stage.writing import LEASE, OWN, permit
from tests.scenarios.stage.zookeeper import dubbo_url

Data = dict[str, Any]
PORT = 20880
CONFIG_MAPS = ("soadns-routes-0",)


class Pod:
    """A pod that calls, with Istio's sidecar."""

    def __init__(self, home: Home, sidecar: Sidecar) -> None:
        self.home = home
        self.sidecar = sidecar

    def connect(self, service: Service, address: str = "") -> Caller:
        """A connection to a Service's ClusterIP, or to another one of its addresses."""
        with self.home.place.inside():
            return Caller(PORT, address or service.cluster_ip)

    def ask(self, service: Service, interface: str, address: str = "") -> Reply:
        """One call on a connection of its own; status 0 where that is cut."""
        try:
            with self.connect(service, address) as caller:
                return caller.ask(Call(interface))
        except ConnectionError as error:
            return Reply(0, str(error))

    def requests(self, prefix: str) -> int:
        """How many requests a ``dubbo_proxy`` with that ``stat_prefix`` has seen; -1 where there is none."""
        for line in self.sidecar.get("/stats?filter=^dubbo\\.").splitlines():
            key, _, value = line.rpartition(": ")
            if key == f"dubbo.{prefix}.request":
                return int(value)
        return -1


class SmallMesh(Cluster):
    """The world of these stories. ``end`` ends all of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._names = itertools.count(1)
        self._pods: dict[str, str] = {}
        """Service → address of its pod."""
        self._registered: dict[str, list[str]] = {}
        self._registry = folder / "registry" / "providers.yaml"
        self._registry.parent.mkdir()
        try:
            self.istiod = Istiod(folder / "istiod", self.api, self.node)
            self.istiod.install()
            self.istiod.start()
            permit(self.api)
            self.replicas = [self._replica(number) for number in range(2)]
            self.plain, self.mounting = self._pod("plain"), self._pod("mounting", mounts=CONFIG_MAPS)
            self.dual = self._pod("dual", ipv6="fd00:10:244::5")
        except BaseException:
            self.end()
            raise

    def _replica(self, number: int) -> Soadns:
        files = {"namespaces": [NAMESPACE], "directory": str(MOUNTED), "shards": 1, "delay": "1s"}
        istio = {"mode": "write", "rootNamespace": ROOT, "files": files, "metrics": [METRICS]}
        kubeconfig = str(self.api.kubeconfig(READER))
        settings = {
            "zones": [{"name": ZONE, "namespaces": [NAMESPACE]}],
            "static": [{"name": "registry", "paths": [str(self._registry.parent)], "cluster": "files"}],
            "kubernetes": [{"name": "home", "kubeconfig": kubeconfig, "networks": [PODS], "nodes": "never"}],
            "binding": QUICK,
            "sidecar": {
                "istio": istio,
                "share": {"moves": True, "namespace": OWN, "lease": LEASE, "events": True},
            },
        }
        return Soadns(self.folder / f"soadns-{number}", settings, place=self.node)

    def _pod(self, app: str, *, mounts: Collection[str] = (), ipv6: str = "") -> Pod:
        home = self.home(app)
        if mounts:
            volume = Volume(self.api, NAMESPACE, mounts, home.folder / "mounted" / "routes")
            self._last_to_first.callback(volume.end)
            volume.start()
            home.place.mount(home.folder / "mounted", MOUNTED.parent)
        sidecar = Sidecar(home, app, labels=MOUNTS if mounts else NONE, ipv6=ipv6)
        sidecar.start()
        return Pod(home, sidecar)

    # ------------------------------------------------------------------ applications

    def shop(self, name: str, *interfaces: str, port_name: str = f"tcp-{PORT}", **spec: Any) -> Service:
        """A Service with a pod, whose provider answers every call with the Service's name."""
        service = self.service(name, {"name": port_name, "port": PORT, "protocol": "TCP"}, **spec)
        home = self.home(f"{name}-{next(self._names)}")
        with home.place.inside():
            provider = Provider(name, (home.ip, PORT))
        self._last_to_first.callback(provider.stop)
        service.endpoint(home.ip)
        self._pods[name] = home.ip
        self.provide(service, *interfaces)
        return service

    def provide(self, service: Service, *interfaces: str) -> None:
        """The pod of a Service is registered for these, and nothing else, from now on."""
        ip = self._pods[service.name]
        self._registered = {
            name: [url for url in urls if f"//{ip}:" not in url] for name, urls in self._registered.items()
        }
        for name in interfaces:
            self._registered.setdefault(name, []).append(dubbo_url(name, ip, PORT, service.name, timestamp=1))
        providers = {name: urls for name, urls in self._registered.items() if urls}
        beside = self.folder / "providers"
        beside.write_text(
            json.dumps({"kind": "Providers", "spec": {"dialect": "dubbo", "providers": providers}})
        )
        beside.replace(self._registry)

    def reaches(
        self, pod: Pod, service: Service, interface: str, expected: str, *, address: str = ""
    ) -> None:
        """Calls at a Service's ClusterIP come to be answered by this one.

        Before a sidecar knows a Service, connections to it go past all that is told of it, to their end.
        """
        listener = f"{address or service.cluster_ip}_{PORT}"
        assert eventually(lambda: listener in pod.sidecar.listeners(), within=60.0), listener
        found = eventually(
            lambda: pod.ask(service, interface, address),
            within=60.0,
            until=lambda reply: reply.said == expected,
        )
        assert found.said == expected, found

    # ------------------------------------------------------------------ what stands

    def objects(self, kind: str = "EnvoyFilter", namespace: str = ROOT) -> dict[str, Data]:
        """All of a namespace, by name."""
        where = {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": kind,
            "metadata": {"namespace": namespace},
        }
        return {
            item["metadata"]["name"]: item for item in self.api.request("GET", collection(where))["items"]
        }

    def filters(self, service: Service, namespace: str = ROOT) -> list[Data]:
        """The EnvoyFilters that soadns has written for a Service."""
        named = f"{service.namespace}/{service.name}"
        found = self.objects(namespace=namespace).values()
        return [
            each
            for each in found
            if each["metadata"].get("annotations", {}).get("soadns.io/service") == named
        ]

    def stands(
        self, service: Service, namespace: str = ROOT, *, until: Callable[[Data], bool] = bool
    ) -> Data:
        """The one filter of a Service, when it is there and as expected."""

        def look() -> Data:
            found = self.filters(service, namespace)
            return found[0] if len(found) == 1 and until(found[0]) else {}

        found = eventually(look, within=60.0)
        assert found, f"{self.filters(service, namespace)}\n{self.told()}"
        return found

    def events(self, service: Service) -> list[Data]:
        """The Events of a Service."""
        path = f"/apis/events.k8s.io/v1/namespaces/{service.namespace}/events"
        found = self.api.request("GET", path)["items"]
        return [each for each in found if each["regarding"]["name"] == service.name]

    def told(self) -> str:
        """What a failure shows."""
        return "\n".join(f"{each.process.tail()}\n{each.cli('mesh', 'status')[1]}" for each in self.replicas)

    def leader(self) -> Soadns:
        """The replica that has the Lease."""

        def look() -> Soadns | None:
            running = [each for each in self.replicas if each.process.running]
            return next((each for each in running if self.mesh(each)["share"]["lease"]["held"]), None)

        found = eventually(look, within=60.0)
        assert found is not None, self.told()
        return found

    def mesh(self, soadns: Soadns, service: Service | None = None) -> Data:
        """What a replica says of the mesh."""
        query = f"?service={service.namespace}/{service.name}" if service is not None else ""
        return dict(json.loads(soadns.http(f"/v1/mesh{query}")[1]))

    def row(self, soadns: Soadns, service: Service) -> Data:
        """What it says of one Service."""
        return next(iter((self.mesh(soadns, service)["istio"] or {}).get("services", [])), {})
