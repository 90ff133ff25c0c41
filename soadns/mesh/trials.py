"""First writes go to one namespace of callers where so configured, and what sidecars refuse stops the rest. Pure.

A Service's first filter stands in that namespace for a while, and is for all callers after that, unless sidecars have
refused listeners meanwhile. Who has just taken the Lease does not know what they did before, and tries for as long
again. What was refused is noted in the cluster (``haltnotes``): who has the Lease goes by what it knows, and notes
that; all others go by what is noted. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from soadns.mesh.filterplan import REMOVE, Data, Name, Standing, Step
from soadns.mesh.istiod import Rejects
from soadns.reports.views import when

BLAME_S = 60.0
"""For how long after a write of ours what sidecars refuse may be due to it: istiod waits up to ten seconds for more."""


class Trials:
    """``namespace`` ``''``: filters are for all at once. ``seconds``: for how long they are tried."""

    def __init__(self, namespace: str, root: str, seconds: float) -> None:
        self.namespace = namespace
        self._root = root
        self._seconds = seconds
        self._wrote = 0.0
        self._taken = 0.0
        self._forgiven = 0.0
        self.halt = ""
        """Since when nothing is written, because sidecars refused something, as it is noted; ``''``: that is not so."""
        self._noted = False
        """Whether that stood in the cluster."""
        self._released: set[str] = set()
        """What an operator has released, as it was noted."""
        self.last: Name = ("", "")
        """What was written last."""
        self.until: dict[Name, float] = {}
        """Filters that are tried, and until when."""

    def places(
        self, filters: Iterable[Data], standing: Mapping[Name, Standing], rejects: Rejects, now: float
    ) -> list[Data]:
        """Filters of one Service as they are to be written: those for all callers where they may be by now."""
        found = []
        for each in filters:
            namespace, name = each["metadata"]["namespace"], each["metadata"]["name"]
            self.until.pop((self.namespace, name), None)
            tried = {**each, "metadata": {**each["metadata"], "namespace": self.namespace}}
            if namespace != self._root or not self.namespace or (self._root, name) in standing:
                found.append(each)
            elif (stands := standing.get((self.namespace, name))) is None:
                found.append(tried)
            elif (until := self._begin(stands) + self._seconds) <= now and not self.halted(rejects):
                found += [tried, each]
            else:
                self.until[self.namespace, name] = until
                found.append(tried)
        return found

    def _begin(self, stands: Standing) -> float:
        return max(_created(stands.document), self._taken)

    def due(self, now: float) -> list[Name]:
        """Filters that were tried for long enough."""
        return [name for name, until in self.until.items() if until <= now]

    def halted(self, rejects: Rejects) -> bool:
        """Whether sidecars refused something that may be due to what was written."""
        if rejects.since > self._forgiven and 0.0 <= rejects.since - self._wrote < BLAME_S:
            self.halt = self.halt or when(rejects.since) or ""
        return bool(self.halt)

    def read(self, notes: Collection[str], now: float, *, leads: bool) -> None:
        """What is noted in the cluster; ``leads``: whether this is the one who does that."""
        if self.halt in notes:
            self._noted = True
        elif self._noted and not leads:  # who leads was told to go on
            self._forgiven, self.halt, self._noted = now, "", False
        if not self.halt and (others := sorted(set(notes) - self._released)):
            self.halt, self._noted = others[0], True

    def take_over(self, now: float) -> None:
        """The Lease was taken then."""
        self._taken = now

    def note(self, step: Step, now: float) -> None:
        """It was done."""
        if step.kind != REMOVE:
            self._wrote, self.last = now, step.name

    def forgive(self, now: float, notes: Collection[str] = ()) -> None:
        """An operator says that it goes on, whatever is noted."""
        self._released |= {self.halt, *notes} - {""}
        self._forgiven, self.halt, self._noted = now, "", False

    def released(self, note: str) -> bool:
        """Whether that is noted without need."""
        return note in self._released


def _created(document: Data) -> float:
    """When an object was created; it is tried for ever where the API server does not say."""
    try:
        return datetime.fromisoformat(str(document["metadata"]["creationTimestamp"])).timestamp()
    except (LookupError, ValueError):
        return float("inf")
