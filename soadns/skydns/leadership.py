"""Which replica writes: a key that lives as long as a lease of etcd's, and what every write is conditional on.

Who holds the key writes. Whatever a replica believes, its writes name the revision by which the key came to be
(``fence``): one that was cut off, or asleep, writes nothing once another one has taken over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable

from soadns.logs import Log
from soadns.skydns.etcd import Compare, Etcd, EtcdError, put
from soadns.skydns.records import OWNER

LOOK_S = 1.0
"""The longest time between two looks at a key that another replica holds."""
GIVE_BACK_S = 1.0
"""How long the end of the process may wait for the lease to be ended."""


class Leadership:
    """One candidate. ``identity`` is for people: every process has another lease.

    :param lease: seconds after which the key is gone, without a sign of this process.
    :param hear: is called when this process takes or loses it.
    """

    def __init__(
        self,
        etcd: Etcd,
        key: str,
        owner: str,
        identity: str,
        lease: int,
        hear: Callable[[], None],
        *,
        log: Log,
    ) -> None:
        self._etcd = etcd
        self._key = key
        self._value = json.dumps({"leader": identity, OWNER: owner}, separators=(",", ":"))
        self._owner = owner
        self._seconds = lease
        self._hear = hear
        self._log = log
        self._lease = 0
        self._taken = 0
        """The revision by which the key came to be; 0: another one has it, or nobody."""
        self._until = 0.0
        self.trouble = ""
        """Why etcd can not be asked; ``''``: it can."""

    @property
    def holds(self) -> bool:
        """Whether this process may write, as far as it knows."""
        return bool(self._taken)

    @property
    def fence(self) -> Compare:
        """Holds as long as this process leads."""
        return Compare(self._key, "CREATE", self._taken)

    def lose(self) -> None:
        """A write was refused because another one leads."""
        if self._taken:
            self._lease = 0
            self._become(0)

    async def run(self) -> None:
        """Take and keep it until cancelled; then give it back."""
        try:
            while True:
                try:
                    await self._look()
                    self._fails("")
                except EtcdError as error:
                    self._fails(str(error))
                    if _steady() >= self._until:
                        self._become(
                            0
                        )  # the lease is kept: if it still holds when etcd is back, so does the key
                await asyncio.sleep(min(LOOK_S, self._seconds / 3))
        finally:
            await self._give_back()

    async def _look(self) -> None:
        if self._lease:
            asked = _steady()
            if seconds := await self._etcd.keep_alive(self._lease):
                self._until = asked + seconds
            else:
                self._lease = 0
                self._become(0)
        if not self._taken:
            await self._take()

    async def _take(self) -> None:
        """Write the key if there is none, or see that this process still has it."""
        page = await self._etcd.range(self._key)
        if page.found:
            [held] = page.found
            if self._lease and held.value == self._value:
                self._become(held.created)
            return
        asked = _steady()
        if not self._lease:
            self._lease = await self._etcd.grant(self._seconds)
            self._until = asked + self._seconds
        done = await self._etcd.transact(
            [Compare(self._key, "CREATE", 0)], [put(self._key, self._value, self._lease)]
        )
        if done.succeeded:
            self._become(done.revision)

    def _become(self, taken: int) -> None:
        if taken == self._taken:
            return
        self._taken = taken
        self._log("skydns-leads" if taken else "skydns-follows", owner=self._owner)
        self._hear()

    def _fails(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._log("skydns-trouble", level="warning", reason=trouble)
        self.trouble = trouble

    async def _give_back(self) -> None:
        """Others need not wait then. Whatever fails now ends by itself."""
        lease, self._lease = self._lease, 0
        self._become(0)
        if lease:
            with contextlib.suppress(EtcdError, TimeoutError):
                async with asyncio.timeout(GIVE_BACK_S):
                    await self._etcd.revoke(lease)


def _steady() -> float:
    """Seconds that pass while this process, or its machine, is asleep as well."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
