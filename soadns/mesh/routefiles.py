"""Files of rules for pods that mount them: ConfigMaps in the namespaces of their callers, written before any filter.

A filter that names a file which is not there is refused by the sidecar, listener and all. So a file counts as mounted
only when it was seen in its ConfigMap for as long as the kubelet may need, and it stays there as long as a filter that
stands names it, and as long again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError
from soadns.logs import Log
from soadns.mesh.filterplan import Data, Name, Standing
from soadns.mesh.mirror import Mirror
from soadns.mesh.sharedmoves import CONFIG_MAPS
from soadns.sidecar import drdsfiles, filterchecks
from soadns.sidecar.drdsfiles import DrdsFile
from soadns.sidecar.envoyfilters import MANAGED_BY, OURS, Rendered
from soadns.sidecar.tiers import Wishes

MANAGER = "soadns"
LABELS = {MANAGED_BY: OURS}
SELECTOR = f"{MANAGED_BY}={OURS}"


class RouteFiles:
    """The ConfigMaps of all namespaces whose pods may mount them.

    :param delay: seconds until every pod has what is in them.
    :param now: Unix seconds.
    """

    def __init__(
        self,
        api: KubeApi,
        wishes: Wishes,
        delay: float,
        *,
        log: Log,
        now: Callable[[], float],
        hear: Callable[[], None],
    ) -> None:
        self._api = api
        self._wishes = wishes
        self._delay = delay
        self._log = log
        self._now = now
        self._stir = hear
        self._mirrors = {
            namespace: Mirror(
                api, CONFIG_MAPS, namespace=namespace, selector=SELECTOR, decode=_data, hear=self._read
            )
            for namespace in wishes.namespaces
        }
        self._since: dict[Name, float] = {}
        """(namespace, file) → when it was seen first."""
        self._named: dict[Name, float] = {}
        """(namespace, file) → when a filter that stands was seen last to name it."""
        self.left_out: list[str] = []
        """Files for which there is no room."""
        self._write_trouble = ""

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            for mirror in self._mirrors.values():
                group.create_task(mirror.run())

    @property
    def synced(self) -> bool:
        """Whether all of them were read once."""
        return all(mirror.synced for mirror in self._mirrors.values())

    @property
    def trouble(self) -> str:
        """Why they can not be read or written; ``''``: they can."""
        troubles = [mirror.trouble for mirror in self._mirrors.values() if mirror.trouble]
        return "; ".join([*troubles, *([self._write_trouble] if self._write_trouble else [])])

    def _read(self, names: list[Name]) -> None:
        held = {(ns, key) for ns in {name[0] for name in names} for key in self._held(ns)}
        for file in held:
            self._since.setdefault(file, self._now())
        for namespace in {name[0] for name in names}:
            for file in [f for f in self._since if f[0] == namespace and f not in held]:
                del self._since[file]
        self._stir()

    def _held(self, namespace: str) -> dict[str, str]:
        """The files of a namespace, as they stand."""
        names = {drdsfiles.config_map_name(shard) for shard in range(self._wishes.shards)}
        values = self._mirrors[namespace].values
        return {key: text for name, data in values.items() if name[1] in names for key, text in data.items()}

    def ready_at(self, name: Name, rendered: Rendered, standing: Mapping[Name, Standing]) -> float:
        """When the files that an object names are mounted by all pods, in Unix seconds; 0.0 for one that names none."""
        namespace = name[0]
        if namespace not in self._mirrors or not name[1].endswith("-files"):
            return 0.0
        told = _files_of(standing[name].document) if name in standing else set()
        waits = [
            self._since.get((namespace, file.key), inf) + self._delay
            for file in rendered.files
            if file.key not in told
        ]
        return max(waits, default=0.0)

    async def write(
        self, rendered: Iterable[Rendered], standing: Mapping[Name, Standing], may: Callable[[], bool]
    ) -> None:
        """Write the ConfigMaps that are to be others."""
        if not self._mirrors:
            return
        now = self._now()
        for (namespace, _), each in standing.items():
            self._named |= dict.fromkeys(((namespace, key) for key in _files_of(each.document)), now)
        self._named = {file: at for file, at in self._named.items() if now - at < 2 * self._delay}
        fresh = {file.key: file.text for each in rendered for file in each.files}
        trouble = ""
        for namespace, mirror in self._mirrors.items():
            held = self._held(namespace)
            kept = {key for ns, key in self._named if ns == namespace}
            texts = {key: text for key, text in held.items() if key in kept} | fresh
            files = [DrdsFile(key, text) for key, text in texts.items()]
            data, self.left_out = drdsfiles.shared_out(files, self._wishes.shards, held)
            for document in drdsfiles.config_maps(data, namespace, LABELS):
                name = (namespace, document["metadata"]["name"])
                if mirror.values.get(name) == document["data"] or not may():
                    continue
                if problems := filterchecks.problems(document):
                    trouble = f"configmap {'/'.join(name)}: {'; '.join(problems)}"
                    continue
                trouble = await self._apply(name, document) or trouble
        if trouble and trouble != self._write_trouble:
            self._log("files-not-written", level="error", reason=trouble)
        self._write_trouble = trouble

    async def _apply(self, name: Name, document: Data) -> str:
        """Write one; returns why it could not be."""
        path = f"{CONFIG_MAPS.path(name[0])}/{name[1]}"
        try:
            await self._api.apply(path, document, manager=MANAGER)
        except (ApiError, KubeConfigError) as error:
            return f"configmap {'/'.join(name)}: {error}"
        self._log("files-written", configmap="/".join(name), files=len(document["data"]))
        return ""


def _data(found: dict[str, Any]) -> dict[str, str]:
    return dict(found.get("data") or {})


def _files_of(document: Data) -> set[str]:
    """The files that an EnvoyFilter names."""
    found = set()
    patches = (document.get("spec") or {}).get("configPatches")
    for patch in patches if isinstance(patches, list) else ():
        text = json.dumps(patch)
        if '"path"' in text:
            found |= {path.rpartition("/")[2] for path in _paths(patch)}
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
