"""Versions of a zone: what it held under a serial, and what changed from one to another. Pure.

Changes of one second have one serial (``Control``), so a version is whole only when its second is over. Then it is
*sealed*: nobody, a successor included, will ever give that serial to other content. Only sealed ones are transferred.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from soadns.nameserver import wire
from soadns.nameserver.rrsets import RRsets
from soadns.nameserver.table import LOADING
from soadns.nameserver.zone import ZoneData

Named = tuple[bytes, RRsets]
"""An owner name in wire form, as it is spelled, and what it has."""


@dataclass(frozen=True, slots=True)
class Version:
    """The whole content of a zone under one serial, without the apex."""

    serial: int
    owners: list[Named]


@dataclass(frozen=True, slots=True)
class Difference:
    """What must be taken from and put to one version to have another one, without the apex."""

    before: int
    after: int
    removed: list[Named]
    """Names as they were: what of it is still there is among ``added`` as well."""
    added: list[Named]


@dataclass(slots=True)
class _Step:
    """From one version to the next one."""

    before: int
    """The serial it leads away from."""
    held: dict[bytes, tuple[bytes, RRsets | None]] = field(default_factory=dict)
    """Folded name → how it was spelled and what it had, before the first change."""


class Versions:
    """The sealed versions of a zone, as its ``Witness``.

    ``most``: of how many changed names it is remembered what they had, in all versions together. Memory grows with
    that, not with the zone; work per change is constant.
    """

    def __init__(self, zone: ZoneData, most: int) -> None:
        self.zone = zone
        self._most = most
        self._steps: deque[_Step] = deque()
        """From the oldest version on that a difference can begin with; the last one is not sealed yet."""
        self._noted = 0
        self._waiting: list[Callable[[Version], None]] = []

    # ------------------------------------------------------------------ what is seen

    def passing(self) -> None:
        """The present serial ends (``Witness``)."""
        if self.zone.state == LOADING:
            return
        if self._waiting:
            self._serve(Version(self.zone.serial, self.zone.owners()))
        self._steps.append(_Step(self.zone.serial))

    def changed(self, owner: bytes, held: RRsets | None) -> None:
        """A name changes (``Witness``)."""
        if self.zone.state == LOADING or not self._steps:
            # What is incomplete is given to nobody, so nothing leads on from it.
            self._steps.clear()
            self._noted = 0
            return
        step, folded = self._steps[-1], wire.fold(owner)
        if folded not in step.held:
            step.held[folded] = (owner, held)
            self._noted += 1
        while self._noted > self._most and self._steps:
            self._noted -= len(self._steps.popleft().held)

    # ------------------------------------------------------------------ what is given

    def settled(self, now: float) -> bool:
        """Whether what the zone holds is a sealed version."""
        return self.zone.state != LOADING and int(now) > self.zone.serial

    def sealed(self, now: float) -> int | None:
        """The serial of the newest sealed version; None where there is none."""
        if self.zone.state == LOADING:
            return None
        if int(now) > self.zone.serial:
            return self.zone.serial
        return self._steps[-1].before if self._steps else None

    def present(self) -> Version:
        """What the zone holds; sealed if ``settled``."""
        return Version(self.zone.serial, self.zone.owners())

    def when_sealed(self, take: Callable[[Version], None]) -> None:
        """Give the present version to ``take`` when it has ended, before anything of the next one shows.

        Who does not want to wait any more says so (``wait_no_more``): a zone may be LOADING for hours.
        """
        self._waiting.append(take)

    def wait_no_more(self, take: Callable[[Version], None]) -> None:
        """Forget who waits, if it does still."""
        with suppress(ValueError):
            self._waiting.remove(take)

    def look(self, now: float) -> None:
        """Give it to those who wait, if it has ended by the clock alone."""
        if self._waiting and self.settled(now):
            self._serve(self.present())

    def difference(self, serial: int, now: float) -> Difference | None:
        """From the version of this serial to the newest sealed one; None where that is not remembered.

        Work grows with the number of names that changed in between.
        """
        until = self.sealed(now)
        if until is None or until == serial or serial not in self.remembered():
            return None
        before: dict[bytes, tuple[bytes, RRsets | None]] = {}
        later: dict[bytes, tuple[bytes, RRsets | None]] = {}
        begun = False
        for step in self._steps:
            begun = begun or step.before == serial
            if begun:
                into = before if step.before < until else later
                for folded, was in step.held.items():
                    into.setdefault(folded, was)
        pairs = [(was, later.get(folded) or self.zone.owner(folded)) for folded, was in before.items()]
        return Difference(
            serial,
            until,
            [(spelled, held) for (spelled, held), _ in pairs if held is not None],
            [(spelled, held) for _, (spelled, held) in pairs if held is not None],
        )

    def _serve(self, version: Version) -> None:
        waiting, self._waiting = self._waiting, []
        for take in waiting:
            take(version)

    def remembered(self) -> Iterator[int]:
        """Serials with which a difference can begin, oldest first."""
        return (step.before for step in self._steps)
