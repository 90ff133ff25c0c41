"""istiod's metrics as they are read, from istiods that are well, and from whatever else answers at their address."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from soadns.mesh.istiod import MOST, Istiod, Rejects, Said, read, tried
from tests.unit.waiting import soon

METRICS = """\
# TYPE pilot_total_xds_rejects counter
pilot_total_xds_rejects{type="cds"} 4
pilot_total_xds_rejects{type="lds"} 3
pilot_envoy_filter_status{name="shop/soadns-one",result="applied",type="network"} 2
pilot_envoy_filter_status{name="shop/soadns-none",result="applied",type="network"} 0
pilot_envoy_filter_status{name="shop/soadns-two",result="error",type="network"} 1
"""
HEAD = "HTTP/1.1 200 OK\r\n"
WHOLE = f"{HEAD}Content-Length: {len(METRICS)}\r\n\r\n{METRICS}"
CHUNKED = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{len(METRICS):x}\r\n{METRICS}\r\n"

STRANGERS = {
    "nobody says anything": "",
    "not HTTP": "-ERR unknown command\r\n",
    "a line without an end": "H" * 70_000,
    "an error": "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "ends in the middle": CHUNKED,
    "ends before its length": WHOLE[:-50],
    "too long": f"{HEAD}\r\n{'#' * (MOST + 2)}",
    "a chunk of no length": f"{HEAD}Transfer-Encoding: chunked\r\n\r\nmany\r\n",
    "more headers than there are": HEAD + "X-A: b\r\n" * 200 + "\r\n",
    "leads elsewhere": "HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\nContent-Length: 0\r\n\r\n",
    "numbers that are none": WHOLE.replace("{type=\"lds\"} 3", "{type=\"lds\"} x"),
}  # fmt: skip


@asynccontextmanager
async def answering(what: Callable[[], str]) -> AsyncIterator[str]:
    """The URL of a server that reads a request, says ``what`` to it, and ends the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(what().encode())
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"


def test_what_metrics_say() -> None:
    assert read(METRICS) == Said(3.0, frozenset({("shop", "soadns-one")}), 1.0)
    assert read("") == Said(0.0, None, 0.0)


@pytest.mark.parametrize("what", STRANGERS.values(), ids=STRANGERS)
async def test_whatever_answers_in_its_place_is_a_trouble_and_passes(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soadns.mesh.istiod.EVERY_S", 0.01)
    says = what
    async with answering(lambda: says) as url:
        assert await asyncio.to_thread(tried, url)
        istiod = Istiod((url,), now=lambda: 1.0)
        reading = asyncio.create_task(istiod.run())
        await soon(lambda: istiod.trouble or reading.done())
        assert istiod.trouble.startswith(f"{url}: "), reading
        says = WHOLE
        await soon(lambda: not istiod.trouble)
        assert istiod.applied(("shop", "soadns-one"))
        assert istiod.applied(("shop", "soadns-two")) is False
        assert istiod.errors == 1.0
        reading.cancel()


async def test_refusals_are_of_the_moment_in_which_they_were_seen_to_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("soadns.mesh.istiod.EVERY_S", 0.01)
    count, now = 3, 10.0
    async with answering(lambda: f'{HEAD}\r\npilot_total_xds_rejects{{type="lds"}} {count}\n') as url:
        istiod = Istiod((url,), now=lambda: now)
        reading = asyncio.create_task(istiod.run())
        await soon(lambda: istiod.rejects == Rejects(3.0, 0.0))
        count, now = 5, 20.0
        await soon(lambda: istiod.rejects == Rejects(5.0, 20.0))
        now = 30.0
        await asyncio.sleep(0.05)
        assert istiod.rejects == Rejects(5.0, 20.0)
        reading.cancel()


async def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with answering(lambda: WHOLE) as url:
        assert await asyncio.to_thread(tried, url) == ""
