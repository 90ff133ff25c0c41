"""What ``soadns export resolve`` exports: interface by interface the direct URL, and who calls from outside. Pure.

It looks up what the verdict of ``soadns.publishers.verdicts`` needs, in the estate and in what was read from the
registries a moment ago. The shape is documented in ``docs/http.md``.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from soadns import naming
from soadns.binding.networks import within
from soadns.binding.zone import Zone
from soadns.model import Binding, Caller, InterfaceId, Outcome, Provider, Reading, ServedPort
from soadns.publishers.directurls import FAMILIES, direct_url
from soadns.publishers.verdicts import DUBBO, Subject
from soadns.reports.views import Data, when

NOTHING = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which interfaces are wanted: an application's, everyone's, those that are named, or ``alone`` and no others."""

    family: str
    application: str = ""
    everyone: bool = False
    named: tuple[InterfaceId, ...] = ()
    alone: tuple[InterfaceId, ...] = ()
    """Looked at whoever is registered as their caller: one that has boarded no longer is."""
    secrets: bool = False
    callers_apart: bool = False
    """Whether what applications that call obey and ask for is looked at elsewhere: it is no matter of an interface."""
    tri: bool = False
    """Whether it is taken that callers by ``tri`` follow no move."""

    @property
    def names(self) -> frozenset[str]:
        """The Java names among ``named`` and ``alone``."""
        return frozenset(interface.name for interface in (*self.named, *self.alone))


def known(zone: Zone, wish: Wish, called: Iterable[str]) -> set[str]:
    """The Java names to look at; ``called`` are names that somebody may call though nobody provides them."""
    names = set(wish.names)
    if not wish.alone and (wish.application or wish.everyone):
        names.update(interface.name for interface in zone.outcomes)
    if not wish.alone and wish.application:
        names.update(called)
    return names


def page(names: Collection[str], *, after: str, limit: int) -> list[str]:
    """The next of the names, in order; fewer than ``limit`` at the end."""
    return heapq.nsmallest(limit, (name for name in names if name > after))


def merged(readings: Iterable[Mapping[str, Reading]]) -> dict[str, Reading]:
    """What several registries say, or one says in several answers."""
    found: dict[str, Reading] = {}
    for each in readings:
        for name, reading in each.items():
            before = found.get(name, NOTHING)
            found[name] = Reading(
                before.callers | reading.callers,
                before.rules | reading.rules,
                before.tokens | reading.tokens,
                (*before.unread, *reading.unread),
                before.asking | reading.asking,
                before.mapped or reading.mapped,
            )
    return found


def wanted(names: Iterable[str], wish: Wish, readings: Mapping[str, Reading]) -> list[str]:
    """Those of the names that the wish includes, now that it is known who calls them."""
    if wish.alone or not wish.application:
        return list(names)
    return [
        name
        for name in names
        if name in wish.names
        or any(caller.application == wish.application for caller in readings.get(name, NOTHING).callers)
    ]


def rows(zone: Zone, name: str, wish: Wish, readings: Mapping[str, Reading]) -> list[Data]:
    """One row per line to write or to leave out for a Java name, in order."""
    found: list[Data] = []
    for subject, named in subjects(zone, name, wish, readings):
        url = direct_url(subject, wish.family)
        if url is None and not (named or wish.alone):
            continue
        why = list(url.why) if url is not None else ["it is an interface of the other framework (--format)"]
        text = url.url if url is not None else ""
        found.append(
            {
                "key": subject.key,
                "url": text or None,
                "protocol": (url.protocol if url is not None else "") or None,
                "exported": bool(text) and (named or not why),
                "named": named,
                "why": why,
                "notes": list(url.notes) if url is not None else [],
            }
        )
        if wish.alone:
            found[-1]["standing"] = _standing(zone, name, subject, wish, readings)
    return found


def _standing(zone: Zone, name: str, subject: Subject, wish: Wish, readings: Mapping[str, Reading]) -> Data:
    """How a line does that applications have already: what is behind the name, and who goes by the registry."""
    answer = subject.answer if isinstance(subject.answer, Binding) else None
    roster = zone.store.rosters.get(answer.service) if answer and answer.service is not None else None
    state = zone.states.get(answer.interface) if answer is not None else None
    registered = {(p.host, p.port) for p in subject.providers if p.protocol in FAMILIES[wish.family]}
    return {
        "service": str(answer.service) if answer and answer.service is not None else None,
        "since": when(state.since) if state is not None else None,
        "addresses": list(answer.addresses) if answer else [],
        "endpoints": len(roster.addresses) if roster is not None else 0,
        "ready": roster.ready if roster is not None else 0,
        "registered": len(registered),
        "subscribers": [
            {"address": caller.host, "application": caller.application or None}
            for caller in sorted(callers_of(name, wish, readings))
        ],
    }


