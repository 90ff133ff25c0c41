"""Objects of one kind as they stand in the API server, for whoever writes there: read by a ``reflector``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.reflector import Page, Reflector

T = TypeVar("T")
Name = tuple[str, str]
"""Namespace and name."""


class Mirror(Generic[T]):
    """One kind, in one namespace or in all (``''``).

    :param decode: makes of an object what is kept. What it raises is a fault of ours.
    :param hear: called with the names of what changed, after it did; with none, if need be, when it is synced first,
        and when its kind is defined later.
    """

    def __init__(
        self,
        api: KubeApi,
        resource: Resource,
        *,
        namespace: str = "",
        selector: str = "",
        decode: Callable[[dict[str, Any]], T],
        hear: Callable[[list[Name]], None],
    ) -> None:
        self._reflector = Reflector(api, resource, self, namespace=namespace, selector=selector)
        self._decode = decode
        self._hear = hear
        self._found: set[Name] = set()
        """What the list has that is being read."""
        self.values: dict[Name, T] = {}
        self.versions: dict[Name, str] = {}
        """resourceVersion of each."""
        self.synced = False
        """Whether all was read once; it stays so."""
        self.absent = False
        """Whether the API server does not know the kind: no such CRD."""
        self.trouble = ""
        """Why it is not read now; ``''``: it is."""

    @property
    def kind(self) -> str:
        """What it mirrors, for people."""
        return self._reflector.what

    async def run(self) -> None:
        """Mirror until cancelled."""
        await self._reflector.run()

    # ------------------------------------------------------------------ what the reflector reads

    def page(self, body: bytes, *, first: bool) -> Page:
        """Take one page of a list."""
        if first:
            self._found = set()
        page = json.loads(body)
        changed = [name for item in page.get("items") or () if (name := self._put(item))]
        if changed:
            self._hear(changed)
        metadata = page.get("metadata") or {}
        return Page(str(metadata.get("resourceVersion") or ""), metadata.get("continue") or "")

    def listed(self) -> None:
        """What the list did not have is gone; that there is such a kind at last is news, too."""
        absent, self.absent = self.absent, False
        self._caught_up(sorted(self.values.keys() - self._found), news=absent)

    def line(self, line: bytes) -> str:
        """Take one line of a watch."""
        event = json.loads(line)
        kind, item = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise ApiError(int(item.get("code") or 0), str(item.get("message") or "the watch failed"))
        metadata = item.get("metadata") or {}
        name = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        if kind == "DELETED" and name in self.values:
            self._drop(name)
            self._hear([name])
        elif kind in ("ADDED", "MODIFIED") and (changed := self._put(item)):
            self._hear([changed])
        return str(metadata.get("resourceVersion") or "")

    def failed(self, error: ApiError | KubeConfigError | ValueError) -> bool:
        """Say why it is not read; a kind that nobody has defined has no objects, which is no trouble."""
        if isinstance(error, ApiError) and error.status == 404:
            self.absent = True
            self._caught_up(sorted(self.values))
            return True
        said = str(error)
        if isinstance(error, ApiError):
            said = f"HTTP {error.status}: {error.message}" if error.status else error.message
        self.trouble = f"{self.kind}: {said}"
        return False

    # ------------------------------------------------------------------ what is kept

    def _caught_up(self, gone: list[Name], *, news: bool = False) -> None:
        for name in gone:
            self._drop(name)
        self.trouble = ""
        first, self.synced = not self.synced, True
        if gone or first or news:
            self._hear(gone)

    def _put(self, item: Mapping[str, Any]) -> Name | None:
        """Keep an object; returns its name if it is another one than before."""
        metadata = item["metadata"]
        name = (str(metadata.get("namespace") or ""), str(metadata["name"]))
        self._found.add(name)
        version = str(metadata.get("resourceVersion") or "")
        if version and self.versions.get(name) == version:
            return None
        self.values[name] = self._decode(dict(item))
        self.versions[name] = version
        return name

    def _drop(self, name: Name) -> None:
        del self.values[name]
        del self.versions[name]
