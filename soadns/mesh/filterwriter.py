"""EnvoyFilters in the API server, kept as the routes want them: the publisher for Istio's sidecars.

``renderings`` has what is wanted, ``filterplan`` says what is to be done, ``filterguard`` and ``Pace`` when.
Nothing is written before routes are told, everything of Istio's and ours was read, and this replica has the Lease; and
each object only after it was held against what is known to be right (``filterchecks``) and against the API server
itself (a dry run). Every write names the version that it replaces, or the UID of what it deletes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError
from soadns.logs import Log
from soadns.mesh.filterguard import FilterGuard
from soadns.mesh.filterplan import (
    CHANGE,
    CREATE,
    REMOVE,
    Data,
    Likeness,
    Name,
    Pace,
    Standing,
    Step,
    Wanted,
    digest,
    name_of,
    steps,
)
from soadns.mesh.istiod import Istiod
from soadns.mesh.istioreader import ENVOY_FILTERS, IstioReader
from soadns.mesh.lease import Lease
from soadns.mesh.renderings import SWEEP_S, Renderings, Told
from soadns.mesh.routefiles import RouteFiles
from soadns.mesh.trials import Trials
from soadns.model import ObjectRef
from soadns.sidecar import filterchecks
from soadns.sidecar.envoyfilters import Rendered

MANAGER = "soadns"
SOURCE = "mesh/filters"
"""What operators release."""
PAST = {CREATE: "created", CHANGE: "changed", REMOVE: "removed"}
APPLIED, OUTDATED, MISSING, UNWANTED, REFUSED = "applied", "outdated", "missing", "unwanted", "refused"
"""How an object stands: as it is wanted, otherwise, not at all, or although it is not wanted; or what may not be."""
_STATES = {CREATE: MISSING, CHANGE: OUTDATED, REMOVE: UNWANTED}
TOGETHER_S = 1.0
"""How long the writer waits for more changes: istiod waits a tenth of that for more."""
AGAIN_S = 30.0
"""Until an object that was refused is tried again, though nothing changed."""


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """What is configured."""

    zone: str
    root_namespace: str
    try_first: str
    """Namespace in which a Service's first filter is written before it is for all; ``''``: it is not."""
    try_for: float
    """Seconds until it is for all then."""
    metrics: tuple[str, ...]
    """URLs of istiod's metrics."""
    file_delay: float
    """Seconds until a file of rules is mounted in every pod that mounts it."""
    domain: str
    share: float
    minimum: int
    write: bool
    """False: what is to be done is shown, and not done."""


