"""Files of rules for pods that mount them: ConfigMaps in the namespaces of their callers, written before any filter.

A filter that names a file which is not there is refused by the sidecar, listener and all. So a file counts as mounted
only when it was seen in its ConfigMap for as long as the kubelet may need, and it stays there as long as a filter that
stands names it, and as long again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping
from math import inf
from typing import Any

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError
from soadns.logs import Log
from soadns.mesh.filterplan import CHANGE, CREATE, REMOVE, Data, Name, Standing, Step
from soadns.mesh.istioreader import MANAGER
from soadns.mesh.mirror import Mirror
from soadns.mesh.sharedmoves import CONFIG_MAPS
from soadns.sidecar import drdsfiles, filterchecks
from soadns.sidecar.drdsfiles import DrdsFile, SharedOut
from soadns.sidecar.envoyfilters import MANAGED_BY, OURS, Rendered
from soadns.sidecar.tiers import Wishes

LABELS = {MANAGED_BY: OURS}
SELECTOR = f"{MANAGED_BY}={OURS}"
AGAIN_S = 30.0
"""Until what could not be written is tried again, though nothing changed."""
INTERRUPTED = "another replica may write by now"
"""Why nothing was written, where the API server would have taken it."""


class RouteFiles:
    """The ConfigMaps of all namespaces whose pods may mount them.

    Their number is bounded (``Wishes.most``), so they are looked at together, but only when something of them changed.

    :param delay: seconds until every pod has what is in them.
    :param clusters: those that Istio is known to have, or may have.
    :param now: Unix seconds.
    """

    def __init__(
        self,
        api: KubeApi,
        wishes: Wishes,
        delay: float,
        clusters: Callable[[], Container[str]],
        *,
        log: Log,
        now: Callable[[], float],
        hear: Callable[[], None],
    ) -> None:
        self._api = api
        self._wishes = wishes
        self._delay = delay
        self._clusters = clusters
        self._log = log
        self._now = now
        self._stir = hear
        self._mirrors = {
            namespace: Mirror(
                api, CONFIG_MAPS, namespace=namespace, selector=SELECTOR, decode=_data, hear=self._read
            )
            for namespace in wishes.namespaces
        }
        self._wanted: dict[str, tuple[DrdsFile, ...]] = {}
        """By UID of a Service."""
        self._problems: dict[str, list[str]] = {}
        """File → why it must not be written."""
        self._since: dict[Name, float] = {}
        """(namespace, file) → when it was seen first."""
        self._naming: dict[Name, set[str]] = {}
        """The files that a filter names as it stands."""
        self._named: dict[Name, float] = {}
        """(namespace, file) → until when a filter that stands may be known to name it, somewhere."""
        self._open = True
        """Whether something is to be written, or may be."""
        self._again = inf
        """When to look again though nothing happens."""
        self._shared: dict[str, SharedOut] = {}
        """By namespace of callers: its ConfigMaps as they are wanted."""
        self._share_at = 0.0
        """When the room in them is to be shared out again, in Unix seconds; ``inf``: when something changes."""
        self._write_trouble = ""

    async def run(self) -> None:
        """Read until cancelled; what was being written when it ended is written again."""
        self._begin_anew()
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

    # ------------------------------------------------------------------ what it is told

    def _read(self, names: list[Name]) -> None:
        held = {(ns, key) for ns in {name[0] for name in names} for key in self.held(ns)}
        for file in held:
            self._since.setdefault(file, self._now())
        for namespace in {name[0] for name in names}:
            for file in [f for f in self._since if f[0] == namespace and f not in held]:
                del self._since[file]
        self._begin_anew()
        self._stir()

    def _begin_anew(self) -> None:
        self._open, self._share_at = True, 0.0

    def held(self, namespace: str) -> dict[str, str]:
        """The files of a namespace, as they stand."""
        return {key: text for each in self._held(namespace) for key, text in each.items()}

    def _held(self, namespace: str) -> list[dict[str, str]]:
        """What each of its ConfigMaps holds."""
        values = self._mirrors[namespace].values if namespace in self._mirrors else {}
        names = [(namespace, drdsfiles.config_map_name(shard)) for shard in range(self._wishes.shards)]
        return [values.get(name, {}) for name in names]

    def put(self, uid: str, files: tuple[DrdsFile, ...]) -> None:
        """The files of one Service, as they should be; whether they may be is asked again."""
        before = self._wanted.pop(uid, ())
        asked = {file.key: self._problems.pop(file.key, None) for file in (*before, *files)}
        if files:
            self._wanted[uid] = files
        if files != before or any(asked[file.key] != self.problems([file]) for file in files):
            self._begin_anew()

    def named_by(self, name: Name, document: Data | None) -> None:
        """The EnvoyFilter of that name is this one now; None: there is none."""
        before = self._naming.pop(name, set())
        now = drdsfiles.files_of(document) if document is not None else set()
        if now:
            self._naming[name] = now
        self._named |= dict.fromkeys(((name[0], key) for key in before - now), self._now() + 2 * self._delay)
        self._named |= dict.fromkeys(((name[0], key) for key in now), inf)
        if before != now:
            self._begin_anew()

    def share_out(self, now: float) -> set[str]:
        """Say anew which files have room, if anything changed; returns UIDs of Services with another answer."""
        if now < self._share_at:
            return set()
        untils = (until for until in self._named.values() if until > now)
        self._share_at = min(untils, default=inf)
        before, self._shared = self._shared, {ns: self._share(ns, now) for ns in self._mirrors}
        changed = set()
        for namespace, shared in self._shared.items():
            was = before.get(namespace, SharedOut([]))
            changed |= set(was.left_out) ^ set(shared.left_out)
            lacking = {*shared.outdated, *shared.left_out}
            if fresh := lacking - {*was.outdated, *was.left_out}:
                self._log(
                    "files-without-room", level="error", namespace=namespace, files=", ".join(sorted(fresh)),
                    hint="raise sidecar.istio.files.shards, the mounts first",
                )  # fmt: skip
        return {uid for uid, files in self._wanted.items() if any(file.key in changed for file in files)}

    def _share(self, namespace: str, now: float) -> SharedOut:
        files = [DrdsFile(key, text) for key, text in self._texts(namespace, now).items()]
        return drdsfiles.shared_out(files, self._wishes.shards, self._held(namespace))

    # ------------------------------------------------------------------ questions

    def ready_at(self, name: Name, rendered: Rendered, standing: Mapping[Name, Standing]) -> float:
        """When the files that an object names are mounted by all pods, in Unix seconds; 0.0 for one that names none."""
        namespace = name[0]
        if namespace not in self._mirrors or not names_files(name):
            return 0.0
        told = drdsfiles.files_of(standing[name].document) if name in standing else set()
        waits = [
            self._since.get((namespace, file.key), inf) + self._delay
            for file in rendered.files
            if file.key not in told
        ]
        return max(waits, default=0.0)

    def shared(self, namespace: str) -> SharedOut:
        """The ConfigMaps of a namespace as they are wanted, by the last look at them."""
        return self._shared.get(namespace, SharedOut([]))

    @property
    def left_out(self) -> dict[str, frozenset[str]]:
        """By namespace: files that do not come to stand, for want of room."""
        return {namespace: frozenset(shared.left_out) for namespace, shared in self._shared.items()}

    def without_room(self, namespace: str, document: Data) -> list[str]:
        """Why the files that an EnvoyFilter names do not come to stand in its namespace."""
        return drdsfiles.without_room(
            self.shared(namespace).left_out, drdsfiles.files_of(document), self._wishes.shards
        )

    def changes(self) -> list[tuple[Name, dict[str, str] | None, Data]]:
        """ConfigMaps that are to be others: name, data as it stands (None: there is none), and the whole as wanted."""
        found = []
        for namespace, mirror in self._mirrors.items():
            for document in drdsfiles.config_maps(self.shared(namespace).data, namespace, LABELS):
                name = (namespace, document["metadata"]["name"])
                before = mirror.values.get(name)
                if before != document["data"] and not filterchecks.problems(document):
                    found.append((name, before, document))
        return found

    def problems(self, files: Iterable[DrdsFile]) -> list[str]:
        """Why files of one Service must not be written; asked once for what was ``put``."""
        found = []
        for file in files:
            if (known := self._problems.get(file.key)) is None:
                known = filterchecks.file_problems(file.key, file.text, clusters=self._clusters())
                self._problems[file.key] = known
            found += known
        return found

    @property
    def total(self) -> int:
        """Files that stand, in all namespaces."""
        return len(self._since)

    def due(self, now: float) -> bool:
        """Whether there may be something to write."""
        return bool(self._mirrors) and (self._open or now >= self._again)

    @property
    def next_look(self) -> float:
        """When there may be, though nothing happens, in Unix seconds."""
        return min(self._again, self._share_at)

    @property
    def unshared(self) -> bool:
        """Whether which files have room is to be said anew, whatever the time is."""
        return self._share_at <= 0.0

    # ------------------------------------------------------------------ what is to be done

    def _texts(self, namespace: str, now: float) -> dict[str, str]:
        """The files of a namespace as they should be: none that a pod may still read goes, or becomes a wrong one."""
        held = self.held(namespace)
        kept = {key for (ns, key), until in self._named.items() if ns == namespace and until > now}
        texts = {key: text for key, text in held.items() if key in kept}
        for file in (file for files in self._wanted.values() for file in files):
            if not self.problems([file]):
                texts[file.key] = file.text
            elif file.key in held:
                texts[file.key] = held[file.key]
        return texts

    def steps(self) -> list[Step]:
        """What is to be done, file by file. What no filter names any more is missed by nobody, so its end is urgent."""
        uids = {file.key: uid for uid, files in self._wanted.items() for file in files}
        found = []
        for namespace in self._mirrors:
            held, texts = self.held(namespace), self.shared(namespace).texts
            for key in sorted(held.keys() | texts.keys()):
                if held.get(key) != texts.get(key):
                    kind = CREATE if key not in held else CHANGE if key in texts else REMOVE
                    found.append(Step(kind, (namespace, key), uids.get(key, ""), urgent=kind == REMOVE))
        return found

    async def write(self, steps: Iterable[Step], may: Callable[[], bool]) -> list[Step]:
        """Write the ConfigMaps that are to be others; returns what was done.

        :param steps: those that may be done; what is not among them stays as it stands, and keeps no other waiting.
        """
        now = self._now()
        allowed = {step.name: step for step in steps}
        self._named = {file: until for file, until in self._named.items() if until > now}
        self._open, self._again = False, min(self._named.values(), default=inf)
        done: list[Step] = []
        trouble = ""
        for namespace, mirror in self._mirrors.items():
            held, texts = self.held(namespace), self.shared(namespace).texts
            for key in held.keys() | texts.keys():
                if held.get(key) != texts.get(key) and (namespace, key) not in allowed:
                    self._open = True
                    texts.pop(key, None)
                    texts |= {key: held[key]} if key in held else {}
            files = [DrdsFile(key, text) for key, text in texts.items()]
            shared = drdsfiles.shared_out(files, self._wishes.shards, self._held(namespace))
            for document in drdsfiles.config_maps(shared.data, namespace, LABELS):
                name = (namespace, document["metadata"]["name"])
                before = mirror.values.get(name)
                if before == document["data"]:
                    continue
                if not may():
                    self._open = True
                    return done
                said: str | None = "; ".join(filterchecks.problems(document))
                said = said or await self._apply(name, document, mirror.versions.get(name, ""), may)
                if said == INTERRUPTED:
                    self._open = True
                    return done
                if said is not None:
                    trouble = f"configmap {'/'.join(name)}: {said}"
                    continue
                keys = {key for key, _ in (before or {}).items() ^ document["data"].items()}
                done += [allowed[namespace, key] for key in sorted(keys) if (namespace, key) in allowed]
        if trouble:
            self._again = min(self._again, now + AGAIN_S)
            if trouble != self._write_trouble:
                self._log("files-not-written", level="error", reason=trouble)
        self._write_trouble = trouble
        return done

    async def _apply(self, name: Name, document: Data, version: str, may: Callable[[], bool]) -> str | None:
        """Write one, after the API server was asked whether it would; returns why it could not be, or None."""
        path = f"{CONFIG_MAPS.path(name[0])}/{name[1]}"
        if version:
            document = {**document, "metadata": {**document["metadata"], "resourceVersion": version}}
        try:
            await self._api.apply(path, document, manager=MANAGER, dry_run=True)
            if not may():
                return INTERRUPTED
            await self._api.apply(path, document, manager=MANAGER)
        except (ApiError, KubeConfigError) as error:
            return str(error)
        self._log("files-written", configmap="/".join(name), files=len(document["data"]))
        return None


def names_files(name: Name) -> bool:
    """Whether the EnvoyFilter of that name names files of rules, and holds none."""
    return name[1].endswith("-files")


def _data(found: dict[str, Any]) -> dict[str, str]:
    return dict(found.get("data") or {})
