"""The ZooKeeper source on a real ZooKeeper: no gap, no proof that is none, no more reads than needed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from urllib.parse import quote_plus

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.security import OPEN_ACL_UNSAFE

from soadns.model import Delete, Key, Observation, Provider, Synced, Trouble
from soadns.sources import dubbo, pacing, zookeeper
from soadns.sources.zktree import digest_of
from tests.scenarios.reading import REG_ONLY, create, reading
from tests.scenarios.stage.zookeeper import ZooKeeper, close, dubbo_url

USER = "com.alipay.user.UserService"
PROVIDERS = f"/dubbo/{USER}/providers"
CONFIGURATORS = f"/dubbo/{USER}/configurators"
SOURCE = "zookeeper/main/dubbo"


@pytest.fixture
def chroot(server: ZooKeeper, request: pytest.FixtureRequest) -> str:
    return f"/{request.node.name.replace('/', '-')[:60]}-{random.getrandbits(32):x}"


@pytest.fixture
def registry(server: ZooKeeper, chroot: str) -> Iterator[KazooClient]:
    """A client that writes, below a chroot of the test's own, with an empty /dubbo."""
    client = server.client(timeout=10.0)
    client.ensure_path(f"{chroot}/dubbo")
    client.chroot = chroot
    yield client
    close(client)


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


# ------------------------------------------------------------------------------------------------ proof and trouble


async def test_a_root_that_vanishes_with_all_below_it_at_once_proves_nothing(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry, "10.0.0.1", "10.0.0.2")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        vanish(registry, "/dubbo")
        await reader.until(lambda: "does not exist" in reader.state().trouble)
        await asyncio.sleep(0.5)
        assert reader.hosts() == {"10.0.0.1", "10.0.0.2"}
        assert not [event for event in reader.events if isinstance(event, Delete)]

        register(registry, "10.0.0.2", "10.0.0.3")  # it returns with something else in it
        await reader.until(lambda: reader.state().in_sync)
        await reader.until(lambda: reader.hosts() == {"10.0.0.2", "10.0.0.3"})
        registry.delete(f"{PROVIDERS}/{leaf('10.0.0.2')}")
        await reader.until(lambda: reader.hosts() == {"10.0.0.3"})


