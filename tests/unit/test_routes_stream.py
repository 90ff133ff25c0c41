"""The stream of routes over HTTP, and who follows it; over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from soadns.changelog import MOST
from soadns.routemodel import Vip
from soadns.web import routes
from tests.unit.http_site import ask, site
from tests.unit.route_process import RouteProcess
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

EXAMPLE = Path(__file__).parents[2] / "examples" / "follow-routes.py"


class Follower:
    """A client of the stream that reads when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next event: its name and data, with ``id`` added."""
        fields: dict[str, str] = {}
        while True:
            line = (await self.reader.readuntil(b"\n")).decode().strip()
            name, colon, value = line.partition(": ")
            if name in ("event", "id", "data") and colon:
                fields[name] = value
            if "data" in fields and not line:
                return fields["event"], {**json.loads(fields["data"]), "id": fields.get("id")}


BUFFER = 64 << 10
"""Of a connection at either end, where it matters how much nobody reads: by itself it grows to megabytes."""


async def narrow(port: int) -> socket.socket:
    """A connection whose kernel takes no more than a little that nobody reads."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


@contextlib.asynccontextmanager
async def following(port: int, query: str = "", last: str = "") -> AsyncIterator[Follower]:
    reader, writer = await asyncio.open_connection(sock=await narrow(port), limit=1 << 24)
    writer.write(
        f"GET /v1/routes?watch=1&{query} HTTP/1.0\r\nHost: 127.0.0.1\r\nLast-Event-ID: {last}\r\n\r\n".encode()
    )
    try:
        await reader.readuntil(b"\r\n\r\n")
        yield Follower(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


NEW = "Service shop/third 10.96.0.3; pods shop/third 10.1.0.3; register New,More 10.1.0.3"


async def test_one_stream_tells_of_routes_and_clusters() -> None:
    process = RouteProcess()
    async with site(process) as port, following(port) as other, following(port, "clusters=1") as follower:
        assert len((await other.event())[1]["vips"]) == 2
        name, state = await follower.event()
        assert (name, len(state["vips"]), len(state["clusters"])) == ("state", 2, 2)

        process.tell("pods shop/user 10.1.0.1 10.1.0.9")
        name, delta = await follower.event()
        assert (name, delta["vips"], delta["gone"], delta["goneClusters"]) == ("delta", [], [], [])
        assert [[end["address"] for end in each["endpoints"]] for each in delta["clusters"]] == [
            ["10.1.0.1", "10.1.0.9"]
        ]

        process.tell(NEW)
        _, added = await follower.event()
        assert [vip["service"] for vip in added["vips"]] == ["home/shop/third"]
        assert [each["name"] for each in added["clusters"]] == [
            "outbound|20880||third.shop.svc.cluster.local"
        ]
        assert (await other.event())[1]["vips"] == added["vips"], "endpoints alone did not concern it"
        async with following(port, "clusters=1", last=delta["id"]) as resumed:
            assert (await resumed.event())[1]["clusters"] == added["clusters"]
        async with following(port, last=delta["id"]) as resumed:
            assert (await resumed.event())[0] == "state", "its generations are others"

        process.tell("delete shop/third; after 10s")
        _, gone = await follower.event()
        assert gone["gone"] == [{"address": "10.96.0.3", "port": 20880}]
        assert gone["goneClusters"] == ["outbound|20880||third.shop.svc.cluster.local"]


async def test_who_follows_is_told_the_state_and_then_what_changes() -> None:
    process = RouteProcess()
    async with site(process) as port, following(port) as follower:
        name, state = await follower.event()
        assert name == "state"
        assert len(state["vips"]) == 2
        process.tell(NEW)
        name, delta = await follower.event()
        assert (name, [vip["address"] for vip in delta["vips"]], delta["gone"]) == (
            "delta",
            ["10.96.0.3"],
            [],
        )
        assert delta["since"] == state["generation"]
        assert delta["id"] == process.routing.tag("rpc.test")
        process.tell("delete shop/third; after 10s")
        name, delta = await follower.event()
        assert (name, delta["vips"], delta["gone"]) == (
            "delta",
            [],
            [{"address": "10.96.0.3", "port": 20880}],
        )


async def test_who_follows_one_service_hears_of_no_other() -> None:
    process = RouteProcess()
    async with site(process) as port, following(port, "service=shop/user") as follower:
        await follower.event()
        process.tell(NEW)
        process.tell("register com.x.User 10.1.0.1; unregister com.x.User 10.1.0.2; after 1m10s")
        _, delta = await follower.event()
        assert [vip["service"] for vip in delta["vips"]] == ["home/shop/user"]


async def test_who_comes_back_is_told_the_difference_or_everything() -> None:
    process = RouteProcess()
    async with site(process) as port:
        async with following(port) as follower:
            _, state = await follower.event()
        process.tell(NEW)
        async with following(port, last=state["id"]) as follower:
            name, delta = await follower.event()
            assert (name, delta["since"]) == ("delta", state["generation"])
        for other in ("another.3", "replica.99999", "replica.x", "rubbish"):
            async with following(port, last=other) as follower:
                if other == "replica.99999":  # from the future: nothing is new to it, until something is
                    process.tell("delete shop/third; after 10s")
                assert (await follower.event())[0] == ("delta" if other == "replica.99999" else "state")
        process.routing.logs["rpc.test"].note(frozenset(("10.0.0.1", number) for number in range(MOST)))
        process.routing.logs["rpc.test"].note(frozenset({("10.96.0.1", 20880)}))
        async with following(port, last=state["id"]) as follower:
            assert (await follower.event())[0] == "state", "it fell behind what is remembered"


async def test_a_slow_one_is_told_less_often_and_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "STUCK_S", 600.0)  # slow it is, and not stuck
    process = RouteProcess()
    large = [Vip(f"10.97.{n // 250}.{n % 250}", 20880, *_service_of(process)) for n in range(1_000)]

    def change() -> None:
        table, log = process.routing.tables["rpc.test"], process.routing.logs["rpc.test"]
        table.vips.update({vip.place: vip for vip in large})
        log.note(frozenset(vip.place for vip in large))
        process.routing._tell("rpc.test")

    async with site(process, send_buffer=BUFFER) as port, following(port) as slow, following(port) as quick:
        for each in (slow, quick):
            await each.event()
        reading = slow.writer.transport
        assert isinstance(reading, asyncio.Transport)
        reading.pause_reading()
        seen = 0
        for _ in range(15):  # each is more than a connection holds
            change()
            while seen < process.routing.logs["rpc.test"].generation:
                _, delta = await quick.event()
                seen = delta["generation"]
        reading.resume_reading()
        deltas = 0
        known = 0
        while known < seen:
            _, delta = await slow.event()
            known = delta["generation"]
            deltas += 1
        assert deltas < 15, "what it did not take was put together"


