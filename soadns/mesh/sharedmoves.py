"""What has moved, shared by all replicas: ConfigMaps in soadns's own namespace, read and written.

``moveledger`` decides, ``movefiles`` says how it is written down. Here is the traffic: a mirror of the ConfigMaps,
whose news go to ``routing``, and a writer that waits a moment for what comes together. Every write replaces one version
and no other, so it can neither undo nor repeat what another replica wrote; one that is refused is thought over by what
is read then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from soadns.kubeapi import ApiError, KubeApi, Resource
from soadns.logs import Log
from soadns.mesh import answers, movefiles
from soadns.mesh.lease import Lease
from soadns.mesh.mirror import Mirror, Name
from soadns.mesh.moveledger import Entry, Fact, Ledger, fact_of, shard_of
from soadns.model import ObjectRef
from soadns.routemodel import Move
from soadns.routing import Routing

CONFIG_MAPS = Resource("ConfigMap", "configmaps")
TOGETHER_S = 0.3
"""How long the writer waits for more."""
AGAIN_S = (0.5, 15.0)
"""Until a write that failed is tried again."""
OWN_S = 10.0
"""How long the writer waits to read what it, or another one, has written."""
NOT_READ = "what other replicas saw move was not read yet"


class Shard(NamedTuple):
    """One ConfigMap."""

    number: int | None
    """None: it is none of ours, whatever its labels."""
    entries: Mapping[Fact, Entry]
    problem: str


class SharedMoves:
    """The moves of one process and those of the others.

    :param now: Unix seconds.
    """

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        routing: Routing,
        lease: Lease,
        *,
        log: Log,
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._routing = routing
        self._lease = lease
        self._log = log
        self._now = now
        self._ledger = Ledger()
        self._mirror = Mirror(
            api, CONFIG_MAPS, namespace=namespace, selector=movefiles.SELECTOR, decode=_shard, hear=self._read
        )
        self._written: dict[int, tuple[str, float]] = {}
        """Shards that this process wrote and has not read since: their versions, and when."""
        self._clashes: dict[int, float] = {}
        """Shards that were to be created, exist, and were not read since: from when on, by the loop's clock."""
        self._stirred = asyncio.Event()
        self._settled = asyncio.Event()
        self._failures = 0
        self._write_trouble = ""
        self.omitted: dict[int, int] = {}
        """By shard: facts for which it has no room."""
        routing.on_moves(self._stirred.set)
        lease.on_change(self._stirred.set)

    # ------------------------------------------------------------------ what others ask

    @property
    def synced(self) -> bool:
        """Whether all that is shared was read once."""
        return self._mirror.synced and not self._problems()

    @property
    def trouble(self) -> str:
        """Why it can not be read or written now; ``''``: it can."""
        return self._problems() or self._mirror.trouble or self._write_trouble

    @property
    def facts(self) -> Mapping[Fact, Entry]:
        """All that is shared."""
        return self._ledger.shared

    @property
    def untold(self) -> dict[str, list[tuple[Move, float]]]:
        """By zone: what was forgotten here, and when, and is not shared yet."""
        found: dict[str, list[tuple[Move, float]]] = {}
        for fact, entry in self._ledger.untold.items():
            found.setdefault(fact.zone, []).append((entry.move, entry.forgotten))
        return found

    def lost(self, fact: Fact) -> bool:
        """Whether nobody can have shared anything of this: nothing is where it would be, nor was it forgotten here."""
        where = (self._namespace, movefiles.name_of(shard_of(fact)))
        return where not in self._mirror.versions and fact not in self._ledger.untold

    def begin(self, untold: Mapping[str, Iterable[tuple[Move, float]]], *, known: bool) -> None:
        """Before anything else: what the process before this one had not told, and whether it had read what is shared.

        If it had, its snapshot is as good for moves as for all the rest; else no routes are told before that.
        """
        for zone, rows in untold.items():
            for move, when in rows:
                self._ledger.forget(zone, [move], when)
        if not known:
            self._routing.wait_for_moves(NOT_READ)

    def forget(self, zone: str, moves: Iterable[Move]) -> None:
        """An operator says that no callers are left of these: the others are to be told."""
        self._ledger.forget(zone, moves, self._now())
        self._settled.clear()
        self._stirred.set()

    async def settle(self, within: float) -> str:
        """Wait until the others can know what was forgotten here; why they can not yet, or ``''``."""
        try:
            async with asyncio.timeout(within):
                while self._ledger.untold:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            return self.trouble or "it is being written"
        return ""

    # ------------------------------------------------------------------ reading

    async def run(self) -> None:
        """Read and write until cancelled; what was being written when it ended is looked at again."""
        self._stirred.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mirror.run())
            group.create_task(self._watch_over())
            group.create_task(self._write_all())

    def _read(self, names: list[Name]) -> None:
        """Some ConfigMaps changed, or all are read for the first time."""
        for name in names:
            shard = self._mirror.values.get(name)
            number = _number(name) if shard is None else shard.number
            if number is None:
                continue
            if self._written.get(number, ("", 0.0))[0] == self._mirror.versions.get(name):
                del self._written[number]
            if shard is not None:
                self._clashes.pop(number, None)
            if shard is not None and shard.problem:
                self._log("moves-not-understood", level="error", reason=shard.problem)
                continue
            self._take(number, shard.entries if shard is not None else {})
        if self.synced and not self._routing.knows_moves:
            self._log("moves-read", facts=len(self._ledger.shared))
            self._routing.wait_for_moves("")
        self._settled.set()
        self._stirred.set()

    def _take(self, number: int, entries: Mapping[Fact, Entry]) -> None:
        now, tables = self._now(), self._routing.tables
        news = self._ledger.read(number, entries, self._own)
        adopt: dict[str, list[Move]] = {}
        for fact in news.adopt:
            adopt.setdefault(fact.zone, []).append(entries[fact].move)
        for zone in adopt.keys() & tables.keys():
            self._routing.adopt(zone, adopt[zone], now)
        for fact in news.forget:
            if fact.zone in tables and self._routing.forget(fact.zone, fact.service, fact.interface, now):
                self._log(
                    "move-forgotten", zone=fact.zone, service=fact.service, interface=fact.interface,
                    by="another replica",
                )  # fmt: skip

    def _problems(self) -> str:
        return "; ".join(shard.problem for _, shard in sorted(self._mirror.values.items()) if shard.problem)

    async def _watch_over(self) -> None:
        """Say why routes are not told while what is shared can not be read."""
        while not self._routing.knows_moves:
            trouble = self._problems() or self._mirror.trouble
            self._routing.wait_for_moves(f"{NOT_READ}: {trouble}" if trouble else NOT_READ)
            await asyncio.sleep(1.0)

    # ------------------------------------------------------------------ writing

    async def _write_all(self) -> None:
        """Write what is to be written, whenever something may be."""
        while True:
            try:
                async with asyncio.timeout(self._until_next()):
                    await self._stirred.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(TOGETHER_S)
            self._stirred.clear()
            if self.synced:
                await self._write()

    def _until_next(self) -> float | None:
        """Seconds until something is to be looked at, though nothing happens."""
        waits = []
        if self._failures:
            longest = min(AGAIN_S[1], AGAIN_S[0] * 2 ** min(self._failures, 16))
            waits.append(longest * random.uniform(0.5, 1.0))  # noqa: S311 - only spreads requests
        if (at := self._ledger.next_look()) is not None:
            waits.append(max(0.0, at - self._now()))
        if self._written:
            waits.append(OWN_S)
        return min(waits, default=None)

    async def _write(self) -> None:
        """One round over the shards that must be another way."""
        now = self._now()
        for number, (_, when) in list(self._written.items()):
            if now - when >= OWN_S:
                del self._written[number]
        self._look()
        changes = self._ledger.changes(self._own, self._whole, self._holds, now, leads=self._lease.holds)
        trouble = ""
        for number, entries in sorted(changes.items()):
            if number in self._written:
                continue
            try:
                await self._replace(number, entries)
            except ApiError as error:
                trouble = self._refused(number, error) or trouble
            except ValueError as error:  # KubeConfigError is one; it may have been written all the same
                trouble = f"configmap {movefiles.name_of(number)}: {error}"
        self._clashes = {number: since for number, since in self._clashes.items() if number in changes}
        self._failures = self._failures + 1 if trouble or self._clashes else 0
        if trouble and trouble != self._write_trouble:
            self._log("moves-not-shared", level="warning", reason=trouble)
        self._write_trouble = trouble

    def _refused(self, number: int, error: ApiError) -> str:
        """Why a shard could not be written; ``''``: another replica wrote it, which is read in a moment.

        One that nobody finds is left as it is: what others wrote there must not be lost.
        """
        name = movefiles.name_of(number)
        if error.status != 409:
            return f"configmap {name}: {f'HTTP {error.status}: ' if error.status else ''}{error.message}"
        if (self._namespace, name) in self._mirror.versions:
            self._clashes.pop(number, None)
            return ""
        now = asyncio.get_running_loop().time()
        if now - self._clashes.setdefault(number, now) < OWN_S or self._mirror.trouble:
            return ""
        return (
            f"configmap {name} exists without the label {movefiles.SELECTOR}, so no replica reads it: "
            f"kubectl label --overwrite configmap -n {self._namespace} {name} {movefiles.SELECTOR}"
        )

    def _look(self) -> None:
        """Have the ledger look at what was touched since the last time."""
        for zone, table in self._routing.tables.items():
            if not self._routing.whole(zone):
                continue
            touched = table.take_touched()
            # What is shared of a zone is looked at when it is read, so the first time only what is not is missing.
            for subject in {move.interface for move in table.moves} if touched is None else touched:
                if isinstance(subject, ObjectRef):
                    facts = [fact_of(zone, move) for move in table.moves.of(subject)]
                else:
                    facts = [Fact(zone, service, subject) for service in table.moves.left(subject)]
                self._ledger.touched(zone, subject, facts)

    def _whole(self, zone: str) -> bool:
        return zone in self._routing.tables and self._routing.whole(zone)

    def _own(self, fact: Fact) -> Move | None:
        table = self._routing.tables.get(fact.zone)
        return table.moves.get(fact.service, fact.interface) if table is not None else None

    def _holds(self, fact: Fact, move: Move) -> bool:
        return self._routing.tables[fact.zone].holds(move)

    async def _replace(self, number: int, entries: Mapping[Fact, Entry]) -> None:
        """Write one shard. Raises ApiError and ValueError."""
        name = movefiles.name_of(number)
        version = self._mirror.versions.get((self._namespace, name), "")
        document, omitted = movefiles.document(self._namespace, number, entries, version)
        if omitted != self.omitted.get(number, 0):
            self._log("moves-without-room", level="error", configmap=name, omitted=omitted)
        self.omitted[number] = omitted
        collection = CONFIG_MAPS.path(self._namespace)
        if version:
            answer = await self._api.put(f"{collection}/{name}", document)
        else:
            answer = await self._api.post(collection, document)
        written = answers.version(answers.read(answer))
        if self._mirror.versions.get((self._namespace, name)) != written:
            self._written[number] = (written, self._now())


def _shard(found: dict[str, Any]) -> Shard:
    try:
        read = movefiles.read(found)
    except movefiles.NotUnderstoodError as error:
        return Shard(_number(("", str(found["metadata"]["name"]))), {}, str(error))
    return Shard(None, {}, "") if read is None else Shard(*read, "")


def _number(name: Name) -> int | None:
    """The shard of a ConfigMap's name."""
    names = movefiles.names()
    return names.index(name[1]) if name[1] in names else None
