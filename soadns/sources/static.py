"""Files as a source: the very manifests a cluster would get, and provider URLs as a registry holds them.

Reads Services, EndpointSlices, Nodes, Lists of them and ``kind: Providers`` documents (docs/static.md) from
YAML or JSON files and folders, again whenever they change. One file is one scope: a broken edit keeps
the file's last good state and says what is wrong where; the other files go on. It polls, because a
mounted ConfigMap changes by a symlink and not every filesystem tells.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from soadns import yamlfile
from soadns.model import (
    Delete,
    Event,
    Key,
    Observation,
    Synced,
    Trouble,
    Upsert,
)
from soadns.sources import Emit
from soadns.sources.manifests import Contents, read

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StaticSettings:
    """What a static source reads."""

    name: str
    paths: tuple[str, ...]
    cluster: str
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
        self._opaque: dict[str, int] = {}
        """By file: how many of its documents nobody could tell the meaning of when it was whole."""
        self._passed_over: dict[str, Counter[str]] = {}
        """By file: objects that are not for soadns, by kind."""
        self._missing: dict[str, str] = {}
        """Path that can not be read → why."""
        self._doubted: dict[str, tuple[int, int, int]] = {}
        """File that holds less than before, and the mark at which that was seen first."""
        self._vanished: set[str] = set()
        """Files that the last look did not find."""
        self._synced = False
        self._unsaid: list[Event] = []
        """What looks have found and nobody has heard: a fault of ours came between."""

    @property
    def ids(self) -> tuple[str, ...]:
        """One source id."""
        return (self.source,)

    async def run(self, emit: Emit) -> None:
        """Read now and whenever a file changed, until cancelled; run anew, it says again how it stands."""
        self._synced, self._missing = False, {}
        while True:
            events = await asyncio.to_thread(self.poll)
            if events:
                self._unsaid = events
                emit(events)
                self._unsaid = []
            await asyncio.sleep(self.settings.poll_s)

    def poll(self) -> list[Event]:
        """The events since the last poll; all files' observations the first time."""
        events = self._unsaid
        found: dict[str, Path] = {}
        missing: dict[str, str] = {}
        for configured in self.settings.paths:
            found.update((str(path), path) for path in _files(Path(configured), missing))
        for name, path in found.items():
            events += self._look_at(name, path)
        vanished = {name for name in self._seen if name not in found and not _is_below(name, missing)}
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
        self._unsaid = []
        return events

    def _look_at(self, name: str, path: Path) -> list[Event]:
        try:
            status = path.stat()
        except FileNotFoundError:
            return []
        except OSError as error:
            if self._seen.get(name) == _HIDDEN:
                return []
            self._seen[name] = _HIDDEN
            return self._broke(name, f"{name}: {error.strerror or error}")
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._seen.get(name) == mark:
            return []
        self._seen[name] = _UNREAD
        try:
            contents = self._read(name, path)
        except (BrokenFileError, yamlfile.YamlError, OSError) as error:
            self._seen[name] = mark
            return self._broke(name, str(error))
        self._broken.discard(name)
        fresh, rejected = contents.values, contents.rejected
        self._passed_over[name] = contents.passed_over
        held = self._held.get(name, {})
        # What can not be understood any more keeps its last good value, as an API server's object does.
        bad = {event.key: held.get(event.key) for event in rejected}
        fresh |= {key: value for key, value in bad.items() if value is not None and key not in fresh}
        if contents.opaque > self._opaque.setdefault(name, contents.opaque):
            # What the file held before may stand in what nobody can read now.
            fresh = held | fresh
        else:
            self._opaque[name] = contents.opaque
        known = dict.fromkeys((*held, *self._rejected.get(name, ())))
        gone = [key for key in known if key not in fresh and key not in bad]
        if gone and self._doubted.get(name) != mark:
            # It may be in the middle of being written: what it lacks is believed when it stays as it is.
            self._doubted[name] = mark
            return []
        self._doubted.pop(name, None)
        self._rejected[name] = tuple(bad)
        events: list[Event] = [Delete(self.source, key) for key in gone]
        events += [Upsert(self.source, key, value) for key, value in fresh.items() if held.get(key) != value]
        events += rejected
        self._held[name] = fresh
        self._seen[name] = mark
        events.append(Synced(self.source, scope=name))
        return events

    def _broke(self, name: str, reason: str) -> list[Event]:
        self._broken.add(name)
        return [Trouble(self.source, f"{reason} (the last good state stays)", scope=name)]

    def _drop(self, name: str) -> list[Event]:
        del self._seen[name]
        self._doubted.pop(name, None)
        self._broken.discard(name)
        self._passed_over.pop(name, None)
        self._opaque.pop(name, None)
        known = (*self._held.pop(name, {}), *self._rejected.pop(name, ()))
        events: list[Event] = [Delete(self.source, key) for key in dict.fromkeys(known)]
        return [*events, Synced(self.source, scope=name)]

    def _read(self, name: str, path: Path) -> Contents:
        if path.stat().st_size > MAX_FILE:
            raise BrokenFileError(f"{name}: larger than {MAX_FILE >> 20} MiB")
        return read(path.read_bytes(), name=name, source=self.source, cluster=self.settings.cluster)

    @property
    def passed_over(self) -> Counter[str]:
        """Objects in the files that are not for soadns, by kind."""
        return sum(self._passed_over.values(), Counter[str]())


_UNREAD = (0, 0, 0)
"""The mark of a file that is to be read again."""
_HIDDEN = (-1, -1, -1)
"""The mark of a file that could not be looked at."""


def _files(path: Path, unreadable: dict[str, str]) -> Iterator[Path]:
    """The files to read; what can not be looked at proves nothing about what it held.

    :param unreadable: filled with paths that are not there, or can not be looked at, and why.
    """
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for what can not be a path
        unreadable[str(path)] = "no such file or folder"
        return
    except OSError as error:
        unreadable[str(path)] = _why(error)
        return
    if is_file:
        yield path
        return

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unreadable[str(Path(error.filename))] = _why(error)

    for folder, names, files in os.walk(path, followlinks=True, onerror=note):
        try:
            os.stat(os.path.join(folder, "."))
        except OSError as error:  # listed, but nothing in it may be looked at
            note(error)
            names.clear()
            continue
        # A mounted ConfigMap holds its versions in hidden folders and links to the present one.
        names[:] = sorted(n for n in names if not n.startswith("."))
        for file in sorted(files):
            if file.endswith(SUFFIXES) and not file.startswith("."):
                yield Path(folder, file)


def _why(error: OSError) -> str:
    return f"can not be read: {error.strerror or error}"


def _is_below(name: str, paths: Iterable[str]) -> bool:
    return any(Path(name).is_relative_to(path) for path in paths)
