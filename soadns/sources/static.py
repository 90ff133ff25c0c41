"""Files as a source: the very manifests a cluster would get, and provider URLs as a registry holds them.

Reads Services, EndpointSlices, Nodes, Lists of them and ``kind: Providers`` documents (docs/static.md) from
YAML or JSON files and folders, again whenever they change. One file is one scope: a broken edit keeps
the file's last good state and says what is wrong where; the other files go on. It polls, because a
mounted ConfigMap changes by a symlink and not every filesystem tells.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soadns import yamlfile
from soadns.model import (
    Delete,
    Event,
    Key,
    Observation,
    Rejected,
    Synced,
    Trouble,
    Upsert,
)
from soadns.sources import Emit, kubeobjects
from soadns.sources.dialects import DIALECTS
from soadns.sources.providerurl import FormatError, without_secrets

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StaticSettings:
    """What a static source reads."""

    name: str
    paths: tuple[str, ...]
    cluster: str = "home"
    """Cluster name given to its Services."""
    poll_s: float = 0.5


class BrokenFileError(ValueError):
    """A file that can not be used as a whole; the message says what is wrong and what to do."""


class StaticSource:
    """A set of files."""

    def __init__(self, settings: StaticSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.source = f"static/{settings.name}"
        self._clock = clock
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._held: dict[str, dict[Key, Observation]] = {}
        self._rejected: dict[str, tuple[Key, ...]] = {}
        """By file: what of it could not be understood."""
        self._broken: set[str] = set()
        self._missing: dict[str, str] = {}
        """Path that can not be read → why."""
        self._doubted: dict[str, tuple[int, int, int]] = {}
        """File that holds less than before, and the mark at which that was seen first."""
        self._vanished: set[str] = set()
        """Files that the last look did not find."""
        self._synced = False

    @property
    def ids(self) -> tuple[str, ...]:
        """One source id."""
        return (self.source,)

    async def run(self, emit: Emit) -> None:
        """Read now and whenever a file changed, until cancelled."""
        while True:
            events = await asyncio.to_thread(self.poll)
            if events:
                emit(events)
            await asyncio.sleep(self.settings.poll_s)

    def poll(self) -> list[Event]:
        """The events since the last poll; all files' observations the first time."""
        events: list[Event] = []
        found: dict[str, Path] = {}
        missing: dict[str, str] = {}
        for configured in self.settings.paths:
            files = list(_files(Path(configured), missing))
            if not files and not Path(configured).exists():
                missing[configured] = "no such file or folder"
            found.update((str(path), path) for path in files)
        for name, path in found.items():
            events += self._look_at(name, path)
        vanished = {n for n in self._seen if n not in found and not any(n.startswith(m) for m in missing)}
        for name in sorted(vanished & self._vanished):
            # Gone twice in a row: a file that an editor replaces is missing for a moment only.
            events += self._drop(name)
        self._vanished = vanished - self._vanished
        if missing and missing != self._missing:
            text = ", ".join(f"{path}: {reason}" for path, reason in sorted(missing.items()))
            events.append(Trouble(self.source, f"{text} (static[].paths)"))
        returned = bool(self._missing) and not missing
        self._missing = missing
        if not missing and (not self._synced or returned or (events and not self._broken)):
            events.append(Synced(self.source))
            self._synced = True
        return events

    def _look_at(self, name: str, path: Path) -> list[Event]:
        try:
            stat = path.stat()
        except OSError:
            return []
        mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self._seen.get(name) == mark:
            return []
        self._seen[name] = mark
        try:
            fresh, rejected = self._read(name, path)
        except (BrokenFileError, yamlfile.YamlError, OSError) as error:
            self._broken.add(name)
            return [Trouble(self.source, f"{error} (the last good state stays)", scope=name)]
        self._broken.discard(name)
        held = self._held.get(name, {})
        # What can not be understood any more keeps its last good value, as an API server's object does.
        bad = {event.key: held.get(event.key) for event in rejected}
        fresh |= {key: value for key, value in bad.items() if value is not None and key not in fresh}
        known = dict.fromkeys((*held, *self._rejected.get(name, ())))
        gone = [key for key in known if key not in fresh and key not in bad]
        if gone and self._doubted.get(name) != mark:
            # It may be in the middle of being written: what it lacks is believed when it stays as it is.
            self._doubted[name] = mark
            self._seen[name] = _UNREAD
            return []
        self._doubted.pop(name, None)
        self._rejected[name] = tuple(bad)
        events: list[Event] = [Delete(self.source, key) for key in gone]
        events += [Upsert(self.source, key, value) for key, value in fresh.items() if held.get(key) != value]
        events += rejected
        self._held[name] = fresh
        events.append(Synced(self.source, scope=name))
        return events

    def _drop(self, name: str) -> list[Event]:
        del self._seen[name]
        self._doubted.pop(name, None)
        self._broken.discard(name)
        known = (*self._held.pop(name, {}), *self._rejected.pop(name, ()))
        events: list[Event] = [Delete(self.source, key) for key in dict.fromkeys(known)]
        return [*events, Synced(self.source, scope=name)]

    # ------------------------------------------------------------------ one file

    def _read(self, name: str, path: Path) -> tuple[dict[Key, Observation], list[Rejected]]:
        if path.stat().st_size > MAX_FILE:
            raise BrokenFileError(f"{name}: larger than {MAX_FILE >> 20} MiB")
        values: dict[Key, Observation] = {}
        rejected: list[Rejected] = []
        for document in yamlfile.load_all(path.read_bytes(), where=name):
            for item in _flatten(document):
                kind = item.get("kind")
                if kind in kubeobjects.KINDS:
                    self._object(name, str(kind), item, values, rejected)
                elif kind == "Providers":
                    self._providers(name, item, values, rejected)
                elif kind is None:
                    raise BrokenFileError(f"{name}: a document has no kind; {_EXPECTED}")
        return values, rejected

    def _object(
        self,
        name: str,
        kind: str,
        document: dict[str, object],
        values: dict[Key, Observation],
        rejected: list[Rejected],
    ) -> None:
        item = kubeobjects.from_object(kind, document, cluster=self.settings.cluster)
        key = (name, *item.key)
        if item.value is not None:
            values[key] = item.value
        elif item.reason:
            where = f"{name}: {item.where}"
            rejected.append(Rejected(self.source, key, where, item.reason, item.detail))

    def _providers(
        self,
        name: str,
        document: dict[str, object],
        values: dict[Key, Observation],
        rejected: list[Rejected],
    ) -> None:
        spec = document.get("spec")
        if not isinstance(spec, dict):
            raise BrokenFileError(f"{name}: a Providers document needs a spec; {_EXPECTED}")
        dialect = DIALECTS.get(str(spec.get("dialect", "dubbo")))
        if dialect is None:
            raise BrokenFileError(
                f"{name}: spec.dialect is {spec['dialect']!r}; known are {' and '.join(DIALECTS)}"
            )
        for category in ("providers", "configurators"):
            for interface, leaves in _leaves(name, category, spec.get(category) or {}):
                for leaf in leaves:
                    key = (name, interface, category, leaf)
                    try:
                        observations = dialect.parse(self.source, interface, category, leaf)
                    except FormatError as error:
                        where = f"{name}: {category} of {interface}: {without_secrets(leaf)}"
                        rejected.append(Rejected(self.source, key, where, error.reason, error.detail))
                        continue
                    for index, value in enumerate(observations):
                        values[(*key, str(index))] = value


