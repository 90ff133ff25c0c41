"""Routes over HTTP: one request resolved, the table, and a stream of its changes (server-sent events).

With ``clusters=1`` the stream tells of the endpoints as well.

Whoever follows the stream is told the whole state, then deltas. Nothing is queued for anybody: a follower is a
generation, and what changed since that is put together when there is room on its connection again. So a slow one is
sent less often and more at once, one that falls behind what is remembered is sent the state again, and a thousand that
want the same share one text.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeVar

from aiohttp import web

from soadns.logs import log
from soadns.model import InterfaceId
from soadns.naming import parse_interface
from soadns.numerals import port_number, whole_number
from soadns.reports import filterviews, mosnviews, routeviews
from soadns.reports.routeviews import Part
from soadns.web.operations import Operations, Refused, Running, switched
from soadns.web.placements import Placements
from soadns.web.replies import one_zone, parsed, reply, text_of, which_zone

MOST_FOLLOWERS = 4_000
"""Connections that may follow routes at once."""
BEAT_S = 15.0
"""After so much silence a comment is sent, so that both ends notice when the other is gone."""
STUCK_S = 30.0
"""Who takes nothing for so long is cut off, and may come again."""
PIECE = 1 << 16
"""Octets written at once."""
AT_ONCE = 50
"""Followers that are woken in one pass of the event loop."""
INLINE = 200
"""Places that are written as JSON at once; more of them in another thread, for that takes a while."""
SETTLE_S = 3.0
"""How long an operator waits until other replicas can know what he said."""
T = TypeVar("T")
_TAG = re.compile(r'"[^"]*"')
"""An entity tag without what says that it is a weak one."""
MOST_TEXTS = 256
"""Texts that are kept for whoever needs the same, until the routes change."""
NEVER = -1
"""The generation of whoever knows nothing."""
MOST_GENERATION = (1 << 63) - 1
"""Nobody counts so far; from the future is what is more than the present one, and that has its own rule."""
MOST_SHOWN = 80
"""Characters of what is refused that are said again."""


@dataclass(slots=True, eq=False)
class Follower:
    """One connection that follows routes."""

    zone: str
    part: Part
    clusters: bool = False
    """Whether it is told of clusters as well."""
    known: int = NEVER
    """The generation that it was sent."""
    stirred: asyncio.Event = field(default_factory=asyncio.Event)


class Routes:
    """The handlers."""

    def __init__(self, running: Running, operations: Operations, placements: Placements) -> None:
        self._running = running
        self._placements = placements
        self._operations = operations
        self._followers: set[Follower] = set()
        self._texts: dict[tuple[str, bool, int, int, Part], asyncio.Task[bytes]] = {}
        """(zone, with clusters, from generation, to generation, part) → what is sent to all who need the same."""
        self._ending = False

    def add_to(self, app: web.Application) -> None:
        """Serve as part of an application."""
        app.router.add_get("/v1/resolve", self._resolve)
        app.router.add_get("/v1/routes", self._routes)
        app.router.add_get("/v1/clusters", self._clusters)
        app.router.add_get("/v1/moves", self._moves)
        app.router.add_get("/v1/nodes", self._nodes)
        app.router.add_get("/v1/mosn", self._mosn)
        app.router.add_post("/v1/forget", self._forget)
        app.on_startup.append(self._begin)
        app.on_shutdown.append(self._end)

    async def _begin(self, _: web.Application) -> None:
        routing = self._running.routing
        self._numbers = [
            routing.listen(lambda zone: self._hear(zone, clusters=False)),
            routing.listen(lambda zone: self._hear(zone, clusters=True), clusters=True),
        ]

    async def _end(self, _: web.Application) -> None:
        for number in self._numbers:
            self._running.routing.leave(number)
        self._ending = True
        for follower in self._followers:
            follower.stirred.set()

    # ------------------------------------------------------------------ questions

    async def _resolve(self, request: web.Request) -> web.Response:
        zones, query = self._running.routing.tables, request.query
        if not (zone := one_zone(request, zones)):
            return which_zone(request, zones)
        if (wait := self._wait(zone)) is not None:
            return wait
        interface, port = query.get("interface", ""), _port(query)
        if not (query.get("address") and port and interface):
            raise Refused("of which call: address=10.96.1.7&port=20880&interface=com.x.UserService")
        wire = (interface, query.get("group", ""), query.get("version", ""))
        at = (_address(query), port)
        data = routeviews.resolved(zone, self._running.routing, at, wire)
        known, table = self._running.estate.zones[zone], zones[zone]
        if switched(query, "istio") and "error" not in data:
            data["istio"] = filterviews.of_place(known, table, at, await self._placements.meshing(zone))
        return reply(data, status=404 if "error" in data else 200)

    async def _routes(self, request: web.Request) -> web.StreamResponse:
        routing, query = self._running.routing, request.query
        if not (zone := one_zone(request, routing.tables)):
            return which_zone(request, routing.tables)
        if (wait := self._wait(zone)) is not None:
            return wait
        part, follows = Part(_service(query), _address(query), _port(query)), switched(query, "watch")
        if switched(query, "clusters") and (part != Part() or not follows):
            raise Refused(
                "clusters=1 goes with watch=1 and all routes; /v1/clusters?name= tells of one cluster"
            )
        if follows:
            return await self._follow(request, zone, part)
        tag = f'"{routing.tag(zone)}"'
        if _has(request, tag):
            return web.Response(status=304, headers={"ETag": tag})
        vips = part.found(routing.tables[zone].vips)
        body = routeviews.state(zone, routing, [])
        body["vips"] = await _whole(len(vips), lambda: routeviews.vips_data(zone, routing, vips))
        return reply(body, headers={"ETag": tag})

    async def _clusters(self, request: web.Request) -> web.Response:
        routing = self._running.routing
        if not (zone := one_zone(request, routing.tables)):
            return which_zone(request, routing.tables)
        if (wait := self._wait(zone)) is not None:
            return wait
        name = request.query.get("name", "")
        found = routeviews.clusters(zone, routing, name)
        if name and not found:
            return reply({"error": f"no route leads to a cluster {name}"}, status=404)
        body = routeviews.state(zone, routing, [], clusters=True)
        del body["vips"]
        told = await _whole(len(found), lambda: [routeviews.cluster_data(each) for each in found])
        return reply(body | {"clusters": told})

    def _wait(self, zone: str) -> web.Response | None:
        """The answer while routes are not told."""
        reason = self._running.routing.unready(zone)
        return reply({"error": reason}, status=503, headers={"Retry-After": "1"}) if reason else None

    # ------------------------------------------------------------------ moves

    async def _moves(self, request: web.Request) -> web.Response:
        zones = self._running.routing.tables
        if not (zone := one_zone(request, zones)):
            return which_zone(request, zones)
        return self._wait(zone) or reply(routeviews.moves(zone, self._running.routing))

    async def _forget(self, request: web.Request) -> web.Response:
        body = await _object(request)
        zones = self._running.routing.tables
        zone = body.get("zone") or next(iter(zones))
        if zone not in zones or (len(zones) > 1 and not body.get("zone")):
            raise Refused(f"which zone: known are {', '.join(zones)}")
        home = self._running.estate.zones[zone].settings.clusters.home
        service = routeviews.service_ref(body.get("service", ""), home)
        if service is None:
            raise Refused(
                f'service "{body.get("service", "")}": expected namespace/name, as in '
                '{"service": "shop/user", "interface": "com.x.UserService"}'
            )
        text = body.get("interface", "")
        interface: InterfaceId | None = parse_interface(text) if text else None
        routing = self._running.routing
        found = self._operations.forget(zone, service, interface)
        data = {"zone": zone, "forgotten": [routeviews.move_data(zone, routing, move) for move in found]}
        return reply(data | {"untold": await self._operations.settle(SETTLE_S) or None})

    # ------------------------------------------------------------------ sidecars without Istio

    async def _nodes(self, _: web.Request) -> web.Response:
        nodes = self._running.nodes()
        if nodes is None:
            return reply({"error": "no sidecar can connect: sidecar.ads.listen is not set"}, status=404)
        return reply({"nodes": nodes})

    async def _mosn(self, request: web.Request) -> web.Response:
        """The file with which a MOSN starts; put together in portions, for it may be large."""
        query, zones = request.query, self._running.routing.tables
        if not (zone := one_zone(request, zones)):
            return which_zone(request, zones)
        if (wait := self._wait(zone)) is not None:
            return wait
        try:
            node = mosnviews.node_of(query, zone)
        except ValueError as error:
            raise Refused(str(error)) from None
        namespaces = frozenset(name for name in query.get("namespaces", "").split(",") if name)
        found = mosnviews.Gathered()
        gathering = mosnviews.gather(
            self._running.estate.zones[zone], self._running.routing, namespaces, found
        )
        for number, _ in enumerate(gathering):
            if not number % INLINE:
                await asyncio.sleep(0)
        return reply(await asyncio.to_thread(mosnviews.file, node, found))

    # ------------------------------------------------------------------ the stream

    def _hear(self, zone: str, *, clusters: bool) -> None:
        """The routes of a zone changed, or its clusters: wake who follows that, some in each pass of the loop."""
        self._texts.clear()
        self._wake([each for each in self._followers if (each.zone, each.clusters) == (zone, clusters)])

    def _wake(self, followers: list[Follower]) -> None:
        for follower in followers[:AT_ONCE]:
            follower.stirred.set()
        if rest := followers[AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._wake, rest)

    async def _follow(self, request: web.Request, zone: str, part: Part) -> web.StreamResponse:
        if len(self._followers) >= MOST_FOLLOWERS:
            log("too-many-followers", level="warning", peer=request.remote, followers=len(self._followers))
            text = f"{MOST_FOLLOWERS} connections follow the routes already; ask another replica, or later"
            return reply({"error": text}, status=503, headers={"Retry-After": "5"})
        follower = Follower(zone, part, switched(request.query, "clusters"))
        follower.known = self._resumed(request, follower)
        stream = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        )
        self._followers.add(follower)
        try:
            with contextlib.suppress(ConnectionError):
                await stream.prepare(request)
                await self._tell(follower, stream)
                await stream.write_eof()
        except TimeoutError:
            log("follower-stuck", level="warning", peer=request.remote)
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._followers.discard(follower)
        return stream

    def _generation(self, follower: Follower) -> int:
        return self._running.routing.generation(follower.zone, clusters=follower.clusters)

    def _replica(self, follower: Follower) -> str:
        """Who counts a follower's generations: of routes with clusters there are others than of routes."""
        return self._running.routing.replica + ("+clusters" if follower.clusters else "")

    def _resumed(self, request: web.Request, follower: Follower) -> int:
        """The generation that a follower says it has, if that was counted by this process."""
        replica, _, generation = request.headers.get("Last-Event-ID", "").rpartition(".")
        number = whole_number(generation, MOST_GENERATION)
        if replica != self._replica(follower) or number is None:
            return NEVER
        return min(number, self._generation(follower))

    async def _tell(self, follower: Follower, stream: web.StreamResponse) -> None:
        """Send what a follower does not know, until it leaves or this process ends."""
        routing = self._running.routing
        while not self._ending:
            if reason := routing.unready(follower.zone):
                await _write(stream, _event("unready", text_of({"error": reason})))
                return
            follower.stirred.clear()
            generation = self._generation(follower)
            if follower.known != generation:
                await _write(stream, await self._text(follower, generation))
                follower.known = generation
                continue
            try:
                async with asyncio.timeout(BEAT_S):
                    await follower.stirred.wait()
            except TimeoutError:
                await _write(stream, b":\n\n")

    async def _text(self, follower: Follower, generation: int) -> bytes:
        """What brings a follower from what it knows to a generation that is the present one."""
        key = (follower.zone, follower.clusters, follower.known, generation, follower.part)
        task = self._texts.get(key)
        if task is None:
            if len(self._texts) >= MOST_TEXTS:
                self._texts.clear()
            task = self._texts[key] = asyncio.ensure_future(self._make(follower))
        return await asyncio.shield(task)

    async def _make(self, follower: Follower) -> bytes:
        routing, zone, part, known = self._running.routing, follower.zone, follower.part, follower.known
        tag = f"{self._replica(follower)}.{self._generation(follower)}"
        changed = routing.since(zone, known, clusters=follower.clusters) if known != NEVER else None
        if changed is not None:
            data = routeviews.delta(zone, routing, known, changed, part, clusters=follower.clusters)
            told = any(data[key] for key in ("vips", "gone", "clusters", "goneClusters") if key in data)
            return _event("delta", text_of(data), tag) if told else b""
        vips = part.found(routing.tables[zone].vips)
        found = routeviews.clusters(zone, routing) if follower.clusters else []
        data = routeviews.state(zone, routing, [], clusters=follower.clusters)

        def text() -> str:
            told = (
                {"clusters": [routeviews.cluster_data(each) for each in found]} if follower.clusters else {}
            )
            return text_of(data | {"vips": routeviews.vips_data(zone, routing, vips)} | told)

        return _event("state", await _whole(len(vips), text), tag)


