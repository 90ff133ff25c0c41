"""ClusterIPs on one machine without a cluster: soadns reads files, and Dubbo is spoken by hand.

For what is asked of sidecars, of which none needs Java. Pods are namespaces of their own; rules of the machine do for
ClusterIPs what kube-proxy does.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.scenarios.stage.dubbowire import Call, Caller, Provider, Reply
from tests.scenarios.stage.network import MACHINE, Network
from tests.scenarios.stage.places import Node, Pod
from tests.scenarios.stage.process import command_of, eventually
from tests.scenarios.stage.soadns import Soadns

ADS_PORT, DUBBO_PORT = 15010, 20880
BORN = "2026-01-10T08:00:00Z"
ADS_NAME, OTHER_NAME = "soadns.example", "other.example"
"""What pods know soadns by; its certificate has the first one."""
_KUBE_PROXY = """
table ip services
delete table ip services
table ip services {{
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
{rules}
    }}
}}
"""


class House(NamedTuple):
    """A pod, and who calls from it."""

    place: Pod
    ip: str
    folder: Path

    def call(self, address: str) -> Caller:
        """A connection to a ClusterIP."""
        with self.place.inside():
            return Caller(DUBBO_PORT, address)

    def asks(self, address: str, interface: str) -> Reply:
        """One call on a connection of its own; status 0 where that is cut or not made."""
        try:
            with self.call(address) as caller:
                return caller.ask(Call(interface))
        except OSError as error:
            return Reply(0, str(error))

    def arrives(self, address: str, interface: str, at: str) -> None:
        """Calls of an interface at a ClusterIP arrive at a provider before long."""
        got = eventually(
            lambda: self.asks(address, interface), within=60.0, until=lambda reply: reply.said == at
        )
        assert got.said == at, got


class Served(NamedTuple):
    """A provider and its address."""

    name: str
    ip: str
    server: Provider


class Street:
    """One machine; ``end`` ends all that ever ran there."""

    def __init__(self, folder: Path, *, sidecar: dict[str, Any]) -> None:
        """``sidecar``: that section of soadns's settings, but for where its ADS server listens."""
        self.folder = folder
        self._last_to_first = contextlib.ExitStack()
        self._services: dict[str, dict[str, Any]] = {}
        """By namespace and name: what is in the files of one."""
        self._providers: dict[str, list[str]] = {}
        self._files = folder / "files"
        self._files.mkdir(parents=True)
        try:
            self.node = Node()
            self._last_to_first.callback(self.node.close)
            self._network = Network(self.node)
        except BaseException:
            self.end()
            raise
        ads = {"listen": f"{MACHINE}:{ADS_PORT}", **sidecar.pop("ads", {})}
        settings = {
            "static": [{"name": "home", "paths": [str(self._files)], "cluster": "home"}],
            "binding": {"settle": "100ms"},
            "sidecar": {"ads": ads, **sidecar},
        }
        self.soadns = Soadns(folder / "soadns", settings, place=self.node)

    def end(self) -> None:
        """End everything."""
        self._last_to_first.close()

    # ------------------------------------------------------------------ who is there

    def pod(self, name: str) -> House:
        """A pod in which nothing runs yet."""
        folder = self.folder / name
        folder.mkdir()
        ip = self._network.next_address()
        hosts = f"127.0.0.1 localhost\n{ip} {name}\n{MACHINE} {ADS_NAME} {OTHER_NAME}\n"
        pod = Pod(
            self.node, name, folder, {"hosts": hosts, "resolv.conf": "", "nsswitch.conf": "hosts: files\n"}
        )
        self._last_to_first.callback(pod.close)
        self._network.connect(pod, ip)
        return House(pod, ip, folder)

    def provider(self, name: str) -> Served:
        """A provider in a pod of its own, which answers every call with its name."""
        home = self.pod(name)
        with home.place.inside():
            server = Provider(name, at=(home.ip, DUBBO_PORT))
        self._last_to_first.callback(server.stop)
        return Served(name, home.ip, server)

    def service(self, where: str, address: str, *behind: Served, **annotations: str) -> None:
        """A Service (``namespace/name``) as it is from now on, with who is ready behind it."""
        namespace, _, name = where.partition("/")
        ports = [{"name": "tcp-dubbo", "port": DUBBO_PORT}]
        metadata = {"name": name, "namespace": namespace, "uid": where, "creationTimestamp": BORN}
        told = {f"soadns.io/{key}": text for key, text in annotations.items()}
        spec = {"clusterIP": address, "clusterIPs": [address], "ports": ports}
        ready = [{"addresses": [each.ip], "conditions": {"ready": True}} for each in behind]
        labels = {"labels": {"kubernetes.io/service-name": name}}
        self._services[where] = {
            "address": address,
            "behind": behind,
            "documents": [
                {"apiVersion": "v1", "kind": "Service", "metadata": metadata | {"annotations": told}, "spec": spec},
                {
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "ports": ports, "metadata": metadata | labels, "endpoints": ready,
                },
            ],
        }  # fmt: skip
        self._write()

    def registers(self, interface: str, *providers: Served, **parameters: object) -> None:
        """Who provides an interface from now on, by the registry; each with these parameters."""
        more = "".join(f"&{key}={value}" for key, value in parameters.items())
        self._providers[interface] = [
            f"dubbo://{each.ip}:{DUBBO_PORT}/{interface}?application={each.name}&side=provider{more}"
            for each in providers
        ]
        self._write()

    def weighs(self, interface: str, weights: dict[Served, int]) -> None:
        """The same with a weight for each."""
        self._providers[interface] = [
            f"dubbo://{each.ip}:{DUBBO_PORT}/{interface}?application={each.name}&side=provider&weight={weight}"
            for each, weight in weights.items()
        ]
        self._write()

    def _write(self) -> None:
        documents = [each for service in self._services.values() for each in service["documents"]]
        documents.append({"kind": "Providers", "spec": {"dialect": "dubbo", "providers": self._providers}})
        fresh = self._files / ".fresh"
        fresh.write_text("\n---\n".join(map(json.dumps, documents)), encoding="utf-8")
        fresh.rename(self._files / "all.json")

    def proxies(self) -> None:
        """Let ClusterIPs lead to who is behind them, as kube-proxy does, whoever asks."""
        rules = "\n".join(
            f"        ip daddr {each['address']} tcp dport {DUBBO_PORT} dnat to {each['behind'][0].ip}:{DUBBO_PORT}"
            for each in self._services.values()
            if each["behind"]
        )
        self.nft(self.node, _KUBE_PROXY.format(rules=rules))

    @staticmethod
    def nft(place: Node | Pod, text: str) -> None:
        """Have rules of the firewall in a place."""
        command, env = command_of("nft")
        done = subprocess.run(
            place.command([*command, "-f", "-"]), env=env, input=text, text=True, capture_output=True, check=False,
            timeout=30,
        )  # fmt: skip
        assert not done.returncode, done.stderr

    # ------------------------------------------------------------------ what is asked

    def goes(self, address: str, interface: str, to: str) -> None:
        """soadns says before long that calls of an interface at a ClusterIP go there."""
        look = lambda: self.soadns.cli("resolve", f"{address}:{DUBBO_PORT}", interface)[1]  # noqa: E731
        text = eventually(look, within=60.0, until=lambda text: to in text)
        assert to in text, text