class FilterWriter:
    """The filters of one process.

    :param now: Unix seconds.
    """

    def __init__(
        self,
        api: KubeApi,
        told: Told,
        lease: Lease,
        settings: FilterSettings,
        *,
        log: Log,
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._told = told
        self._lease = lease
        self._settings = settings
        self._log = log
        self._now = now
        wishes = told.meshing.wishes
        namespaces = {settings.root_namespace, settings.try_first, *wishes.namespaces} - {""}
        self.istiod = Istiod(settings.metrics, now=now)
        self.reader = IstioReader(api, namespaces, hear=self._hear)
        self.guard = FilterGuard(settings.share, settings.minimum)
        self.files = RouteFiles(api, wishes, settings.file_delay, log=log, now=now, hear=self._stir)
        self.renderings = Renderings(
            told, settings.zone, settings.root_namespace, settings.domain, self.reader, stir=self._stir
        )
        self.refused: dict[Name, str] = {}
        """Objects that may not be written, and why."""
        self.refused_uids: dict[Name, str] = {}
        """Of whose Services they are."""
        self.waiting: dict[Name, tuple[float, str]] = {}
        """Objects that wait: until when, at least, and for what."""
        self.counts = dict.fromkeys((APPLIED, OUTDATED, MISSING, UNWANTED, REFUSED), 0)
        """Objects by how they stood at the last look."""
        self.written = 0
        """Objects that were written or removed."""
        self._trials = Trials(settings.try_first, settings.root_namespace, settings.try_for)
        self._checked: dict[Name, tuple[Data, list[str]]] = {}
        self._pace = Pace()
        self._likeness = Likeness()
        self._tried: dict[Name, tuple[str, float]] = {}
        """What the API server refused last, and when."""
        self._sent: dict[Name, tuple[str, float]] = {}
        """What was written and not read since: its version, and when."""
        self._stirred = asyncio.Event()
        lease.on_change(self._lease_changed)

    @property
    def rendered(self) -> dict[ObjectRef, Rendered]:
        """What is wanted of each Service."""
        return self.renderings.rendered

    @property
    def mode(self) -> str:
        """Whether it is written, or read alone."""
        return "write" if self._settings.write else "read"

    @property
    def trouble(self) -> str:
        """What can not be read or written now; ``''``: all can."""
        return "; ".join(filter(None, (self.reader.trouble, self.files.trouble)))

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Keep the filters until cancelled."""
        number = self._told.routing.listen(lambda _: self._stir())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.reader.run())
                group.create_task(self.istiod.run())
                group.create_task(self.files.run())
                group.create_task(self._keep())
        finally:
            self._told.routing.leave(number)

    def _stir(self) -> None:
        self._stirred.set()

    def _hear(self, routed: bool) -> None:
        self.renderings.outdated |= routed
        self._stir()

    def _lease_changed(self) -> None:
        if self._lease.holds:  # whoever had it before may just have changed them
            self._pace.begin((each.uid for each in self.reader.ours().values()), self._now())
        self._stir()

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._stirred.wait()
            await asyncio.sleep(TOGETHER_S)
            self._stirred.clear()
            if not self.waits_for:
                await self.renderings.follow(self.reader.ours())
                await self._write()

    def _pause(self) -> float:
        """Seconds until something is to be looked at, though nothing happens."""
        now = self._now()
        moments = [at for at, _ in self.waiting.values()]
        moments += [when + AGAIN_S for _, when in (*self._tried.values(), *self._sent.values())]
        moments += [at for at in self._trials.until.values() if at > now]
        return max(0.0, min([SWEEP_S, *(at - now for at in moments)]))

    @property
    def waits_for(self) -> str:
        """Why nothing is decided now; ``''``: it is."""
        if reason := self._told.routing.unready(self._settings.zone):
            return reason
        if not self.reader.synced:
            return self.reader.trouble or "Istio's objects are being read"
        if not self.reader.installed:
            return "the cluster does not have Istio's kinds (networking.istio.io)"
        return "" if self.files.synced else self.files.trouble or "files of rules are being read"

    # ------------------------------------------------------------------ what is wanted

    def wanted(self, standing: Mapping[Name, Standing]) -> dict[Name, Wanted]:
        """The objects as they should be; what may not be written stays as it stands."""
        found: dict[Name, Wanted] = {}
        self.refused = {name: why for name, why in self.refused.items() if name in self._tried}
        for each in self.rendered.values():
            whole = []
            for document in each.filters:
                name = name_of(document)
                if problems := self._problems(name, document, each.listeners):
                    self._refuse(name, each.uid, "; ".join(problems))
                    if name in standing:
                        found[name] = Wanted(standing[name].document, each.uid)
                else:
                    whole.append(document)
            for document in self._trials.places(whole, standing, self.istiod.rejects, self._now()):
                found[name_of(document)] = Wanted(document, each.uid)
        return found

    def _problems(self, name: Name, document: Data, listeners: frozenset[str]) -> list[str]:
        """Why an object must not be written; what was looked at is not looked at again."""
        before = self._checked.get(name)
        if before is None or before[0] is not document:
            before = self._checked[name] = (document, filterchecks.problems(document, listeners=listeners))
        return before[1]

    def stands(self, name: Name, wish: Wanted, held: Standing) -> bool:
        """Whether an object stands as it is wanted."""
        return self._likeness.same(name, wish.document, held.document)

    def _refuse(self, name: Name, uid: str, why: str) -> None:
        self.refused_uids[name] = uid
        if self.refused.get(name) != why:
            self._log("filter-refused", level="error", filter="/".join(name), reason=why)
        self.refused[name] = why

    # ------------------------------------------------------------------ what is written

    def pending(self) -> list[Step]:
        """What is to be done."""
        standing = self.reader.ours()
        return steps(self.wanted(standing), standing, self.renderings.fate, self._likeness.same)

    async def _write(self) -> None:
        """One round of what may be done now."""
        standing, now = self.reader.ours(), self._now()
        for name, (version, when) in list(self._sent.items()):
            held = standing.get(name)
            if (held.version if held is not None else "") == version or now - when >= AGAIN_S:
                del self._sent[name]
        held_before = self.guard.alarm.held
        pending = self.pending()
        self._count(pending, len(standing))
        names = {step.name for step in pending} if self._lease.holds else set()
        self._tried = {name: tried for name, tried in self._tried.items() if name in names}
        allowed = self.guard.sort_out(pending, len(standing), now)
        alarm = self.guard.alarm
        if alarm.held and not held_before:
            self._log(
                "filters-held", level="error", held=alarm.held, of=alarm.total,
                hint=f"soadns release {SOURCE}",
            )  # fmt: skip
        self.waiting = {name: (at, "it is tried there first") for name, at in self._trials.until.items()}
        if not self._leads():
            return
        await self.files.write(self.rendered.values(), standing, self._leads)
        for step in allowed:
            if not self._leads():  # each step takes a while
                return
            if self._may(step, standing, now):
                await self._do(step, standing.get(step.name))

    def _leads(self) -> bool:
        """Whether this replica may write now."""
        return self._settings.write and self._lease.holds

    def _count(self, pending: list[Step], total: int) -> None:
        self.counts = dict.fromkeys(self.counts, 0)
        for step in pending:
            self.counts[_STATES[step.kind]] += 1
        self.counts[APPLIED] = total - self.counts[OUTDATED] - self.counts[UNWANTED]
        self.counts[REFUSED] = len(self.refused)

    def _may(self, step: Step, standing: Mapping[Name, Standing], now: float) -> bool:
        """Whether a step may be done in this round; else it waits."""
        if step.name in self._sent:
            return False
        refused = self._tried.get(step.name)
        if refused is not None and refused[0] == _what(step) and now - refused[1] < AGAIN_S:
            return False
        if wait := self._pace.wait(step, now):
            self.waiting[step.name] = (now + wait, "its rules changed within the last minute")
            return False
        if step.document is not None and not step.urgent:
            if self._trials.halted(self.istiod.rejects):
                self.waiting[step.name] = (
                    now + AGAIN_S,
                    f"sidecars refused something (soadns release {SOURCE})",
                )
                return False
            rendered = self.renderings.of(step.uid)
            if rendered is not None and (until := self.files.ready_at(step.name, rendered, standing)) > now:
                self.waiting[step.name] = (min(until, now + SWEEP_S), "its files of rules are being mounted")
                return False
        return True

    async def _do(self, step: Step, held: Standing | None) -> None:
        namespace, name = step.name
        path = f"{ENVOY_FILTERS.path(namespace)}/{name}"
        now = self._now()
        try:
            if step.kind == REMOVE:
                assert held is not None
                await self._api.delete(path, uid=held.object_uid)
                version = ""
            else:
                assert step.document is not None
                version = await self._apply(path, step, held)
        except ApiError as error:
            if error.status not in (404, 409):  # else it is another one by now, and read in a moment
                self._tried[step.name] = (_what(step), now)
                status = f"HTTP {error.status}: " if error.status else ""
                self._refuse(step.name, step.uid, f"{status}{error.message}")
            return
        except KubeConfigError as error:
            self._refuse(step.name, step.uid, str(error))
            return
        self._tried.pop(step.name, None)
        self.refused.pop(step.name, None)
        self._sent[step.name] = (version, now)
        self._pace.note(step, now)
        self.guard.note(step, now)
        self._trials.note(step, now)
        self.written += 1
        self._log(f"filter-{PAST[step.kind]}", filter="/".join(step.name), urgent=step.urgent or None)

    async def _apply(self, path: str, step: Step, held: Standing | None) -> str:
        """Write one object, after the API server was asked whether it would; returns its version."""
        assert step.document is not None
        document = dict(step.document)
        if held is not None:
            document["metadata"] = {**document["metadata"], "resourceVersion": held.version}
        await self._api.apply(path, document, manager=MANAGER, dry_run=True)
        answer = json.loads(await self._api.apply(path, document, manager=MANAGER))
        self._likeness.note(step.name, step.document, answer)
        return str(answer["metadata"]["resourceVersion"])

    def release(self) -> int:
        """Let what is held happen; returns how many objects that concerns."""
        count = self.guard.release()
        self._trials.forgive(self._now())
        self._stir()
        return count


def _what(step: Step) -> str:
    return digest(step.document) if step.document is not None else REMOVE
