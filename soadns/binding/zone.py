"""One zone's names over time: store, binding, guard and history put together, without I/O.

``Zone.apply`` takes changes of observations, ``Zone.work`` advances the names they touch, and the
owner names whose records changed are collected in ``published``. Time is given by the caller; the
zone says by ``next_clock`` when it wants to be worked on again. Nothing here waits, logs or opens
anything, so the same code runs in the daemon, in the demo and under virtual time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from soadns import naming
from soadns.binding.answers import outcome, records_of
from soadns.binding.arrivals import Arrivals
from soadns.binding.bind import Rules, State, Step, remove, step
from soadns.binding.clusters import Clusters
from soadns.binding.deadlines import Deadlines
from soadns.binding.evidence import Claim, Evidence, collect
from soadns.binding.guard import Guard, GuardSettings
from soadns.binding.history import History, Transition, describe
from soadns.binding.observations import Change, Observations
from soadns.binding.owners import Owners
from soadns.binding.restoring import restore_sites
from soadns.binding.sight import StoreSettings
from soadns.binding.sites import SiteMemory
from soadns.binding.store import Store
from soadns.binding.unsaid import Unsaid
from soadns.model import Binding, InterfaceId, ObjectRef, Outcome, Records

MOVES = 3
"""Changes of winner that one name makes in one instant, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """Everything that distinguishes a zone."""

    name: str
    nested: tuple[str, ...] = ()
    """Other zones below this one: names at or below them are theirs."""
    sources: frozenset[str] = frozenset()
    """Source ids it listens to."""
    optional: frozenset[str] = frozenset()
    """Those of them without which it may start (``required: false``)."""
    immediate: frozenset[str] = frozenset()
    """Sources whose evidence does not linger: static files."""
    cluster_sources: dict[str, str] = field(default_factory=dict)
    """Cluster name → the source id that observes it."""
    clusters: Clusters = field(default_factory=Clusters)
    claims: tuple[Claim, ...] = ()
    rules: Rules
    guard: GuardSettings
    store: StoreSettings
    ttl: int
    provider_ttl: int


