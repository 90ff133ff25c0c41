"""A Kubernetes cluster as a source: Services, EndpointSlices and, where permitted, Nodes.

One *reflector* per kind and namespace lists all pages, then watches from there: bookmarks keep its version young,
410 means list again and compare, everything else is retried with back-off. The source is in sync while every
reflector is. A list that was read to its end is proof of what is gone; nothing else is, but a DELETED event.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.model import Delete, Event, Identified, Key, Rejected, Synced, Trouble, Upsert
from soadns.sources import Emit, FormatError, kubeobjects
from soadns.sources.kubeobjects import Item

SERVICES = Resource("Service", "services")
SLICES = Resource("EndpointSlice", "endpointslices", group="discovery.k8s.io")
NODES = Resource("Node", "nodes", namespaced=False)

BACKOFF_S = (0.1, 5.0)
FORBIDDEN_S = 30.0
"""Until something forbidden is tried again: RBAC changes are rare and nobody announces them."""
WATCH_S = (300.0, 600.0)
"""Bounds of a watch's length; random, so that reflectors do not all return at once."""
IDLE_S = 90.0
"""A watch without a byte for so long is dead: the API server sends a bookmark every minute."""


@dataclass(frozen=True, slots=True)
class KubeSettings:
    """What is read of a cluster. ``nodes`` is ``auto`` (if permitted), ``always`` or ``never``."""

    name: str
    namespaces: tuple[str, ...]
    selector: str
    """Label selector on Services; EndpointSlices are read whole, they carry labels of their own."""
    nodes: str


