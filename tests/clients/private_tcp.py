"""Services over a protocol of our own: a length of four bytes and that much JSON, ``[interface, method, argument]``;
answered likewise by ``{"answer": ...}`` or ``{"error": ...}``.

A connection lives for as long as it works, one for each thread that calls; its host is looked up when it is made.
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from program import Call, Desk, described, main


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def serve(desk: Desk, address: str, port: int) -> Callable[[], None]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while (said := receive(self.request)) is not None:
                with desk.busy():
                    try:
                        send(self.request, {"answer": desk.answer(*said)})
                    except LookupError as error:
                        send(self.request, {"error": described(error)})

    server = Server((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.shutdown


def connect(interface: str, url: str, timeout: float) -> Call:
    address = urlsplit(url)
    mine = threading.local()

    def call(method: str, argument: Any) -> Any:
        if getattr(mine, "connection", None) is None:
            mine.connection = socket.create_connection((address.hostname, address.port), timeout=timeout)
        try:
            send(mine.connection, [interface, method, argument])
            said = receive(mine.connection)
            if said is None:
                raise ConnectionResetError("the provider closed the connection")
        except OSError:
            mine.connection.close()
            mine.connection = None
            raise
        if "error" in said:
            raise RuntimeError(said["error"])
        return said["answer"]

    return call


def send(connection: socket.socket, what: Any) -> None:
    body = json.dumps(what).encode()
    connection.sendall(struct.pack("!I", len(body)) + body)


def receive(connection: socket.socket) -> Any:
    """What the other side said, or None when it has closed."""
    head = _exactly(connection, 4)
    body = _exactly(connection, *struct.unpack("!I", head)) if head else b""
    return json.loads(body) if body else None


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            return b""
        found += more
    return found


if __name__ == "__main__":
    main(serve, connect)
