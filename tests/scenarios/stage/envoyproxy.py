"""Envoy with the filters of EnvoyFilters in listeners of its own, as Istio would put them there; no istiod."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.scenarios.stage.process import Process, command_of, printed

Data = dict[str, Any]
TYPE = "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy"
READY_WITHIN_S = 60.0


def filters_of(objects: Iterable[Data]) -> dict[str, Data]:
    """Name of the listener → what replaces its TCP filter: of two, the first by priority."""
    found: dict[str, Data] = {}
    for each in sorted(objects, key=lambda each: each["spec"]["priority"]):
        for patch in each["spec"]["configPatches"]:
            found.setdefault(patch["match"]["listener"]["name"], patch["patch"]["value"])
    return found


def clusters_named(value: object) -> set[str]:
    """Every cluster that a configuration names, however deep."""
    if isinstance(value, list):
        return set().union(*map(clusters_named, value))
    if not isinstance(value, dict):
        return set()
    named = {value["cluster"]} if isinstance(value.get("cluster"), str) else set()
    shares = value.get("weighted_clusters", {}).get("clusters", [])
    return named.union({share["name"] for share in shares}, *map(clusters_named, value.values()))


class EnvoyProxy:
    """One Envoy. ``filters`` are by the name of a listener, ``endpoints`` local ports by the name of a cluster."""

    def __init__(
        self, folder: Path, filters: Mapping[str, Data], endpoints: Mapping[str, Iterable[int]]
    ) -> None:
        self.ports = {name: free_port() for name in filters}
        self._admin = free_port()
        self.file = folder / "envoy.json"
        listeners = [
            {
                "name": name,
                "address": _address(self.ports[name]),
                "filter_chains": [{"filters": [value]}],
            }
            for name, value in filters.items()
        ]
        names = clusters_named(list(filters.values())) | set(endpoints)
        config = {
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": _address(self._admin)},
            "static_resources": {
                "listeners": listeners,
                "clusters": [_cluster(name, endpoints.get(name, ())) for name in sorted(names)],
            },
        }
        self.file.write_text(json.dumps(config))
        command, env = command_of("envoy")
        command += ["-c", str(self.file), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        self.process = Process("envoy", command, env=env, log=folder / "envoy.log")

    def validate(self) -> str:
        """What ``--mode validate`` says against the configuration; ``''`` where it takes it."""
        done = printed("envoy", "--mode", "validate", "-c", self.file, "-l", "error")
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def start(self) -> None:
        self.process.start()
        self.process.wait_until(lambda: self.get("/ready").startswith("LIVE"), within=READY_WITHIN_S)

    def stop(self) -> None:
        self.process.kill()

    def get(self, path: str) -> str:
        """What the admin port answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}{path}", timeout=20) as response:
            return str(response.read().decode())

    def stat(self, name: str) -> int:
        """One counter or gauge."""
        found = json.loads(self.get(f"/stats?format=json&filter=^{name}$"))["stats"]
        return sum(int(each["value"]) for each in found if "value" in each)


def _address(port: int) -> Data:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, ports: Iterable[int]) -> Data:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
