"""One zone's names over time: store, binding, guard and history put together, without I/O.

``Zone.apply`` takes changes of observations, ``Zone.work`` advances the names they touch, and the
owner names whose records changed are collected until ``take_published``. Time is given by the caller; the
zone says by ``next_clock`` when it wants to be worked on again. Nothing here waits, logs or opens
anything, so the same code runs in the daemon, in the demo and under virtual time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from soadns.binding.answers import outcome
from soadns.binding.arrivals import Arrivals
from soadns.binding.bind import Step, remove, step
from soadns.binding.deadlines import Deadlines
from soadns.binding.evidence import Evidence, as_won, collect
from soadns.binding.guard import Guard
from soadns.binding.hearing import Hearing
from soadns.binding.history import History, Transition, describe
from soadns.binding.memory import Memory
from soadns.binding.observations import Change, Observations
from soadns.binding.publication import Publication
from soadns.binding.state import Rules, State
from soadns.binding.store import ALL, Store
from soadns.binding.zonesettings import ZoneSettings
from soadns.model import Binding, InterfaceId, ObjectRef, Outcome, Records

MOVES = 3
"""Changes of winner that one name makes in one instant, at most."""
IN_ORDER = 1_000
"""So many names are advanced in order, so that their transitions are told in order; to sort more takes too long."""


class Decided(NamedTuple):
    """What changed of a zone, for whoever follows it."""

    interfaces: set[InterfaceId]
    """Names whose outcomes may be others."""
    services: set[ObjectRef]
    slices: set[ObjectRef]
    """Services whose EndpointSlices may be others."""
    rosters: set[ObjectRef]
    """Services at whose endpoints other providers may be."""


class Zone:
    """The names of one zone. Times are Unix seconds."""

    def __init__(self, settings: ZoneSettings, observations: Observations) -> None:
        self.settings = settings
        self.observations = observations
        self.store = Store(settings.store)
        self._hearing = Hearing(settings, observations)
        self._arrivals = Arrivals(observations)
        self.guard = Guard(settings.guard, self._hearing.elapsed)
        self.history = History()
        self.memory = Memory(self.guard)
        self.states, self.sources = self.memory.states, self.memory.sources
        self.publication = Publication(
            settings.name, settings.nested, ttl=settings.ttl, provider_ttl=settings.provider_ttl
        )
        self.outcomes, self.owners = self.publication.outcomes, self.publication.owners
        self._decided: set[InterfaceId] = set()
        """Names that were advanced, restored or disowned since ``take_decided``."""
        self._rescoped = False
        self.complete = False
        """Whether every required source was known once, so that names may be bound."""
        self._queue: list[InterfaceId] = []
        """Names that are being advanced, the next one last."""
        self._due: deque[tuple[InterfaceId, Step, Evidence]] = deque()
        """Removals that wait until all dirty names are advanced."""
        self._looked_at: set[InterfaceId] = set()
        """Names advanced while a source of theirs was out of sync."""
        self._deadlines = Deadlines()

    # ------------------------------------------------------------------ input

    def apply(
        self,
        changes: Iterable[Change],
        now: float,
        *,
        first: frozenset[str],
        foreign: frozenset[str] = frozenset(),
    ) -> None:
        """Take in changes of the sources that the zone listens to.

        ``first``: those on their first pass; ``foreign``: those that turned out to be others than before.
        """
        mine = [c for c in changes if c.source in self.settings.sources]
        patient = self.settings.sources if self.complete else self.settings.optional
        if at_once := self._arrivals.sift(mine, patient, foreign):
            self.store.apply(at_once, now, first=first)

    def sync_changed(self, source: str, now: float, *, in_sync: bool) -> None:
        """A source came into sync or fell out of it."""
        if source in self.settings.sources:
            self.store.sync_changed(source, now, in_sync=in_sync)
            if in_sync:
                # A loss that was due is not acted upon while the source is out of sync.
                if bound := self.guard.bound.get(source):
                    self.store.dirty.update(bound & self.memory.waiting)
                self.store.dirty.update(self._looked_at)
                self._looked_at.clear()

    def scopes_changed(self) -> None:
        """Which interfaces can be read has changed; what that means is published with the names it touches."""
        self._rescoped = True

    @property
    def awaited(self) -> list[str]:
        """Required sources nobody has heard yet: what they may know is not denied, complete or not."""
        return self._hearing.awaited

    def check_complete(self) -> bool:
        """Whether the zone may bind; turns true once and stays so."""
        if not self.complete:
            self.complete = not self.awaited
            if self.complete:
                self.store.dirty.update(self.store.interfaces, self.store.services.declared, self.states)
        return self.complete

    # ------------------------------------------------------------------ work

    def next_clock(self) -> float | None:
        """When ``work`` has something to do by the passing of time alone."""
        times = [t for t in (self.store.clocks.next(), self._deadlines.next()) if t is not None]
        return min(times, default=None)

    @property
    def unjudged(self) -> bool:
        """Whether ``work`` has sites of a first reading to judge: folding more now would do that all at once."""
        return self.store.unjudged

    @property
    def pending(self) -> bool:
        """Whether ``work`` has something to do now."""
        return self.unjudged or (self.complete and self._has_work)

    @property
    def _has_work(self) -> bool:
        return bool(
            self._queue
            or self.store.dirty
            or self.store.touched_services
            or self._due
            or self._arrivals
            or self._rescoped
        )

    def work(self, now: float, *, limit: int = ALL) -> list[Transition]:
        """Advance up to ``limit`` names, or judge as many sites before; returns the names' transitions.

        No name is advanced before all sites are judged, and no removal is judged before all names are advanced:
        the guard must see a mass as a mass.
        """
        if not (self.store.judge(now, limit) and self.store.run_clocks(now, limit) and self.check_complete()):
            return []
        if self._arrivals and not self._take_arrivals(now, limit):
            return []
        self._gather(now, limit)
        transitions: list[Transition] = []
        for _ in range(min(limit, len(self._queue))):
            interface = self._queue.pop()
            self.store.dirty.discard(interface)
            self._advance(interface, now, transitions)
        if not (self._queue or self.store.dirty or self._deadlines.is_due(now)):
            if self._rescoped:
                self._rescoped = False
                self.publication.leave_unsaid(self._hearing.unreadable)
            for _ in range(min(limit, len(self._due))):
                interface, result, evidence = self._due.popleft()
                if self.states.get(interface) is result.state:
                    self._judge_removal(interface, result, evidence, transitions)
        return transitions

    def _take_arrivals(self, now: float, limit: int) -> bool:
        """Take in a portion of what sources said in their first reading; returns whether all of it is judged."""
        portion = self._arrivals.take()
        self.store.apply(portion.changes, now, first=portion.first)
        for source in sorted(portion.over):
            self.store.first_pass_over(source)
        return self.store.judge(now, limit) and not self._arrivals

    def _gather(self, now: float, limit: int) -> None:
        """Mark the names whose Services were touched or whose clocks are due, and queue those that are marked."""
        dirty = self.store.dirty
        for ref in self.store.touched_services:
            dirty.update(self.memory.watchers(ref))
            home = self.settings.clusters.home
            if ref.cluster == home:
                for cluster in self.settings.cluster_sources:
                    if cluster != home:
                        remote = ref._replace(cluster=cluster)
                        dirty.update(self.memory.watchers(remote))
                        dirty.update(self.store.interfaces_of(remote))
        self.store.touched_services.clear()
        dirty.update(self._deadlines.due(now, limit))
        if not self._queue:
            self._queue = sorted(dirty, reverse=True) if len(dirty) <= IN_ORDER else list(dirty)
            dirty.clear()

    def _advance(self, interface: InterfaceId, now: float, transitions: list[Transition]) -> None:
        state = self.states.get(interface, State(since=now))
        rules = self._hearing.rules(self.sources.get(interface, ()))
        result, evidence = self._step(interface, state, now, rules)
        self._store_result(interface, state, result, evidence, transitions)
        if evidence.paused or not all(candidate.heard for candidate in evidence.candidates):
            self._looked_at.add(interface)
        if result.removal:
            self._due.append((interface, result, evidence))

    def _step(self, interface: InterfaceId, state: State, now: float, rules: Rules) -> tuple[Step, Evidence]:
        """Step until the winner stays, and the evidence as asked for that winner.

        A new winner's own figures (ports, traffic mode, addresses) are not asked for before it won.
        """
        evidence = self.evidence(interface, state, now)
        result = step(state, evidence, rules)
        asked = state.winner
        for _ in range(MOVES):
            if result.state.winner == asked:
                break
            won = result.state.winner
            if (
                won is not None
                and state.winner is None
                and state.previous is None
                and evidence.winner is None
            ):
                evidence = as_won(evidence, won)
            else:
                evidence = self.evidence(interface, result.state, now)
            asked = won
            result = step(result.state, evidence, rules)
            if result.removal:
                result = replace(result, removal="")
        if result.state.winner != asked:
            evidence = self.evidence(interface, result.state, now)
        return result, evidence

    def evidence(self, interface: InterfaceId, state: State, now: float) -> Evidence:
        """What speaks for whom now."""
        sources = self.sources.get(interface, ())
        return collect(
            self.store,
            interface,
            now=now,
            winner=state.winner,
            held=state.addresses,
            held_ports=state.ports,
            claims=self.settings.claims,
            clusters=self.settings.clusters,
            outages=self._hearing.outages(sources),
            other_services=(state.previous,) if state.previous is not None else (),
            unheard=self._hearing.unheard(sources, state),
        )

    def _judge_removal(
        self, interface: InterfaceId, result: Step, evidence: Evidence, transitions: list[Transition]
    ) -> None:
        state, now = result.state, evidence.now
        if evidence.paused and interface not in self.guard.released:
            # What ended before its source fell silent is asked again once it speaks.
            return
        if result.removal == "vanished":
            empty_since = state.deleted_at if evidence.winner is None else state.empty_at
            empty_for = evidence.elapsed(empty_since) if empty_since is not None else None
            sources, elapsed = self.sources.get(interface, ()), evidence.elapsed
            if not self.guard.may_go(interface, sources, now, empty_for=empty_for, elapsed=elapsed):
                self._deadlines.set(interface, self.guard.next_look(interface, now, elapsed))
                return
        after, evidence = self._step(interface, remove(state, now), now, self.settings.rules)
        self._store_result(interface, state, replace(after, removal=""), evidence, transitions)

    def _store_result(
        self,
        interface: InterfaceId,
        before: State,
        result: Step,
        evidence: Evidence,
        transitions: list[Transition],
    ) -> None:
        state, now = result.state, evidence.now
        registered = self.store.interfaces.get(interface)
        sources = self._hearing.stands_on(
            registered.registries if registered is not None else {},
            self.sources.get(interface, ()),
            state.winner,
        )
        answer = self._outcome(interface, result, evidence)
        self._decided.add(interface)
        known = registered is not None or interface in self.store.services.declared
        old = self.outcomes.get(interface)
        if not known and not state.bound and state.previous is None:
            self.memory.forget(interface, before, sources)
            self.publication.put(interface, None, 0.0)
            answer_text = "nothing"
        else:
            self.memory.remember(interface, before, state, sources)
            self.publication.put(interface, answer, state.created)
            answer_text = describe(answer)
        self._deadlines.set(interface, result.at)
        old_text = describe(old) if old is not None else self._last_told(interface)
        if old_text != answer_text:
            why = self._why(before, state, answer)
            transition = Transition(interface, old_text, answer_text, why, ",".join(sources), now)
            self.history.add(transition)
            transitions.append(transition)
            if state.cause == "loss" and before.winner != state.winner:
                self.guard.note_move(interface, sources, now)

    def _why(self, before: State, state: State, answer: Outcome) -> str:
        """The cause of a transition: that of the new winner, or what changed under the same one."""
        if (before.winner, before.since) != (state.winner, state.since) and state.cause:
            return state.cause
        if state.winner is None:
            return "providers" if self.history.of(answer.interface) else "first seen"
        steady = isinstance(answer, Binding) and answer.kind != "providers"
        return "address" if steady else "traffic"

    def _last_told(self, interface: InterfaceId) -> str:
        """What a name answered when it was last heard of: after a restart that is no transition."""
        past = self.history.of(interface)
        return past[-1].after if past else describe(None)

    def _outcome(self, interface: InterfaceId, result: Step, evidence: Evidence) -> Outcome:
        return outcome(
            self.store,
            result.state,
            evidence,
            result.standings,
            rules=self.settings.rules,
            clusters=self.settings.clusters,
            owner_octets=self.publication.owner_octets(interface),
        )

    def disown(self, source: str, now: float) -> None:
        """What is known of a source was another one's: no name that stands on it keeps anything of that."""
        for interface in [i for i, sources in self.sources.items() if source in sources]:
            told = describe(self.outcomes.get(interface))
            self.memory.forget(interface, self.states[interface], self.sources[interface])
            self.publication.put(interface, None, 0.0)
            self._decided.add(interface)
            self.history.add(Transition(interface, told, describe(None), "foreign", source, now))
            self.store.dirty.add(interface)
        if source in self._hearing.needed:
            self.complete = False

    def answer_as_remembered(self, now: float) -> None:
        """Names of a snapshot are answered before everything is known; nothing is decided anew."""
        for interface, state in self.states.items():
            evidence = self.evidence(interface, state, now)
            result = step(state, evidence, self.settings.rules)
            answer = self._outcome(interface, replace(result, state=state), evidence)
            self.publication.put(interface, answer, state.created)
            self._decided.add(interface)

    # ------------------------------------------------------------------ output

    def take_published(self) -> dict[str, Records | None]:
        """The owner names whose records changed since the last call."""
        return self.publication.take()

    def take_decided(self) -> Decided:
        """What may have changed since the last call."""
        interfaces, self._decided = self._decided, set()
        services, self.store.changed_services = self.store.changed_services, set()
        slices, self.store.changed_slices = self.store.changed_slices, set()
        rosters, self.store.changed_rosters = self.store.changed_rosters, set()
        return Decided(interfaces, services, slices, rosters)

    def release(self, source: str, now: float) -> int:
        """Let the held removals of a source happen; returns how many names are concerned."""
        del now
        names = self.guard.release(source)
        self.store.dirty.update(names)
        return len(names)
