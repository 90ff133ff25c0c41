"""The usable providers of one interface, as the answer of a name without a Service needs them. Pure.

Few are looked through whenever somebody asks. Where there are many, what they come to is kept, so that one provider
that comes or goes costs about the same however many others there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from soadns.binding.pool import Spot, is_address
from soadns.binding.sites import Live
from soadns.indexes import count

MANY = 128
"""From here on a Crowd is kept; it costs memory."""

Identity = tuple[str, str, int, str, str]
"""(protocol, host, port, registry, application): a Provider below its interface."""


class Usable(NamedTuple):
    """Usable providers."""

    spots: frozenset[Spot]
    """Those with an address."""
    named: bool
    """Whether there are some with a host name."""


def look_through(live: Mapping[Identity, Live]) -> Usable:
    """The usable ones of these providers."""
    usable = [each.provider for each in live.values() if each.usable]
    spots = frozenset((p.protocol, p.host, p.port) for p in usable if is_address(p.host))
    return Usable(_shared(spots), any(not is_address(p.host) for p in usable))


@lru_cache(maxsize=65_536)
def _shared(spots: frozenset[Spot]) -> frozenset[Spot]:
    """One set for all interfaces of an application: its processes offer them at the same addresses."""
    return spots


class Crowd:
    """The same, kept up to date by single changes; several registrations may be one spot."""

    __slots__ = ("_held", "_named", "_spots", "_usable")

    def __init__(self, live: Mapping[Identity, Live]) -> None:
        self._held: set[Identity] = set()
        self._spots: dict[Spot, int] = {}
        self._named: dict[Spot, int] = {}
        self._usable: Usable | None = None
        """What was answered last, until something changes."""
        for identity, each in live.items():
            self.note(identity, each)

    def note(self, identity: Identity, live: Live | None) -> None:
        """Take in how a provider stands now; None when it is gone."""
        usable = live is not None and live.usable
        if usable == (identity in self._held):
            return
        if usable:
            self._held.add(identity)
        else:
            self._held.discard(identity)
        spot = identity[:3]
        count(self._spots if is_address(spot[1]) else self._named, spot, 1 if usable else -1)
        self._usable = None

    @property
    def usable(self) -> Usable:
        """The usable ones now."""
        if self._usable is None:
            self._usable = Usable(frozenset(self._spots), bool(self._named))
        return self._usable