_UNREAD = (0, 0, 0)
"""The mark of a file that is to be read again."""
_EXPECTED = "expected Service, EndpointSlice, Node, List or Providers (see docs/static.md)"


def _files(path: Path, unreadable: dict[str, str]) -> Iterator[Path]:
    """The files to read; a folder that can not be listed proves nothing about what it held."""
    if path.is_file():
        yield path
        return

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unreadable[str(error.filename)] = error.strerror or "can not be read"

    for folder, names, files in os.walk(path, followlinks=True, onerror=note):
        # A mounted ConfigMap holds its versions in hidden folders and links to the present one.
        names[:] = sorted(n for n in names if not n.startswith("."))
        for file in sorted(files):
            if file.endswith(SUFFIXES) and not file.startswith("."):
                yield Path(folder, file)


def _flatten(document: object) -> Iterator[dict[str, object]]:
    if document is None:
        return
    if not isinstance(document, dict):
        raise BrokenFileError(f"a document is no mapping; {_EXPECTED}")
    kind = document.get("kind")
    if isinstance(kind, str) and kind.endswith("List"):
        items = document.get("items")
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict):
                yield {"kind": kind.removesuffix("List"), **item} if kind != "List" else item
        return
    yield document


def _leaves(name: str, category: str, value: object) -> Iterator[tuple[str, Sequence[str]]]:
    if not isinstance(value, dict):
        raise BrokenFileError(f"{name}: spec.{category} maps interfaces to lists of URLs")
    for interface, leaves in value.items():
        if not isinstance(leaves, list) or not all(isinstance(leaf, str) for leaf in leaves):
            raise BrokenFileError(f"{name}: spec.{category}[{interface}] is no list of URLs")
        yield str(interface), leaves