def callers_of(name: str, wish: Wish, readings: Mapping[str, Reading]) -> set[Caller]:
    """Who is registered as a consumer of a name: of the wish's application, if it has one, alone."""
    return {
        caller
        for caller in readings.get(name, NOTHING).callers
        if not wish.application or caller.application == wish.application
    }


def outside(zone: Zone, names: Iterable[str], wish: Wish, readings: Mapping[str, Reading]) -> list[Caller]:
    """The callers of these names that are not known to be in a cluster of the zone, in order."""
    callers = {caller for name in names for caller in callers_of(name, wish, readings)}
    return sorted(caller for caller in callers if not inside(zone, caller.host))


def inside(zone: Zone, host: str) -> bool:
    """Whether an address is an endpoint, a Node, or in the pod networks of a cluster, as far as anybody told."""
    store = zone.store
    if host in store.by_address or store.services.exposures.is_node(host):
        return True
    networks = zone.settings.store.networks
    return any(within(host, networks.get(cluster, ())) for cluster in zone.settings.cluster_sources)


def subjects(
    zone: Zone, name: str, wish: Wish, readings: Mapping[str, Reading]
) -> list[tuple[Subject, bool]]:
    """What gets a line of its own for a Java name, and whether it was named.

    For Dubbo's consumers one line holds for every group and version. A variant that is named leads all of them to it.
    """
    named = [interface for interface in wish.named if interface.name == name]
    found = variants(zone, name)
    if wish.family == DUBBO:
        variant = next((interface for interface in named if not interface.plain), None)
        if variant is not None:
            return [(_subject(zone, name, variant, [variant], wish, readings), True)]
        plain = InterfaceId(name)
        leader = zone.owners.leader(name) or (found[0] if found else plain)
        return [(_subject(zone, name, plain, found, wish, readings, leader=leader), bool(named))]
    if wish.alone:
        return [
            (_subject(zone, str(interface), interface, [interface], wish, readings), interface in named)
            for interface in dict.fromkeys(each for each in wish.alone if each.name == name)
        ]
    chosen = dict.fromkeys([*found, *named] if wish.application or wish.everyone or not named else named)
    return [
        (_subject(zone, str(interface), interface, [interface], wish, readings), interface in named)
        for interface in chosen
    ]


def variants(zone: Zone, name: str) -> list[InterfaceId]:
    """The groups and versions of a Java name that are known, in order."""
    known = set(zone.store.registrations.names.get(name, ()))
    known.update(
        i for i in (InterfaceId(name), zone.owners.leader(name)) if i is not None and i in zone.outcomes
    )
    return sorted(i for i in known if i in zone.outcomes)


def _subject(
    zone: Zone,
    key: str,
    asked: InterfaceId,
    variants: list[InterfaceId],
    wish: Wish,
    readings: Mapping[str, Reading],
    *,
    leader: InterfaceId | None = None,
) -> Subject:
    answering = leader or asked
    host, no_host = _host(zone, asked, answering)
    providers = [provider for interface in variants for provider in usable(zone, interface)]
    # Rules are an interface's, or those of an application that provides it.
    governed = dict.fromkeys([asked.name, *sorted({provider.application for provider in providers})])
    state = zone.states.get(answering)
    said = [readings[subject] for subject in governed if subject in readings]
    # Others are those of an application that calls, obeyed by nobody else (RegistryDirectory, AppRouter).
    calling = sorted(_calling(asked.name, wish, readings) - governed.keys())
    return Subject(
        key=key,
        host=host,
        no_host=no_host,
        answer=zone.outcomes.get(answering),
        providers=providers,
        split=_split(zone, variants),
        vanishing=state is not None and state.vanishing,
        rules=sorted({rule for reading in said for rule in reading.rules}),
        callers_rules=[(name, rule) for name in calling for rule in rules_of(name, readings)],
        asking=_asking(asked.name, wish, readings),
        mapped=wish.family == DUBBO and readings.get(asked.name, NOTHING).mapped,
        tokens=readings.get(asked.name, NOTHING).tokens if wish.secrets else None,
        missed=_missed(zone, answering, providers),
        tri=wish.tri,
    )