async def _whole(size: int, make: Callable[[], T]) -> T:
    return make() if size <= INLINE else await asyncio.to_thread(make)


def _event(name: str, text: str, tag: str = "") -> bytes:
    """One server-sent event; JSON without line breaks is one line of data."""
    identity = f"id: {tag}\n" if tag else ""
    return f"event: {name}\n{identity}data: {text.rstrip()}\n\n".encode()


async def _write(stream: web.StreamResponse, octets: bytes) -> None:
    """Write as the other end takes it. Raises TimeoutError when it takes nothing."""
    for start in range(0, len(octets), PIECE):
        async with asyncio.timeout(STUCK_S):
            await stream.write(octets[start : start + PIECE])


async def _object(request: web.Request) -> dict[str, str]:
    """The texts of a JSON object. Raises Refused."""
    body = parsed(await request.read())
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise Refused("the body is no JSON object of texts")
    return body


def _has(request: web.Request, tag: str) -> bool:
    """Whether who asks has what is tagged so (RFC 9110 13.1.2: any of a list, compared weakly, or ``*``)."""
    said = ",".join(request.headers.getall("If-None-Match", ()))
    return said.strip() == "*" or tag in _TAG.findall(said)


def _service(query: Mapping[str, str]) -> str:
    """``service``, or ``''``. Raises Refused."""
    text = query.get("service", "")
    if text and routeviews.service_ref(text, "home") is None:
        raise Refused(f"service={text}: expected namespace/name")
    return text


def _address(query: Mapping[str, str]) -> str:
    """``address`` in normal form, or ``''``. Raises Refused."""
    text = query.get("address", "")
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise Refused(f"address={text}: not an IP address") from None


def _port(query: Mapping[str, str]) -> int:
    """``port``, or 0. Raises Refused."""
    text = query.get("port", "")
    port = port_number(text) if text else 0
    if port is None:
        raise Refused(f"port={text[:MOST_SHOWN]}: not a port")
    return port
