"""That sidecars refused something, noted at an EnvoyFilter of ours: who has the Lease next writes nothing more, either.

A process that ends, or loses the Lease, takes along what it knows of that, and nobody else tells: istiod counts what is
refused, and not when. So it stands in an annotation until somebody releases it. Who writes it owns nothing else of the
object, so that it neither waits for a change of the filter nor makes one, and sidecars hear nothing of it: Istio pushes
no object of which its own annotations, its labels and ``spec`` are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError
from soadns.logs import Log
from soadns.mesh.filterplan import Name
from soadns.mesh.filtersending import AGAIN_S
from soadns.mesh.filtersettings import SOURCE
from soadns.mesh.istioreader import ENVOY_FILTERS
from soadns.mesh.standing import StandingFilters
from soadns.mesh.trials import Trials
from soadns.sidecar.envoyfilters import API_VERSION, KIND, REFUSED_SINCE

MANAGER = "soadns-halt"
"""As which that annotation, and nothing else, is ours."""


class HaltNotes:
    """What is noted, and what is to be.

    :param now: Unix seconds.
    """

    def __init__(
        self, api: KubeApi, standing: StandingFilters, trials: Trials, *, log: Log, now: Callable[[], float]
    ) -> None:
        self._api = api
        self._standing = standing
        self._trials = trials
        self._log = log
        self._now = now
        self._said = ""
        self._tried: dict[tuple[Name, str], float] = {}
        """What was to be noted, and when: until it is read, or tried again."""
        self._trouble = ""

    @property
    def next_look(self) -> float:
        """When something may be tried again, in Unix seconds."""
        return min(self._tried.values(), default=inf) + AGAIN_S

    async def keep(self, may: Callable[[], bool]) -> None:
        """Have one object say that something was refused, and none say what was released.

        :param may: whether this replica may write.
        """
        halt, now = self._trials.halt, self._now()
        if halt and halt != self._said:
            self._log("filters-halted", level="error", since=halt, hint=f"soadns release {SOURCE}")
        self._said = halt
        self._tried = {what: when for what, when in self._tried.items() if now < when + AGAIN_S}
        notes = self._standing.notes
        wanted = {name: "" for name, text in notes.items() if self._trials.released(text)}
        if halt and halt not in notes.values() and self._standing.of:
            wanted[self._where()] = halt
        for name, text in wanted.items():
            if (name, text) not in self._tried and may():
                self._tried[name, text] = now
                await self._note(name, text)

    def _where(self) -> Name:
        """The object that was written last, for it may be to blame; else one that is tried, or any."""
        names = self._standing.of
        if self._trials.last in names:
            return self._trials.last
        return min(names, key=lambda name: (name[0] != self._trials.namespace, name))

    async def _note(self, name: Name, text: str) -> None:
        held = self._standing.of.get(name)
        if held is None:  # it went while another one was noted
            del self._tried[name, text]
            return
        metadata = {"namespace": name[0], "name": name[1], "resourceVersion": held.version}
        noted = {"annotations": {REFUSED_SINCE: text}} if text else {}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {**metadata, **noted}}
        try:
            await self._api.apply(f"{ENVOY_FILTERS.path(name[0])}/{name[1]}", body, manager=MANAGER)
        except (ApiError, KubeConfigError) as error:
            status = error.status if isinstance(error, ApiError) else 0
            if status in (404, 409):  # it is another one by now, and read in a moment
                del self._tried[name, text]
                return
            said = f"HTTP {status}: {error}" if status else str(error)
            if said != self._trouble:
                self._log("halt-not-noted", level="warning", filter="/".join(name), reason=said)
            self._trouble = said
        else:
            self._trouble = ""
