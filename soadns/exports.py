"""One page of direct URLs, from the estate and from what registries say at that moment (``GET /v1/directurls``)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from soadns import boarding, naming
from soadns.binding.zone import Zone
from soadns.boarding import Wish
from soadns.model import Reading
from soadns.publishers.directurls import DUBBO, FAMILIES
from soadns.web.operations import Refused

MAX_LIMIT = 2_000
AT_ONCE = 50
"""Names of which rows are made in one turn of the event loop."""
MOST_UNREAD = 20
"""Directories of a page that are named when they can not be read."""
CALLERS, GOVERNED, TOKENS = (frozenset({word}) for word in ("callers", "rules", "tokens"))


class Registries(Protocol):
    """What may be asked of the registries of a zone."""

    def called(self, zone: str) -> set[str]: ...  # noqa: D102

    async def about(  # noqa: D102
        self, zone: str, names: Collection[str], what: frozenset[str]
    ) -> list[dict[str, Reading]]: ...


def wish_of(query: Mapping[str, str]) -> Wish:
    """What a request asks for. Raises Refused."""
    family = query.get("family", DUBBO)
    if family not in FAMILIES:
        raise Refused(f"family={family}: known are {', '.join(FAMILIES)}")
    named = tuple(naming.parse_interface(text) for text in query.get("interface", "").split(",") if text)
    wish = Wish(
        family=family,
        application=query.get("application", ""),
        everyone="everyone" in query,
        named=named,
        secrets="secrets" in query,
    )
    if not (wish.application or wish.everyone or wish.named):
        raise Refused("whose interfaces: application=, interface= or everyone=1")
    return wish


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
    called = registries.called(zone) if wish.application else ()
    names = boarding.page(known, wish, called, after=after, limit=limit)
    more = names[-1] if len(names) == limit else None
    readings = await registries.about(zone, names, CALLERS)
    names = boarding.wanted(names, wish, boarding.merged(readings))
    readings += await registries.about(zone, names, GOVERNED | TOKENS if wish.secrets else GOVERNED)
    together = boarding.merged(readings)
    items: list[dict[str, Any]] = []
    for begin in range(0, len(names), AT_ONCE):
        items += boarding.rows(known, names[begin : begin + AT_ONCE], wish, together)
        await asyncio.sleep(0)  # what comes from sources is not to wait for all of them
    unread = dict.fromkeys(text for name in names if name in together for text in together[name].unread)
    return {
        "zone": zone,
        "items": items,
        "outside": [
            {"address": host, "application": application or None}
            for host, application in boarding.outside(known, names, wish, together)
        ],
        "callersRead": bool(readings),
        "unread": list(unread)[:MOST_UNREAD],
        "next": more,
    }
