"""The real ZooKeeper source beside a real ZooKeeper: what it says is folded as the control process folds it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote_plus

from kazoo.client import KazooClient, _prefix_root
from kazoo.interfaces import IAsyncResult
from kazoo.protocol.serialization import Create
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from soadns.binding.observations import Change, Observations, SourceState
from soadns.composition import zookeeper_settings
from soadns.model import Event, Key, Observation, Override, Provider, Synced, Trouble
from soadns.settings.config import ZooKeeperConfig
from soadns.sources import dubbo
from soadns.sources.zksettings import Root, ZooKeeperSettings
from soadns.sources.zktree import digest_of
from soadns.sources.zookeeper import ZooKeeperSource
from tests import captured
from tests.scenarios.stage.zookeeper import ZooKeeper, close, dubbo_url

USER = "com.alipay.user.UserService"
PROVIDERS = f"/dubbo/{USER}/providers"
CONFIGURATORS = f"/dubbo/{USER}/configurators"
SOURCE = "zookeeper/main/dubbo"
REG_ONLY = [make_digest_acl("reg", "example", all=True)]


class CreateContainer(Create):
    """The request that Curator makes its containers with; kazoo has none of its own."""

    type = 19


def create(client: KazooClient, kind: str, path: str, *, owner: str = "-") -> None:
    """Create a znode of any kind; ``reg`` owns it alone if it says so."""
    acl = REG_ONLY if owner == "reg" else OPEN_ACL_UNSAFE
    if kind == "container":
        done = client.handler.async_result()
        client._call(CreateContainer(_prefix_root(client.chroot, path), b"", acl, 4), done)
        done.get(timeout=10)
    else:
        client.create(path, b"", acl=acl, ephemeral=kind == "ephemeral")


def leaf(host: str, interface: str = USER, **parameters: object) -> str:
    return quote_plus(dubbo_url(interface, host, 20880, "user", timestamp=1, **parameters))


def key_of(host: str) -> tuple[Key, Observation]:
    """Key and value that an earlier process saved of a leaf."""
    name = leaf(host)
    (value,) = dubbo.parse(SOURCE, USER, "providers", name)
    return (USER, "providers", digest_of(name)), value


def register(client: KazooClient, *hosts: str) -> None:
    for path in (PROVIDERS, CONFIGURATORS):
        client.ensure_path(path)
    for host in hosts:
        client.create(f"{PROVIDERS}/{leaf(host)}", ephemeral=True)


def vanish(client: KazooClient, top: str) -> None:
    """Delete a whole tree in one transaction: nobody can see it half."""

    def paths(path: str) -> Iterator[str]:
        for child in client.get_children(path):
            yield from paths(f"{path}/{child}")
        yield path

    transaction = client.transaction()
    for path in paths(top):
        transaction.delete(path)
    assert all(result is True for result in transaction.commit())


class Reader:
    """A source that runs, and everything it has said."""

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self.settings = settings
        """What is configured now."""
        self.source = ZooKeeperSource(lambda: self.settings)
        """Reads of each directory that have no answer yet."""
        self.most_of_one = 0
        self.most = 0
        self.observations = Observations()
        self.events: list[Event] = []
        self.changes: list[Change] = []

    def count(self, client: KazooClient) -> None:
        """Have the reads of a client counted from now on."""
        ask, under_way = client.get_children_async, list[tuple[str, IAsyncResult]]()

        def counted(path: str, **how: object) -> IAsyncResult:
            # What the server has answered is not under way, whether or not anybody was called for it yet.
            under_way[:] = [read for read in under_way if not read[1].ready()]
            self.most_of_one = max(self.most_of_one, 1 + sum(read[0] == path for read in under_way))
            self.most = max(self.most, 1 + len(under_way))
            result = ask(path, **how)
            under_way.append((path, result))
            return result

        client.get_children_async = counted

    def emit(self, events: Sequence[Event]) -> None:
        self.events += events
        self.changes += self.observations.fold(events, time.time())

    def state(self, source: str = "") -> SourceState:
        """What is known of one root (the only one, if it is)."""
        return self.observations.source(source or self.source.ids[0])

    def values(self, source: str = "") -> dict[Key, Observation]:
        return self.state(source).values

    def lines(self, source: str = "", life: captured.Life | None = None) -> list[str]:
        """Providers, overrides and rejections of one root, as the tables of captured trees write them."""
        state = self.state(source)
        known = (value for value in state.values.values() if isinstance(value, Provider | Override))
        rejected = [
            captured.rejection(event.key[0], event.where.rpartition("/")[2], event.reason)
            for event in state.rejected.values()
        ]
        return sorted(captured.lines_of(known, life) + rejected)

    def hosts(self, source: str = "") -> set[str]:
        """Hosts of all providers."""
        return {value.host for value in self.values(source).values() if isinstance(value, Provider)}

    async def until(self, holds: Callable[[], object], *, within: float = 30.0) -> None:
        """Wait; the assertion that ends a wait in vain shows what was said last."""
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, self.events[-10:]
            await asyncio.sleep(0.01)

    async def synced(self, *, within: float = 30.0) -> None:
        """Wait until every root has been read completely."""
        await self.until(lambda: all(self.state(s).in_sync for s in self.source.ids), within=within)

    def said(self, kind: type[Synced | Trouble], scope: str = "") -> list[Event]:
        """All Synced or Trouble events of a scope."""
        return [event for event in self.events if isinstance(event, kind) and event.scope == scope]

    async def loses_its_session(self, server: ZooKeeper) -> None:
        """End its session, and wait until it has said so: it may have everything anew before this returns."""
        before = len(self.said(Trouble))
        await asyncio.to_thread(self.expire, server)
        await self.until(lambda: len(self.said(Trouble)) > before)

    def expire(self, server: ZooKeeper) -> None:
        """End the session of its client for real: whoever knows id and password of a session may close it."""
        thief = KazooClient(hosts=server.hosts, client_id=self.source._client.client_id)
        thief.start(timeout=60.0)
        close(thief)

    async def expires(self, server: ZooKeeper) -> None:
        """The same, and wait until it has said so: it may be in sync again by then."""
        before = len(self.said(Trouble))
        await asyncio.to_thread(self.expire, server)
        await self.until(lambda: len(self.said(Trouble)) > before)


@contextlib.asynccontextmanager
async def reading(
    server: ZooKeeper,
    chroot: str,
    *roots: str,
    dialect: str = "dubbo",
    auth: tuple[str, str] | None = None,
    restored: dict[Key, Observation] | None = None,
    session_timeout: float = 4.0,
    max_in_flight: int = 64,
) -> AsyncIterator[Reader]:
    """A source that reads roots below a chroot until the block ends.

    ``restored``: what a snapshot of an earlier process holds of the first root.
    """
    trees = tuple(Root(path, dialect) for path in roots)
    reader = Reader(
        replace(
            zookeeper_settings(ZooKeeperConfig(hosts=f"{server.hosts}{chroot}")),
            roots=trees,
            auth=auth,
            session_timeout=session_timeout,
            max_in_flight=max_in_flight,
        )
    )
    if restored:
        reader.observations.restore(reader.source.ids[0], restored.items(), saved=time.time())
    task = asyncio.create_task(reader.source.run(reader.emit))
    try:
        yield reader
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
