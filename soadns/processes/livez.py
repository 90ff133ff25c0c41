"""``/livez`` of the supervisor: short HTTP exchanges beside everything else it does, none of which holds it up.

Standard library only. Every socket is non-blocking; a client that is slow to ask or to read, or one too many,
is closed.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

MAX_CLIENTS = 32
PATIENCE_S = 2.0
"""Seconds for a whole exchange."""
MAX_REQUEST = 8192


@dataclass(slots=True)
class _Client:
    sock: socket.socket
    until: float
    asked: bytes = b""


class Livez:
    """Answers every request on a listening socket with what ``report`` says: (alive, text)."""

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        report: Callable[[], tuple[bool, str]],
    ) -> None:
        self._sock = sock
        self._selector = selector
        self._report = report
        self._clients: list[_Client] = []
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, self._accept)

    def expire(self) -> None:
        """Close the clients whose time is over."""
        now = time.monotonic()
        for client in [c for c in self._clients if c.until < now]:
            self._close(client)

    def close(self) -> None:
        """Listen no more."""
        for client in list(self._clients):
            self._close(client)
        self._selector.unregister(self._sock)

    def _accept(self) -> None:
        for _ in range(MAX_CLIENTS):
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            # The oldest has had most of its time.
            self._close(self._clients[0])
        sock.setblocking(False)
        client = _Client(sock, time.monotonic() + PATIENCE_S)
        self._clients.append(client)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: _Client) -> None:
        try:
            octets = client.sock.recv(MAX_REQUEST)
            client.asked += octets
            complete = b"\r\n\r\n" in client.asked or b"\n\n" in client.asked
            if octets and not complete and len(client.asked) < MAX_REQUEST:
                return
            if complete:
                # A fresh socket's buffer holds the whole reply.
                client.sock.send(self._reply())
        except BlockingIOError:
            return
        except OSError:
            pass
        self._close(client)

    def _close(self, client: _Client) -> None:
        self._clients.remove(client)
        self._selector.unregister(client.sock)
        client.sock.close()

    def _reply(self) -> bytes:
        alive, text = self._report()
        status = "200 OK" if alive else "503 Service Unavailable"
        body = text.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + body
