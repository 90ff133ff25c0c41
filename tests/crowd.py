"""A crowd of callers: questions at a steady rate from many source ports, each noted until it is answered.

``Crowd`` runs it as a process of its own, so that its pace depends on nobody else's. Like a resolver, whoever
was not answered in time asks again, once; a question that is not answered then is lost. ``python -m tests.crowd HOST
PORT RATE PATIENCE NAME...`` asks until its standard input ends, and prints what became of it as JSON.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
PORTS = 16
AT_ONCE = 64
"""Questions sent, and replies read from one port, without a look elsewhere."""


@dataclass(frozen=True)
class Outcome:
    """What became of all questions. Times in milliseconds, from the first time a question was asked."""

    asked: int = 0
    per_second: float = 0.0
    lost: int = 0
    repeated: int = 0
    """Questions that were asked twice."""
    bad: int = 0
    """Replies that were no answer with data."""
    wrong: int = 0
    """Answers that end with another address than was expected."""
    median: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    slowest: float = 0.0
    slowest_once: float = 0.0
    """Of those that were asked once: how long who was not lost has waited."""

    @property
    def unharmed(self) -> str:
        """``''`` when every question was answered with data, else what happened."""
        return "" if self.asked and not self.lost and not self.bad and not self.wrong else str(self)


class Callers(Generic[T]):
    """A module that asks until its standard input ends, in a process of its own.

    As long as the context lasts, they ask; afterwards ``outcome`` tells.
    """

    def __init__(
        self, module: str, outcome: type[T], *arguments: object, popen: Callable[..., Any] = subprocess.Popen
    ) -> None:
        """``popen`` starts a process where they are to be."""
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._popen = popen
        self._kind = outcome
        self.outcome = outcome()

    def __enter__(self) -> Callers[T]:
        self._process = self._popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "asking\n"
        return self

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self._process.pid)

    def __exit__(self, *_: object) -> None:
        found, _ = self._process.communicate()
        assert self._process.returncode == 0
        self.outcome = self._kind(**json.loads(found))


class Crowd(Callers[Outcome]):
    """Callers over UDP. A name may come with the one address that it has (``name=192.0.2.1``)."""

    def __init__(
        self,
        port: int,
        *names: str,
        rate: int,
        patience: float = 1.0,
        host: str = "127.0.0.1",
        popen: Callable[..., Any] = subprocess.Popen,
    ) -> None:
        super().__init__("tests.crowd", Outcome, host, port, rate, patience, *names, popen=popen)


@dataclass
class _Asked:
    question: bytes
    expected: bytes
    first: float
    last: float
    times: int = 1


@dataclass
class _Port:
    sock: socket.socket
    open: dict[bytes, _Asked] = field(default_factory=dict)
    number: int = 0


def main(host: str, port: int, rate: int, patience: float, names: list[str]) -> None:
    """Ask until the end of standard input."""
    questions = [(question(name.partition("=")[0]), expected(name)) for name in names]
    ports = []
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    for _ in range(PORTS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect((host, port))
        sock.setblocking(False)
        ports.append(_Port(sock))
        poll.register(sock, select.POLLIN)
    by_descriptor = {each.sock.fileno(): each for each in ports}
    times: list[float] = []
    once = 0.0
    asked = lost = repeated = bad = wrong = 0
    begun = looked = time.monotonic()
    ended = 0.0
    print("asking", flush=True)
    while not ended or any(each.open for each in ports):
        now = time.monotonic()
        if not ended:
            for _ in range(min(AT_ONCE, int((now - begun) * rate) - asked)):
                each = ports[asked % PORTS]
                each.number = (each.number + 1) & 0xFFFF
                number = each.number.to_bytes(2, "big")
                text, address = questions[asked % len(questions)]
                each.open[number] = entry = _Asked(number + text, address, now, now)
                asked += 1
                _send(each.sock, entry.question)
        if now - looked > 0.05:
            looked = now
            for each in ports:
                for number, entry in list(each.open.items()):
                    if now - entry.last > patience:
                        if entry.times > 1:
                            lost += 1
                            del each.open[number]
                        else:
                            repeated, entry.times, entry.last = repeated + 1, 2, now
                            _send(each.sock, entry.question)
        for descriptor, _ in poll.poll(1):
            if descriptor == sys.stdin.fileno():
                poll.unregister(sys.stdin)
                ended = now
                continue
            each = by_descriptor[descriptor]
            for _ in range(AT_ONCE):
                try:
                    reply = each.sock.recv(4096)
                except OSError:
                    break
                found = each.open.pop(reply[:2], None)
                if found is not None:
                    times.append(time.monotonic() - found.first)
                    once = max(once, times[-1] if found.times == 1 else 0.0)
                    failed = bool(reply[3] & 0xF or reply[6:8] == b"\0\0")
                    bad += failed
                    wrong += not failed and not reply.endswith(found.expected)
    outcome = {
        "asked": asked, "per_second": round(asked / (ended - begun)), "lost": lost, "repeated": repeated, "bad": bad,
        "wrong": wrong, "slowest_once": round(once * 1e3, 3),
    }  # fmt: skip
    print(json.dumps(outcome | ranked(times)))


def ranked(times: list[float]) -> dict[str, float]:
    """Seconds, as the milliseconds of an outcome."""
    cuts = statistics.quantiles(times, n=1000) if len(times) > 1 else [0.0] * 999
    shares = {"median": cuts[499], "p99": cuts[989], "p999": cuts[998], "slowest": max(times, default=0.0)}
    return {share: round(seconds * 1e3, 3) for share, seconds in shares.items()}


def expected(name: str) -> bytes:
    """The octets that an answer for ``name=192.0.2.1`` ends with: without EDNS its only address is the last of it."""
    address = name.partition("=")[2]
    return socket.inet_aton(address) if address else b""


def question(name: str) -> bytes:
    """A question for the address of a name, behind its id."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01"


def _send(sock: socket.socket, question: bytes) -> None:
    try:
        sock.send(question)
    except OSError:
        return  # it is asked again


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5:])
