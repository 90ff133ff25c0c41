"""What is spoken at all places of a zone, kept up to date: it is part of what sidecars are told. Pure.

The answer for one place looks through all providers of a Service. So it is asked again only where one of its interfaces
has come, gone, or is called in another way than before, and of some Services at a time; a provider more of the same
costs no more than a look at its interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from soadns.binding.zone import Zone
from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Place, Vip
from soadns.sidecar.routes import RouteTable
from soadns.speech import OTHER, by_hessian, spoken

AT_ONCE = 50
"""Services that are listened to in one call of ``flush``."""


class SpeechTable:
    """What is spoken at the places of one zone."""

    def __init__(self, zone: Zone, table: RouteTable) -> None:
        self._zone = zone
        self._table = table
        self._at: dict[Place, str] = {}
        self._waiting: set[ObjectRef] = set()
        self._strange: set[InterfaceId] = set()
        """Interfaces that some provider wants to be called with another serialization than hessian2."""

    @contextmanager
    def watch(self, interface: InterfaceId) -> Iterator[None]:
        """Around what tells the table of routes where an interface is now: its providers may be others, too."""
        table = self._table
        home, called = table.home_of(interface), table.called(interface)
        yield
        now = table.home_of(interface)
        strange = not by_hessian(self._zone, interface)
        if (home, called) == (now, table.called(interface)) and strange == (interface in self._strange):
            return
        (self._strange.add if strange else self._strange.discard)(interface)
        self._waiting.update(ref for ref in (home, now, *table.moves.left(interface)) if ref is not None)

    def look(self, ref: ObjectRef) -> None:
        """A Service may have other ports now."""
        if self._table.places_of(ref):
            self._waiting.add(ref)

    @property
    def pending(self) -> bool:
        """Whether ``flush`` has left something for the next call."""
        return bool(self._waiting)

    def flush(self, changed: Mapping[Place, Vip | None], *, told: bool) -> set[Place]:
        """Listen again; returns places where another thing is spoken.

        ``changed`` are places whose routes changed. Once routes are ``told``, no new place is told before it is known
        what is spoken there.
        """
        refs = {vip.service for vip in changed.values() if vip is not None}
        self._waiting |= refs
        found = {at for at, vip in changed.items() if vip is None and self._at.pop(at, None) is not None}
        found |= self._listen(refs) if told else set()
        return found | self._listen([self._waiting.pop() for _ in range(min(AT_ONCE, len(self._waiting)))])

    def _listen(self, refs: Iterable[ObjectRef]) -> set[Place]:
        found = set()
        for ref in refs:
            self._waiting.discard(ref)
            for at in self._table.places_of(ref):
                word = spoken(self._zone, self._table, ref, at[1])
                if self._at.get(at) != word:
                    self._at[at] = word
                    found.add(at)
        return found

    def at(self, place: Place) -> str:
        """A word of ``soadns.speech``."""
        return self._at.get(place, OTHER)
