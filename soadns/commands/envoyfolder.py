"""A folder of files that Envoys watch: read, and brought up to date by renaming.

One process writes to a folder; Envoy reads it whether that runs or not.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from soadns.sidecar import envoy, envoyfiles
from soadns.sidecar.envoyfiles import Resources, Write

_FRESH = ".fresh"
"""Ends the name of a file that is being written."""


class FolderError(Exception):
    """The folder can not be used; the message says why."""


class Folder:
    """The files of one folder."""

    def __init__(self, path: Path) -> None:
        """Make it, unless it is there, and hold it against other writers. Raises FolderError."""
        self.path = path
        try:
            for name in (".", "listeners", "clusters", envoyfiles.ENDPOINTS_FOLDER, envoyfiles.ROUTES_FOLDER):
                (path / name).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(f"another soadns export envoy writes to {path}") from None
        except OSError as error:
            raise FolderError(f"{path} can not be written to: {error.strerror}") from None

    def close(self) -> None:
        """Let others write to it."""
        os.close(self._lock)

    def read(self) -> tuple[Resources, list[str]]:
        """What is told by the files that are there; and files that can not be read, which count as if they were not."""
        found: Resources = {kind: {} for kind in envoy.IN_ORDER}
        unread = []
        for kind, files in (
            (envoy.LISTENERS, [self.path / envoyfiles.LISTENERS_FILE]),
            (envoy.CLUSTERS, [self.path / envoyfiles.CLUSTERS_FILE]),
            (envoy.ENDPOINTS, sorted((self.path / envoyfiles.ENDPOINTS_FOLDER).iterdir())),
            (envoy.ROUTES, sorted((self.path / envoyfiles.ROUTES_FOLDER).iterdir())),
        ):
            for file in files:
                if file.suffix == _FRESH:
                    file.unlink()
                    continue
                try:
                    resources = envoyfiles.read(kind, file.read_text(encoding="utf-8"))
                except FileNotFoundError:
                    continue
                except (OSError, ValueError) as error:
                    unread.append(f"{file}: {error}")
                    continue
                found[kind] |= {envoyfiles.name_of(kind, each): each for each in resources}
        return found, unread

    def write(self, steps: Iterable[Write]) -> int:
        """Do these steps in order; returns how many there were. Raises FolderError."""
        done = 0
        for path, text in steps:
            file = self.path / path
            try:
                if text is None:
                    file.unlink(missing_ok=True)
                else:
                    fresh = file.with_name(file.name + _FRESH)
                    fresh.write_text(text, encoding="utf-8")
                    fresh.replace(file)
            except OSError as error:
                raise FolderError(f"{file} can not be written: {error.strerror}") from None
            done += 1
        return done
