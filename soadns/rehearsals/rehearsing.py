"""Manifests, tried on a copy of the running process: nothing that is answered changes by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from soadns import forked, selectors
from soadns.control import Control
from soadns.model import Key, Observation, Service
from soadns.rehearsals import rehearsal
from soadns.reports.views import waiting
from soadns.settings.config import Config
from soadns.sources import manifests
from soadns.web.operations import Refused
from soadns.yamlfile import YamlError

REHEARSAL_S = 60.0
"""How long one may take."""


class Rehearsals:
    """One after another: each takes a core, and memory for what it changes in its copy."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._busy = False

    async def rehearse(self, files: Sequence[tuple[str, str]], cluster: str) -> dict[str, Any]:
        """What would change if the objects of these files, (name, text) each, were applied to a cluster.

        :raises Refused: for what is no YAML, a cluster that is not configured, while another one is under way, and
            while a zone does not know everything.
        """
        control = self._control
        cluster, source = _place(control.config, cluster)
        values: list[tuple[Key, Observation]] = []
        rejected, passed_over = [], dict[str, int]()
        for name, text in files:
            try:
                contents = manifests.read(text.encode(), name=name, source=source, cluster=cluster)
            except YamlError as error:
                raise Refused(str(error)) from None
            values += contents.values.items()
            rejected += [
                {"where": r.where, "reason": r.reason, "detail": r.detail} for r in contents.rejected
            ]
            rejected += [
                {
                    "where": f"{name}: Service {v.ref.namespace}/{v.ref.name}",
                    "reason": "annotation",
                    "detail": text,
                }
                for v in contents.values.values()
                if isinstance(v, Service)
                for text in v.problems
            ]
            for kind, count in contents.passed_over.items():
                passed_over[kind] = passed_over.get(kind, 0) + count
        if unknown := waiting(control.estate):
            said = ", ".join(f"{zone['zone']} waits for {zone['sources'][0]['source']}" for zone in unknown)
            raise Refused(f"{said}: what would change is not known yet")
        data = await self._try(values, cluster, source)
        return {"cluster": cluster, "rejected": rejected, "passedOver": passed_over, **data}

    async def _try(self, values: list[tuple[Key, Observation]], cluster: str, source: str) -> dict[str, Any]:
        if self._busy:
            raise Refused("another one is under way: ask again")
        self._busy = True
        try:
            work = partial(_compare, self._control, values, cluster, source)
            pid, reader = forked.begin(work, apart=True)
            found = asyncio.ensure_future(asyncio.to_thread(forked.result, pid, reader))
            found.add_done_callback(_heard)
            try:
                await asyncio.wait([found], timeout=REHEARSAL_S)
            finally:
                if not found.done():  # it is late, or this process ends, and would wait for the thread
                    forked.end(pid)
            data: dict[str, Any] = await found
        except forked.ForkedError as error:
            raise Refused(
                f"it did not end within {REHEARSAL_S:g} s, or by a fault of ours: {error}"
            ) from None
        finally:
            self._busy = False
        if "error" in data:
            raise Refused(data["error"])
        return data


def _heard(found: asyncio.Future[Any]) -> None:
    """Nobody may be left who asks what became of it."""
    if not found.cancelled():
        found.exception()


def _place(config: Config, cluster: str) -> tuple[str, str]:
    """A cluster (empty: the home cluster of the first zone) and the source that reads it. Raises Refused."""
    names = config.cluster_names
    cluster = cluster or config.zones[0].cluster or (names[0] if names else "")
    if any(each.name == cluster for each in config.kubernetes):
        return cluster, f"kube/{cluster}"
    for files in config.static:
        if files.cluster == cluster:
            return cluster, f"static/{files.name}"
    raise Refused(f"no cluster {cluster or 'is read'}; known are {', '.join(names) or 'none'}")


def _compare(
    control: Control, values: list[tuple[Key, Observation]], cluster: str, source: str
) -> dict[str, Any]:
    """In a copy of the process: the objects are folded in a copy of that, so that before and after are one moment's."""
    estate, now = control.estate, control.now()
    read = next((each for each in control.config.kubernetes if each.name == cluster), None)

    def reads(service: Service) -> bool:
        if read is None:
            return True
        within = not read.namespaces or service.ref.namespace in read.namespaces
        return within and selectors.matches(read.selector, dict(service.labels))

    known = estate.observations.source(source).values
    try:
        plan = rehearsal.plan(values, known, source, reads, now)
    except rehearsal.RehearsalError as error:
        return {"error": str(error)}
    rehearsal.settle(estate, now)

    def changed() -> list[Any]:
        touched = rehearsal.apply(estate, plan.events, now)
        return [touched, rehearsal.sides(estate, touched, now)]

    touched, after = forked.result(*forked.begin(changed))
    return rehearsal.comparison(plan, rehearsal.sides(estate, touched, now), after, touched)