class KubeSource:
    """One cluster."""

    def __init__(
        self,
        settings: KubeSettings,
        api: KubeApi,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.settings = settings
        self.source = f"kube/{settings.name}"
        self.api = api
        self.draw = uniform
        """A random number between two bounds."""
        self._emit: Emit = lambda _: None
        namespaces = settings.namespaces or ("",)
        self._reflectors = [
            _Reflector(self, resource, namespace, settings.selector if resource is SERVICES else "")
            for resource in (SERVICES, SLICES)
            for namespace in namespaces
        ]
        if settings.nodes != "never":
            self._reflectors.append(_Reflector(self, NODES, "", "", optional=settings.nodes == "auto"))
        self._said = ""
        self._synced = False
        self._uid = ""
        """Who the cluster said it is; ``''`` while nobody knows."""

    @property
    def ids(self) -> tuple[str, ...]:
        """One source id."""
        return (self.source,)

    async def run(self, emit: Emit) -> None:
        """List and watch until cancelled."""
        self._emit = emit
        try:
            await self._identify()
            async with asyncio.TaskGroup() as group:
                for reflector in self._reflectors:
                    group.create_task(reflector.run())
        finally:
            await self.api.close()

    def report(self, events: list[Event]) -> None:
        """Pass events of a reflector on, and say when all of them came into sync or one fell out of it."""
        troubles = sorted({r.trouble for r in self._reflectors if r.trouble})
        if troubles:
            said = "; ".join(troubles)
            if said != self._said:
                self._said, self._synced = said, False
                events.append(Trouble(self.source, said))
        elif not self._synced and all(r.in_sync for r in self._reflectors):
            self._said, self._synced = "", True
            events.append(Synced(self.source))
        if events:
            self._emit(events)

    async def identity(self) -> str:
        """UID of the namespace kube-system: what tells clusters apart. ``''`` when it can not be had."""
        try:
            self._uid = await self._ask()
        except (ApiError, KubeConfigError):
            return ""
        return self._uid

    async def _ask(self) -> str:
        """The UID, ``''`` where the API server does not tell it. Raises ApiError, KubeConfigError."""
        try:
            body = await self.api.get("/api/v1/namespaces/kube-system")
            return str(msgspec.json.decode(body)["metadata"]["uid"])
        except ApiError as error:
            if error.status not in (403, 404):
                raise
        except (msgspec.MsgspecError, LookupError, TypeError):
            pass
        return ""

    async def _identify(self) -> None:
        """Say who the cluster is before anything it holds: a snapshot may have been another one's."""
        failures = 0
        while not self._uid:
            try:
                self._uid = await self._ask()
                break
            except (ApiError, KubeConfigError) as error:
                retry_after = error.retry_after if isinstance(error, ApiError) else 0.0
                reason = (
                    _reason(error, "namespace kube-system") if isinstance(error, ApiError) else str(error)
                )
            if reason != self._said:
                self._said = reason
                self._emit([Trouble(self.source, reason)])
            delay = min(BACKOFF_S[1], BACKOFF_S[0] * 2 ** min(failures, 16)) * self.draw(0.5, 1.0)
            failures += 1
            await asyncio.sleep(max(retry_after, delay))
        if self._uid:
            self._emit([Identified(self.source, self._uid)])


class _Reflector:
    """One kind in one namespace (``''``: all)."""

    def __init__(
        self, owner: KubeSource, resource: Resource, namespace: str, selector: str, *, optional: bool = False
    ) -> None:
        self._owner = owner
        self._resource = resource
        self._namespace = namespace
        self._selector = selector
        self._optional = optional
        self._held: dict[Key, str] = {}
        """Keys listed or watched → resourceVersion."""
        self._version = ""
        self._failures = 0
        self.trouble = ""
        self.in_sync = False

    @property
    def _what(self) -> str:
        where = f" in namespace {self._namespace}" if self._namespace else ""
        return f"{self._resource.plural}{where}"

    async def run(self) -> None:
        """Reflect until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ApiError as error:
                if error.status == 410:
                    self._version = ""
                    delay = 0.0 if not self._failures else self._backoff(error.retry_after)
                    self._failures += 1
                elif error.status == 403 and self._optional:
                    self._step_aside(error)
                    delay = FORBIDDEN_S * self._owner.draw(0.9, 1.1)
                else:
                    self._fall_out(_reason(error, self._what))
                    delay = self._backoff(error.retry_after, forbidden=error.status in (401, 403))
            except (KubeConfigError, FormatError) as error:
                self._fall_out(error.detail if isinstance(error, FormatError) else str(error))
                delay = self._backoff(0.0)
            else:
                delay = 0.0
            await asyncio.sleep(delay)

    def _backoff(self, retry_after: float, *, forbidden: bool = False) -> float:
        longest = FORBIDDEN_S if forbidden else BACKOFF_S[1]
        delay = min(longest, BACKOFF_S[0] * 2 ** min(self._failures, 16))
        self._failures += 1
        return float(max(retry_after, delay * self._owner.draw(0.5, 1.0)))

    def _fall_out(self, reason: str) -> None:
        self.trouble, self.in_sync = reason, False
        self._owner.report([])

    def _step_aside(self, error: ApiError) -> None:
        """Nodes may not be read: go on without them, but believe nothing about those once known."""
        self.trouble, self.in_sync = "", True
        reason = f"{_reason(error, self._what)} (evidence by nodePort is not available)"
        self._owner.report([Trouble(self._owner.source, reason, scope=self._resource.kind)])

    def _caught_up(self, events: list[Event]) -> None:
        if self._optional and not self.in_sync:
            events.append(Synced(self._owner.source, scope=self._resource.kind))
        self.trouble, self.in_sync, self._failures = "", True, 0

    # ------------------------------------------------------------------ list

    async def _list(self) -> None:
        more, fresh = "", dict[Key, str]()
        while True:
            body = await self._owner.api.list_page(
                self._resource, namespace=self._namespace, selector=self._selector, more=more
            )
            page = kubeobjects.decode_page(self._resource.kind, body, cluster=self._owner.settings.name)
            self._owner.report([event for item in page.items for event in self._take(item, fresh)])
            # What has been said of an object must be taken back one day, even if this list is never read to its end.
            self._held |= fresh
            more = page.more
            if not more:
                break
        source = self._owner.source
        events: list[Event] = [Delete(source, key) for key in self._held if key not in fresh]
        self._held, self._version = fresh, page.version
        self._caught_up(events)
        self._owner.report(events)

    def _take(self, item: Item, into: dict[Key, str]) -> list[Event]:
        source, key = self._owner.source, item.key
        if self._held.get(key) == item.version and item.version:
            into[key] = item.version
            return []
        if item.value is not None:
            into[key] = item.version
            return [Upsert(source, key, item.value)]
        if item.reason:
            into[key] = item.version
            return [Rejected(source, key, f"{source} {item.where}", item.reason, item.detail)]
        # Not for us (an FQDN slice, a slice without Service): it may have been before.
        return [Delete(source, key)] if into.pop(key, None) is not None or key in self._held else []

    # ------------------------------------------------------------------ watch

    async def _watch(self) -> None:
        stream = self._owner.api.watch(
            self._resource,
            version=self._version,
            namespace=self._namespace,
            selector=self._selector,
            timeout_s=int(self._owner.draw(*WATCH_S)),
            idle_s=IDLE_S,
        )
        async with aclosing(stream):
            async for line in stream:
                events: list[Event] = []
                if line:
                    events = self._line(line)
                else:
                    self._caught_up(events)
                self._owner.report(events)

    def _line(self, line: bytes) -> list[Event]:
        event = kubeobjects.decode_event(self._resource.kind, line, cluster=self._owner.settings.name)
        if event.type == "ERROR":
            raise ApiError(event.code, event.message or "the watch failed")
        if event.version:
            self._version = event.version
        if event.item is None:
            return []
        if event.type == "DELETED":
            self._held.pop(event.item.key, None)
            return [Delete(self._owner.source, event.item.key)]
        if event.type in ("ADDED", "MODIFIED"):
            return self._take(event.item, self._held)
        return []


def _reason(error: ApiError, what: str) -> str:
    if error.status == 403:
        return f"{what}: forbidden: {error.message}"
    if error.status == 401:
        return f"{what}: the API server refused the credentials"
    status = f"HTTP {error.status}: " if error.status else ""
    return f"{what}: {status}{error.message}"
