"""The ZooKeeper source on a real ZooKeeper: no gap, and no proof that is none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import quote_plus

import pytest
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE

from soadns.model import Delete, Synced, Trouble
from soadns.sources import zkregistries, zookeeper
from tests.scenarios.reading import (
    CONFIGURATORS,
    PROVIDERS,
    REG_ONLY,
    SOURCE,
    USER,
    key_of,
    leaf,
    reading,
    register,
    vanish,
)
from tests.scenarios.stage.zookeeper import ZooKeeper

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
    names = [f"com.alipay.shop.Service{number}" for number in range(2 * zkregistries.ADD_AT_ONCE + 1)]
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
    monkeypatch.setattr(zkregistries, "RETRY_S", 0.2)
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


async def test_a_directory_becomes_readable_and_is_read(
    server: ZooKeeper, registry: KazooClient, chroot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zkregistries, "RETRY_S", 0.2)
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


async def test_others_take_the_place_of_credentials_that_were_refused_at_once(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    registry.add_auth("digest", "reg:example")
    register(registry, "10.0.0.1")
    registry.set_acls(PROVIDERS, REG_ONLY)
    async with reading(server, chroot, "/dubbo", auth=("nonsense", "reg:s3cr3t")) as reader:
        await reader.until(lambda: "refused the credentials" in reader.state().trouble)
        reader.settings = replace(reader.settings, auth=("digest", "reg:example"))
        await reader.synced(within=zookeeper.RETRY_S / 2)
        assert reader.hosts() == {"10.0.0.1"}
        assert not reader.state().troubled_scopes


async def test_credentials_may_be_renewed_amid_a_reading(
    server: ZooKeeper, registry: KazooClient, chroot: str
) -> None:
    names = [f"com.alipay.shop.Service{number}" for number in range(1_000)]
    for name in names:
        registry.create_async(f"/dubbo/{name}")
        registry.create_async(f"/dubbo/{name}/providers")
        written = registry.create_async(f"/dubbo/{name}/providers/{leaf('10.0.0.1', name)}")
    written.get(timeout=30)
    async with reading(server, chroot, "/dubbo", auth=("digest", "reg:one")) as reader:
        for number in range(3):
            await reader.until(lambda least=100 * number: len(reader.values()) > least)
            reader.settings = replace(reader.settings, auth=("digest", f"reg:{number}"))
            await asyncio.sleep(zookeeper.LOOK_S)
        await reader.synced()
        assert {key[0] for key in reader.values()} == {*names}
        assert not [event for event in reader.events if isinstance(event, Delete)]


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
            await reader.loses_its_session(server)
            registry.delete(f"{PROVIDERS}/{leaf(gone)}")
            register(registry, new)
            await reader.synced()
            # It may have been back before that happened, and then its watches tell it.
            await reader.until(lambda g=gone, n=new: n in reader.hosts() and g not in reader.hosts())
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
        await reader.synced(within=20.0)
        assert reader.hosts() == {"10.0.0.1"}
        assert not [event for event in reader.events if isinstance(event, Delete)]
