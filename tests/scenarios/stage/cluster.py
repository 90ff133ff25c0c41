"""A small cluster: one machine in namespaces of its own, with etcd, kube-apiserver, kube-proxy and CoreDNS.

No controllers and no kubelet run: pods are made here, and EndpointSlices written. ClusterIPs are kube-proxy's.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.scenarios.stage.corefiles import FOLDER, changed
from tests.scenarios.stage.kubernetes import ADMIN, ApiServer, Etcd
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.network import MACHINE, NODE_LOCAL, PODS, Network
from tests.scenarios.stage.places import Node, Pod
from tests.scenarios.stage.process import Process, command_of, printed
from tests.scenarios.stage.stage import Service

DNS = "10.96.0.10"
"""The ClusterIP of the cluster's name server."""
NAMESPACE = "shop"
SEARCH = f"{NAMESPACE}.svc.cluster.local svc.cluster.local cluster.local"
MACHINE_NAME = "machine"

STUB = changed("stub")
"""``stub.Corefile``, word by word."""
CLUSTER_BLOCK = """
.:53 {{
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 30
        fallthrough in-addr.arpa ip6.arpa
    }}
    forward . 127.0.0.1:5300
    cache 30
}}
.:5300 {{
    bind 127.0.0.1
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""
"""The Corefile as kubeadm has it, and a world in which there are no names."""


class KubeProxy:
    """The real one; ClusterIPs are its rules of nftables."""

    def __init__(self, folder: Path, api: ApiServer, node: Node) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
                    "mode": "nftables", "hostnameOverride": MACHINE_NAME, "clusterCIDR": PODS,
                    "clientConnection": {"kubeconfig": str(api.kubeconfig(ADMIN))},
                    "nftables": {"minSyncPeriod": "50ms", "syncPeriod": "30s"},
                    "conntrack": {
                        "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
                    },
                    "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
                }
            )
        )  # fmt: skip
        command, env = command_of("kube-proxy")
        nft, libraries = command_of("nft")
        env |= {"PATH": f"{Path(nft[0]).parent}:{os.environ['PATH']}"}
        env |= {"LD_LIBRARY_PATH": libraries["LD_LIBRARY_PATH"]}
        # Who is killed must be out of the rules before a resolver asks a second time: on a machine of a cluster nobody
        # keeps kube-proxy waiting, here a dozen starting JVMs would.
        command = ["nice", "--adjustment=-10", *command, f"--config={config}"]
        self.process = Process("kube-proxy", command, log=folder / "log", env=env, place=node)


class Home:
    """A pod of the cluster: a place with an address."""

    def __init__(self, pod: Pod, ip: str, folder: Path) -> None:
        self.place = pod
        self.name = pod.name
        self.ip = ip
        self.folder = folder


class Cluster:
    """One machine; ``end`` ends all that ever ran there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last_to_first = ExitStack()
        try:
            self.node = Node()
            self._last_to_first.callback(self.node.close)
            self._network = Network(self.node)
            self.etcd = Etcd(folder / "etcd", place=self.node)
            self.api = ApiServer(folder / "kube-apiserver", self.etcd, host=MACHINE, place=self.node)
            self.api.start()
            self._furnish()
        except BaseException:
            self.end()
            raise

    def _furnish(self) -> None:
        node: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": MACHINE_NAME}}
        self.api.apply(node)
        addresses = [{"type": "InternalIP", "address": MACHINE}]
        self.api.apply(node | {"status": {"addresses": addresses}}, subresource="status")
        self.api.create_namespace(NAMESPACE)
        self.proxy = KubeProxy(self.folder / "kube-proxy", self.api, self.node)
        self.proxy.process.start()

    def end(self) -> None:
        """End everything."""
        self._last_to_first.close()

    # ------------------------------------------------------------------ Kubernetes

    def home(
        self, name: str, *, nameserver: str = DNS, further: Sequence[str] = (), options: Sequence[str] = ()
    ) -> Home:
        """A new pod, in which nothing runs yet.

        ``further`` are those whom it asks when the name server does not answer, ``options`` are of its resolver.
        """
        folder = self.folder / name
        (folder / "home").mkdir(parents=True)
        ip = self._network.next_address()
        hosts = f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{ip} {name}\n"
        asked = resolv((nameserver, *further), options)
        files = {"hosts": hosts, "resolv.conf": asked, "nsswitch.conf": "passwd: files\nhosts: files dns\n"}
        pod = Pod(self.node, name, folder, files)
        self._last_to_first.callback(pod.close)
        self._network.connect(pod, ip)
        return Home(pod, ip, folder)

    def looks_up(self, home: Home, *names: str, libc: str = "glibc") -> dict[str, str]:
        """What names lead to for a program in a pod that uses a C library: addresses, or an error in its words."""
        if libc == "musl":
            done = printed("musl-lookup", *names, by=home.place.command([]))
            return dict(line.split(" ", 1) for line in done.stdout.splitlines())
        found = {}
        for name in names:
            command = home.place.command(["getent", "ahosts", name])
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            rows = dict.fromkeys(line.split()[0] for line in done.stdout.splitlines())
            found[name] = " ".join(rows) or f"error: {done.returncode}"
        return found

    def service(self, name: str, *ports: dict[str, Any], namespace: str = NAMESPACE, **spec: Any) -> Service:
        """A Service; endpoints are added by hand."""
        spec = {"ports": list(ports), "selector": {"app": name}, **spec}
        return Service(self.api, namespace, name, spec, node=MACHINE_NAME)

    def name_server(self, name: str = "coredns", *, stub: str = STUB) -> tuple[CoreDns, Home]:
        """CoreDNS in a pod of its own, for the address that all pods ask."""
        home = self.home(name)
        text = self.corefile(stub)
        return CoreDns(home.folder / "server", "cluster.local", text, port=53, place=home.place), home

    def corefile(self, stub: str = STUB) -> str:
        """As kubeadm has it, beside the block of a stub zone."""
        return stub + CLUSTER_BLOCK.format(kubeconfig=self.api.kubeconfig(ADMIN))

    def bare_names(self, prefix: str) -> tuple[CoreDns, Home]:
        """CoreDNS with ``bare-names.Corefile`` in a pod of its own, for interfaces whose packages begin so.

        It knows the cluster by its kubeconfig, and the world by the one that all pods ask.
        """
        home = self.home("coredns-bare")
        text = (FOLDER / "bare-names.Corefile").read_text(encoding="utf-8")
        for there, here in {
            r"com\.alipay": prefix.replace(".", r"\."),
            "        pods insecure\n": f"        kubeconfig {self.api.kubeconfig(ADMIN)}\n        pods insecure\n",
        }.items():
            assert there in text
            text = text.replace(there, here)
        return CoreDns(home.folder / "server", "cluster.local", text, port=53, place=home.place), home

    def node_local(self) -> CoreDns:
        """CoreDNS with ``nodelocal.Corefile`` on the machine, to start when the one of ``name_server`` runs.

        It has an address of its own there, and asks at the one that pods ask otherwise: so it is put up beside a
        kube-proxy whose ClusterIPs are no addresses of the machine's to listen at.
        """
        text = (FOLDER / "nodelocal.Corefile").read_text(encoding="utf-8")
        for there, here in {
            "__PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__": NODE_LOCAL,
            "__PILLAR__CLUSTER__DNS__": DNS,
        }.items():
            assert there in text
            text = text.replace(there, here)
        folder = self.folder / "node-local"
        return CoreDns(folder, "cluster.local", text, host=NODE_LOCAL, port=53, place=self.node)


def resolv(nameservers: Iterable[str], options: Iterable[str]) -> str:
    """What the kubelet writes for a pod of the namespace: its ``clusterDNS``, and what the pod's ``dnsConfig`` adds."""
    lines = [f"search {SEARCH}", *(f"nameserver {address}" for address in nameservers)]
    return "\n".join([*lines, f"options {' '.join(['ndots:5', *options])}", ""])
