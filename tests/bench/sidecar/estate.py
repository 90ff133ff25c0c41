"""So many Services with so many interfaces each: in a registry, in files, and in an API server."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from kazoo.client import KazooClient

from tests.bench.registry import write
from tests.scenarios.stage.kubernetes import ADMIN, ApiServer, collection
from tests.scenarios.stage.zookeeper import ZooKeeper, close, dubbo_url

NAMESPACE, PORT = "shop", 20880
SETTLED = 1_767_225_600_000
"""When all providers registered, in milliseconds."""
WRITERS = 8
"""Connections by which an API server is filled."""
Data = dict[str, Any]


@dataclass(frozen=True)
class Estate:
    """``services`` Services, each with one pod and ``interfaces`` interfaces of its own."""

    services: int
    interfaces: int

    def __str__(self) -> str:
        return f"{self.services}x{self.interfaces}"

    @property
    def root(self) -> str:
        """Where its registry is."""
        return f"/of-{self.services}"

    def service(self, number: int) -> str:
        """A Service's name."""
        return f"app-{number:04d}"

    def interface(self, number: int, index: int) -> str:
        """An interface of a Service's."""
        return f"com.example.app{number:04d}.facade.Bench{index:02d}QueryService"

    def address(self, number: int) -> str:
        """A Service's ClusterIP."""
        return f"10.96.{number // 250 + 1}.{number % 250 + 1}"

    def pod(self, number: int) -> str:
        """The address of its pod."""
        return f"10.244.{number // 250}.{number % 250 + 1}"

    def other(self, number: int) -> int:
        """The Service to which a Service's interfaces move."""
        return (number + self.services // 2) % self.services

    # ------------------------------------------------------------------ the registry

    def leaf(self, number: int, index: int, at: int) -> str:
        """The znode by which the pod of Service ``at`` provides an interface of Service ``number``."""
        name = self.interface(number, index)
        url = dubbo_url(
            name, self.pod(at), PORT, self.service(at), anyhost="true", deprecated="false", dubbo="2.0.2",
            dynamic="true", generic="false", methods="query,queryAll,queryById,whoAreYou", pid=1000, release="2.7.23",
            revision="1.4.2", timeout=3000, timestamp=SETTLED,
        )  # fmt: skip
        return f"{self.root}/{name}/providers/{quote_plus(url)}"

    def fill(self, zookeeper: ZooKeeper) -> None:
        """Write the registry; the nodes are persistent."""
        client = zookeeper.client(timeout=60.0)
        client.ensure_path(self.root)
        all_of_them = [(n, i) for n in range(self.services) for i in range(self.interfaces)]
        write(client, (f"{self.root}/{self.interface(*each)}" for each in all_of_them))
        write(client, (f"{self.root}/{self.interface(*each)}/providers" for each in all_of_them))
        write(client, (self.leaf(number, index, number) for number, index in all_of_them))
        close(client)

    def move(self, client: KazooClient, number: int, index: int) -> None:
        """Have an interface provided by the other Service's pod, and not by its own any more, as one change."""
        change = client.transaction()
        change.delete(self.leaf(number, index, number))
        change.create(self.leaf(number, index, self.other(number)))
        change.commit_async()

    # ------------------------------------------------------------------ the cluster

    def objects(self, begin: int = 0) -> Iterator[Data]:
        """Each Service and its EndpointSlice, from some number on."""
        for number in range(begin, self.services):
            name, ports = self.service(number), [{"name": "tcp-dubbo", "port": PORT, "protocol": "TCP"}]
            address = self.address(number)
            yield {
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "clusterIP": address, "clusterIPs": [address], "selector": {"app": name},
                    "ports": [{**ports[0], "targetPort": PORT}],
                },
            }  # fmt: skip
            labels = {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "soadns-bench",
            }
            yield {
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": ports,
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
                "endpoints": [
                    {
                        "addresses": [self.pod(number)],
                        "conditions": {"ready": True, "serving": True, "terminating": False},
                    }
                ],
            }  # fmt: skip

    def file(self) -> str:
        """The same as a file, for a soadns without an API server."""
        items = list(self.objects())
        for each in items:
            each["metadata"]["uid"] = f"uid-{each['metadata']['name']}"
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    def entries(self) -> Iterator[Data]:
        """The other way to have interfaces as names in Istio: a ServiceEntry for each, with an address of its own."""
        for count, (number, index) in enumerate(
            (n, i) for n in range(self.services) for i in range(self.interfaces)
        ):
            name = f"app{number:04d}-bench{index:02d}"
            yield {
                "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "hosts": [f"{self.interface(number, index).lower()}.rpc"], "location": "MESH_INTERNAL",
                    "addresses": [entry_address(count)], "resolution": "STATIC",
                    "ports": [{"number": PORT, "name": "tcp-dubbo", "protocol": "TCP"}],
                    "endpoints": [{"address": self.pod(number)}],
                },
            }  # fmt: skip


def entry_address(count: int) -> str:
    """The address of a ServiceEntry."""
    return f"10.97.{count // 250}.{count % 250 + 1}"


def create(api: ApiServer, documents: Iterable[Data]) -> int:
    """Create many objects in an API server, over some connections at once; returns how many."""
    held = list(documents)
    wrong: list[str] = []
    parts: Sequence[list[Data]] = [held[number::WRITERS] for number in range(WRITERS)]
    threads = [threading.Thread(target=_create, args=(api, part, wrong)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    return len(held)


def _create(api: ApiServer, documents: list[Data], wrong: list[str]) -> None:
    context = ssl.create_default_context(cafile=f"{api.folder}/apiserver.crt")
    connection = http.client.HTTPSConnection(api.host, api.port, context=context, timeout=60)
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    for each in documents:
        connection.request("POST", collection(each), json.dumps(each), headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 201:
            wrong.append(f"{each['kind']} {each['metadata']['name']}: {answer.status}: {said[:300]!r}")
            return
    connection.close()
