"""The reads of the ZooKeeper source on a real ZooKeeper: each change is seen, and no more is read than needed."""

from __future__ import annotations

import asyncio
import random
from urllib.parse import quote_plus

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from soadns.model import Provider
from soadns.sources import dubbo, pacing, zkreads
from tests.scenarios.reading import PROVIDERS, SOURCE, USER, create, leaf, reading, register, vanish
from tests.scenarios.stage.zookeeper import ZooKeeper


async def test_each_of_many_changes_is_seen_and_the_last_state_is_what_is_there(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    register(registry)
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        for number in range(150):  # one after the other: a watch that is armed too late misses one
            registry.create(f"{PROVIDERS}/{leaf(f'10.1.0.{number}')}")
            await reader.until(lambda n=number: f"10.1.0.{n}" in reader.hosts())
        for number in range(150):
            registry.delete_async(f"{PROVIDERS}/{leaf(f'10.1.0.{number}')}")
        await reader.until(lambda: not reader.hosts())


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
        await reader.loses_its_session(server)
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
        await reader.loses_its_session(server)
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
        # Everything is read again after three seconds; until then it is as old as the outage.
        monkeypatch.setattr(random, "uniform", lambda low, high: 3.0)
        reader.expire(server)
        await reader.until(lambda: not reader.state().in_sync)
        await reader.until(lambda: reader.source._connected)
        reads = reader.source.reads
        reader.source._reads.changed(PROVIDERS)
        reader.source._reads.go_on()
        await asyncio.sleep(0.3)
        assert not reader.state().in_sync
        assert reader.source.reads == reads
        await reader.synced()


async def test_a_directory_whose_watch_was_lost_is_read_again_in_the_course_of_time(
    server: ZooKeeper, registry: KazooClient, chroot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server drops the watch of a directory that its owner may not read at that moment, without a word."""
    monkeypatch.setattr(pacing, "ROUND_S", 1.0)
    monkeypatch.setattr(zkreads, "LOOK_AGAIN_S", 0.1)
    register(registry, "10.0.0.1")
    async with reading(server, chroot, "/dubbo") as reader:
        await reader.synced()
        reader.source._client._child_watchers.clear()
        registry.create(f"{PROVIDERS}/{leaf('10.0.0.2')}")
        await reader.until(lambda: reader.hosts() == {"10.0.0.1", "10.0.0.2"})
