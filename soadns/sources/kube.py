"""A Kubernetes cluster as a source: Services, EndpointSlices and, where permitted, Nodes.

A ``reflector`` per kind and namespace reads; the source is in sync while each of them is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.model import Delete, Event, Identified, Key, Rejected, Synced, Trouble, Upsert
from soadns.reflector import BACKOFF_S, Page, Reflector, pause
from soadns.sources import Emit, FormatError, kubeobjects
from soadns.sources.kubeobjects import Item

SERVICES = Resource("Service", "services")
SLICES = Resource("EndpointSlice", "endpointslices", group="discovery.k8s.io")
NODES = Resource("Node", "nodes", namespaced=False)


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
        self._kinds = [
            _Kind(self, resource, namespace, settings.selector if resource is SERVICES else "")
            for resource in (SERVICES, SLICES)
            for namespace in namespaces
        ]
        if settings.nodes != "never":
            self._kinds.append(_Kind(self, NODES, "", "", optional=settings.nodes == "auto"))
        self._said = ""
        self._synced = False
        self._uid = ""
        """Who the cluster said it is; ``''`` while nobody knows."""

    @property
    def ids(self) -> tuple[str, ...]:
        """One source id."""
        return (self.source,)

    async def run(self, emit: Emit) -> None:
        """List and watch until cancelled; run anew after a fault of ours, it says all again."""
        self._emit = emit
        self._said, self._synced = "", False
        for kind in self._kinds:
            kind.begin()
        try:
            await self._identify()
            async with asyncio.TaskGroup() as group:
                for kind in self._kinds:
                    group.create_task(kind.reflector.run())
        finally:
            await self.api.close()

    def report(self, events: list[Event]) -> None:
        """Pass events of a kind on, and say when all of them came into sync or one fell out of it."""
        troubles = sorted({k.trouble for k in self._kinds if k.trouble})
        if troubles:
            said = "; ".join(troubles)
            if said != self._said:
                self._said, self._synced = said, False
                events.append(Trouble(self.source, said))
        elif not self._synced and all(k.in_sync for k in self._kinds):
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
        except (msgspec.MsgspecError, LookupError, TypeError, RecursionError):
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
            delay = pause(failures, BACKOFF_S[1], self.draw)
            failures += 1
            await asyncio.sleep(max(retry_after, delay))
        if self._uid:
            self._emit([Identified(self.source, self._uid)])


class _Kind:
    """What the cluster has of one kind in one namespace (``''``: all), said as events."""

    def __init__(
        self, owner: KubeSource, resource: Resource, namespace: str, selector: str, *, optional: bool = False
    ) -> None:
        self._owner = owner
        self._kind = resource.kind
        self._optional = optional
        self._held: dict[Key, str] = {}
        """Keys listed or watched → resourceVersion."""
        self._fresh: dict[Key, str] = {}
        """The same of the list that is being read."""
        self.reflector = Reflector(
            owner.api, resource, self, namespace=namespace, selector=selector, draw=owner.draw
        )
        self.trouble = ""
        self.in_sync = False
        self._without = False
        """Whether it was said that it is done without."""

    def begin(self) -> None:
        """Nothing is known to be heard: what a fault of ours came between was read, and perhaps not said."""
        self.trouble, self.in_sync = "", False
        self._held = dict.fromkeys(self._held, "")

    # ------------------------------------------------------------------ what the reflector reads

    def page(self, body: bytes, *, first: bool) -> Page:
        """Take one page of a list."""
        if first:
            self._fresh = {}
        page = kubeobjects.decode_page(self._kind, body, cluster=self._owner.settings.name)
        events = [event for item in page.items for event in self._take(item, self._fresh)]
        # What has been said of an object must be taken back one day, even if this list is never read to its end.
        self._held |= self._fresh
        self._owner.report(events)
        return Page(page.version, page.more)

    def listed(self) -> None:
        """What the list did not have is gone."""
        source = self._owner.source
        events: list[Event] = [Delete(source, key) for key in self._held if key not in self._fresh]
        self._caught_up(events)
        self._held, self._fresh = self._fresh, {}

    def line(self, line: bytes) -> str:
        """Take one line of a watch."""
        event = kubeobjects.decode_event(self._kind, line, cluster=self._owner.settings.name)
        if event.type == "ERROR":
            raise ApiError(event.code, event.message or "the watch failed")
        if event.item is not None:
            if event.type == "DELETED":
                self._owner.report([Delete(self._owner.source, event.item.key)])
                self._held.pop(event.item.key, None)
            elif event.type in ("ADDED", "MODIFIED"):
                self._owner.report(self._take(event.item, self._held))
        return event.version

    def failed(self, error: ApiError | KubeConfigError | ValueError) -> bool:
        """Fall out of sync. Nodes that may not be read are done without; those once known are not believed then."""
        if self._optional and isinstance(error, ApiError) and error.status == 403:
            self.trouble, self.in_sync, self._without = "", True, True
            reason = f"{self._reason(error)} (evidence by nodePort is not available)"
            self._owner.report([Trouble(self._owner.source, reason, scope=self._kind)])
            return True
        self.trouble, self.in_sync = self._reason(error), False
        self._owner.report([])
        return False

    # ------------------------------------------------------------------ what is said

    def _reason(self, error: ApiError | KubeConfigError | ValueError) -> str:
        if isinstance(error, ApiError):
            return _reason(error, self.reflector.what)
        return error.detail if isinstance(error, FormatError) else str(error)

    def _caught_up(self, events: list[Event]) -> None:
        if self._without or (self._optional and not self.in_sync):
            events.append(Synced(self._owner.source, scope=self._kind))
        self.trouble, self.in_sync, self._without = "", True, False
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


def _reason(error: ApiError, what: str) -> str:
    if error.status == 403:
        return f"{what}: forbidden: {error.message}"
    if error.status == 401:
        return f"{what}: the API server refused the credentials"
    status = f"HTTP {error.status}: " if error.status else ""
    return f"{what}: {status}{error.message}"
