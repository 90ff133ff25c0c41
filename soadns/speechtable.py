"""What is spoken at all places of a zone, kept up to date: it is part of what sidecars are told. Pure.

Its answer for one place looks through the providers of a Service, so it is asked again only for Services that something
happened to, some of them at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from soadns.binding.zone import Zone
from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Place, Vip
from soadns.sidecar.routes import RouteTable
from soadns.speech import OTHER, spoken

AT_ONCE = 50
"""Services that are listened to in one call of ``flush``."""


class SpeechTable:
    """What is spoken at the places of one zone."""

    def __init__(self, zone: Zone, table: RouteTable) -> None:
        self._zone = zone
        self._table = table
        self._at: dict[Place, str] = {}
        self._waiting: set[ObjectRef] = set()

    def touch(self, interface: InterfaceId) -> None:
        """Providers of an interface, or where it is bound, may be others now: called before that is told, and after."""
        if (ref := self._table.home_of(interface)) is not None:
            self._waiting.add(ref)
        self._waiting.update(self._table.moves.left(interface))

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
