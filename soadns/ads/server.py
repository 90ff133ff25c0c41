"""The ADS server: gRPC streams of sidecars. With ``certificates`` the door to ``grpc``.

One task a stream writes what its peer does not know and waits for more; another one reads what it says. A slow peer is
written to when it takes something, one that takes nothing is cut off, and neither holds more than one response.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Protocol, TypeVar

import grpc

from soadns import faults
from soadns.addresses import parse_address
from soadns.ads.certificates import Certificates
from soadns.ads.delta import Delta, DeltaRequest
from soadns.ads.encoder import delta_request, encode, request
from soadns.ads.envoyinventory import EnvoyInventory
from soadns.ads.inventory import Inventory
from soadns.ads.keeper import Keeper
from soadns.ads.peers import ENVOY, MOSN, MOST_ID, Peer, Request, namespace_of, view
from soadns.ads.push import Batch, Push
from soadns.ads.sharedroutes import View
from soadns.ads.wire import KINDS
from soadns.binding.estate import Estate
from soadns.figures import Figures
from soadns.logs import log
from soadns.routing import Routing
from soadns.settings.sidecarconfig import AdsConfig

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
MOST_STREAMS = 4_000
FIRST_S = 10.0
"""Who says nothing for so long is sent away."""
UNREADY_S = 5.0
"""How long a stream waits for routes that are not told yet, before it is sent to another replica."""
STUCK_S = 30.0
"""Who takes nothing for so long is cut off, and may come again."""
MOST_REQUEST = 4 << 20
GRACE_S = 0.5
_OPTIONS = (
    ("grpc.keepalive_time_ms", 20_000),  # MOSN pings nobody: a connection that died silently is noticed by us
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_receive_message_length", MOST_REQUEST),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)


R = TypeVar("R", Request, DeltaRequest)
GARBLED = {
    MOSN: "what was sent is no envoy.service.discovery.v3.DiscoveryRequest",
    ENVOY: "what was sent is no envoy.service.discovery.v3.DeltaDiscoveryRequest",
}
"""What those are told who send something else, by the kind of sidecar that asks so."""

CODES = {
    "full": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "unready": grpc.StatusCode.UNAVAILABLE,
    "behind": grpc.StatusCode.UNAVAILABLE,
}
"""What gRPC calls the reasons for which streams are ended, where it is not the request that is wrong."""


class Running(Protocol):
    """The control process, as far as it is served."""

    estate: Estate
    routing: Routing

    def now(self) -> float: ...  # noqa: D102


class AdsServer:
    """Serves sidecars on one address."""

    def __init__(self, running: Running, settings: AdsConfig, figures: Figures) -> None:
        """Raises OSError where certificates can not be read."""
        self._running = running
        self._settings = settings
        self._figures = figures.ads
        self._faults = figures.faults
        self._certificates = Certificates(settings.tls, figures.credentials) if settings.tls.cert else None
        self._keepers: dict[str, Keeper[Inventory]] = {}
        self._envoy_keepers: dict[str, Keeper[EnvoyInventory]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._peers: set[Peer] = set()
        self._server: Any = None

    async def start(self) -> None:
        """Listen. Raises OSError where the address is taken, and has nothing open then."""
        _bindable(self._settings.listen)
        stream = grpc.stream_stream_rpc_method_handler(self._stream, request_deserializer=request)
        delta = grpc.stream_stream_rpc_method_handler(self._delta, request_deserializer=delta_request)
        methods = {"StreamAggregatedResources": stream, "DeltaAggregatedResources": delta}
        handler = grpc.method_handlers_generic_handler(SERVICE, methods)
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((handler,))
        address = self._settings.listen
        try:
            if self._certificates is not None:
                server.add_secure_port(address, self._certificates.credentials())
            else:
                server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"sidecar.ads.listen {address}: {error}") from None
        self._server = server
        await server.start()
        if self._certificates is not None:
            self._begin(faults.anew("ads", self._certificates.look, self._faults, log))
        log("ads-listening", address=address, tls=self._certificates is not None)

    async def stop(self) -> None:
        """Send everybody to another replica."""
        if self._server is not None:
            await self._server.stop(GRACE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def peers(self) -> list[dict[str, Any]]:
        """Who is connected, in order."""
        found = [peer.plain() for peer in self._peers]
        return sorted(found, key=lambda row: (row["node"], row["since"]))

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Connected nodes by zone and kind."""
        return Counter((peer.zone, peer.kind) for peer in self._peers)

    @property
    def behind(self) -> int:
        """Nodes that have not acknowledged all that there is."""
        return sum(peer.stream.behind for peer in self._peers)

    # ------------------------------------------------------------------ streams

    async def _stream(self, requests: AsyncIterator[Request | None], context: Any) -> None:
        """A MOSN."""
        first = await self._first(MOSN, requests, context)
        if first.metadata.get("SOADNS", "") != MOSN:
            said = (
                "node.metadata.SOADNS says which sidecar it is; known is mosn (soadns export mosn writes it)"
            )
            await self._send_away(context, "unknown", f"{said}; Envoys ask by DeltaAggregatedResources")
        zone, namespace, sees = await self._welcome(first, context)
        keeper = self._keeper(zone)
        push = Push(keeper.inventory, sees, self._running.routing.replica)
        peer = Peer(first.node[:MOST_ID], MOSN, zone, namespace, context.peer(), self._running.now(), push)
        stirred = asyncio.Event()
        async with self._connected(peer, keeper.join(stirred), self._hear(requests, peer, stirred), context):
            await self._tell(peer, keeper, stirred, context)

    async def _delta(self, requests: AsyncIterator[DeltaRequest | None], context: Any) -> None:
        """An Envoy."""
        first = await self._first(ENVOY, requests, context)
        zone, namespace, sees = await self._welcome(first, context)
        keeper = self._envoy_keeper(zone)
        delta = Delta(keeper.inventory, sees, self._running.routing.replica)
        peer = Peer(first.node[:MOST_ID], ENVOY, zone, namespace, context.peer(), self._running.now(), delta)
        stirred = asyncio.Event()
        hearing = self._hear_delta(first, requests, peer, stirred)
        async with self._connected(peer, keeper.join(stirred), hearing, context):
            await self._tell_delta(peer, keeper, stirred, context)

    async def _first(self, kind: str, requests: AsyncIterator[R | None], context: Any) -> R:
        """The first request of a stream; who says nothing, or nothing that can be read, is sent away."""
        if len(self._peers) >= MOST_STREAMS:
            await self._send_away(context, "full", f"{MOST_STREAMS} sidecars are connected already")
        try:
            async with asyncio.timeout(FIRST_S):
                first = await anext(aiter(requests))
        except (StopAsyncIteration, TimeoutError):
            await self._send_away(context, "silent", "nothing was asked")
            raise
        if first is None:
            await self._send_away(context, "garbled", GARBLED[kind])
            raise ValueError(GARBLED[kind])
        return first

    @contextlib.asynccontextmanager
    async def _connected(
        self, peer: Peer, leave: Callable[[], None], hearing: Coroutine[Any, Any, None], context: Any
    ) -> AsyncIterator[None]:
        """Somebody is connected, and heard, until the stream ends."""
        log(
            "sidecar-joined", node=peer.node, kind=peer.kind, peer=peer.address, zone=peer.zone,
            namespace=peer.namespace or None,
        )  # fmt: skip
        self._peers.add(peer)
        reader = asyncio.create_task(hearing)
        try:
            yield
        except TimeoutError:
            self._figures.cut["stuck"] += 1
            log("sidecar-stuck", level="warning", node=peer.node, peer=peer.address)
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "nothing was taken")
        finally:
            self._peers.discard(peer)
            leave()
            reader.cancel()
            log("sidecar-left", node=peer.node, peer=peer.address, pushes=peer.stream.pushes)

    async def _welcome(self, first: Request | DeltaRequest, context: Any) -> tuple[str, str, View]:
        """Of which zone and namespace a node is, and what it may see; ends the stream of who may not see anything."""
        zones = self._running.routing.tables
        zone = first.metadata.get("ZONE", "").removesuffix(".").lower() or next(iter(zones))
        if zone not in zones:
            await self._send_away(context, "unknown", f"no zone {zone}; known are {', '.join(zones)}")
        namespace = first.metadata.get("NAMESPACE", "")
        if self._settings.isolation != "none":
            auth = context.auth_context()
            namespace = namespace_of(
                [*auth.get("peer_spiffe_id", ()), *auth.get("x509_subject_alternative_name", ())]
            )
            if not namespace:
                said = "the certificate has no name spiffe://<domain>/ns/<namespace>/sa/<account>"
                await self._send_away(context, "unauthenticated", said)
        return zone, namespace, view(namespace, self._settings.isolation, self._settings.shared)

    async def _send_away(self, context: Any, why: str, said: str) -> None:
        """End a stream before it was told anything. Raises what gRPC ends a call by."""
        self._figures.cut[why] += 1
        log("sidecar-refused", level="warning", peer=context.peer(), reason=said)
        await context.abort(CODES.get(why, grpc.StatusCode.INVALID_ARGUMENT), said)

    def _keeper(self, zone: str) -> Keeper[Inventory]:
        """Of a zone, from now on if it had none, or one that has failed."""
        if zone not in self._keepers or self._keepers[zone].over:
            routing = self._running.routing
            inventory = Inventory(self._running.estate.zones[zone], routing, encode)
            self._keepers[zone] = keeper = Keeper(zone, inventory, routing)
            self._begin(self._keep(keeper))
        return self._keepers[zone]

    def _envoy_keeper(self, zone: str) -> Keeper[EnvoyInventory]:
        """The same for Envoys."""
        if zone not in self._envoy_keepers or self._envoy_keepers[zone].over:
            routing = self._running.routing
            inventory = EnvoyInventory(zone, routing, encode)
            self._envoy_keepers[zone] = keeper = Keeper(zone, inventory, routing)
            self._begin(self._keep(keeper))
        return self._envoy_keepers[zone]

    async def _keep(self, keeper: Keeper[Any]) -> None:
        """Whoever stood on one that fails is sent away, keeps what it has, and comes again."""
        try:
            await keeper.run()
        except Exception as error:
            faults.note("ads", error, self._faults, log)

    def _begin(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hear(
        self, requests: AsyncIterator[Request | None], peer: Peer, stirred: asyncio.Event
    ) -> None:
        """Note what a peer says, to its end."""
        assert isinstance(peer.stream, Push)
        async for said in requests:
            if said is None:
                peer.garbled = True
                stirred.set()
                return
            self._note(peer, said.kind, peer.stream.hear(said.kind, said.version, said.nonce, said.error))

    async def _hear_delta(
        self,
        first: DeltaRequest,
        requests: AsyncIterator[DeltaRequest | None],
        peer: Peer,
        stirred: asyncio.Event,
    ) -> None:
        """Note what an Envoy says, to its end."""
        assert isinstance(peer.stream, Delta)
        self._note(peer, first.kind, peer.stream.hear(first))
        stirred.set()
        async for said in requests:
            if said is None:
                peer.garbled = True
                stirred.set()
                return
            self._note(peer, said.kind, peer.stream.hear(said))
            stirred.set()

    def _note(self, peer: Peer, kind: str, refused: str) -> None:
        """Count and log what a peer refused; ``''``: nothing."""
        if refused:
            name = KINDS.get(kind, "others")
            self._figures.refusals[name] += 1
            log("sidecar-refuses", level="error", node=peer.node, kind=name, reason=refused)

    async def _tell(
        self, peer: Peer, keeper: Keeper[Inventory], stirred: asyncio.Event, context: Any
    ) -> None:
        """Tell a peer what it does not know, until its stream ends."""
        push = peer.stream
        assert isinstance(push, Push)
        while True:
            await self._wait_for_news(peer, keeper, stirred, context)
            await self._write(peer, push.take(time.monotonic()), context)
            due = push.due(time.monotonic())
            if due != 0.0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due):
                        await stirred.wait()

    async def _tell_delta(
        self, peer: Peer, keeper: Keeper[EnvoyInventory], stirred: asyncio.Event, context: Any
    ) -> None:
        """The same with an Envoy."""
        delta = peer.stream
        assert isinstance(delta, Delta)
        while True:
            await self._wait_for_news(peer, keeper, stirred, context)
            if delta.lost:
                # It comes again, and says then what it has.
                await self._send_away(context, "behind", f"{peer.node} is too far behind")
            await self._write(peer, delta.take(), context)
            if not delta.due:
                await stirred.wait()

    async def _wait_for_news(
        self, peer: Peer, keeper: Keeper[Any], stirred: asyncio.Event, context: Any
    ) -> None:
        """Until there is something whole to tell; what stirs from now on is told the next time."""
        await self._wait_for_routes(peer.zone, stirred, context)
        await keeper.settled.wait()
        if keeper.failed:
            await self._send_away(context, "unready", "soadns itself failed, which its log tells of")
        stirred.clear()
        if peer.garbled:
            await self._send_away(context, "garbled", GARBLED[peer.kind])

    async def _write(self, peer: Peer, batches: Iterator[Batch], context: Any) -> None:
        for batch in batches:
            async with asyncio.timeout(STUCK_S):
                await context.write(batch.octets)
            peer.octets += len(batch.octets)
            self._figures.pushes[KINDS[batch.kind]] += 1
            self._figures.octets += len(batch.octets)

    async def _wait_for_routes(self, zone: str, stirred: asyncio.Event, context: Any) -> None:
        """Until routes are told: a moment of silence is better for MOSN than the end, after which it stays away."""
        routing = self._running.routing
        deadline = time.monotonic() + UNREADY_S
        while reason := routing.unready(zone):
            if time.monotonic() > deadline:
                await self._send_away(context, "unready", reason)
            stirred.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await stirred.wait()


def _bindable(address: str) -> None:
    """Raises OSError where an address is taken: gRPC says so on stderr, at each attempt."""
    if (found := parse_address(address)) is None:
        return
    host, port = found
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise
