"""A page of direct URLs or of the survey, from the estate and from what registries say at that moment.

The answers to ``GET /v1/directurls`` and ``GET /v1/survey``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from soadns import naming
from soadns.binding.zone import Zone
from soadns.model import Caller, InterfaceId, Reading
from soadns.onboarding import boarding, surveying
from soadns.onboarding.boarding import Wish
from soadns.publishers.directurls import FAMILIES
from soadns.publishers.verdicts import DUBBO
from soadns.web.operations import Refused, switched

MAX_LIMIT = 2_000
AT_ONCE = 50
"""Names of which rows are made in one turn of the event loop."""
MOST_UNREAD = 20
"""Directories of a page that are named when they can not be read."""
CALLERS, GOVERNED, TOKENS, MAPPED = (frozenset({word}) for word in ("callers", "rules", "tokens", "mapped"))


class Registries(Protocol):
    """What may be asked of the registries of a zone."""

    def called(self, zone: str) -> set[str]: ...  # noqa: D102

    def roots(self, zone: str) -> list[str]: ...  # noqa: D102

    async def about(  # noqa: D102
        self, zone: str, subjects: Collection[str], what: frozenset[str]
    ) -> list[dict[str, Reading]]: ...


def wish_of(query: Mapping[str, str]) -> Wish:
    """What a request asks for. Raises Refused."""
    family = query.get("family", DUBBO)
    if family not in FAMILIES:
        raise Refused(f"family={family}: known are {', '.join(FAMILIES)}")
    wish = Wish(
        family=family,
        application=query.get("application", ""),
        everyone=switched(query, "everyone"),
        named=_interfaces(query.get("interface", "")),
        alone=_interfaces(query.get("names", "")),
        secrets=switched(query, "secrets"),
        tri=switched(query, "tri"),
    )
    if not (wish.application or wish.everyone or wish.names):
        raise Refused("whose interfaces: application=, interface=, names= or everyone=1")
    return wish


def _interfaces(listed: str) -> tuple[InterfaceId, ...]:
    return tuple(naming.parse_interface(text) for text in listed.split(",") if text)


async def page(
    registries: Registries, known: Zone, query: Mapping[str, str], *, limit: int
) -> dict[str, Any]:
    """The rows of the next names, and the callers of these that are outside the cluster, as far as that is known.

    Raises Refused for a query that can not be meant, and while a registry can not be asked.
    """
    zone, wish, after, limit = (
        known.settings.name,
        wish_of(query),
        query.get("after", ""),
        min(limit, MAX_LIMIT),
    )
    called = registries.called(zone) if wish.application and not wish.alone else ()
    every = boarding.known(known, wish, called)
    names = boarding.page(every, after=after, limit=limit)
    looked = len(names)
    more = names[-1] if len(names) == limit else None
    readings = await registries.about(zone, names, CALLERS)
    names = boarding.wanted(names, wish, boarding.merged(readings))
    subjects = boarding.governing(known, names, wish, boarding.merged(readings))
    readings += await registries.about(zone, subjects, GOVERNED | TOKENS if wish.secrets else GOVERNED)
    if unheard := boarding.unheard(known, names):
        readings += await registries.about(zone, unheard, MAPPED)
    together = boarding.merged(readings)
    items: list[dict[str, Any]] = []
    lead: list[str] = []
    """Names whose callers are to reach a Service."""
    for begin in range(0, len(names), AT_ONCE):
        for name in names[begin : begin + AT_ONCE]:
            rows = boarding.rows(known, name, wish, together)
            lead += [name] if wish.alone or any(row["exported"] for row in rows) else []
            items += rows
        await asyncio.sleep(0)  # what comes from sources is not to wait for all of them
    return {
        "zone": zone,
        "items": items,
        "outside": _plain(boarding.outside(known, lead, wish, together)),
        "callersRead": bool(readings),
        "roots": registries.roots(zone),
        "unread": _unread(names, together),
        "looked": looked,
        "names": len(every),
        "next": more,
    }


async def survey(
    registries: Registries, known: Zone, query: Mapping[str, str], *, limit: int
) -> dict[str, Any]:
    """What there is to say of the next names before they are boarded (``soadns.onboarding.surveying``), and how many.

    Raises Refused while a registry can not be asked.
    """
    zone, wishes = known.settings.name, surveying.wishes(tri=switched(query, "tri"))
    every = surveying.known(known, registries.called(zone))
    names = boarding.page(every, after=query.get("after", ""), limit=min(limit, MAX_LIMIT))
    callers = boarding.merged(await registries.about(zone, names, CALLERS))
    subjects = boarding.governing(known, names, wishes[DUBBO], callers)
    governed = await registries.about(zone, subjects, GOVERNED)
    if unheard := boarding.unheard(known, names):
        governed += await registries.about(zone, unheard, MAPPED)
    together = boarding.merged([callers, *governed])
    outside = boarding.outside(known, names, wishes[DUBBO], callers)
    strangers = frozenset(outside)
    items: list[dict[str, Any]] = []
    for begin in range(0, len(names), AT_ONCE):
        portion = names[begin : begin + AT_ONCE]
        items += [item.plain() for item in surveying.items(known, portion, together, strangers, wishes)]
        await asyncio.sleep(0)  # as above
    return {
        "zone": zone,
        "items": items,
        "outside": _plain(outside),
        "ruled": _ruled(names, together),
        "callersRead": bool(governed),
        "callersUnread": sum(bool(callers[name].unread) for name in names if name in callers),
        "unread": _unread(names, together),
        "looked": len(names),
        "names": len(every),
        "next": names[-1] if len(names) == min(limit, MAX_LIMIT) else None,
    }


def _plain(callers: Iterable[Caller]) -> list[dict[str, Any]]:
    return [{"address": host, "application": application or None} for host, application in callers]


def _ruled(names: Iterable[str], readings: Mapping[str, Reading]) -> list[dict[str, Any]]:
    """The applications that call some names and have rules of their own, in order."""
    callers = {c.application for name in names for c in readings.get(name, boarding.NOTHING).callers}
    found = ((name, boarding.rules_of(name, readings)) for name in sorted(callers))
    return [{"application": name, "rules": rules} for name, rules in found if name and rules]


def _unread(names: Iterable[str], readings: Mapping[str, Reading]) -> list[str]:
    """What could not be read of some names, and why; so much of it."""
    found = dict.fromkeys(text for name in names if name in readings for text in readings[name].unread)
    return list(found)[:MOST_UNREAD]
