"""Envoy filters over HTTP: what is to be written for each Service, how far that goes, and why."""

from __future__ import annotations

import asyncio

from aiohttp import web

from soadns.reports import filterviews, routeviews
from soadns.web.operations import Refused, Running, switched
from soadns.web.placements import Placements
from soadns.web.replies import one_zone, reply, which_zone

MAX_LIMIT = 500
MAPS = ("configMaps", "leftOut", "outdated")
"""What is told of ConfigMaps."""
AT_ONCE = 10
"""Services that are looked at in one turn of the event loop."""


class Filters:
    """The handlers."""

    def __init__(self, running: Running, placements: Placements) -> None:
        self._running = running
        self._placements = placements

    def add_to(self, app: web.Application) -> None:
        """Serve as part of an application."""
        app.router.add_get("/v1/envoyfilters", self._filters)

    async def _filters(self, request: web.Request) -> web.Response:
        running, query = self._running, request.query
        tables = running.routing.tables
        if not (name := one_zone(request, tables)):
            return which_zone(request, tables)
        if reason := running.routing.unready(name):
            return reply({"error": reason}, status=503, headers={"Retry-After": "1"})
        zone, table = running.estate.zones[name], tables[name]
        of = None
        if text := query.get("service", ""):
            of = routeviews.service_ref(text, zone.settings.clusters.home)
            if of is None:
                raise Refused(f"service={text}: expected namespace/name")
        meshing = await self._placements.meshing(name)
        refs = filterviews.services(table, of=of, after=query.get("after", ""), limit=MAX_LIMIT)
        items, clusters = [], filterviews.known_clusters(zone, meshing)
        for begin in range(0, len(refs), AT_ONCE):
            for ref in refs[begin : begin + AT_ONCE]:
                found = filterviews.rendered(zone, table, ref, meshing)
                items += [filterviews.item(found, clusters, meshing)] if found is not None else []
            await asyncio.sleep(0)  # what comes from sources is not to wait for all of them
        more = str(refs[-1]) if len(refs) == MAX_LIMIT else None
        body = {**filterviews.head(name, meshing), "items": items, "next": more}
        if switched(query, "standing") and more is None:
            body["standing"] = filterviews.standing(running.standing(), of)
            body["changes"] = await running.filter_changes(name, of)
        if switched(query, "maps") and more is None:
            body |= await running.route_files(name) or dict.fromkeys(MAPS)
        return reply(body)