class Zone:
    """The names of one zone. Times are Unix seconds."""

    def __init__(self, settings: ZoneSettings, observations: Observations) -> None:
        self.settings = settings
        self.observations = observations
        self.store = Store(settings.store)
        self._arrivals = Arrivals(observations)
        self.guard = Guard(settings.guard)
        self.history = History()
        self.states: dict[InterfaceId, State] = {}
        self.sources: dict[InterfaceId, tuple[str, ...]] = {}
        """The sources on which each name's present answer stands."""
        self.outcomes: dict[InterfaceId, Outcome] = {}
        self.owners = Owners(settings.name, settings.nested)
        self.published: dict[str, Records | None] = {}
        """Owner names whose records changed since ``take_published``."""
        self._unsaid = Unsaid(settings.name)
        self._rescoped = False
        self.complete = False
        """Whether every required source was known once, so that names may be bound."""
        self._at_once = replace(settings.rules, linger=0.0, recreate_grace=0.0, unready=0.0)
        self._due: list[tuple[InterfaceId, Step, Evidence]] = []
        """Removals that wait until all dirty names are advanced."""
        self._looked_at: set[InterfaceId] = set()
        """Names advanced while a source of theirs was out of sync."""
        self._watching: dict[ObjectRef, set[InterfaceId]] = {}
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
                bound = self.guard.bound.get(source, ())
                self.store.dirty.update((i for i in bound if self.states[i].waiting), self._looked_at)
                self._looked_at.clear()
                if pauses := self.observations.source(source).pauses:
                    start, end = pauses[-1]
                    self.guard.resume(source, end - start)

    def scopes_changed(self) -> None:
        """Which interfaces can be read has changed; what that means is published with the names it touches."""
        self._rescoped = True

    def _publish_unsaid(self) -> None:
        self._rescoped = False
        sources = [self.observations.source(source) for source in sorted(self.settings.sources)]
        changes = self._unsaid.replace(name for source in sources for name in source.unreadable.values())
        for owner, records in changes.items():
            if not self.owners.held(owner):
                self.published[owner] = records

    @property
    def _needed(self) -> frozenset[str]:
        return self.settings.sources - self.settings.optional

    @property
    def awaited(self) -> list[str]:
        """Required sources nobody has heard yet: what they may know is not denied, complete or not."""
        return sorted(source for source in self._needed if not self.observations.source(source).known)

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
    def pending(self) -> bool:
        """Whether names wait for ``work`` now."""
        return bool(
            self.store.dirty or self.store.touched_services or self._due or self._arrivals or self._rescoped
        )

    def work(self, now: float, *, limit: int = 1_000_000) -> list[Transition]:
        """Advance up to ``limit`` names; returns their transitions."""
        self.store.run_clocks(now)
        if not self.check_complete():
            return []
        if self._arrivals:
            portion = self._arrivals.take()
            self.store.apply(portion.changes, now, first=portion.first)
            for source in sorted(portion.over):
                self.store.first_pass_over(source, now)
            if self._arrivals:
                return []
        self._gather(now)
        transitions: list[Transition] = []
        dirty = self.store.dirty
        for interface in sorted(dirty) if len(dirty) <= limit else list(islice(dirty, limit)):
            dirty.discard(interface)
            self._advance(interface, now, transitions)
        if not dirty:
            if self._rescoped:
                self._publish_unsaid()
            # All states are advanced before any removal is judged: the guard must see a mass as a mass.
            due, self._due = self._due, []
            for interface, result, evidence in due:
                if self.states.get(interface) is result.state:
                    self._judge_removal(interface, result, evidence, transitions)
        return transitions

    def _gather(self, now: float) -> None:
        """Mark the names whose Services were touched or whose clocks are due."""
        for ref in self.store.touched_services:
            self.store.dirty.update(self._watching.get(ref, ()))
            home = self.settings.clusters.home
            if ref.cluster == home:
                for cluster in self.settings.cluster_sources:
                    if cluster != home:
                        remote = ref._replace(cluster=cluster)
                        self.store.dirty.update(self._watching.get(remote, ()))
                        self.store.dirty.update(self.store.interfaces_of(remote))
        self.store.touched_services.clear()
        self.store.dirty.update(self._deadlines.due(now))

    def _advance(self, interface: InterfaceId, now: float, transitions: list[Transition]) -> None:
        state = self.states.get(interface, State(since=now))
        result, evidence = self._step(interface, state, now, self._rules(interface))
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
            asked = result.state.winner
            evidence = self.evidence(interface, result.state, now)
            result = replace(step(result.state, evidence, rules), removal="")
        if result.state.winner != asked:
            evidence = self.evidence(interface, result.state, now)
        return result, evidence

    def _rules(self, interface: InterfaceId) -> Rules:
        """The zone's rules; files are edited on purpose, so a name that stands on them alone does not linger."""
        sources = self.sources.get(interface)
        return (
            self._at_once if sources and self.settings.immediate.issuperset(sources) else self.settings.rules
        )

    def evidence(self, interface: InterfaceId, state: State, now: float) -> Evidence:
        """What speaks for whom now."""
        return collect(
            self.store,
            interface,
            now=now,
            winner=state.winner,
            held=state.addresses,
            held_ports=state.ports,
            claims=self.settings.claims,
            clusters=self.settings.clusters,
            outages=self._outages(self.sources.get(interface, ())),
            other_services=(state.previous,) if state.previous is not None else (),
            unheard=self._unheard(interface, state),
        )

    def _unheard(self, interface: InterfaceId, state: State) -> frozenset[str]:
        """Clusters whose Services may not take the name, because nobody can say where their pods are now."""
        clusters = self.settings.cluster_sources
        out = {source for source in clusters.values() if not self.observations.source(source).in_sync}
        if not out:
            return frozenset()
        if state.deleted_at is not None:
            # It can not stay where it is. Where its registries are away, too, there is no fresher word than the last.
            registries = set(self.sources.get(interface, ())) - set(clusters.values())
            if not any(self.observations.source(source).in_sync for source in registries):
                return frozenset()
        return frozenset(cluster for cluster, source in clusters.items() if source in out)

    def _outages(self, sources: Sequence[str]) -> tuple[tuple[float, float], ...]:
        return self.observations.outages(sources or tuple(self.settings.sources))

    def _judge_removal(
        self, interface: InterfaceId, result: Step, evidence: Evidence, transitions: list[Transition]
    ) -> None:
        state, now = result.state, evidence.now
        if result.removal == "vanished":
            empty_for = None
            if state.winner is not None:
                if evidence.winner is None:
                    empty_for = now - (state.deleted_at or now)
                elif state.empty_at is not None:
                    empty_for = evidence.elapsed(state.empty_at)
            sources = self.sources.get(interface, ())
            if not self.guard.may_go(interface, sources, now, empty_for=empty_for):
                self._deadlines.set(interface, self.guard.next_look(interface, now))
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
        sources = self._sources_of(interface, state)
        answer = self._outcome(interface, result, evidence)
        known = interface in self.store.interfaces or interface in self.store.services.declared
        old = self.outcomes.get(interface)
        if not known and not state.bound and state.previous is None:
            self._forget(interface, before, sources)
            self._publish(interface, None)
            answer_text = "nothing"
        else:
            self._remember(interface, before, state, sources)
            self._publish(interface, answer)
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
            owner_octets=self._owner_octets(interface),
        )

    def _remember(
        self, interface: InterfaceId, before: State, state: State, sources: tuple[str, ...]
    ) -> None:
        for ref in {before.winner, before.previous} - {state.winner, state.previous}:
            if ref is not None and (names := self._watching.get(ref)) is not None:
                names.discard(interface)
                if not names:
                    del self._watching[ref]
        for ref in (state.winner, state.previous):
            if ref is not None:
                self._watching.setdefault(ref, set()).add(interface)
        self.states[interface] = state
        old_sources = self.sources.get(interface, ())
        if old_sources and old_sources != sources:
            self.guard.note(interface, set(old_sources) - set(sources), bound=False, vanishing=False)
        self.sources[interface] = sources
        bound = state.winner is not None or bool(state.seen)
        self.guard.note(interface, sources, bound=bound, vanishing=state.vanishing)

    def _forget(self, interface: InterfaceId, before: State, sources: tuple[str, ...]) -> None:
        self._remember(interface, before, State(), sources)
        self.guard.note(interface, sources, bound=False, vanishing=False)
        self.states.pop(interface, None)
        self.sources.pop(interface, None)

    def disown(self, source: str, now: float) -> None:
        """What is known of a source was another one's: no name that stands on it keeps anything of that."""
        for interface in [i for i, sources in self.sources.items() if source in sources]:
            told = describe(self.outcomes.get(interface))
            self._forget(interface, self.states[interface], self.sources[interface])
            self._publish(interface, None)
            self.history.add(Transition(interface, told, describe(None), "foreign", source, now))
            self.store.dirty.add(interface)
        if source in self._needed:
            self.complete = False

    def _sources_of(self, interface: InterfaceId, state: State) -> tuple[str, ...]:
        """Registries that provide it now (or did last), and the winner's cluster."""
        known = self.store.interfaces.get(interface)
        found: set[str] = set()
        if known is not None:
            found = set(known.registries)
        clusters = set(self.settings.cluster_sources.values())
        if not found:
            found = set(self.sources.get(interface, ())) - clusters
        if state.winner is not None and (source := self.settings.cluster_sources.get(state.winner.cluster)):
            found.add(source)
        return tuple(sorted(found))

    # ------------------------------------------------------------------ restart

    def restore_observations(self, now: float) -> None:
        """Fold everything that ``Observations`` got back from a snapshot."""
        for source in sorted(self.settings.sources):
            state = self.observations.source(source)
            changes = [Change(source, key, None, value) for key, value in state.values.items()]
            saved = state.paused_at if state.restored and state.paused_at is not None else now
            self.store.sync_changed(source, saved, in_sync=False)
            self.store.apply(changes, now, first=frozenset({source}))
            self.store.first_pass_over(source, now)

    def restore_decisions(
        self,
        now: float,
        *,
        states: Iterable[tuple[InterfaceId, State, tuple[str, ...]]],
        held: Iterable[tuple[InterfaceId, float]],
        released: Iterable[InterfaceId],
        sites: Iterable[SiteMemory],
        had_ready: Iterable[ObjectRef],
        departed: Iterable[tuple[str, float]],
        history: Iterable[Transition],
        complete: bool,
    ) -> None:
        """Put back names' states and what sites and Services remember; observations come first.

        ``complete``: it was, and nothing that it stood upon is missing. What is new since is not waited for.
        """
        restore_sites(self.store, now, sites=sites, had_ready=had_ready, departed=departed)
        for interface, state, sources in states:
            if state.winner is not None and state.winner.cluster not in self.settings.cluster_sources:
                # A cluster that was renamed or taken out: its names are chosen anew, not waited for.
                continue
            # A source that is configured no longer must not stop the clocks of its names.
            present = tuple(source for source in sources if source in self.settings.sources)
            self._remember(interface, State(), state, present)
            self.store.dirty.add(interface)
        self.guard.held.update(held)
        self.guard.released.update(released)
        moves = []
        for transition in history:
            self.history.add(transition)
            if transition.why == "loss":
                moves.append(transition)
        for move in sorted(moves, key=lambda transition: transition.when):
            self.guard.note_move(move.interface, move.source.split(","), move.when)
        self.complete = complete
        if not self.complete:
            self._answer_from_snapshot(now)

    def _answer_from_snapshot(self, now: float) -> None:
        """Names of the snapshot are answered before everything is known; nothing is decided anew."""
        for interface, state in self.states.items():
            evidence = self.evidence(interface, state, now)
            result = step(state, evidence, self.settings.rules)
            self._publish(interface, self._outcome(interface, replace(result, state=state), evidence))

    # ------------------------------------------------------------------ output

    def _owner_octets(self, interface: InterfaceId) -> int:
        return len(naming.owner_name(interface)) + 1 + len(self.settings.name) + 1

    def _publish(self, interface: InterfaceId, answer: Outcome | None) -> None:
        before = self.outcomes.get(interface)
        state = self.states.get(interface)
        created = state.created if state is not None else 0.0
        if answer is None:
            self.outcomes.pop(interface, None)
        else:
            # Reasons may have changed even where the answer is equal.
            self.outcomes[interface] = answer
            if before == answer and created == self.owners.created(interface):
                return
        for owner, records in self.owners.update(interface, answer, created, self._records).items():
            # Of two spellings of one name the last word counts, so the order is that of the last words.
            self.published.pop(owner, None)
            self.published[owner] = records

    def _records(self, interface: InterfaceId) -> Records | None:
        answer = self.outcomes.get(interface)
        if not isinstance(answer, Binding):
            return None
        return records_of(answer, ttl=self.settings.ttl, provider_ttl=self.settings.provider_ttl)

    def take_published(self) -> dict[str, Records | None]:
        """The owner names whose records changed since the last call."""
        published, self.published = self.published, {}
        return self._unsaid.cover(published)

    def release(self, source: str, now: float) -> int:
        """Let the held removals of a source happen; returns how many names are concerned."""
        del now
        names = self.guard.release(source)
        self.store.dirty.update(names)
        return len(names)
