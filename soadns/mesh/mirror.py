"""Objects of one kind, listed and watched: what a replica knows of what stands in the API server.

As the Kubernetes source does it for Services: all pages, then a watch from there; 410 means list again and compare;
everything else is tried again with back-off. Objects are decoded as they come and kept as whatever that makes of them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource

BACKOFF_S = (0.1, 5.0)
SELDOM_S = 30.0
"""Until a kind that is forbidden, or does not exist, is tried again: nobody announces that."""
WATCH_S = (300.0, 600.0)
IDLE_S = 90.0
"""A watch without a byte for so long is dead: the API server sends a bookmark every minute."""
T = TypeVar("T")
Name = tuple[str, str]
"""Namespace and name."""


class Mirror(Generic[T]):
    """One kind, in one namespace or in all (``''``).

    :param decode: makes of an object what is kept. What it raises is a fault of ours.
    :param hear: called with the names of what changed, after it did; with none, if need be, when it is synced first.
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
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._selector = selector
        self._decode = decode
        self._hear = hear
        self._version = ""
        self._failures = 0
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
        where = f" in namespace {self._namespace}" if self._namespace else ""
        return f"{self._resource.plural}{where}"

    async def run(self) -> None:
        """Mirror until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                delay = 0.0
            except ApiError as error:
                delay = self._failed(error)
            except (KubeConfigError, ValueError) as error:
                self.trouble = f"{self.kind}: {error}"
                self._version = ""
                delay = self._backoff(BACKOFF_S[1])
            await asyncio.sleep(delay)

    def _failed(self, error: ApiError) -> float:
        """Note what the API server said; returns how long to wait."""
        if error.status == 410:
            self._version = ""
            return float(max(error.retry_after, self._backoff(BACKOFF_S[1]) if self._failures else 0.0))
        if error.status == 404:  # of a list: nobody has defined it
            self._version, self.absent = "", True
            gone = sorted(self.values)
            for name in gone:
                self._drop(name)
            self._caught_up(gone)
            return SELDOM_S * random.uniform(0.9, 1.1)  # noqa: S311 - only spreads requests
        status = f"HTTP {error.status}: " if error.status else ""
        self.trouble = f"{self.kind}: {status}{error.message}"
        longest = SELDOM_S if error.status in (401, 403) else BACKOFF_S[1]
        return float(max(error.retry_after, self._backoff(longest)))

    def _backoff(self, longest: float) -> float:
        delay = min(longest, BACKOFF_S[0] * 2 ** min(self._failures, 16))
        self._failures += 1
        return float(delay * random.uniform(0.5, 1.0))  # noqa: S311 - only spreads requests

    async def _list(self) -> None:
        more, found = "", set[Name]()
        while True:
            page = json.loads(
                await self._api.list_page(
                    self._resource, namespace=self._namespace, selector=self._selector, more=more
                )
            )
            self._tell([name for item in page.get("items") or () if (name := self._put(item, found))])
            metadata = page.get("metadata") or {}
            if not (more := metadata.get("continue") or ""):
                break
        self.absent = False
        gone = self.values.keys() - found
        for name in gone:
            self._drop(name)
        self._version = str(metadata.get("resourceVersion") or "")
        self._caught_up(sorted(gone))

    def _caught_up(self, changed: list[Name]) -> None:
        self.trouble = ""
        first, self.synced = not self.synced, True
        if changed or first:
            self._hear(changed)

    def _tell(self, names: list[Name]) -> None:
        if names:
            self._hear(names)

    async def _watch(self) -> None:
        stream = self._api.watch(
            self._resource,
            version=self._version,
            namespace=self._namespace,
            selector=self._selector,
            timeout_s=int(random.uniform(*WATCH_S)),  # noqa: S311 - only spreads requests
            idle_s=IDLE_S,
        )
        async with aclosing(stream):
            async for line in stream:
                self.trouble, self._failures = "", 0
                if line:
                    self._line(json.loads(line))

    def _line(self, event: Mapping[str, Any]) -> None:
        kind, item = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise ApiError(int(item.get("code") or 0), str(item.get("message") or "the watch failed"))
        metadata = item.get("metadata") or {}
        self._version = str(metadata.get("resourceVersion") or self._version)
        name = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        if kind == "DELETED" and name in self.values:
            self._drop(name)
            self._hear([name])
        elif kind in ("ADDED", "MODIFIED") and (changed := self._put(item, set())):
            self._hear([changed])

    def _put(self, item: dict[str, Any], found: set[Name]) -> Name | None:
        """Keep an object; returns its name if it is another one than before."""
        metadata = item["metadata"]
        name = (str(metadata.get("namespace") or ""), str(metadata["name"]))
        found.add(name)
        version = str(metadata.get("resourceVersion") or "")
        if version and self.versions.get(name) == version:
            return None
        self.values[name] = self._decode(item)
        self.versions[name] = version
        return name

    def _drop(self, name: Name) -> None:
        del self.values[name]
        del self.versions[name]
