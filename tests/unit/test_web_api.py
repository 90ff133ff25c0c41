"""The HTTP API over real sockets: who may ask, what is refused, and what belongs to which zone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from soadns.config import HttpConfig
from soadns.web.api import Site
from tests.unit.demo_process import DemoProcess

USER = "com.alipay.user.UserService"
TWO_ZONES = """
zones: [{name: a.test, registries: [one], cluster: first}, {name: b.test, registries: [two], cluster: second}]
static: [{name: one, paths: /x, cluster: first}, {name: two, paths: /x, cluster: second}]
"""


@contextlib.asynccontextmanager
async def asked(
    process: DemoProcess, settings: HttpConfig | None = None, *, probes_only: bool = False
) -> AsyncIterator[ClientSession]:
    """A client of a listener."""
    site = Site(process, process, settings or HttpConfig())
    async with (
        TestServer(site.application(probes_only=probes_only)) as server,
        ClientSession(server.make_url("/")) as client,
    ):
        yield client


async def test_raw_names_the_znodes_of_the_zone_that_was_asked_for() -> None:
    async with asked(DemoProcess(TWO_ZONES)) as client:
        for zone, source in (("a.test", "static/one"), ("b.test", "static/two")):
            reply = await client.get(f"/v1/explain/{USER}?zone={zone}&raw=1")
            [told] = (await reply.json())["zones"]
            assert (told["zone"], told["znodes"]) == (zone, [f"{source}/{USER}"])
        reply = await client.get(f"/v1/explain/{USER}?raw=1")
        assert [told["znodes"] for told in (await reply.json())["zones"]] == [
            [f"static/one/{USER}"],
            [f"static/two/{USER}"],
        ]


@pytest.mark.parametrize(
    ("given", "status"), [("", 401), ("Bearer wrong", 401), ("open-sesame", 401), ("Bearer open-sesame", 200)]
)
async def test_with_a_token_file_the_api_asks_for_the_token(tmp_path: Path, given: str, status: int) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    async with asked(DemoProcess(), HttpConfig(token_file=str(token))) as client:
        headers = {"Authorization": given} if given else {}
        assert (await client.get("/v1/interfaces", headers=headers)).status == status
        assert (await client.get("/readyz")).status == 200, "probes carry no token"


async def test_a_token_file_that_is_empty_or_gone_lets_nobody_in(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with asked(DemoProcess(), HttpConfig(token_file=str(token))) as client:
        assert (await client.get("/v1/interfaces", headers={"Authorization": "Bearer "})).status == 401
        token.write_text("\n")
        assert (await client.get("/v1/interfaces", headers={"Authorization": "Bearer "})).status == 401
        token.write_text("rotated")
        assert (await client.get("/v1/interfaces", headers={"Authorization": "Bearer rotated"})).status == 200


async def test_a_page_in_a_browser_of_this_host_changes_nothing() -> None:
    process = DemoProcess()
    async with asked(process) as client:
        body, origin = {"source": "static/demo"}, {"Origin": "http://rebound.example"}
        assert (await client.post("/v1/release", json=body, headers=origin)).status == 401
        assert process.released == []
        assert (await client.post("/v1/release", json=body)).status == 200
        assert process.released == ["static/demo"]


async def test_the_listener_for_probes_has_no_api() -> None:
    async with asked(DemoProcess(), probes_only=True) as client:
        assert [(await client.get(path)).status for path in ("/livez", "/readyz", "/metrics")] == [200] * 3
        for path in ("/", "/v1/interfaces", f"/v1/explain/{USER}", "/v1/sources"):
            assert (await client.get(path)).status == 404
        assert (await client.post("/v1/release", json={"source": "static/demo"})).status == 404


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/release", b"{}", 'expected {"source": "zookeeper/main/dubbo"}'),
        ("/v1/release", b"[1]", "the body is no JSON object"),
        ("/v1/reload", b"nonsense", "the body is no JSON"),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_with_the_reason(
    path: str, body: bytes, said: str
) -> None:
    async with asked(DemoProcess()) as client:
        reply = await client.post(path, data=body)
        assert (reply.status, await reply.json()) == (409, {"error": said})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("flag=odd", "flag=odd: known are unbound, conflict, stale, held, half-boarded"),
        ("limit=many", "limit=many: not a number"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_with_the_reason(query: str, said: str) -> None:
    async with asked(DemoProcess()) as client:
        reply = await client.get(f"/v1/interfaces?{query}")
        assert (reply.status, await reply.json()) == (409, {"error": said})
