"""What is to be done of each Service's objects: what is wanted beside what stands, kept Service by Service.

``look`` at a Service costs what its own objects cost, and nothing looks at all of them: a round of the writer touches
the Services of which something changed.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from soadns.logs import Log
from soadns.mesh.filterplan import (
    CHANGE,
    CREATE,
    REMOVE,
    Data,
    Likeness,
    Name,
    Step,
    Wanted,
    name_of,
    step_for,
)
from soadns.mesh.istiod import Rejects
from soadns.mesh.renderings import Renderings
from soadns.mesh.routefiles import RouteFiles, names_files
from soadns.mesh.standing import StandingFilters
from soadns.mesh.trials import Trials
from soadns.sidecar import filterchecks
from soadns.sidecar.envoyfilters import Rendered

APPLIED, OUTDATED, MISSING, UNWANTED, REFUSED = "applied", "outdated", "missing", "unwanted", "refused"
"""How an object stands: as it is wanted, otherwise, not at all, or although it is not wanted; or what may not be."""
_STATES = {CREATE: MISSING, CHANGE: OUTDATED, REMOVE: UNWANTED}


class FilterBook:
    """The objects of all Services.

    :param clusters: those that Istio is known to have, or may have.
    """

    def __init__(
        self,
        standing: StandingFilters,
        renderings: Renderings,
        files: RouteFiles,
        trials: Trials,
        clusters: Callable[[], Container[str]],
        *,
        log: Log,
    ) -> None:
        self._standing = standing
        self._renderings = renderings
        self._files = files
        self._trials = trials
        self._clusters = clusters
        self._log = log
        self.likeness = Likeness()
        self.wanted: dict[Name, Wanted] = {}
        """The objects as they should be; what may not be written stays as it stands."""
        self.steps: dict[Name, Step] = {}
        """What is to be done."""
        self.refused: dict[Name, str] = {}
        """Objects that may not be written, and why."""
        self.refused_uids: dict[Name, str] = {}
        """Of whose Services they are."""
        self._by_server: set[Name] = set()
        """Those of them that the API server refused."""
        self._names: dict[str, set[Name]] = {}
        """By UID: all of these that a Service has."""
        self._totals = dict.fromkeys(_STATES.values(), 0)

    @property
    def counts(self) -> dict[str, int]:
        """Objects by how they stand."""
        applied = len(self._standing.of) - self._totals[OUTDATED] - self._totals[UNWANTED]
        return {APPLIED: applied, **self._totals, REFUSED: len(self.refused)}

    def names(self, uid: str) -> set[Name]:
        """The objects of one Service that stand, are wanted, or are refused."""
        return self._names.get(uid, set()) | self._standing.names(uid)

    @property
    def uids(self) -> list[str]:
        """The Services that have any."""
        return list(self._names)

    # ------------------------------------------------------------------ looking

    def begin_anew(self) -> list[str]:
        """Forget all, for a look may not have come to its end; returns UIDs of Services to look at."""
        uids = self.uids
        for each in (self.wanted, self.steps, self.refused, self.refused_uids, self._by_server, self._names):
            each.clear()
        self._trials.until.clear()
        self._totals = dict.fromkeys(self._totals, 0)
        return uids

    def look(self, uid: str, rejects: Rejects, now: float) -> None:
        """Decide again about one Service's objects.

        :param now: Unix seconds.
        """
        before = self._names.get(uid, set())
        said = {name: self.refused[name] for name in before if name in self.refused}
        for name in before:
            self.wanted.pop(name, None)
            self._trials.until.pop(name, None)
            if (step := self.steps.pop(name, None)) is not None:
                self._totals[_STATES[step.kind]] -= 1
            if name not in self._by_server:
                self._pardon(name)
        rendered = self._renderings.of(uid)
        wanted = self._want(rendered, said, rejects, now) if rendered is not None else set()
        self._files.put(uid, rendered.files if rendered is not None else ())
        names = {*before, *wanted, *self._standing.names(uid)}
        for name in names:
            held = self._standing.of.get(name)
            if names_files(name):
                self._files.named_by(name, held.document if held is not None else None)
            step = step_for(name, self.wanted.get(name), held, self._renderings.fate, self.likeness.same)
            if step is not None:
                self.steps[name] = step
                self._totals[_STATES[step.kind]] += 1
            elif name in self._by_server:
                self._pardon(name)
        self._names.pop(uid, None)
        if names := {n for n in names if n in self.wanted or n in self.steps or n in self.refused}:
            self._names[uid] = names

    def _want(self, rendered: Rendered, said: dict[Name, str], rejects: Rejects, now: float) -> set[Name]:
        """Note what is wanted of one Service, and what may not be; returns the names of all that."""
        whole, found = [], set()
        for document in rendered.filters:
            name = name_of(document)
            problems = self._problems(name, document, rendered)
            if not problems:
                whole.append(document)
                continue
            found.add(name)
            self.refuse(name, rendered.uid, "; ".join(problems), said.get(name, ""))
            if (held := self._standing.of.get(name)) is not None:
                self.wanted[name] = Wanted(held.document, rendered.uid)
        for document in self._trials.places(whole, self._standing.of, rejects, now):
            found.add(name_of(document))
            self.wanted[name_of(document)] = Wanted(document, rendered.uid)
        return found

    def _problems(self, name: Name, document: Data, rendered: Rendered) -> list[str]:
        """Why an object must not be written."""
        found = filterchecks.problems(document, listeners=rendered.listeners, clusters=self._clusters())
        if names_files(name):
            found += self._files.problems(rendered.files)
            found += self._files.without_room(name[0], document)
        return found

    # ------------------------------------------------------------------ what may not be written

    def refuse(self, name: Name, uid: str, why: str, said: str = "", *, by_server: bool = False) -> None:
        """An object may not be written. ``said`` is what was logged of that: it is looked at again and again."""
        if why not in (said, self.refused.get(name)):
            self._log("filter-refused", level="error", filter="/".join(name), reason=why)
        self.refused[name], self.refused_uids[name] = why, uid
        (self._by_server.add if by_server else self._by_server.discard)(name)

    def accept(self, name: Name) -> None:
        """The API server took it."""
        if name in self._by_server:
            self._pardon(name)

    def pardon_all(self) -> None:
        """Forget what the API server refused: another replica writes now."""
        for name in list(self._by_server):
            self._pardon(name)

    def _pardon(self, name: Name) -> None:
        self._by_server.discard(name)
        self.refused.pop(name, None)
        self.refused_uids.pop(name, None)
