"""Everything that one replica writes to its cluster, as one part of the control process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from soadns.kubeapi import KubeApi
from soadns.logs import Log
from soadns.mesh.lease import Lease
from soadns.mesh.leasestate import LeaseTimes
from soadns.mesh.sharedmoves import SharedMoves
from soadns.routing import Routing

LEASE = "soadns"
"""Name of the Lease in soadns's own namespace."""


class Mesh:
    """One Lease, and what is written under it.

    :param lease: seconds.
    :param now: Unix seconds.
    """

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        routing: Routing,
        *,
        lease: float,
        log: Log,
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._replica = routing.replica
        self.lease = Lease(api, namespace, LEASE, routing.replica, LeaseTimes(lease), log=log)
        self.moves = SharedMoves(api, namespace, routing, self.lease, log=log, now=now)

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.lease.run())
                group.create_task(self.moves.run())
        finally:
            await self._api.close()

    def status(self) -> dict[str, Any]:
        """What ``GET /v1/mesh`` shows of it."""
        facts = self.moves.facts
        return {
            "namespace": self._namespace,
            "replica": self._replica,
            "lease": {
                "name": LEASE,
                "held": self.lease.holds,
                "holder": self.lease.holder or None,
                "trouble": self.lease.trouble or None,
            },
            "moves": {
                "synced": self.moves.synced,
                "shared": sum(not entry.forgotten for entry in facts.values()),
                "forgotten": sum(bool(entry.forgotten) for entry in facts.values()),
                "untold": sum(map(len, self.moves.untold.values())),
                "omitted": sum(self.moves.omitted.values()),
                "trouble": self.moves.trouble or None,
            },
        }
