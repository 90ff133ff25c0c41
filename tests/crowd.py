"""A crowd of callers: questions at a steady rate from many source ports, each noted until it is answered.

``Crowd`` runs it as a process of its own, so that its pace depends on nobody else's. Like a resolver, whoever
was not answered in time asks again, once; a question that is not answered then is lost. ``python -m tests.crowd PORT
RATE PATIENCE NAME...`` asks until its standard input ends, and prints what became of it as JSON.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

PORTS = 16
AT_ONCE = 64
"""Questions sent, and replies read from one port, without a look elsewhere."""


@dataclass(frozen=True)
class Outcome:
    """What became of all questions. Times in milliseconds, from the first time a question was asked."""

    asked: int
    per_second: float
    lost: int
    repeated: int
    """Questions that were asked twice."""
    bad: int
    """Replies that were no answer with data."""
    median: float
    p99: float
    slowest: float

    @property
    def unharmed(self) -> str:
        """``''`` when every question was answered with data, else what happened."""
        return "" if self.asked and not self.lost and not self.bad else str(self)


class Crowd:
    """As long as the context lasts, they ask; afterwards ``outcome`` tells."""

    def __init__(self, port: int, *names: str, rate: int, patience: float = 1.0) -> None:
        command = [sys.executable, "-m", "tests.crowd", str(port), str(rate), str(patience), *names]
        self._command = command
        self.outcome = Outcome(0, 0, 0, 0, 0, 0, 0, 0)

    def __enter__(self) -> Crowd:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "asking\n"
        return self

    def __exit__(self, *_: object) -> None:
        found, _ = self._process.communicate()
        assert self._process.returncode == 0
        self.outcome = Outcome(**json.loads(found))


@dataclass
class _Asked:
    question: bytes
    first: float
    last: float
    times: int = 1


@dataclass
class _Port:
    sock: socket.socket
    open: dict[bytes, _Asked] = field(default_factory=dict)
    number: int = 0


def main(port: int, rate: int, patience: float, names: list[str]) -> None:
    """Ask until the end of standard input."""
    questions = [_question(name) for name in names]
    ports = []
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    for _ in range(PORTS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        ports.append(_Port(sock))
        poll.register(sock, select.POLLIN)
    by_descriptor = {each.sock.fileno(): each for each in ports}
    times: list[float] = []
    asked = lost = repeated = bad = 0
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
                each.open[number] = entry = _Asked(number + questions[asked % len(questions)], now, now)
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
                    bad += bool(reply[3] & 0xF or reply[6:8] == b"\0\0")
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    outcome = {
        "asked": asked, "per_second": round(asked / (ended - begun)), "lost": lost, "repeated": repeated, "bad": bad,
        "median": round(cuts[49] * 1e3, 3), "p99": round(cuts[98] * 1e3, 3),
        "slowest": round(max(times, default=0.0) * 1e3, 1),
    }  # fmt: skip
    print(json.dumps(outcome))


def _question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01"


def _send(sock: socket.socket, question: bytes) -> None:
    try:
        sock.send(question)
    except OSError:
        return  # it is asked again


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
