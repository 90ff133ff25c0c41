"""Files of rules that callers' pods mount, and the ConfigMaps that hold them. Pure.

Envoy reads the rules of a port from a file and follows it: no connection is cut when it changes. The file must be there
before a filter names it: the listener is refused otherwise. All namespaces of such callers have the same ConfigMaps,
which pods mount as one folder (a projected volume). In which of them a new file is, its name alone says, and there it
stays: one that wandered would be missing for a moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class SharedOut:
    """What each ConfigMap holds, and what found no room."""

    data: list[dict[str, str]]
    outdated: tuple[str, ...] = ()
    """Files that stand, and keep the rules that they have: there is no room for the new ones."""
    left_out: tuple[str, ...] = ()
    """Files that do not stand, and for which there is no room."""

    @property
    def texts(self) -> dict[str, str]:
        """All files."""
        return {key: text for each in self.data for key, text in each.items()}


def shard_of(key: str, shards: int) -> int:
    """The ConfigMap that a file is put into, whatever others there are."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % shards


def config_map_name(shard: int) -> str:
    """The name of a ConfigMap of rules."""
    return f"soadns-routes-{shard}"


def shared_out(files: Iterable[DrdsFile], shards: int, held: Sequence[Mapping[str, str]] = ()) -> SharedOut:
    """The data of each ConfigMap.

    A file that stands stays, where it stands: a pod without it refuses a listener. So all of them have their room
    first, as they are; then those change that need no more than before, and others as far as there is room; new ones
    come last.

    :param held: what each ConfigMap holds now.
    """
    wanted = {file.key: file for file in files}
    places: dict[str, int] = {}
    for shard, each in enumerate(held[:shards]):
        for key in each.keys() & wanted.keys():
            if key not in places or shard == shard_of(key, shards):
                places[key] = shard
    standing = {key: DrdsFile(key, held[shard][key]) for key, shard in places.items()}
    found: list[dict[str, str]] = [{} for _ in range(shards)]
    octets = [0] * shards
    for key, file in standing.items():
        found[places[key]][key] = file.text
        octets[places[key]] += file.octets
    outdated: list[str] = []
    left_out: list[str] = []
    growth = {
        key: file.octets - (standing[key].octets if key in standing else 0) for key, file in wanted.items()
    }
    for key in sorted(wanted, key=lambda key: (key not in standing, growth[key] > 0, key)):
        shard = places.get(key, shard_of(key, shards))
        if growth[key] > 0 and octets[shard] + growth[key] > MOST:
            (outdated if key in standing else left_out).append(key)
            continue
        octets[shard] += growth[key]
        found[shard][key] = wanted[key].text
    data = [dict(sorted(each.items())) for each in found]
    return SharedOut(data, tuple(sorted(outdated)), tuple(sorted(left_out)))


def files_of(document: Data) -> set[str]:
    """The files that an EnvoyFilter names."""
    found = set()
    patches = (document.get("spec") or {}).get("configPatches")
    for patch in patches if isinstance(patches, list) else ():
        text = json.dumps(patch)
        if '"path"' in text:
            found |= {path.rpartition("/")[2] for path in _paths(patch) if path.endswith(".json")}
    return found


def _paths(found: object) -> Iterable[str]:
    """Every ``path`` of a tree that is text."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key == "path" and isinstance(value, str):
                yield value
            else:
                yield from _paths(value)
    elif isinstance(found, list):
        for value in found:
            yield from _paths(value)


def without_room(left_out: Iterable[str], files: Collection[str], shards: int) -> list[str]:
    """Why a filter that names these files must not be written."""
    return [
        f"there is no room in ConfigMap {config_map_name(shard_of(key, shards))} for its file {key}: raise "
        "sidecar.istio.files.shards, the mounts first"
        for key in left_out
        if key in files
    ]


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
