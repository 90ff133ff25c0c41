"""Envoy beside an application in its pod, as Istio injects it: all TCP that others in the pod send goes through it.

It is the stock one, so what it is told comes from istiod as it is; only the start (bootstrap) is written here, where
Istio's agent writes it.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tests.scenarios.stage.cluster import NAMESPACE, Home
from tests.scenarios.stage.istiod import XDS
from tests.scenarios.stage.process import Process, command_of

OUTBOUND, ADMIN = 15001, 15000
GROUP = 1337
"""Of Istio's sidecars: what a process of this group sends is not captured."""
DRAIN_S = 2
"""After so many seconds the connections of a listener that was changed are cut; Istio's own default is 45."""

_CAPTURE = f"""
table ip istio {{
    chain output {{
        type nat hook output priority -100; policy accept;
        meta skgid {GROUP} return
        ip daddr 127.0.0.0/8 return
        meta l4proto tcp redirect to :{OUTBOUND}
    }}
}}
"""
NONE: Mapping[str, str] = MappingProxyType({})
_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Sidecar:
    """One Envoy; the application's pod has it from its start to its end."""

    def __init__(self, home: Home, app: str, *, labels: Mapping[str, str] = NONE, ipv6: str = "") -> None:
        """``labels`` are further ones of the pod's; ``ipv6`` is an address that it says to istiod to have as well."""
        self.home = home
        self._addresses = [home.ip, *filter(None, [ipv6])]
        self.labels = {"app": app, **labels}
        folder = home.folder / "envoy"
        folder.mkdir()
        bootstrap = folder / "bootstrap.json"
        bootstrap.write_text(json.dumps(self._bootstrap()))
        envoy, env = command_of("envoy")
        command = [
            "setpriv", f"--regid={GROUP}", "--clear-groups", *envoy, "-c", str(bootstrap), "--concurrency", "1",
            "--disable-hot-restart", "--drain-time-s", str(DRAIN_S), "--drain-strategy", "immediate",
            "--log-level", "warning",
        ]  # fmt: skip
        self.process = Process("envoy", command, log=folder / "log", env=env, place=home.place)
        self._captured = False

    def _bootstrap(self) -> dict[str, Any]:
        address, port = XDS
        ads = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
        node = f"sidecar~{self.home.ip}~{self.home.name}.{NAMESPACE}~{NAMESPACE}.svc.cluster.local"
        return {
            "node": {
                "id": node, "cluster": f"{self.labels['app']}.{NAMESPACE}",
                "metadata": {
                    "CLUSTER_ID": "Kubernetes", "NAMESPACE": NAMESPACE, "NAME": self.home.name,
                    "MESH_ID": "cluster.local", "ISTIO_VERSION": "1.32.0", "INSTANCE_IPS": ",".join(self._addresses),
                    "LABELS": self.labels, "INTERCEPTION_MODE": "REDIRECT", "SERVICE_ACCOUNT": "default",
                },
            },
            "admin": {"address": _socket("127.0.0.1", ADMIN)},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True,
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
                },
                "cds_config": ads, "lds_config": ads,
            },
            "static_resources": {
                "clusters": [
                    {
                        "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
                        "typed_extension_protocol_options": {
                            _HTTP2: {
                                "@type": f"type.googleapis.com/{_HTTP2}",
                                "explicit_http_config": {"http2_protocol_options": {}},
                            }
                        },
                        "load_assignment": {
                            "cluster_name": "xds-grpc",
                            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(address, port)}}]}],
                        },
                    }
                ]
            },
        }  # fmt: skip

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Start it, and wait until it has what istiod says of listeners and clusters."""
        if not self._captured:
            self._captured = True
            nft, env = command_of("nft")
            done = subprocess.run(
                self.home.place.command([*nft, "-f", "-"]), env=env, input=_CAPTURE, text=True, capture_output=True,
                check=False, timeout=30,
            )  # fmt: skip
            assert not done.returncode, f"nft: {done.stdout}{done.stderr}"
        self.process.start()
        self.process.wait_until(lambda: self.get("/ready").startswith("LIVE"), within=60.0)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    # ------------------------------------------------------------------ what it did

    def through(self) -> dict[str, dict[str, int]]:
        """By cluster of Istio's: how many connections it has opened to which pods, by address."""
        found: dict[str, dict[str, int]] = {}
        for cluster in json.loads(self.get("/clusters?format=json")).get("cluster_statuses", []):
            hosts = {}
            for host in cluster.get("host_statuses", []):
                opened = {each["name"]: int(each.get("value", 0)) for each in host.get("stats", [])}
                address = host["address"].get("socket_address", {}).get("address", "")
                if opened.get("cx_total"):
                    hosts[address] = opened["cx_total"]
            if hosts:
                found[cluster["name"]] = hosts
        return found

    def ejected(self, cluster: str) -> set[str]:
        """The addresses of a cluster that are called no more, since too much failed there."""
        found = set()
        for each in json.loads(self.get("/clusters?format=json")).get("cluster_statuses", []):
            for host in each.get("host_statuses", []) if each["name"] == cluster else []:
                if host["health_status"].get("failed_outlier_check"):
                    found.add(str(host["address"]["socket_address"]["address"]))
        return found

    def endpoints(self, cluster: str) -> set[str]:
        """The addresses of a cluster, whether they are called or not."""
        return {
            str(host["address"]["socket_address"]["address"])
            for each in json.loads(self.get("/clusters?format=json")).get("cluster_statuses", [])
            for host in (each.get("host_statuses", []) if each["name"] == cluster else [])
        }

    def listener(self, name: str) -> str:
        """What istiod says of a listener, as JSON."""
        dump = json.loads(self.get("/config_dump?resource=dynamic_listeners"))
        [found] = [each for each in dump["configs"] if each["name"] == name]
        return json.dumps(found["active_state"]["listener"], sort_keys=True)

    def cluster(self, name: str) -> str:
        """What istiod says of a cluster, as JSON; ``''`` where there is none."""
        return self.clusters().get(name, "")

    def clusters(self) -> dict[str, str]:
        """The same of all, by name."""
        dump = json.loads(self.get("/config_dump?resource=dynamic_active_clusters"))
        found = [each["cluster"] for each in dump["configs"]]
        return {each["name"]: json.dumps(each) for each in found}

    def requests(self) -> dict[str, int]:
        """By cluster: how many requests and connections it has sent there."""
        found = {}
        for line in self.get("/stats?filter=upstream_(rq|cx)_total").splitlines():
            key, _, value = line.rpartition(": ")
            name = key.removeprefix("cluster.").rpartition(".")[0].rstrip(";")
            found[name] = found.get(name, 0) + int(value)
        return found

    def connections_made(self) -> dict[str, int]:
        """By cluster: how many connections it has made there, or tried to."""
        lines = self.get("/stats?filter=upstream_cx_total").splitlines()
        pairs = (line.rpartition(": ") for line in lines)
        return {
            key.removeprefix("cluster.").rpartition(".")[0].rstrip(";"): int(value) for key, _, value in pairs
        }

    def stat(self, name: str) -> int:
        """A counter or gauge; 0 when there is none."""
        for line in self.get("/stats").splitlines():
            key, _, value = line.rpartition(": ")
            if key == name:
                return int(value)
        return 0

    @property
    def draining(self) -> bool:
        """Whether connections by what it was told before are still to be cut."""
        return any(
            self.stat(f"listener_manager.total_{what}_draining") for what in ("filter_chains", "listeners")
        )

    def listeners(self) -> list[str]:
        """The names of all listeners."""
        return [line.partition("::")[0] for line in self.get("/listeners").splitlines()]

    def get(self, path: str) -> str:
        """What its admin port answers."""
        with (
            self.home.place.inside(),
            urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}{path}", timeout=20) as answer,
        ):
            return str(answer.read().decode())


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
