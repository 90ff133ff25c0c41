"""What happened to each name: a bounded list of transitions, newest kept.

Pure. A name that is gone keeps its last transitions here, so that it can still be explained.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from soadns.marks import Marks
from soadns.model import Binding, InterfaceId, Outcome

MAX_INTERFACES = 200_000
"""Names remembered; the one whose last transition is oldest is forgotten first."""
MAX_PER_INTERFACE = 16


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of what a name answers."""

    interface: InterfaceId
    before: str
    """What answered before: ``cluster/namespace/name``, ``providers`` or ``nothing``."""
    after: str
    why: str
    """The cause, in the words of ``docs/binding.md``."""
    source: str
    """The source whose evidence led to it, or ``''``."""
    when: float
    """Unix seconds."""


class History:
    """Transitions per interface, bounded in both directions."""

    def __init__(self) -> None:
        self.changed: Marks[InterfaceId] = Marks()
        """Interfaces of whose past something is not saved yet."""
        self._by_interface: OrderedDict[InterfaceId, tuple[Transition, ...]] = OrderedDict()

    def add(self, transition: Transition) -> None:
        """Remember one transition."""
        earlier = self._by_interface.pop(transition.interface, ())
        self._by_interface[transition.interface] = (*earlier, transition)[-MAX_PER_INTERFACE:]
        self.changed.add(transition.interface)
        if len(self._by_interface) > MAX_INTERFACES:
            forgotten, _ = self._by_interface.popitem(last=False)
            self.changed.add(forgotten)

    def of(self, interface: InterfaceId) -> tuple[Transition, ...]:
        """Transitions of one interface, oldest first."""
        return self._by_interface.get(interface, ())

    def interfaces(self) -> Iterator[InterfaceId]:
        """Interfaces with a past."""
        return iter(self._by_interface)

    def __iter__(self) -> Iterator[Transition]:
        """All transitions, grouped by interface, the least recently changed first."""
        for transitions in self._by_interface.values():
            yield from transitions


def describe(answer: Outcome | None) -> str:
    """The answer in a word, for history: a Service, ``providers`` or ``nothing``."""
    if isinstance(answer, Binding):
        if answer.kind != "providers" and answer.service is not None:
            addresses = ",".join(answer.addresses) if answer.kind in ("service", "remote") else ""
            return f"{answer.service} {addresses}".rstrip()
        return "providers"
    return "nothing"
