"""Sites that sources speak of on their first passes: to be judged once when a pass is over, in portions. Pure.

What a source reads bit by bit was there in one instant: judged with each interface that is read, a site would seem to
change all the time.
"""

from __future__ import annotations

from typing import NamedTuple

from soadns.binding.sites import HostPort


class Portion(NamedTuple):
    """Sites to be judged now."""

    source: str
    """Whose first pass they belong to."""
    sites: list[tuple[HostPort, bool]]
    """Each with whether registrations came or went there; at least one."""


class FirstPasses:
    """Those of one zone."""

    def __init__(self) -> None:
        self._amid: dict[str, dict[HostPort, bool]] = {}
        """Source on its first pass → the sites it has spoken of so far."""
        self._over: list[Portion] = []
        """What is to be judged yet of passes that are over."""

    def touched(self, source: str) -> dict[HostPort, bool]:
        """The sites that a source has spoken of so far, to be added to; whether registrations came or went there."""
        return self._amid.setdefault(source, {})

    def over(self, source: str) -> None:
        """A source's first pass is over: its sites are to be judged."""
        if sites := self._amid.pop(source, None):
            self._over.append(Portion(source, list(sites.items())))

    def __bool__(self) -> bool:
        """Whether there are sites to be judged."""
        return bool(self._over)

    def take(self, limit: int) -> Portion:
        """Take so many sites at most, of one pass; there are some."""
        source, sites = self._over[-1]
        portion = Portion(source, sites[-limit:])
        del sites[-limit:]
        if not sites:
            self._over.pop()
        return portion
