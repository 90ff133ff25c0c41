"""Registries of any size in a real ZooKeeper, and the plainest way to read one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import quote_plus

from kazoo.client import KazooClient

from tests.scenarios.stage.zookeeper import ZooKeeper, close, dubbo_url

INTERFACES_PER_APPLICATION = 50
IN_FLIGHT = 500


def interface_name(number: int) -> str:
    application, index = divmod(number, INTERFACES_PER_APPLICATION)
    return f"com.example.app{application:03d}.facade.Bench{index:02d}QueryService"


def provider_leaf(number: int, instance: int) -> str:
    """One provider: the instances of an application share their hosts, as real ones do."""
    application = number // INTERFACES_PER_APPLICATION
    host = f"10.{20 + instance}.{application // 250}.{application % 250 + 1}"
    url = dubbo_url(
        interface_name(number), host, 20880, f"app-{application:03d}",
        anyhost="true", deprecated="false", dubbo="2.0.2", dynamic="true", generic="false", release="2.7.23",
        methods="query,queryAll,queryById,queryByName,count,exists", pid=1000 + instance, revision="1.4.2",
        timeout=3000, timestamp=1_767_225_600_000 + instance,
    )  # fmt: skip
    return quote_plus(url)


def fill(zookeeper: ZooKeeper, root: str, interfaces: int, providers: int) -> None:
    """Write a registry; the nodes are persistent, so that it outlives the writer."""
    client = zookeeper.client()

    def write(paths: Iterator[str]) -> None:
        pending = []
        for path in paths:
            pending.append(client.create_async(path, b""))
            if len(pending) >= IN_FLIGHT:
                for done in pending:
                    done.get(timeout=60)
                pending.clear()
        for done in pending:
            done.get(timeout=60)

    client.ensure_path(root)
    numbers = range(interfaces)
    write(f"{root}/{interface_name(n)}" for n in numbers)
    write(f"{root}/{interface_name(n)}/{kind}" for n in numbers for kind in ("providers", "configurators"))
    write(
        f"{root}/{interface_name(n)}/providers/{provider_leaf(n, i)}"
        for n in numbers
        for i in range(providers)
    )
    close(client)


def plain_read(zookeeper: ZooKeeper, root: str) -> tuple[float, int]:
    """Seconds and leaves of one pipelined read of the whole tree, with watches and nothing else done."""
    client: KazooClient = zookeeper.client()
    began = time.monotonic()
    pending = [
        client.get_children_async(f"{root}/{child}/{kind}", watch=_ignore)
        for child in client.get_children(root, watch=_ignore)
        for kind in ("providers", "configurators")
    ]
    leaves = sum(len(done.get(timeout=120)) for done in pending)
    seconds = time.monotonic() - began
    close(client)
    return seconds, leaves


def _ignore(_event: object) -> None:
    return
