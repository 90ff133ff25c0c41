"""What Dubbo consumers write when a direct URL says what providers prefer: seen in the first request on the wire."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.driving import USER, Consumer

HESSIAN2, FASTJSON2 = 2, 23
_HEADER = 16
_EVENT = 0x20


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A provider that never answers. On all addresses: Dubbo 2.7 takes its own machine's for 127.0.0.1."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(30.0)
        yield server


def first_request(listener: socket.socket) -> int:
    """The serialization of the first request that is no heartbeat, by its number in Dubbo's header."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        connection.settimeout(30.0)
        while True:
            header = stream.read(_HEADER)
            assert header[:2] == b"\xda\xbb"
            stream.read(int.from_bytes(header[12:], "big"))
            if not header[2] & _EVENT:
                return header[2] & 0x1F


@pytest.mark.parametrize("preferred", ["fastjson2,hessian2", "fastjson2"])
@pytest.mark.parametrize(
    ("program", "written"),
    [
        ("dubbo-2.6.12", HESSIAN2),
        ("dubbo-2.7.23", HESSIAN2),
        ("dubbo-3.2.16", FASTJSON2),
        ("dubbo-3.3.5", FASTJSON2),
    ],
)
def test_a_preference_in_a_direct_url_is_obeyed_by_who_knows_it(
    program: str, written: int, preferred: str, listener: socket.socket, tmp_path: Path
) -> None:
    """Others write hessian2, also where that is not among what is preferred."""
    port = listener.getsockname()[1]
    url = f"dubbo://127.0.0.1:{port}?prefer.serialization={preferred}&retries=0&timeout=300"
    consumer = Consumer(program, registry="none", folder=tmp_path / "consumer", java=[f"-D{USER}={url}"])
    try:
        assert consumer.refer(USER)["ok"], consumer.tail()
        consumer.call(USER)
        assert first_request(listener) == written
    finally:
        consumer.kill()
