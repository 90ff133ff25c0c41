"""Registries of any size in a real ZooKeeper, and the plainest way to read one."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from kazoo.client import KazooClient

from tests.scenarios.stage.zookeeper import ZooKeeper, close, dubbo_url

INTERFACES_PER_APPLICATION = 50
IN_FLIGHT = 500


def measured(
    run: Callable[[ZooKeeper, Path, argparse.Namespace], dict[str, Any]], options: argparse.Namespace
) -> dict[str, Any]:
    """What ``run`` finds with a ZooKeeper of its own: printed, and written to ``options.output``."""
    with tempfile.TemporaryDirectory(prefix="soadns-bench-") as folder:
        zookeeper = ZooKeeper(Path(folder) / "zookeeper")
        zookeeper.start()
        try:
            found = run(zookeeper, Path(folder), options)
        finally:
            zookeeper.stop()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, value in found.items():
        print(f"{name:22} {value}")
    print(f"written to {options.output}")
    return found


def interface_name(number: int) -> str:
    application, index = divmod(number, INTERFACES_PER_APPLICATION)
    return f"com.example.app{application:03d}.facade.Bench{index:02d}QueryService"


def host_of(application: int, instance: int) -> str:
    return f"10.{20 + instance}.{application // 250}.{application % 250 + 1}"


def consumer_leaf(number: int, caller: int, interfaces: int) -> str:
    """One consumer, of another application."""
    applications = max(1, interfaces // INTERFACES_PER_APPLICATION)
    application = (number // INTERFACES_PER_APPLICATION + 1 + 7 * caller + number % 5) % applications
    name, host = interface_name(number), host_of(application, caller)
    query = (
        f"application=app-{application:03d}&category=consumers&check=false&dubbo=2.0.2&init=false&interface={name}&"
        f"methods=query,queryAll,queryById,queryByName,count,exists&pid={2000 + caller}&release=2.7.23&"
        f"side=consumer&sticky=false&timestamp={1_767_225_600_000 + caller}"
    )
    return quote_plus(f"consumer://{host}/{name}?{query}")


def provider_leaf(number: int, instance: int) -> str:
    """One provider: the instances of an application share their hosts, as real ones do."""
    application = number // INTERFACES_PER_APPLICATION
    host = host_of(application, instance)
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
    client.ensure_path(root)
    numbers = range(interfaces)
    write(client, (f"{root}/{interface_name(n)}" for n in numbers))
    kinds = ("providers", "configurators")
    write(client, (f"{root}/{interface_name(n)}/{kind}" for n in numbers for kind in kinds))
    write(
        client,
        (
            f"{root}/{interface_name(n)}/providers/{provider_leaf(n, i)}"
            for n in numbers
            for i in range(providers)
        ),
    )
    close(client)


def fill_callers(zookeeper: ZooKeeper, root: str, interfaces: int, callers: int, ruled: int) -> None:
    """Write who calls a registry's interfaces, and a router of every so many-th of them."""
    client = zookeeper.client()
    numbers = range(interfaces)
    kinds = ("consumers", "routers")
    write(client, (f"{root}/{interface_name(n)}/{kind}" for n in numbers for kind in kinds))
    write(
        client,
        (
            f"{root}/{interface_name(n)}/consumers/{consumer_leaf(n, i, interfaces)}"
            for n in numbers
            for i in range(callers)
        ),
    )
    rule = quote_plus(
        "condition://0.0.0.0/any?category=routers&dynamic=false&rule=host+%3D+a+%3D%3E+host+%3D+b"
    )
    write(client, (f"{root}/{interface_name(n)}/routers/{rule}" for n in range(0, interfaces, ruled)))
    close(client)


def write(client: KazooClient, paths: Iterator[str]) -> None:
    """Create nodes, so many at once."""
    pending = []
    for path in paths:
        pending.append(client.create_async(path, b""))
        if len(pending) >= IN_FLIGHT:
            for done in pending:
                done.get(timeout=60)
            pending.clear()
    for done in pending:
        done.get(timeout=60)


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
