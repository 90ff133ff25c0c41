"""What the kubelet does for ConfigMaps that a pod mounts as one folder: their files, changed all at once by a symbolic
link."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.scenarios.stage.kubernetes import ApiServer

EVERY_S = 0.2
"""The real one looks about once a minute."""


class Volume:
    """A projected volume of ConfigMaps, in a folder. One that does not exist counts as empty (``optional``)."""

    def __init__(self, api: ApiServer, namespace: str, names: Collection[str], folder: Path) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._names = names
        self.folder = folder
        self._mounted: dict[str, str] | None = None
        self._numbers = itertools.count(1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Mount it, and follow the ConfigMaps from now on."""
        self.folder.mkdir(parents=True)
        self._look()
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _follow(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                self._look()
            except (OSError, AssertionError):
                continue  # the API server is away: what is mounted stays

    def _look(self) -> None:
        data: dict[str, str] = {}
        for each in self._api.request("GET", self._path)["items"]:
            if each["metadata"]["name"] in self._names:
                data |= each.get("data", {})
        if data != self._mounted:
            self._mount(data)
            self._mounted = data

    def _mount(self, data: Mapping[str, str]) -> None:
        """A new folder with all files, ``..data`` that leads to it by one rename, and a link by that for each file."""
        fresh = self.folder / f"..{next(self._numbers)}"
        fresh.mkdir()
        for key, text in data.items():
            (fresh / key).write_text(text)
        link, beside = self.folder / "..data", self.folder / "..data_tmp"
        old = link.resolve() if link.exists() else None
        beside.symlink_to(fresh.name)
        beside.rename(link)
        shown = {path.name for path in self.folder.iterdir() if not path.name.startswith("..")}
        for key in data.keys() - shown:
            (self.folder / key).symlink_to(f"..data/{key}")
        for key in shown - data.keys():
            (self.folder / key).unlink()
        if old:
            shutil.rmtree(old)
