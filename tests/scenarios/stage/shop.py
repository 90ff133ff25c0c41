"""A shop in files: Services that declare their interfaces, so that soadns needs no other server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(folder: Path, interfaces: int, *, services: int = 10) -> list[str]:
    """Write Services that declare so many interfaces together; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"com.alipay.shop{i % services}.facade.Service{i}" for i in range(interfaces)]
    for number in range(services):
        documents = _service(number, names[number::services])
        path = folder / f"shop{number}.yaml"
        fresh = path.with_suffix(".new")
        fresh.write_text("\n---\n".join(json.dumps(document) for document in documents))
        fresh.replace(path)
    return names


def _service(number: int, interfaces: list[str]) -> list[dict[str, Any]]:
    name, ports = f"shop{number}", [{"name": "tcp-dubbo", "port": 20880}]
    metadata = {
        "name": name,
        "namespace": "shop",
        "annotations": {"soadns.io/interfaces": ",".join(interfaces)},
    }
    spec = {"clusterIP": f"10.96.2.{number}", "clusterIPs": [f"10.96.2.{number}"], "ports": ports}
    endpoints = [{"addresses": [f"10.244.3.{number}"], "conditions": {"ready": True}}]
    labels = {"kubernetes.io/service-name": name}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": ports,
            "metadata": {"name": f"{name}-1", "namespace": "shop", "labels": labels}, "endpoints": endpoints,
        },
    ]  # fmt: skip
