"""The HTTP API of a process on a loopback port, and one request to it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from soadns.settings.config import HttpConfig
from soadns.web.api import Site
from tests.unit.demo_process import DemoProcess


@contextlib.asynccontextmanager
async def site(
    process: DemoProcess | None = None,
    *,
    token_file: str = "",
    probes_only: bool = False,
    send_buffer: int = 0,
) -> AsyncIterator[int]:
    """The API, or the probes alone, on a loopback port; its kernel takes so many octets that nobody reads, if said."""
    process = process or DemoProcess()
    app = Site(process, process, HttpConfig(token_file=token_file)).application(probes_only=probes_only)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    if send_buffer:  # connections inherit it
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    await web.SockSite(runner, listening).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask(port: int, line: str, *, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Status and decoded JSON of one request."""

    def exchange() -> tuple[int, Any]:
        method, path = line.split(" ")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value.encode("utf-8", "surrogateescape"))
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            reply = connection.getresponse()
            text = reply.read().decode()
            return reply.status, json.loads(text) if text.startswith(("{", "[")) else text
        finally:
            connection.close()

    return await asyncio.to_thread(exchange)
