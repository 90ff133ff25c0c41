"""A zone with something of everything: the example files, long answers, many names; and soadns that serves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.scenarios.stage.soadns import Soadns

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "dubbo-demo" / "files"
BORN = "2026-01-10T08:00:00Z"
IDENTITY = "there"


def service(
    name: str, interfaces: str, ports: list[int], *, cluster_ip: str, pods: int = 0
) -> list[dict[str, Any]]:
    """A Service that declares interfaces, with its EndpointSlice."""
    named = [{"name": f"tcp-{port}", "port": port} for port in ports]
    metadata = {"name": name, "namespace": "acme", "uid": name, "creationTimestamp": BORN}
    declared = {"annotations": {"soadns.io/interfaces": interfaces}}
    spec = {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ports": named}
    labels = {"labels": {"kubernetes.io/service-name": name}}
    ready = [{"addresses": [f"10.244.9.{pod}"], "conditions": {"ready": True}} for pod in range(1, pods + 1)]
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata | declared, "spec": spec},
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": named,
            "metadata": metadata | labels, "endpoints": ready,
        },
    ]  # fmt: skip


def long_answers() -> list[dict[str, Any]]:
    """``com.acme.Wide`` with 30 ports, ``com.acme.Headless`` with 60 pods."""
    return [
        *service("wide", "com.acme.Wide", list(range(20880, 20910)), cluster_ip="10.96.2.1"),
        *service("headless", "com.acme.Headless", [20880], cluster_ip="None", pods=60),
    ]


def many_names(count: int) -> dict[str, Any]:
    """So many interfaces, 100 a package, with one provider each."""
    names = [f"com.acme.p{number // 100}.Service{number}" for number in range(count)]
    urls = {
        name: [f"dubbo://10.{i >> 16}.{i >> 8 & 255}.{i & 255}:20880/{name}?application=acme"]
        for i, name in enumerate(names)
    }
    return {"kind": "Providers", "spec": {"dialect": "dubbo", "providers": urls}}


def showcase(folder: Path, *, names: int = 0) -> Soadns:
    """A soadns over all that, not yet started."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "long.json").write_text("\n---\n".join(map(json.dumps, long_answers())))
    paths = [str(EXAMPLES), str(folder / "long.json")]
    if names:
        (folder / "many.json").write_text(json.dumps(many_names(names)))
        paths.append(str(folder / "many.json"))
    soadns = Soadns(folder / "soadns", {"static": [{"name": "files", "paths": paths}]})
    soadns.write_config(nameserver={"listen": [f"127.0.0.1:{soadns.port}"], "identity": IDENTITY})
    return soadns
