"""What one zone publishes: each interface's outcome, the owner names that carry it, and what changed of those. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from soadns import naming
from soadns.binding.answers import records_of
from soadns.binding.owners import Owners
from soadns.binding.unsaid import Unsaid
from soadns.model import Binding, InterfaceId, Outcome, Records


class Publication:
    """The outcomes of one zone and their owner names; ``ttl`` and ``provider_ttl`` are seconds."""

    def __init__(self, zone: str, nested: Iterable[str], *, ttl: int, provider_ttl: int) -> None:
        self._zone = zone
        self._ttl = ttl
        self._provider_ttl = provider_ttl
        self.outcomes: dict[InterfaceId, Outcome] = {}
        self.owners = Owners(zone, nested)
        self._unsaid = Unsaid(zone)
        self._changed: dict[str, Records | None] = {}
        """Owner names whose records changed since ``take``."""

    def owner_octets(self, interface: InterfaceId) -> int:
        """Length of the interface's whole name on the wire."""
        return len(naming.owner_name(interface)) + 1 + len(self._zone) + 1

    def put(self, interface: InterfaceId, answer: Outcome | None, created: float) -> None:
        """Replace an interface's outcome (None: it is no name any more); ``created`` is its Service's age."""
        before = self.outcomes.get(interface)
        if answer is None:
            self.outcomes.pop(interface, None)
        else:
            # Reasons may have changed even where the answer is equal.
            self.outcomes[interface] = answer
            if before == answer and created == self.owners.created(interface):
                return
        for owner, records in self.owners.update(interface, answer, created, self.records).items():
            # Of two spellings of one name the last word counts, so the order is that of the last words.
            self._changed.pop(owner, None)
            self._changed[owner] = records

    def leave_unsaid(self, interfaces: Iterable[str]) -> None:
        """Take the names of all interfaces that can not be read: where nobody answers, nothing may be denied."""
        for owner, records in self._unsaid.replace(interfaces).items():
            if not self.owners.held(owner):
                self._changed[owner] = records

    def take(self) -> dict[str, Records | None]:
        """The owner names whose records changed since the last call."""
        changed, self._changed = self._changed, {}
        return self._unsaid.cover(changed)

    def records(self, interface: InterfaceId) -> Records | None:
        """What is answered for an interface; None where it has no answer."""
        answer = self.outcomes.get(interface)
        if not isinstance(answer, Binding):
            return None
        return records_of(answer, ttl=self._ttl, provider_ttl=self._provider_ttl)