async def test_a_missing_root_is_trouble_until_it_is_created(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    before = dict([key_of("10.0.0.1")])
    async with reading(server, chroot, "/other", restored=before) as reader:
        await reader.until(lambda: "/other does not exist" in reader.state().trouble)
        assert reader.hosts() == {"10.0.0.1"}
        registry.create("/other")
        await reader.synced()
        assert reader.hosts() == set()  # an empty root that can be read is a fact


async def test_an_interface_node_that_vanishes_below_a_root_that_stands_is_empty(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry, "10.0.0.1")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        vanish(registry, f"/dubbo/{USER}")
        await reader.until(lambda: not reader.values())
        assert reader.state().in_sync


async def test_a_root_with_more_children_than_are_added_at_once_is_read_to_its_end(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    names = [f"com.alipay.shop.Service{number}" for number in range(2 * zookeeper.ADD_AT_ONCE + 1)]
    hosts = {f"10.0.{number // 250}.{number % 250 + 1}" for number in range(len(names))}
    for name, host in zip(names, sorted(hosts), strict=True):
        registry.create_async(f"/dubbo/{name}")
        registry.create_async(f"/dubbo/{name}/providers")
        written = registry.create_async(f"/dubbo/{name}/providers/{leaf(host, name)}")
    written.get(timeout=30)
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        assert reader.hosts() == hosts
        register(registry, "10.0.0.1")
        vanish(registry, f"/dubbo/{names[0]}")
        await reader.until(lambda: USER in {key[0] for key in reader.values()})
        await reader.until(lambda: names[0] not in {key[0] for key in reader.values()})
        assert reader.state().in_sync


@pytest.mark.parametrize("forbidden", [PROVIDERS, CONFIGURATORS])
async def test_a_forbidden_directory_keeps_what_an_earlier_process_knew_of_the_interface(
    server: ZooKeeper, registry: KazooClient, chroot: str, forbidden: str
) -> None:
    register(registry, "10.0.0.1")
    registry.set_acls(forbidden, REG_ONLY)
    before = dict([key_of("10.0.0.1"), key_of("10.0.0.2")])
    async with reading(server, chroot, "/dubbo", restored=before) as reader:
        await reader.synced()
        await asyncio.sleep(0.3)
        assert reader.hosts() == {"10.0.0.1", "10.0.0.2"}
        assert f"{forbidden}: no permission" in reader.state().troubled_scopes[USER]
        assert not reader.said(Synced, USER)


async def test_a_sibling_that_can_be_read_does_not_end_the_trouble_of_a_forbidden_directory(
    server: ZooKeeper, registry: KazooClient, chroot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zookeeper, "RETRY_S", 0.2)
    register(registry, "10.0.0.1")
    registry.set_acls(CONFIGURATORS, REG_ONLY)
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        for number in range(2, 8):  # providers come and are seen, the trouble stays
            registry.create(f"{PROVIDERS}/{leaf(f'10.0.0.{number}')}")
            await reader.until(lambda n=number: f"10.0.0.{n}" in reader.hosts())
            assert "no permission" in reader.state().troubled_scopes[USER]
        await asyncio.sleep(0.6)
        assert len(reader.said(Trouble, USER)) == 1  # said once, however often it is tried

        registry.add_auth("digest", "reg:example")
        registry.set_acls(CONFIGURATORS, OPEN_ACL_UNSAFE)
        await reader.until(lambda: USER not in reader.state().troubled_scopes)
        assert len(reader.hosts()) == 7


async def test_a_directory_whose_watch_was_lost_is_read_again_in_the_course_of_time(
    server: ZooKeeper, registry: KazooClient, chroot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server drops the watch of a directory that its owner may not read at that moment, without a word."""
    monkeypatch.setattr(pacing, "ROUND_S", 1.0)
    monkeypatch.setattr(zookeeper, "LOOK_AGAIN_S", 0.1)
    register(registry, "10.0.0.1")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        reader.source._client._child_watchers.clear()
        registry.create(f"{PROVIDERS}/{leaf('10.0.0.2')}")
        await reader.until(lambda: reader.hosts() == {"10.0.0.1", "10.0.0.2"}, within=10)


async def test_a_directory_becomes_readable_and_is_read(
    server: ZooKeeper, registry: KazooClient, chroot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zookeeper, "RETRY_S", 0.2)
    registry.add_auth("digest", "reg:example")
    register(registry, "10.0.0.1")
    registry.set_acls(PROVIDERS, REG_ONLY)
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        assert not reader.hosts()
        assert "no permission" in reader.state().troubled_scopes[USER]
        registry.set_acls(PROVIDERS, OPEN_ACL_UNSAFE)
        await reader.until(lambda: reader.hosts() == {"10.0.0.1"})
        assert not reader.state().troubled_scopes


async def test_credentials_that_the_server_refuses_are_trouble_without_being_shown(
    server: ZooKeeper, registry: KazooClient, chroot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zookeeper, "RETRY_S", 0.2)
    async with reading(server, chroot, "/dubbo", auth=("nonsense", "reg:s3cr3t")) as reader:
        await reader.until(lambda: "refused the credentials" in reader.state().trouble)
        await asyncio.sleep(1.5)
        assert (
            len(reader.said(Trouble)) == 2
        )  # no connection yet, then the reason: once, however often it is tried
        assert "s3cr3t" not in repr(reader.events)
        assert "s3cr3t" not in repr(reader.source.settings)


async def test_one_bad_leaf_is_told_without_its_secrets_and_stops_no_other(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry, "10.0.0.1")
    for url in (
        f"dubbo://joe:s3cr3t@10.0.0.2:x/{USER}?application=user&token=s3cr3t",
        f"dubbo://localhost:20880/{USER}?application=user&token=s3cr3t",
        f"dubbo://10.0.0.3:20880/{USER}?application=user&token=s3cr3t",
    ):
        registry.create(f"{PROVIDERS}/{quote_plus(url)}")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        assert reader.hosts() == {"10.0.0.1", "10.0.0.3"}
        rejected = reader.state().rejected.values()
        assert sorted(event.reason for event in rejected) == ["bad-port", "unusable-host"]
        assert all(event.where.startswith(f"{PROVIDERS}/dubbo%3A%2F%2F") for event in rejected)
        raw = await reader.source.texts(SOURCE, USER)
        assert len(raw) == 4
        assert sum("token%3D***" in path for path in raw) == 3
        assert "s3cr3t" not in repr((reader.events, raw))

        for path in raw:  # a rejection is withdrawn with its leaf
            if "localhost" in path:
                registry.delete(path.replace("***", "s3cr3t"))
        await reader.until(lambda: len(reader.state().rejected) == 1)


async def test_a_root_may_be_the_top_of_its_chroot(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry, "10.0.0.1")
    async with reading(server, f"{chroot}/dubbo", "/") as reader:
        await reader.synced()
        assert reader.hosts() == {"10.0.0.1"}
        registry.create(f"{PROVIDERS}/{leaf('10.0.0.2')}")
        await reader.until(lambda: reader.hosts() == {"10.0.0.1", "10.0.0.2"})
        vanish(registry, f"/dubbo/{USER}")
        await reader.until(lambda: not reader.hosts())


async def test_roots_of_one_ensemble_are_told_apart_and_their_troubles_too(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry, "10.0.0.1")
    async with reading(server, chroot, "/dubbo", "/dubbo-gray") as reader:
        await reader.until(lambda: reader.state(SOURCE).in_sync)
        await reader.until(lambda: "does not exist" in reader.state(f"{SOURCE}-gray").trouble)
        registry.ensure_path(f"/dubbo-gray/{USER}/providers")
        registry.create(f"/dubbo-gray/{USER}/providers/{leaf('10.0.0.2')}")
        await reader.until(lambda: reader.hosts(f"{SOURCE}-gray") == {"10.0.0.2"})
        assert reader.hosts(SOURCE) == {"10.0.0.1"}


# ------------------------------------------------------------------------------------------------ connection


async def test_an_expired_session_loses_nothing_and_what_happened_meanwhile_is_seen(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry, "10.0.0.1", "10.0.0.2")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        for gone, new in (("10.0.0.1", "10.0.0.3"), ("10.0.0.2", "10.0.0.4")):
            reader.changes.clear()
            await asyncio.to_thread(reader.expire, server)
            await reader.until(lambda: not reader.state().in_sync)
            registry.delete(f"{PROVIDERS}/{leaf(gone)}")
            register(registry, new)
            await reader.synced()
            assert new in reader.hosts()
            assert gone not in reader.hosts()
            assert len(reader.changes) == 2
        registry.create(f"{PROVIDERS}/{leaf('10.0.0.9')}")
        await reader.until(lambda: "10.0.0.9" in reader.hosts())


async def test_a_killed_server_is_trouble_and_its_return_within_seconds_is_noticed(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry)
    registry.create(f"{PROVIDERS}/{leaf('10.0.0.1')}")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        await asyncio.to_thread(server.kill)
        await reader.until(lambda: "connection lost" in reader.state().trouble)
        await asyncio.sleep(8)  # longer than the back-off needs to reach its cap
        assert reader.hosts() == {"10.0.0.1"}
        await asyncio.to_thread(server.start)
        await reader.synced(within=12.0)
        assert reader.hosts() == {"10.0.0.1"}
        assert not [event for event in reader.events if isinstance(event, Delete)]


# ------------------------------------------------------------------------------------------------ watches and reads


async def test_each_of_many_changes_is_seen_and_the_last_state_is_what_is_there(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry)
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        for number in range(150):  # one after the other: a watch that is armed too late misses one
            registry.create(f"{PROVIDERS}/{leaf(f'10.1.0.{number}')}")
            await reader.until(lambda n=number: f"10.1.0.{n}" in reader.hosts(), within=5.0)
        for number in range(150):
            registry.delete_async(f"{PROVIDERS}/{leaf(f'10.1.0.{number}')}")
        await reader.until(lambda: not reader.hosts(), within=5.0)


async def test_a_container_that_vanished_and_returns_is_read_again(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    for path in ("/sofa-rpc", f"/sofa-rpc/{USER}", f"/sofa-rpc/{USER}/providers"):
        create(registry, "container", path)
    leaf_path = f"/sofa-rpc/{USER}/providers/" + quote_plus("bolt://10.0.0.1:12200?version=1.0&uniqueId=")
    async with reading(server, chroot, "/sofa-rpc", dialect="sofa") as reader:
        await reader.synced()
        for _ in range(5):
            registry.create(leaf_path)
            await reader.until(lambda: reader.hosts() == {"10.0.0.1"})
            registry.delete(leaf_path)
            await reader.until(lambda: not reader.hosts())
            registry.delete(f"/sofa-rpc/{USER}/providers")  # the server's sweep
            registry.delete(f"/sofa-rpc/{USER}")
            for path in (f"/sofa-rpc/{USER}", f"/sofa-rpc/{USER}/providers"):
                create(registry, "container", path)
        assert reader.state().in_sync


async def test_a_large_directory_that_changes_all_the_time_is_not_read_all_the_time(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry)
    for number in range(3_000):
        registry.create_async(f"{PROVIDERS}/{leaf(f'10.{number // 250}.0.{number % 250}')}")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        await reader.until(lambda: len(reader.hosts()) == 3_000)
        reader.count(reader.source._client)
        before = reader.source.reads
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 1.5:
            path = f"{PROVIDERS}/{leaf('10.99.0.1')}"
            await asyncio.to_thread(registry.create, path)
            await asyncio.to_thread(registry.delete, path)
        registry.create(f"{PROVIDERS}/{leaf('10.99.0.2')}")
        await reader.until(lambda: "10.99.0.2" in reader.hosts())
        elapsed = loop.time() - began
        assert reader.source.reads - before <= 2 + elapsed / (3_000 * pacing.PACE_PER_LEAF_S)
        assert reader.most_of_one == 1


async def test_no_more_reads_are_under_way_than_configured(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    for number in range(60):
        registry.ensure_path(f"/dubbo/com.x.S{number}/providers")
    async with reading(server, chroot, "/dubbo", max_in_flight=3) as reader:
        await reader.synced()
        reader.count(reader.source._client)
        await asyncio.to_thread(reader.expire, server)
        await reader.until(lambda: not reader.state().in_sync)
        await reader.synced()
        assert 1 < reader.most <= 3


async def test_after_an_outage_directories_are_read_once_each_and_few_at_a_time(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    for number in range(300):
        registry.ensure_path(f"/dubbo/com.x.S{number}/providers")
        registry.create(f"/dubbo/com.x.S{number}/configurators")
    registry.create(f"/dubbo/com.x.S299/providers/{leaf('10.0.0.1', 'com.x.S299')}")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        reader.count(reader.source._client)
        before = reader.source.reads
        await asyncio.to_thread(reader.expire, server)
        await reader.until(lambda: not reader.state().in_sync)
        await reader.synced()
        assert reader.source.reads - before == 601
        assert reader.most_of_one == 1
        assert 1 < reader.most <= reader.source.settings.max_in_flight


async def test_after_any_history_of_a_registry_what_is_known_is_what_is_there(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    """Directories vanish and return under the reads, sessions expire, the root goes and comes."""
    choose = random.Random(7)
    interfaces = [f"com.x.S{i}" for i in range(6)]

    def act() -> None:
        interface, host = choose.choice(interfaces), f"10.0.0.{choose.randrange(1, 9)}"
        folder = f"/dubbo/{interface}"
        match choose.choices(["register", "unregister", "vanish", "directory"], [6, 4, 2, 1])[0]:
            case "register":
                registry.ensure_path(f"{folder}/providers")
                registry.create(f"{folder}/providers/{leaf(host, interface)}")
            case "unregister":
                registry.delete(f"{folder}/providers/{leaf(host, interface)}")
            case "vanish":
                vanish(registry, folder)
            case "directory":
                vanish(registry, f"{folder}/providers")

    def there() -> set[tuple[str, str]]:
        found = set()
        for interface in registry.get_children("/dubbo"):
            if registry.exists(f"/dubbo/{interface}/providers"):
                for name in registry.get_children(f"/dubbo/{interface}/providers"):
                    (value,) = dubbo.parse(SOURCE, interface, "providers", name)
                    assert isinstance(value, Provider)
                    found.add((interface, value.host))
        return found

    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()

        def known() -> set[tuple[str, str]]:
            values = [value for value in reader.values().values() if isinstance(value, Provider)]
            return {(value.interface.name, value.host) for value in values}

        for turn in range(8):
            for _ in range(120):
                try:
                    await asyncio.to_thread(act)
                except KazooException:
                    continue  # what it wanted to delete is not there, or is there already
            if turn % 3 == 1:
                await asyncio.to_thread(reader.expire, server)
            if turn % 4 == 3:
                await asyncio.to_thread(vanish, registry, "/dubbo")
                await asyncio.to_thread(registry.ensure_path, "/dubbo")
            wanted = await asyncio.to_thread(there)
            await reader.until(lambda w=wanted: reader.state().in_sync and known() == w)
        assert not reader.state().troubled_scopes


async def test_what_watches_of_the_lost_connection_say_late_makes_no_source_in_sync(
    server: ZooKeeper, registry: KazooClient, chroot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(registry, "10.9.0.1")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        # Everything is read again after a second; until then it is as old as the outage.
        monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
        reader.expire(server)
        await reader.until(lambda: not reader.state().in_sync)
        await reader.until(lambda: reader.source._connected)
        reads = reader.source.reads
        reader.source._changed(PROVIDERS)
        reader.source._fill()
        await asyncio.sleep(0.3)
        assert not reader.state().in_sync
        assert reader.source.reads == reads
        await reader.synced()
