"""What ``soadns survey`` says of one interface: may it be boarded, who provides it, who calls it. Pure.

It is judged as ``soadns export resolve`` judges it (``soadns.onboarding.boarding``). One item stands for a Java name
with all of its groups and versions, as consumers are known by that alone. The shape is documented in ``docs/http.md``;
the whole of the items is looked at in ``soadns.onboarding.survey``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from soadns.binding.evidence import DECLARED
from soadns.binding.zone import Zone
from soadns.model import Binding, Caller, InterfaceId, Reading
from soadns.onboarding import boarding
from soadns.onboarding.boarding import NOTHING, Wish
from soadns.publishers.directurls import FAMILIES, direct_url, spoken
from soadns.publishers.verdicts import Why, granted
from soadns.reports.views import Data, half_boarded


@dataclass(frozen=True, slots=True)
class Calls:
    """How many addresses of an application call an interface."""

    application: str
    """``''`` where the consumer did not say."""
    addresses: int
    outside: int
    """Those not known to be in a cluster of the zone."""
    asks: tuple[str, ...] = ()
    """What it asks for and no direct URL gives: ``version=*``, ``cluster=broadcast`` ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A Java name and how it stands to boarding."""

    interface: str
    families: tuple[str, ...]
    """Whose direct URL it has, or would have: ``dubbo``, ``sofa``."""
    protocols: tuple[str, ...]
    """Those of its direct URLs."""
    service: str
    """The Service that it answers, ``''`` for none."""
    why: tuple[Why, ...]
    """Why it is not safe to board; nothing where it is."""
    applications: tuple[str, ...]
    """Those that provide it."""
    callers: tuple[Calls, ...]
    half_boarded: bool
    held_by: str
    """What holds the answer of a Service that no provider is registered for any more while callers outside subscribe:
    ``declaration``, ``guard``, ``recreateGrace``, ``linger`` or ``endpoints``; ``''`` where it is not so."""

    def plain(self) -> Data:
        """The item as JSON has it."""
        return {
            "interface": self.interface,
            "families": list(self.families),
            "protocols": list(self.protocols),
            "service": self.service or None,
            "safe": not self.why,
            "why": [{"reason": why.reason, "detail": why.text} for why in self.why],
            "applications": list(self.applications),
            "callers": [
                {
                    "application": c.application or None,
                    "addresses": c.addresses,
                    "outside": c.outside,
                    "asks": list(c.asks),
                }
                for c in self.callers
            ],
            "halfBoarded": self.half_boarded,
            "heldBy": self.held_by or None,
        }


def wishes(*, tri: bool = False) -> dict[str, Wish]:
    """By family what is judged: everything; ``tri`` says that callers who follow no move are taken."""
    return {family: Wish(family=family, everyone=True, tri=tri, callers_apart=True) for family in FAMILIES}


def known(zone: Zone, called: Iterable[str]) -> set[str]:
    """The Java names that there is something to say of; ``called`` are those that somebody may call."""
    return {*called, *(interface.name for interface in zone.outcomes)}


def items(
    zone: Zone,
    names: Iterable[str],
    readings: Mapping[str, Reading],
    outside: Set[Caller],
    wishes: Mapping[str, Wish],
) -> Iterator[Item]:
    """One item for each name that somebody provides, declares or calls."""
    for name in names:
        variants = boarding.variants(zone, name)
        callers = readings.get(name, NOTHING).callers
        if variants or callers:
            yield _item(zone, name, variants, readings, outside, wishes)


def _item(
    zone: Zone,
    name: str,
    variants: list[InterfaceId],
    readings: Mapping[str, Reading],
    outside: Set[Caller],
    wishes: Mapping[str, Wish],
) -> Item:
    families, protocols, why = _judged(zone, name, readings, wishes)
    callers = readings.get(name, NOTHING).callers
    strangers = [caller for caller in callers if caller in outside]
    providers = {p.application for interface in variants for p in boarding.usable(zone, interface)}
    leader = zone.owners.leader(name)
    answer = zone.outcomes.get(leader) if leader is not None else None
    return Item(
        interface=name,
        families=tuple(families),
        protocols=tuple(sorted(protocols)),
        service=str(answer.service or "") if isinstance(answer, Binding) else "",
        why=tuple(why),
        applications=tuple(sorted(application for application in providers if application)),
        callers=_counted(callers, strangers, _asking(readings.get(name, NOTHING), protocols)),
        half_boarded=any(half_boarded(zone, interface) for interface in variants),
        held_by=_held_by(zone, variants) if strangers else "",
    )


def _judged(
    zone: Zone, name: str, readings: Mapping[str, Reading], wishes: Mapping[str, Wish]
) -> tuple[list[str], set[str], dict[Why, None]]:
    """Whose direct URLs a name has, of which protocols, and all that speaks against any of them."""
    families: dict[str, None] = {}
    why: dict[Why, None] = {}
    judged: set[str] = set()
    found: set[str] = set()
    for family, protocols in FAMILIES.items():
        for subject, _ in boarding.subjects(zone, name, wishes[family], readings):
            speaks = bool(spoken(subject) & set(protocols))
            # What belongs to neither family is judged once.
            if not speaks and judged - {family}:
                continue
            if (url := direct_url(subject, family)) is None:
                continue
            judged.add(family)
            families |= {family: None} if speaks else {}
            found |= {url.protocol} if url.url else set()
            prefix = f"{subject.key}: " if subject.key != name else ""
            why |= {Why(reason, f"{prefix}{text}"): None for reason, text in url.reasons}
    return list(families), found, why


def _asking(reading: Reading, protocols: Set[str]) -> list[tuple[str, str]]:
    """Applications, and what they ask for in vain."""
    return [pair for pair in reading.asking if not granted(pair[1], protocols)]


def _counted(
    callers: Iterable[Caller], strangers: Iterable[Caller], asking: Iterable[tuple[str, str]]
) -> tuple[Calls, ...]:
    counts = Counter(caller.application for caller in callers)
    outside = Counter(caller.application for caller in strangers)
    asked = sorted(asking)
    return tuple(
        Calls(name, counts[name], outside[name], tuple(text for who, text in asked if who == name))
        for name in sorted(counts)
    )


def _held_by(zone: Zone, variants: list[InterfaceId]) -> str:
    """What keeps a Service's name answered though nobody is registered for any of its variants."""
    answers = [answer for i in variants if isinstance(answer := zone.outcomes.get(i), Binding)]
    registered = [known for i in variants if (known := zone.store.interfaces.get(i)) and known.live]
    boarded = [answer for answer in answers if answer.service is not None and answer.kind != "providers"]
    if registered or not boarded:
        return ""
    answer = boarded[0]
    state = zone.states.get(answer.interface)
    if answer.evidence == DECLARED:
        return "declaration"
    if answer.interface in zone.guard.held:
        return "guard"
    if state is not None and state.deleted_at is not None:
        return "recreateGrace"
    return "linger" if state is not None and state.waiting else "endpoints"
