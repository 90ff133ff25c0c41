"""Batches of datagrams: each asker gets its own reply, whatever becomes of those beside it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from soadns.nameserver.batch import Batch
from soadns.nameserver.datagrams import BATCH, MAX_DATAGRAM, Exchange

REPLY_SIZE = 70_000
"""More than a datagram can have, so that the kernel refuses some."""


def echo(batch: Batch, lengths: list[int]) -> None:
    """Each packet, or what it asks for: to be dropped, or to be answered at length."""
    for number, length in enumerate(lengths):
        packet = batch.message(number, length)
        if packet.startswith(b"drop"):
            batch.reply(number, None)
        else:
            batch.reply(number, bytes(REPLY_SIZE) if packet.startswith(b"too long") else b"re: " + packet)


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::1", "::"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((request.param, 0))
        sock.setblocking(False)
        yield sock


class Askers:
    """Sockets of their own, each of which asks the same server."""

    def __init__(self, listening: socket.socket, stack: ExitStack) -> None:
        host = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
        self.family = listening.family
        self.address = (host, listening.getsockname()[1])
        self.stack = stack

    def ask(self, packet: bytes) -> socket.socket:
        sock = self.stack.enter_context(socket.socket(self.family, socket.SOCK_DGRAM))
        sock.settimeout(2)
        sock.connect(self.address)
        sock.send(packet)
        return sock


@pytest.fixture
def askers(listening: socket.socket) -> Iterator[Askers]:
    with ExitStack() as stack:
        yield Askers(listening, stack)


def silent(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.recv(100)
    except BlockingIOError:
        return True
    return False


def test_each_asker_gets_the_reply_to_its_own_question(listening: socket.socket, askers: Askers) -> None:
    exchange = Exchange(listening, REPLY_SIZE)
    for turn in range(2):
        asked = {number: askers.ask(b"%d of %d" % (number, turn)) for number in range(BATCH + 3)}
        assert exchange.turn(echo) == BATCH
        assert exchange.turn(echo) == 3
        assert exchange.turn(echo) == 0
        for number, sock in asked.items():
            assert sock.recv(100) == b"re: %d of %d" % (number, turn)


@pytest.mark.parametrize("quiet", [(0,), (3,), (6,), (0, 1, 5, 6), (1, 3, 5), tuple(range(7))])
def test_what_gets_no_reply_takes_nobody_elses(
    listening: socket.socket, askers: Askers, quiet: tuple[int, ...]
) -> None:
    exchange = Exchange(listening, REPLY_SIZE)
    asked = {number: askers.ask(b"drop" if number in quiet else b"answer %d" % number) for number in range(7)}
    assert exchange.turn(echo) == 7
    for number, sock in asked.items():
        assert silent(sock) if number in quiet else sock.recv(100) == b"re: answer %d" % number


@pytest.mark.parametrize("refused", [(0,), (2, 3), (6,)])
def test_a_reply_that_the_kernel_refuses_is_counted_and_holds_up_nobody(
    listening: socket.socket, askers: Askers, refused: tuple[int, ...]
) -> None:
    exchange = Exchange(listening, REPLY_SIZE)
    asked = {number: askers.ask(b"too long" if number in refused else b"%d" % number) for number in range(7)}
    assert exchange.turn(echo) == 7
    assert exchange.unsent == len(refused)
    for number, sock in asked.items():
        assert silent(sock) if number in refused else sock.recv(100) == b"re: %d" % number


def test_no_more_are_taken_than_asked_for(listening: socket.socket, askers: Askers) -> None:
    exchange = Exchange(listening, REPLY_SIZE)
    first, second = askers.ask(b"first"), askers.ask(b"second")
    assert exchange.turn(echo, 1) == 1
    assert first.recv(100) == b"re: first"
    assert silent(second)
    assert exchange.turn(echo, 1) == 1


@pytest.mark.parametrize("size", [0, 1, 512, MAX_DATAGRAM - 1, MAX_DATAGRAM, MAX_DATAGRAM + 1, 20_000])
def test_a_question_of_any_size_is_seen_as_far_as_there_is_room(
    listening: socket.socket, askers: Askers, size: int
) -> None:
    exchange = Exchange(listening, REPLY_SIZE)
    seen = []

    def look(batch: Batch, lengths: list[int]) -> None:
        for number, length in enumerate(lengths):
            seen.append(batch.message(number, length))
            batch.reply(number, None)

    small = askers.ask(b"before")
    askers.ask(b"x" * size)
    assert exchange.turn(look) == 2
    assert seen == [b"before", b"x" * min(size, MAX_DATAGRAM)]
    assert silent(small)


FORBIDDING = """
import ctypes, platform, socket, struct
from soadns.nameserver.datagrams import Exchange

NUMBERS = {"x86_64": 299, "aarch64": 243}  # recvmmsg
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF
ERRNO_EPERM, ALLOW = 0x00050001, 0x7FFF0000
program = [
    (LOAD, 0, 0, 0), (IF_EQUAL, 0, 1, NUMBERS[platform.machine()]), (RETURN, 0, 0, ERRNO_EPERM), (RETURN, 0, 0, ALLOW)
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
filter = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, filter, 0, 0) == 0  # PR_SET_SECCOMP
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("127.0.0.1", 0))
    try:
        Exchange(sock, 512)
    except OSError as error:
        print(error)
"""


def test_where_seccomp_forbids_batches_an_error_says_so() -> None:
    """A profile older than the system call; a worker that took it for silence would spin."""
    done = subprocess.run([sys.executable, "-c", FORBIDDING], capture_output=True, text=True, check=True)
    assert done.stdout == "[Errno 1] recvmmsg is forbidden here: allow it in the seccomp profile\n"
