"""Whether another replica's snapshot may be believed here. Pure.

It is as good as an own one if it is of the same zones, fed from the same sources in the same way, and if whoever saved
it knew everything and lives. Whatever differs is a reason to start without it: a wrong answer is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from soadns.binding.observations import same
from soadns.persistence.snapshot import Snapshot

SKEW_S = 60.0
"""By how much the clocks of two replicas may differ."""


class Doubt(Exception):  # noqa: N818 - a judgement, not a fault
    """Why another replica's is not used: a word for metrics, and a sentence for people."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


@dataclass(frozen=True, slots=True)
class Own:
    """What this replica is about to serve."""

    fed: Mapping[str, str]
    """By zone: what it learns from (``composition.fed``)."""
    identities: Mapping[str, str]
    """By source: who that is, as far as it is known."""
    oldest: float
    """Seconds: how old a snapshot may be."""


def wanted(found: Snapshot | None, own: Own, now: float) -> str:
    """Why another replica's is wanted in place of the own one; ``''``: it is not."""
    if found is None:
        return "there is none"
    if not found.ready:
        return "it was saved before everything was known"
    age = now - found.saved
    return f"it is {age:.0f} s old" if age > own.oldest else _another(found, own)


def check(found: Snapshot, own: Own, now: float) -> None:
    """Raise Doubt where another replica's snapshot must not be used."""
    if not found.ready:
        raise Doubt("unready", "it was saved before everything was known")
    check_age(found.saved, own, now)
    theirs = {zone.name: zone for zone in found.zones}
    for name, fed in own.fed.items():
        if name not in theirs:
            # Names of the others would be known, and this replica not ready for want of that one's.
            raise Doubt("foreign", f"it has no zone {name}, but {', '.join(sorted(theirs)) or 'none at all'}")
        if theirs[name].fed != fed:
            text = f"zone {name} is fed from other sources there, or from another part of them"
            raise Doubt("foreign", text)
        if not theirs[name].complete:
            raise Doubt("unready", f"zone {name} was not complete when it was saved")
    if another := _another(found, own):
        raise Doubt("foreign", another)


def whole(found: Snapshot | None, own: Own) -> bool:
    """Whether a replica that begins with it knows everything: then nobody else's would help it."""
    complete = {zone.name for zone in found.zones if zone.complete} if found is not None else set()
    return complete >= own.fed.keys()


def check_age(saved: float, own: Own, now: float) -> None:
    """The same as far as it is known by when it was saved."""
    age = now - saved
    if age > own.oldest:
        raise Doubt("old", f"it is {age:.0f} s old, and state.peers.oldest is {own.oldest:g} s")
    if age < -SKEW_S:
        raise Doubt("old", f"it was saved {-age:.0f} s from now: clocks differ")


def _another(found: Snapshot, own: Own) -> str:
    """Which source is another one than it was there; ``''``: none."""
    for source in found.sources:
        expected = own.identities.get(source.name, "")
        if not same(expected, source.identity):
            return f"source {source.name} is {source.identity} there, and {expected} here"
    return ""
