"""Registry trees of real frameworks in a real ZooKeeper, read by the real source: the same tables as without one.

Container nodes are made with the request that Curator uses. In the sequences, whose events do not tell containers from
persistent nodes, they are persistent; their end is an event like any other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from soadns.model import Delete, Synced
from tests import captured
from tests.captured import CREDENTIALS, SEQUENCES, TREES
from tests.scenarios.reading import create, reading
from tests.scenarios.stage.zookeeper import ZooKeeper, close

SNAPSHOTS = [
    pytest.param(capture, snapshot, id=f"{capture} {snapshot}")
    for capture in TREES
    for snapshot in captured.trees(capture)
]


SESSION_S = 60.0
"""What happens to the server, or to soadns's sessions, ends no session of the frameworks: here it lasts as they ask."""


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    found = ZooKeeper(tmp_path_factory.mktemp("zookeeper"), f"maxSessionTimeout={SESSION_S * 1000:.0f}")
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def server(zookeeper: ZooKeeper) -> ZooKeeper:
    """It runs, whatever a test did to it."""
    zookeeper.start()
    return zookeeper


@pytest.fixture
def chroot() -> str:
    return f"/captured-{random.getrandbits(48):x}"


@pytest.fixture
def owner(server: ZooKeeper, chroot: str) -> Iterator[KazooClient]:
    """The frameworks' session: it owns the ephemeral nodes and knows the password."""
    client = server.client(timeout=SESSION_S)
    client.add_auth(*CREDENTIALS)
    client.ensure_path(chroot)
    client.chroot = chroot
    yield client
    close(client)


def play(client: KazooClient, capture: str, snapshot: str) -> None:
    for node in captured.trees(capture)[snapshot]:
        create(client, node.kind, node.path, owner=node.owner)


def roots_of(capture: str, snapshot: str) -> list[str]:
    return [root for name, root in captured.expected_trees(capture) if name == snapshot]


def dialect(capture: str) -> str:
    return captured.dialect_of(capture).__name__.rpartition(".")[2]


@pytest.mark.parametrize(("capture", "snapshot"), SNAPSHOTS)
async def test_a_captured_registry_is_read_as_its_table_says(
    server: ZooKeeper, owner: KazooClient, chroot: str, capture: str, snapshot: str
) -> None:
    play(owner, capture, snapshot)
    roots = roots_of(capture, snapshot)
    async with reading(server, chroot, *roots, dialect=dialect(capture), auth=CREDENTIALS) as reader:
        await reader.synced()
        for root in roots:
            expected = captured.expected_trees(capture)[snapshot, root]
            assert reader.lines(f"zookeeper/main{root}") == expected.lines()
            assert not reader.state(f"zookeeper/main{root}").troubled_scopes

        # An expired session changes nothing of it, and is not the end of it either.
        before = len(reader.changes)
        await reader.expires(server)
        await reader.synced()
        assert len(reader.changes) == before


@pytest.mark.parametrize(
    ("capture", "snapshot", "root"),
    [
        ("dubbo-3.2.16", "all-up", "/dubbo-secure"),
        ("dubbo-3.2.16", "stopped-later", "/dubbo-secure"),
        ("sofarpc-5.10.1", "all-up", "/secure/sofa-rpc"),
        ("sofarpc-5.10.1", "stopped-later", "/secure/sofa-rpc"),
    ],
)
async def test_a_protected_registry_is_trouble_without_credentials_and_never_empty(
    server: ZooKeeper, owner: KazooClient, chroot: str, capture: str, snapshot: str, root: str
) -> None:
    play(owner, capture, snapshot)
    others = [path for path in roots_of(capture, snapshot) if path != root]
    stranger = server.client(chroot)
    with pytest.raises(NoAuthError):
        stranger.get_children(root)
    close(stranger)
    async with reading(server, chroot, root, *others, dialect=dialect(capture)) as reader:
        await reader.until(lambda: all(reader.state(f"zookeeper/main{path}").in_sync for path in others))
        await reader.until(lambda: "no permission" in reader.state().trouble)
        assert not reader.state().synced_once
        assert not [
            e for e in reader.events if e.source == f"zookeeper/main{root}" and isinstance(e, Synced | Delete)
        ]
        for path in others:  # one registry's trouble is nobody else's
            expected = captured.expected_trees(capture)[snapshot, path]
            assert reader.lines(f"zookeeper/main{path}") == expected.lines()


async def test_the_registry_of_2_7_with_a_password_is_readable_for_all(
    server: ZooKeeper, owner: KazooClient, chroot: str
) -> None:
    play(owner, "dubbo-2.7.23", "all-up")
    async with reading(server, chroot, "/dubbo-secure") as reader:
        await reader.synced()
        assert reader.lines() == captured.expected_trees("dubbo-2.7.23")["all-up", "/dubbo-secure"].lines()


@pytest.mark.parametrize("trouble", ["", "expired session", "killed server"])
@pytest.mark.parametrize("capture", SEQUENCES)
async def test_a_captured_life_is_followed_event_by_event(
    server: ZooKeeper, owner: KazooClient, chroot: str, capture: str, trouble: str
) -> None:
    """With ``trouble``, the third event after every mark happens while soadns has no session, or no server."""
    life = captured.expected_life(capture)
    marks = iter(life.marks)
    restarts = 0
    async with reading(server, chroot, life.root, dialect=dialect(capture)) as reader:
        since = 0
        for step in captured.sequence(capture):
            since += 1
            if step.what == "mark":
                mark, expected = next(marks)
                assert mark == step.path
                if expected is None:
                    await reader.until(lambda: f"{life.root} does not exist" in reader.state().trouble)
                else:
                    await reader.until(lambda: reader.state().in_sync)
                    await reader.until(lambda wanted=expected: reader.lines(life=life) == wanted)
                since = 0
            elif step.what == "deleted":
                await asyncio.to_thread(owner.delete, step.path)
            elif step.what == "changed":
                await asyncio.to_thread(owner.set, step.path, b"")
            else:
                await asyncio.to_thread(create, owner, step.what, step.path)
            if since == 3 and trouble == "expired session":
                await asyncio.to_thread(reader.expire, server)
            elif since == 3 and trouble == "killed server" and restarts < 3:
                restarts += 1
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
        assert next(marks, None) is None
