"""Whatever answers in soadns's place, or stops amid an answer: the command line says so, with its exit status."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from soadns.cli import main
from soadns.commands.client import Client, ClientError

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """A server that says this to every request, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.settimeout(1.0)
                    connection.recv(1 << 16)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield "http://{}:{}".format(*server.getsockname())
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


BROKEN = {
    "no HTTP": (b"SSH-2.0-x\r\n", "what answers there does not speak HTTP"),
    "nothing": (b"", "Remote end closed connection without response"),
    "an odd status": (b"HTTP/1.1 999999 x\r\n\r\n", "what answers there does not speak HTTP"),
    "a header without an end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "what answers there does not speak HTTP"),
    "half of it": (LENGTH + b'{"items": [', "the answer ended too soon"),
    "half a chunk": (CHUNKED + b'40\r\n{"items": [', "the answer ended too soon"),
    "no chunk": (CHUNKED + b"xyz\r\n", "the answer ended too soon"),
    "half an error": (b'HTTP/1.1 503 X\r\nContent-Length: 100\r\n\r\n{"error": "', "the answer ended too soon"),
    "half a 404": (b'HTTP/1.1 404 X\r\nContent-Length: 100\r\n\r\n{"error": "', "the answer ended too soon"),
    "half an error in chunks": (CHUNKED.replace(b"200", b"500") + b'40\r\n{"', "the answer ended too soon"),
}  # fmt: skip
DEEP = b"[" * 5_000
ENDS = {("half of it", "events"), ("no chunk", "events")}
"""A stream of events may end at any time."""
ASKED: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get("/v1/interfaces"),
    "post": lambda client: client.post("/v1/reload", {}),
    "stream": lambda client: list(client.stream("/v1/zone")),
    "events": lambda client: list(client.events("/v1/routes", {})),
}


@pytest.mark.parametrize(
    ("what", "asked"), [(what, asked) for what in BROKEN for asked in ASKED if (what, asked) not in ENDS]
)
def test_what_is_no_answer_is_told_by_every_request(what: str, asked: str) -> None:
    answer, said = BROKEN[what]
    with saying(answer) as url, pytest.raises(ClientError) as caught:
        ASKED[asked](Client(url))
    assert url in str(caught.value)
    begun = (
        asked in ("stream", "events") and answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\n\r\n" in answer
    )
    assert ("stopped in the middle" if begun else f"no soadns answers at {url}: {said}") in str(caught.value)
    assert caught.value.unreachable is not begun


@pytest.mark.parametrize("status", [b"200", b"404", b"500"])
def test_json_that_nobody_can_read_is_no_answer_of_soadns(status: bytes) -> None:
    answer = (WHOLE % (len(DEEP), DEEP)).replace(b"200", status)
    with saying(answer) as url, pytest.raises(ClientError, match=r"no soadns|no answer of soadns"):
        Client(url).get("/v1/interfaces")


@pytest.mark.parametrize("what", BROKEN)
def test_the_exit_status_says_that_no_soadns_answers(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer, said = BROKEN[what]
    with saying(answer) as url:
        assert main(["list", "--url", url]) == 3
    printed = capsys.readouterr()
    assert printed.err.startswith(f"soadns: no soadns answers at {url}: {said}\n")
    assert not printed.out