def _missed(zone: Zone, answering: InterfaceId, providers: Iterable[Provider]) -> dict[ServedPort, int]:
    """By port of the answered Service, how many of its addresses have none of the providers where it leads to.

    Each group and version counts for itself: all of them are called by one port.
    """
    answer = zone.outcomes.get(answering)
    if not isinstance(answer, Binding) or answer.service is None:
        return {}
    service, roster = zone.store.services.by_ref.get(answer.service), zone.store.rosters.get(answer.service)
    if service is None or roster is None:
        return {}
    placed: dict[tuple[str, InterfaceId], set[tuple[str, int]]] = {}
    for p in providers:
        if p.host in roster.addresses:
            placed.setdefault((p.host, p.interface), set()).add((p.protocol, p.port))
    found = {}
    for served in answer.ports:
        # A target that is a name may be any number, and another one in each pod.
        leads = {port.target or str(port.port) for port in service.ports if port.port == served.port}
        numbers = {int(target) for target in leads if target.isdecimal()}
        named = len(numbers) < len(leads)
        found[served] = len(
            {
                host
                for (host, _), places in placed.items()
                if not any(word == served.protocol and (named or port in numbers) for word, port in places)
            }
        )
    return found


def _calling(name: str, wish: Wish, readings: Mapping[str, Reading]) -> set[str]:
    """The applications whose calls a line changes, as far as such may have rules."""
    if wish.callers_apart or wish.family != DUBBO:
        return set()
    if wish.application or wish.alone:  # who has boarded is known by the wish alone
        return {wish.application} if wish.application else set()
    return {caller.application for caller in readings.get(name, NOTHING).callers if caller.application}


def _asking(name: str, wish: Wish, readings: Mapping[str, Reading]) -> list[tuple[str, str]]:
    """The applications whose calls a line changes and that ask for what no direct URL gives, and for what."""
    if wish.callers_apart or wish.family != DUBBO or (wish.alone and not wish.application):
        return []
    asking = readings.get(name, NOTHING).asking
    return sorted(pair for pair in asking if not wish.application or pair[0] == wish.application)


def governing(zone: Zone, names: Iterable[str], wish: Wish, readings: Mapping[str, Reading]) -> list[str]:
    """Whose rules are to be read for these Java names: their own, those of applications that provide or call them."""
    subjects = dict.fromkeys(names)
    found = {wish.application}
    for name in subjects:
        found.update(caller.application for caller in readings.get(name, NOTHING).callers)
        found.update(p.application for interface in variants(zone, name) for p in usable(zone, interface))
    return [*subjects, *sorted(found - subjects.keys() - {""})]


def rules_of(application: str, readings: Mapping[str, Reading]) -> list[str]:
    """What governs all calls of an application, in words."""
    return sorted(readings.get(application, NOTHING).rules)


def _split(zone: Zone, variants: list[InterfaceId]) -> list[str]:
    answers = [zone.outcomes[i] for i in variants if isinstance(zone.outcomes.get(i), Binding)]
    return sorted({_served_by(answer) for answer in answers})


def _served_by(answer: Outcome) -> str:
    service = answer.service if isinstance(answer, Binding) else None
    return str(service) if service is not None else "the old world"


def _host(zone: Zone, asked: InterfaceId, answering: InterfaceId) -> tuple[str, str]:
    """The name that a client's resolver can send and that this interface answers, or why there is none."""
    owner = naming.alias(asked) if "$" in asked.name else naming.owner_name(asked)
    if owner is None:
        return "", f"{asked.name} has no name without '$', and resolvers send none with it"
    at = zone.owners.at(owner)
    if at is None:
        problem = zone.owners.problem(asked)
        return "", problem[1] if problem is not None else f"{owner} is not answered"
    if at != answering:
        return "", f"{owner} is held by {at}"
    return f"{owner}.{zone.settings.name}", ""


def unheard(zone: Zone, names: Iterable[str]) -> list[str]:
    """Those of the names that answer a Service though nobody is registered for them."""
    return [
        name
        for name in names
        if (known := variants(zone, name))
        and not any(usable(zone, interface) for interface in known)
        and any(isinstance(answer := zone.outcomes.get(i), Binding) and answer.service for i in known)
    ]


def usable(zone: Zone, interface: InterfaceId) -> list[Provider]:
    """The providers that may be called."""
    known = zone.store.interfaces.get(interface)
    return [live.provider for live in known.live.values() if live.usable] if known is not None else []
