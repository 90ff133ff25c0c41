"""ZooKeeper registries as a source.

One client per ensemble reads any number of roots. kazoo's threads only hand results over; every decision is
taken on the event loop: ``zkreads`` says what is read next, ``zkregistries`` what a read proves. Watches are
one-shot and armed by the very read that they belong to, so nothing is missed in between; on a lost connection kazoo
drops them all, and everything is read again and compared.

Keys are ``(child of the root, category, digest of the leaf)``: the texts of znodes are not kept. Work per
event is proportional to the directory that changed; memory to the number of leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Callable, Collection
from typing import Any

from soadns.model import Reading
from soadns.sources import Emit, governance, pacing, zkclient, zkreading
from soadns.sources.handover import Handover
from soadns.sources.zkclient import KazooState, KeeperState
from soadns.sources.zkreading import children
from soadns.sources.zkregistries import RETRY_S, Registries
from soadns.sources.zksettings import ZooKeeperSettings
from soadns.sources.zktree import Tree

LOOK_S = 1.0
"""How often it is asked whether secrets were renewed."""


class ZooKeeperSource:
    """An ensemble's registries, one source id per root: ``zookeeper/<name><root>``."""

    def __init__(self, now: Callable[[], ZooKeeperSettings]) -> None:
        """``now``: what is configured, with the secrets of this moment."""
        self._now = now
        self.settings = settings = now()
        self._handover = Handover(after=self._after_turn, failed=self._failed_turn)
        self._registries = Registries(settings, self._handover)
        self._reads = self._registries.reads
        self._client: Any = None
        self._connected = False
        self._failed = asyncio.Event()
        self._fault: Exception | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """One source id per root."""
        return tuple(tree.source for tree in self._registries.trees)

    @property
    def reads(self) -> int:
        """Directories read since the start."""
        return self._reads.count

    async def run(self, emit: Emit) -> None:
        """Read and watch until cancelled."""
        self._registries.emit = emit
        self._handover.start(asyncio.get_running_loop())
        while True:
            self._failed.clear()
            self._fault = None
            await self._secrets()
            self._client = zkclient.build(self.settings)
            self._client.add_listener(self._listener(self._client))
            try:
                # Else what went wrong last is worth more.
                if not all(tree.trouble for tree in self._registries.trees):
                    self._registries.trouble(f"no connection to {self._where} yet")
                self._client.start_async()
                renewed = await self._renewed_before(self._failed)
                if self._fault is not None:
                    raise self._fault
            finally:
                client, self._client = self._client, None
                self._disconnected("")
                await asyncio.shield(asyncio.to_thread(zkclient.close, client))
            if not renewed:
                await self._renewed_before(asyncio.Event(), RETRY_S)

    async def _secrets(self) -> None:
        """Wait for what is to be connected with, if it can not be read."""
        self.settings = self._now()
        while self.settings.unusable:
            where = "zookeeper[].auth, zookeeper[].tls"
            self._registries.trouble(
                f"{self.settings.unusable} ({where}); mend it: it is read again when it changes"
            )
            await asyncio.sleep(LOOK_S)
            self.settings = self._now()

    async def _renewed_before(self, over: asyncio.Event, most_s: float = math.inf) -> bool:
        """Wait for an event, for so long at most; returns whether there are other credentials before that.

        These want another session. ZooKeeper takes them on the one that there is, too, but answers at once, and kazoo
        takes that for the answer to the oldest request under way: its connection breaks for good. Where only the
        password of the key is another one, the next connection is the first to want it.
        """
        until = asyncio.get_running_loop().time() + most_s
        while not over.is_set() and (left := until - asyncio.get_running_loop().time()) > 0:
            before, self.settings = self.settings, self._now()
            if self.settings.auth != before.auth:
                return True
            if self._client is not None and self.settings != before:
                zkclient.renew_key(self._client, self.settings)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_S)):
                    await over.wait()
        return False

    @property
    def _where(self) -> str:
        return self.settings.hosts

    # ------------------------------------------------------------------ from kazoo's threads to the loop

    def _after_turn(self) -> bool:
        """What was handed over has been taken: collect, read on, and say whether much is under way."""
        busy = self._reads.go_on()
        self._registries.flush()
        return busy

    def _failed_turn(self, fault: Exception) -> None:
        self._fault = fault
        self._failed.set()

    def _listener(self, client: Any) -> Callable[[str], None]:
        def changed(state: str) -> None:
            # Must not block: kazoo's connection waits for it.
            auth_failed = client.client_state == KeeperState.AUTH_FAILED
            self._handover.put(self._state_changed, client, state, auth_failed)

        return changed

    # ------------------------------------------------------------------ connection

    def _state_changed(self, client: Any, state: str, auth_failed: bool) -> None:
        if client is not self._client:
            return
        if state == KazooState.CONNECTED:
            if not self._connected:
                self._connected = True
                again = any(tree.listed for tree in self._registries.trees)
                directories = len(self._reads.directories)
                delay = random.uniform(0.0, directories / pacing.REREAD_PER_S) if again else 0.0  # noqa: S311 - jitter
                begin = self._reads.bound(self._registries.begin)
                asyncio.get_running_loop().call_later(delay, begin, client)
            return
        if auth_failed:
            self._disconnected(f"{self._where} refused the credentials (zookeeper[].auth)")
            self._failed.set()
            return
        said = "session expired" if state == KazooState.LOST else "connection lost"
        self._disconnected(f"{said}, trying {self._where} again")

    def _disconnected(self, reason: str) -> None:
        self._connected = False
        self._registries.end(reason)

    # ------------------------------------------------------------------ for people

    async def texts(self, source: str, interface: str) -> list[str]:
        """The paths of an interface's leaves as they stand now, secrets masked; [] without a connection."""
        found: list[str] = []
        for tree in self._connected_trees(source):
            found += await asyncio.to_thread(zkreading.texts, self._client, tree, children(tree, {interface}))
        return found

    def names(self, source: str) -> set[str]:
        """The interfaces that have a node in a registry, whether anybody provides them or not."""
        trees = self._registries.trees
        return {name for tree in trees if tree.source == source for name in tree.interfaces.values()}

    def roots(self, source: str) -> list[str]:
        """The path of a registry in which Dubbo's applications are, which is their configuration centre, too."""
        trees = self._registries.trees
        return [
            tree.root.path for tree in trees if tree.source == source and governance.has_rules(tree.dialect)
        ]

    async def about(
        self, source: str, subjects: Collection[str], what: frozenset[str]
    ) -> dict[str, Reading] | None:
        """What a registry says and is not kept (``zkreading``); None without a connection."""
        trees = self._connected_trees(source)
        if not trees:
            return None
        [tree] = trees
        plan = zkreading.plan(tree, set(subjects), what, watched=self._reads.begun)
        return await asyncio.to_thread(
            zkreading.about, self._client, plan, in_flight=self.settings.max_in_flight
        )

    def _connected_trees(self, source: str) -> list[Tree]:
        connected = self._client is not None and self._connected
        return [tree for tree in self._registries.trees if tree.source == source] if connected else []
