"""The HTTP listeners: the only importer of aiohttp's server side.

``/livez``, ``/readyz`` and ``/metrics`` for probes; everything that shows estate data or changes state needs a
loopback connection or the bearer token. Shapes of ``/v1`` are documented in ``docs/http.md``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from soadns import __version__
from soadns.logs import log
from soadns.reports import filterviews, routeviews, views
from soadns.reports.explain import explain
from soadns.settings.config import HttpConfig
from soadns.web.bearer import bears
from soadns.web.families import CONTENT_TYPE
from soadns.web.filters import Filters
from soadns.web.metrics import Exporter
from soadns.web.operations import Operations, Refused, Running, switched
from soadns.web.placements import Placements
from soadns.web.replies import one_zone, parsed, reply, which_zone
from soadns.web.routes import Routes

MAX_LIMIT = 5_000
LINES = 2_000
"""Of a zone file, rendered and sent at once."""
_NOT_AT_HOME = "needs a loopback connection to an address or localhost; for others set http.tokenFile"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """The handlers over one running process."""

    def __init__(self, running: Running, operations: Operations, settings: HttpConfig) -> None:
        self._running = running
        self._operations = operations
        self._settings = settings
        self._exporter = Exporter(running)
        self._placements = Placements(running)

    def application(self, *, probes_only: bool) -> web.Application:
        """The routes of a listener."""
        app = web.Application(middlewares=[self._guarded, _problems])
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        if not probes_only:
            app.router.add_get("/", self._index)
            app.router.add_get("/v1/interfaces", self._interfaces)
            app.router.add_get("/v1/interfaces/{name:.+}", self._interface)
            app.router.add_get("/v1/explain/{name:.+}", self._explain)
            app.router.add_get("/v1/sources", self._sources)
            app.router.add_get("/v1/zonefile", self._zonefile)
            app.router.add_get("/v1/directurls", self._direct_urls)
            app.router.add_get("/v1/survey", self._survey)
            app.router.add_post("/v1/rehearse", self._rehearse)
            Routes(self._running, self._operations, self._placements).add_to(app)
            Filters(self._running, self._placements).add_to(app)
            app.router.add_get("/v1/mesh", self._mesh)
            app.router.add_post("/v1/release", self._release)
            app.router.add_get("/v1/reload", self._in_force)
            app.router.add_post("/v1/reload", self._reload)
        return app

    # ------------------------------------------------------------------ who may

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/") and not self._may(request):
            log("denied", level="warning", peer=request.remote, path=request.path)
            text = "needs the bearer token of http.tokenFile" if self._settings.token_file else _NOT_AT_HOME
            return web.json_response({"error": text}, status=401, headers={"WWW-Authenticate": "Bearer"})
        response = await handler(request)
        if request.method == "POST" and request.path != "/v1/rehearse":
            done = response.status == 200
            word, level = ("changed-over-http", "info") if done else ("refused-over-http", "warning")
            log(word, level=level, peer=request.remote, path=request.path, status=response.status)
        return response

    def _may(self, request: web.Request) -> bool:
        if self._settings.token_file:
            return bears(request, self._settings.token_file)
        if "Origin" in request.headers and request.method != "GET":
            return False
        own = request.transport.get_extra_info("sockname") if request.transport is not None else None
        return at_home(request.remote or "", str(own[0]) if own else "", request.headers.get("Host", ""))

    # ------------------------------------------------------------------ probes

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        lines = ["stopping"] if self._running.leaving else []
        for name, zone in self._running.estate.zones.items():
            awaited = ", ".join(zone.awaited)
            if not zone.complete:
                said = f"waits for {awaited}"
            else:
                said = f"ready, but denies no name before {awaited} is read" if awaited else "ready"
            lines.append(f"zone {name}: {said}")
        for name, state in sorted(self._running.estate.observations.sources.items()):
            if not state.in_sync:
                word = "stale" if state.known else "never synced"
                lines.append(f"{word}: {name}: {state.trouble or 'not read yet'}")
        ready = self._running.ready and not self._running.leaving
        return web.Response(text="\n".join([*lines, ""]), status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        await self._exporter.states.refresh()
        return web.Response(body=self._exporter.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _index(self, _: web.Request) -> web.Response:
        paths = "/livez /readyz /metrics /v1/interfaces /v1/interfaces/{name} /v1/explain/{name} /v1/sources"
        paths += " /v1/zonefile /v1/directurls /v1/survey /v1/resolve /v1/routes /v1/clusters /v1/moves"
        paths += " /v1/envoyfilters /v1/nodes /v1/mosn"
        return web.Response(text=f"soadns {__version__}\n" + "\n".join(paths.split()) + "\n")

    # ------------------------------------------------------------------ data

    async def _interfaces(self, request: web.Request) -> web.Response:
        query = request.query
        flag = query.get("flag", "")
        if flag and flag not in views.FLAGS:
            raise Refused(f"flag={flag}: known are {', '.join(views.FLAGS)}")
        page = views.interfaces(
            self._running.estate,
            zone=self._zone(request),
            flag=flag,
            match=query.get("match", ""),
            after=query.get("after", ""),
            limit=_limit(query, MAX_LIMIT),
        )
        return reply(page)

    def _zone(self, request: web.Request) -> str:
        """The zone that is asked for, as it is configured; ``''`` means all. Raises Refused."""
        zones = self._running.estate.zones
        zone = request.query.get("zone", "").removesuffix(".").lower()
        if zone and zone not in zones:
            raise Refused(f"no zone {zone}; known are {', '.join(zones)}")
        return zone

    async def _interface(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = views.find(self._running.estate, name, zone=self._zone(request))
        body = {"items": [views.summary(each) for each in found]}
        return reply(body, status=200 if found else 404)

    async def _explain(self, request: web.Request) -> web.Response:
        running, name, zone = self._running, request.match_info["name"], self._zone(request)
        body = explain(running.estate, name, running.now(), zone=zone)
        for found, data in zip(views.find(running.estate, name, zone=zone), body["zones"], strict=True):
            within, interface = found.zone.settings.name, found.interface
            data["routes"] = routeviews.of_interface(within, running.routing, interface)
            table = running.routing.tables[within]
            data["istio"] = (
                []
                if data["routes"]["unready"]
                else filterviews.of_interface(
                    found.zone, table, interface, await self._placements.meshing(within)
                )
            )
            if switched(request.query, "raw"):
                sources = found.zone.sources.get(found.interface, ())
                data["znodes"] = [t for s in sources for t in await running.texts(s, found.interface.name)]
        return reply(body, status=200 if body["known"] else 404)

    async def _sources(self, _: web.Request) -> web.Response:
        return reply(views.sources(self._running.estate, self._running.now()))

    async def _zonefile(self, request: web.Request) -> web.StreamResponse:
        zones = self._running.estate.zones
        if not (name := one_zone(request, zones)):
            return which_zone(request, zones)
        if (lines := self._running.zone_file(name)) is None:
            awaited = ", ".join(self._running.estate.zones[name].awaited)
            raise Refused(f"{name} waits for {awaited}: whoever loaded its file would deny names that exist")
        # RFC 4027: master files have a media type of their own.
        response = web.StreamResponse(headers={"Content-Type": "text/dns; charset=us-ascii"})
        await response.prepare(request)
        # Not in this thread: a large zone takes seconds, and sources must not wait for a reader, who may also leave.
        with contextlib.suppress(ConnectionError):
            while chunk := await asyncio.to_thread(_text, lines):
                await response.write(chunk)
            await response.write_eof()
        return response

    async def _direct_urls(self, request: web.Request) -> web.Response:
        zones = self._running.estate.zones
        if not (name := one_zone(request, zones)):
            return which_zone(request, zones)
        self._whole(name)
        query = request.query
        if switched(query, "secrets"):
            log("secrets-asked-for", peer=request.remote, path=request.path)
        return reply(await self._running.direct_urls(name, query, limit=_limit(query, MAX_LIMIT)))

    async def _survey(self, request: web.Request) -> web.Response:
        zones = self._running.estate.zones
        if not (name := one_zone(request, zones)):
            return which_zone(request, zones)
        self._whole(name)
        query = request.query
        return reply(await self._running.survey(name, query, limit=_limit(query, MAX_LIMIT)))

    async def _rehearse(self, request: web.Request) -> web.Response:
        body = await _body(request)
        files, cluster = body.get("files"), body.get("cluster", "")
        well = isinstance(files, list) and all(
            isinstance(each, dict) and isinstance(each.get("name"), str) and isinstance(each.get("text"), str)
            for each in files
        )
        if not (well and isinstance(cluster, str)):
            raise Refused('expected {"files": [{"name": "user.yaml", "text": "kind: Service ..."}]}')
        return reply(
            await self._running.rehearse([(each["name"], each["text"]) for each in files or ()], cluster)
        )

    def _whole(self, zone: str) -> None:
        """Raises Refused while a zone does not know everything."""
        if awaited := self._running.estate.zones[zone].awaited:
            raise Refused(
                f"{zone} waits for {', '.join(awaited)}: what it may say of an interface is not known yet"
            )

    async def _mesh(self, request: web.Request) -> web.Response:
        service = request.query.get("service", "")
        if service and routeviews.service_ref(service, "home") is None:
            raise Refused(f"service={service}: expected namespace/name")
        return reply(self._running.mesh_status(service))

    # ------------------------------------------------------------------ changes

    async def _release(self, request: web.Request) -> web.Response:
        body = await _body(request)
        source = body.get("source")
        if not isinstance(source, str):
            raise Refused('expected {"source": "zookeeper/main/dubbo"}')
        return reply({"source": source, "names": self._operations.release(source)})

    async def _reload(self, request: web.Request) -> web.Response:
        body = await _body(request)
        done = self._operations.reload(accept_removals=body.get("acceptRemovals") is True)
        body = {"removed": list(done.removed), "names": done.names, "needsRestart": done.needs_restart}
        return reply({**body, **self._since()})

    async def _in_force(self, _: web.Request) -> web.Response:
        return reply(self._since())

    def _since(self) -> dict[str, Any]:
        return {"since": views.when(self._operations.since)}


def _text(lines: Iterator[str]) -> bytes:
    """The next part of a zone file; empty at its end."""
    return "".join(f"{line}\n" for line in islice(lines, LINES)).encode("ascii")


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals become 409 with the reason; they and aiohttp's own errors are JSON."""
    try:
        return await handler(request)
    except Refused as refused:
        return reply({"error": str(refused)}, status=409)
    except web.HTTPException as error:
        text = error.text or error.reason
        if error.status == 404:
            paths = dict.fromkeys(resource.canonical for resource in request.app.router.resources())
            text = f"no such path {request.path}; there are {' '.join(paths)}"
        response = reply({"error": text}, status=error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


def _limit(query: Mapping[str, str], most: int) -> int:
    """How much of a list is asked for. Raises Refused."""
    try:
        return min(max(int(query.get("limit", "500")), 1), most)
    except ValueError:
        raise Refused(f"limit={query['limit']}: not a number") from None


async def _body(request: web.Request) -> dict[str, Any]:
    body = parsed(await request.read() or b"{}")
    if not isinstance(body, dict):
        raise Refused("the body is no JSON object")
    return body


def at_home(peer: str, own: str, host: str) -> bool:
    """Whether a request comes from this host and is meant for it. ``host`` is its Host header.

    Both ends are loopback: a sidecar forwards strangers from 127.0.0.6, but to an address of the pod. And no name
    but ``localhost`` leads here: a page in a browser of this host may have pointed its own at 127.0.0.1.
    """
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    named_well = name is None or name == "localhost" or _address(name) is not None
    return named_well and all(ip is not None and ip.is_loopback for ip in map(_address, (peer, own)))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


async def listen(
    application: web.Application, sock: socket.socket, tls: SSLContext | None = None
) -> web.AppRunner:
    """Serve on a listening socket, which others hold as well; the runner is to be cleaned up by the caller."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, sock, ssl_context=tls).start()
    return runner