def _service_of(process: RouteProcess) -> tuple[Any, ...]:
    vip = process.routing.tables["rpc.test"].vips["10.96.0.1", 20880]
    return vip.service, vip.uid, vip.host, vip.routes


async def test_one_that_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes, "STUCK_S", 0.2)
    process = RouteProcess()
    large = [Vip(f"10.97.{n // 250}.{n % 250}", 20880, *_service_of(process)) for n in range(5_000)]
    process.routing.tables["rpc.test"].vips.update({vip.place: vip for vip in large})
    async with site(process, send_buffer=BUFFER) as port:
        reader, writer = await asyncio.open_connection(sock=await narrow(port), limit=1024)
        writer.write(b"GET /v1/routes?watch=1 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        # It reads no more than its buffer holds.
        await soon(lambda: "follower-stuck" in caplog.messages, within=60.0)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1 << 30)
        writer.close()


async def test_a_thousand_follow_and_hear_of_every_change() -> None:
    process = RouteProcess()
    async with site(process) as port, contextlib.AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(following(port)) for _ in range(1_000)]
        assert {(await each.event())[0] for each in followers} == {"state"}
        process.tell(NEW)
        heard = await asyncio.gather(*(each.event() for each in followers))
        assert {(name, data["generation"]) for name, data in heard} == {
            ("delta", process.routing.logs["rpc.test"].generation)
        }
        assert (await ask(port, "GET /v1/routes"))[0] == 200


async def test_there_is_a_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MOST_FOLLOWERS", 1)
    async with site(RouteProcess()) as port, following(port) as follower:
        await follower.event()
        status, body = await ask(port, "GET /v1/routes?watch=1")
        assert (status, body["error"].split(";")[0]) == (503, "1 connections follow the routes already")


async def test_the_stream_ends_when_routes_may_not_be_told_any_more() -> None:
    process = RouteProcess()
    async with site(process) as port, following(port) as follower:
        await follower.event()
        process.book.zone.complete = False
        process.routing._tell("rpc.test")
        assert (await follower.event())[0] == "unready"
        assert await follower.reader.read() == b""


async def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "BEAT_S", 0.05)
    async with site(RouteProcess()) as port, following(port) as follower:
        await follower.event()
        assert await follower.reader.readuntil(b"\n") == b":\n"


async def test_the_end_of_the_process_does_not_wait_for_followers() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with site(RouteProcess()) as port:
            follower = await stack.enter_async_context(following(port))
            await follower.event()
        assert await follower.reader.read() == b""


async def test_the_example_client_keeps_the_table() -> None:
    process = RouteProcess()
    async with site(process) as port:
        client = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), f"http://127.0.0.1:{port}", stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout is not None
        try:
            assert (await client.stdout.readline()).decode().split(":")[-1].strip() == "2 places"
            process.tell(NEW)
            assert (await client.stdout.readline()).decode().split(":")[-1].strip() == "3 places"
            process.tell("delete shop/third; after 10s")
            assert (await client.stdout.readline()).decode().split(":")[-1].strip() == "2 places"
        finally:
            client.kill()
            await client.wait()
