"""An API server that says what a test wants: for faults that a real one shows too rarely.

Plain HTTP/1.1 on loopback. ``script`` maps a request to a ``Reply``; every request is noted. The real server's part is
played in ``tests/scenarios``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def watch(self) -> bool:
        return self.query.get("watch") == "1"


@dataclass(frozen=True)
class Reply:
    """A status and a body, or a stream of lines that stays open for ``hold`` seconds.

    ``cut``: the connection breaks instead of ending as HTTP has it.
    """

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    lines: tuple[object, ...] | None = None
    hold: float = 0.0
    cut: bool = False


def service(name: str, version: str, **metadata: object) -> dict[str, object]:
    """A Service as a list holds it."""
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": version,
            **metadata,
        },
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 20880}]},
    }


def page(version: str, *items: object, more: str = "") -> Reply:
    """A page of a list."""
    return Reply(body={"metadata": {"resourceVersion": version, "continue": more}, "items": list(items)})


def watch(*events: tuple[str, object], hold: float = 0.0) -> Reply:
    """A watch with these events, which the server then ends."""
    return Reply(lines=tuple({"type": kind, "object": value} for kind, value in events), hold=hold)


def bookmark(version: str) -> tuple[str, object]:
    return "BOOKMARK", {"metadata": {"resourceVersion": version}}


def failure(status: int, message: str, **headers: str) -> Reply:
    """An error with a Status body."""
    return Reply(status, {"kind": "Status", "code": status, "message": message}, headers)


class ScriptedApi:
    """The server. ``script`` is asked for each request, in the order in which they come."""

    def __init__(self, script: Callable[[Request], Reply]) -> None:
        self._script = script
        self.requests: list[Request] = []
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> ScriptedApi:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    def kubeconfig(self, folder: Path, **user: object) -> str:
        """A kubeconfig for this server."""
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1", "kind": "Config", "current-context": "x",
                    "clusters": [{"name": "x", "cluster": {"server": self.url}}],
                    "users": [{"name": "x", "user": user}],
                    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                }
            )
        )  # fmt: skip
        return str(path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                url = urlsplit(line.split()[1].decode())
                headers = {}
                while (raw := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = raw.decode().partition(":")
                    headers[name.lower()] = value.strip()
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(url.path, query, headers, body)
                self.requests.append(request)
                await self._answer(self._script(request), writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    @staticmethod
    async def _answer(reply: Reply, writer: asyncio.StreamWriter) -> None:
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in reply.headers.items())
        if reply.lines is None:
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            writer.write(
                f"HTTP/1.1 {reply.status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body
            )
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in reply.lines:
            data = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
        await asyncio.sleep(reply.hold)
        if reply.cut:
            raise ConnectionResetError
        writer.write(b"0\r\n\r\n")
        await writer.drain()
