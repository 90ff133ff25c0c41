"""What of one zone is to be looked at, as its ``Witness``, and what was found. Pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice

from soadns.nameserver import wire
from soadns.nameserver.rrsets import RRsets
from soadns.nameserver.table import READY
from soadns.nameserver.zone import ZoneData
from soadns.skydns.records import ancestors, services_of

MOST = 20_000
"""Of so many changed names the whole zone is looked at instead."""


class Book:
    """The names of one zone that etcd may not have as they are; ``stir`` is called when one is noted."""

    def __init__(self, zone: ZoneData, stir: Callable[[], None]) -> None:
        self.zone = zone
        self._stir = stir
        self.due = True
        """Whether the whole zone is to be compared; until then no change need be noted."""
        self.held: set[bytes] = set()
        """Names whose keys wait for an operator (``plan.Vanishing``)."""
        self.unfit: set[bytes] = set()
        """Names that are left out."""
        self._found: dict[bytes, None] = {}
        """What a comparison found."""
        self._changed: dict[bytes, None] = {}
        """What changed since, in that order; it comes first."""
        self._touched: dict[bytes, None] = {}
        """Owners of which it is not known yet what else they concern: they are about to change."""

    @property
    def ready(self) -> bool:
        """Whether what is not in the zone is known not to exist."""
        return self.zone.state == READY

    @property
    def pending(self) -> bool:
        """Whether there is anything to be done."""
        return self.due or bool(self._found or self._changed or self._touched)

    def begin(self) -> None:
        """This process writes from now on, and knows nothing of what etcd has."""
        self.due = True
        self.held.clear()
        self.unfit.clear()
        self.forget()

    def forget(self) -> None:
        """Have nothing noted."""
        for noted in (self._found, self._changed, self._touched):
            noted.clear()

    # ------------------------------------------------------------------ what is seen

    def passing(self) -> None:
        """A serial ends (``Witness``)."""

    def changed(self, owner: bytes, held: RRsets | None) -> None:
        """A name changes (``Witness``)."""
        if self.due:
            return
        folded = wire.fold(owner)
        self._touched[folded] = None
        self._look_at(folded, held)
        if len(self._changed) + len(self._touched) > MOST:
            self.due = True
            self.forget()
        self._stir()

    def note(self, *names: bytes) -> None:
        """These are to be looked at."""
        self._found.update(dict.fromkeys(names))

    def _look_at(self, owner: bytes, held: RRsets | None) -> None:
        """An owner had, or has, this: what else is to be looked at."""
        concerned = services_of(owner, held) if held is not None else ancestors(self.zone, owner)
        self._changed.update(dict.fromkeys(concerned))

    # ------------------------------------------------------------------ what is done

    def take(self, most: int) -> list[bytes]:
        """Some names that are to be looked at, those that changed first."""
        for owner in self._touched:
            self._changed[owner] = None
            self._look_at(owner, self.zone.owner(owner)[1])
        self._touched.clear()
        names = list(islice(chain(self._changed, self._found), most))
        for name in names:
            self._changed.pop(name, None)
            self._found.pop(name, None)
        return names

    def release(self) -> int:
        """Look at what is held; returns how many names that are."""
        count = len(self.held)
        self.note(*self.held)
        self.held.clear()
        return count
