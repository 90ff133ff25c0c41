"""Dubbo on the wire, by hand: calls and providers that need no Java, for what is asked of a proxy between them.

Source: org.apache.dubbo ``ExchangeCodec`` (16 octets before each body), ``DubboCodec`` and ``DecodeableRpcInvocation``
(what a body holds), Hessian 2.0 for the values. A request's body has Dubbo's version, the path (what a proxy takes for
the interface), the interface's version, method, types, arguments and attachments.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

MAGIC = 0xDABB
REQUEST, TWO_WAY, EVENT, HESSIAN, FASTJSON2 = 0x80, 0x40, 0x20, 2, 23
HEADER = struct.Struct(">HBBQI")
OK, SERVICE_NOT_FOUND = 20, 60
VALUE, NULL = b"\x91", b"N"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a client writes it. ``version`` None writes none at all, which Dubbo never does."""

    path: str
    method: str = "whoAreYou"
    version: str | None = "0.0.0"
    attachments: Mapping[str, str] | None = None
    arguments: tuple[str, ...] = ()

    def body(self) -> bytes:
        """In Hessian."""
        types = "Ljava/lang/String;" * len(self.arguments)
        head = [text("2.0.2"), text(self.path), NULL if self.version is None else text(self.version)]
        named = [text(self.method), text(types), *map(text, self.arguments)]
        told = {"path": self.path, **(self.attachments or {})}
        pairs = b"".join(text(key) + text(value) for key, value in told.items())
        return b"".join([*head, *named, b"H", pairs, b"Z"])


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call."""

    status: int
    said: str

    @property
    def refused(self) -> bool:
        """Whether it is an error."""
        return self.status != OK


def text(value: str) -> bytes:
    """A string."""
    encoded, length = value.encode(), len(value)
    if length < 32:
        return bytes([length]) + encoded
    if length < 1024:
        return bytes([0x30 + (length >> 8), length & 0xFF]) + encoded
    return b"S" + struct.pack(">H", length) + encoded


def read_text(body: bytes, at: int) -> tuple[str | None, int]:
    """A string of ASCII, or None for null, and where the next value begins."""
    tag = body[at]
    if tag == NULL[0]:
        return None, at + 1
    if tag < 32:
        begin, length = at + 1, tag
    elif 0x30 <= tag <= 0x33:
        begin, length = at + 2, ((tag - 0x30) << 8) + body[at + 1]
    elif tag == ord("S"):
        begin, length = at + 3, int.from_bytes(body[at + 1 : at + 3])
    else:
        raise ValueError(f"no string at {at}: {tag:#x}")
    return body[begin : begin + length].decode(), begin + length


def read_frame(stream: socket.socket) -> tuple[int, int, int, bytes]:
    """Flags, status, id and body of the next frame. Raises ConnectionError at the end."""
    magic, flags, status, number, length = HEADER.unpack(_exactly(stream, HEADER.size))
    assert magic == MAGIC, f"{magic:#x} begins no frame of Dubbo's"
    return flags, status, number, _exactly(stream, length)


def _exactly(stream: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        piece = stream.recv(length - len(found))
        if not piece:
            raise ConnectionError("it was closed")
        found += piece
    return found


class Caller:
    """A client's connection; calls on it one after another."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((address, port), timeout=TIMEOUT_S)
        self._number = 0

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._socket.close()

    @property
    def cut(self) -> bool:
        """Whether the other side has ended it, while nobody waits for an answer."""
        self._socket.setblocking(False)
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(TIMEOUT_S)

    def ask(self, call: Call, *, serialization: int = HESSIAN) -> Reply:
        """Send a call and wait for its answer. Raises ConnectionError where the connection is cut."""
        self._number += 1
        body = call.body()
        flags = REQUEST | TWO_WAY | serialization
        self._socket.sendall(HEADER.pack(MAGIC, flags, 0, self._number, len(body)) + body)
        _, status, number, answer = read_frame(self._socket)
        assert number == self._number
        if status == OK:
            assert answer[:1] == VALUE, answer
            said, _ = read_text(answer, 1)
            return Reply(status, said or "")
        return Reply(status, answer.decode("utf-8", "replace"))


def ask(port: int, call: Call, *, serialization: int = HESSIAN) -> Reply:
    """One call on a connection of its own; status 0 where that is cut."""
    with Caller(port) as caller:
        try:
            return caller.ask(call, serialization=serialization)
        except ConnectionError as error:
            return Reply(0, str(error))


class Provider:
    """A server that answers every call with its name, whatever is asked for: where calls arrive is what it tells."""

    def __init__(self, name: str, at: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        """``at``: where this thread can listen; at port 0, any port."""
        provider = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        provider.answer(self.request)

        self.name = name
        self.calls = 0
        self._server = socketserver.ThreadingTCPServer(at, Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, connection: socket.socket) -> None:
        """Answer the next request."""
        flags, _, number, _ = read_frame(connection)
        if flags & EVENT:
            head = HEADER.pack(MAGIC, EVENT | HESSIAN, OK, number, len(NULL))
            connection.sendall(head + NULL)
            return
        self.calls += 1
        body = VALUE + text(self.name)
        connection.sendall(HEADER.pack(MAGIC, HESSIAN, OK, number, len(body)) + body)

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def providers(*names: str) -> Iterator[dict[str, Provider]]:
    """Some providers by name."""
    found = {name: Provider(name) for name in names}
    try:
        yield found
    finally:
        for provider in found.values():
            provider.stop()
