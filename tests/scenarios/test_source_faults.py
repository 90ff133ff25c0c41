"""A fault of soadns itself in the middle of a stream is told and begun anew, never a silence that looks like peace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from soadns.composition import zookeeper_settings
from soadns.model import Event, Synced
from soadns.settings.config import ZooKeeperConfig
from soadns.sources.zookeeper import ZooKeeperSource
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import ZooKeeper


async def test_the_zookeeper_source_ends_with_the_fault(
    registry_stage: Stage, zookeeper_server: ZooKeeper
) -> None:
    hosts = f"{zookeeper_server.hosts}{registry_stage.chroot}"
    settings = zookeeper_settings(ZooKeeperConfig(hosts=hosts))
    source = ZooKeeperSource(lambda: settings)

    def emit(events: Sequence[Event]) -> None:
        if any(isinstance(event, Synced) for event in events):
            raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        async with asyncio.timeout(60):
            await source.run(emit)
