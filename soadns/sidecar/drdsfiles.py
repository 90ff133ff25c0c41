"""Files of rules that callers' pods mount, and the ConfigMaps that hold them. Pure.

Envoy reads the rules of a port from a file and follows it: no connection is cut when it changes. The file must be there
before a filter names it: the listener is refused otherwise. All namespaces of such callers have the same ConfigMaps,
which pods mount as one folder (a projected volume). In which of them a file is, its name alone says: one that wandered
would be missing for a moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from soadns.sidecar.dubboproxy import ROUTES_TYPE

Data = dict[str, Any]
MOST = 900 * 1024
"""Octets of one ConfigMap; the API server takes 1 MiB of data, and etcd 1.5 MiB of all."""


@dataclass(frozen=True, slots=True)
class DrdsFile:
    """The rules of one port as a file."""

    key: str
    """Its name in the folder."""
    text: str

    @property
    def octets(self) -> int:
        """What it takes of a ConfigMap."""
        return len(self.key) + len(self.text.encode())


def drds_file(routes: Data) -> DrdsFile:
    """A ``MultipleRouteConfiguration`` as Envoy reads it from a file (a discovery response with one resource)."""
    body = json.dumps({"@type": ROUTES_TYPE, **routes}, ensure_ascii=False, separators=(",", ":"))
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    return DrdsFile(f"{routes['name']}.json", f'{{"version_info":"{version}","resources":[{body}]}}\n')


def shard_of(key: str, shards: int) -> int:
    """The ConfigMap that a file is in, whatever others there are."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % shards


def config_map_name(shard: int) -> str:
    """The name of a ConfigMap of rules."""
    return f"soadns-routes-{shard}"


def shared_out(
    files: Iterable[DrdsFile], shards: int, held: Collection[str] = ()
) -> tuple[list[dict[str, str]], list[str]]:
    """The data of each ConfigMap, and the names of files for which there is no room.

    ``held`` are names that are mounted already: they come first, for a pod without one of them refuses a listener.
    """
    found: list[dict[str, str]] = [{} for _ in range(shards)]
    octets = [0] * shards
    left_out = []
    for file in sorted(files, key=lambda file: (file.key not in held, file.key)):
        shard = shard_of(file.key, shards)
        if octets[shard] + file.octets > MOST:
            left_out.append(file.key)
            continue
        octets[shard] += file.octets
        found[shard][file.key] = file.text
    return [dict(sorted(each.items())) for each in found], sorted(left_out)


def config_maps(data: list[dict[str, str]], namespace: str, labels: dict[str, str]) -> list[Data]:
    """The ConfigMaps of one namespace. All of them are there, with or without files: pods wait for what they mount."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": config_map_name(shard),
                "namespace": namespace,
                "labels": labels,
            },
            "data": files,
        }
        for shard, files in enumerate(data)
    ]
