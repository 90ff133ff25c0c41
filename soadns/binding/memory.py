"""What one zone remembers of each name: its state, the sources it stands on, and the Services it watches.

The guard is told of every change, so that it can count what stands on a source and what is vanishing. Pure.
"""

from __future__ import annotations

from collections.abc import Set

from soadns.binding.guard import Guard
from soadns.binding.state import State
from soadns.indexes import place
from soadns.marks import Marks
from soadns.model import InterfaceId, ObjectRef


class Memory:
    """The states of one zone's names."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.states: dict[InterfaceId, State] = {}
        self.sources: dict[InterfaceId, tuple[str, ...]] = {}
        """The sources on which each name's present answer stands."""
        self.waiting: set[InterfaceId] = set()
        """Names that wait for evidence that is gone."""
        self.changed: Marks[InterfaceId] = Marks()
        """Names of which it remembers something else than what is saved."""
        self.watching: dict[ObjectRef, set[InterfaceId]] = {}
        """Service → names that it has, or that may return to it."""

    def watchers(self, ref: ObjectRef) -> Set[InterfaceId]:
        """Names to be looked at again when the Service changes."""
        return self.watching.get(ref, frozenset())

    def remember(self, interface: InterfaceId, before: State, state: State, sources: tuple[str, ...]) -> None:
        """Replace the state of a name."""
        for ref in {before.winner, before.previous} - {state.winner, state.previous}:
            if ref is not None:
                place(self.watching, ref, interface, add=False)
        for ref in (state.winner, state.previous):
            if ref is not None:
                place(self.watching, ref, interface, add=True)
        old_sources = self.sources.get(interface, ())
        if self.states.get(interface) != state or old_sources != sources:
            self.changed.add(interface)
        self.states[interface] = state
        if state.waiting:
            self.waiting.add(interface)
        else:
            self.waiting.discard(interface)
        if old_sources and old_sources != sources:
            self._guard.note(interface, set(old_sources) - set(sources), bound=False, vanishing=False)
        self.sources[interface] = sources
        bound = state.winner is not None or bool(state.seen)
        self._guard.note(interface, sources, bound=bound, vanishing=state.vanishing)

    def forget(self, interface: InterfaceId, before: State, sources: tuple[str, ...]) -> None:
        """Keep nothing of a name."""
        self.remember(interface, before, State(), sources)
        self._guard.note(interface, sources, bound=False, vanishing=False)
        self.changed.add(interface)
        self.states.pop(interface, None)
        self.sources.pop(interface, None)
