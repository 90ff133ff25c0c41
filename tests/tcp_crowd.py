"""Callers over TCP: one connection for each question, or connections that are kept for many, one after another.

``TcpCrowd`` runs them as a process of its own, as ``tests.crowd`` does. Like a resolver (RFC 7766 6.2.4), whoever got
no answer on a connection asks again, once, on a new one; a question that is not answered then is lost. ``python -m
tests.tcp_crowd PORT RATE PATIENCE KEPT PAUSE NAME...`` asks until its standard input ends, and prints what became of it
as JSON; ``KEPT`` connections are kept, with 0 each question has one for itself. A caller that has connected waits for
``PAUSE`` seconds before it asks, as one does that is a round trip away.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass

from tests.crowd import Callers, Outcome, question, ranked

QUESTIONS = 50
"""On a kept connection, after which its caller closes it: connections begin at any moment."""
AT_ONCE = 64
"""Questions asked without a look elsewhere."""


@dataclass(frozen=True)
class TcpOutcome(Outcome):
    """What became of all questions and connections; ``repeated`` are those asked again because of what follows."""

    unanswered: int = 0
    """Connections that ended by FIN instead of an answer."""
    reset: int = 0
    """Connections that ended by RST, a question under way or not."""
    refused: int = 0
    """Connections that were refused."""
    silent: int = 0
    """Questions without an answer in time."""
    closed: int = 0
    """Kept connections that the server ended by FIN between two questions."""

    @property
    def unharmed(self) -> str:
        """``''`` when every question was answered with data on the connection it was asked on, else what happened."""
        harmed = self.lost or self.repeated or self.bad or self.reset
        return "" if self.asked and not harmed else str(self)


class TcpCrowd(Callers[TcpOutcome]):
    """Callers over TCP."""

    def __init__(
        self, port: int, *names: str, rate: int, kept: int = 0, patience: float = 4.0, pause: float = 0.0
    ) -> None:
        super().__init__("tests.tcp_crowd", TcpOutcome, port, rate, patience, kept, pause, *names)


@dataclass
class _Asked:
    octets: bytes
    first: float
    times: int = 0


class _Line:
    """One connection."""

    def __init__(self, crowd: _Crowd, asked: _Asked) -> None:
        self._crowd = crowd
        self.asked: _Asked | None = asked
        """What it was asked and did not answer yet."""
        self.since = time.monotonic()
        self.questions = 0
        self.replies = b""
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", crowd.port))
        crowd.selector.register(self.sock, selectors.EVENT_WRITE, self.connected)

    def connected(self) -> None:
        """Or not; then asks."""
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.end("refused")
            return
        self._crowd.selector.modify(self.sock, selectors.EVENT_READ, self.read)
        self._crowd.pausing.append((time.monotonic() + self._crowd.pause, self))

    def begin(self) -> None:
        """The pause is over."""
        if self.asked is not None and self in self._crowd.lines:
            self.ask(self.asked)

    def ask(self, asked: _Asked) -> None:
        """Ask it."""
        self.asked, self.since = asked, time.monotonic()
        self.questions += 1
        try:
            self.sock.sendall(asked.octets)
        except OSError:
            self.end("reset")

    def stands(self) -> bool:
        """Whether the server has not ended it, which is looked at before each question."""
        try:
            ended = not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            self.end("reset")
            return False
        if ended:
            self.end("closed")
        return not ended

    def read(self) -> None:
        """What the server sent."""
        try:
            octets = self.sock.recv(4096)
        except OSError:
            self.end("reset")
            return
        if not octets:
            self.end("unanswered" if self.asked else "closed")
            return
        self.replies += octets
        size = int.from_bytes(self.replies[:2], "big") + 2
        if self.asked is None or len(self.replies) < max(size, 14):
            return
        reply, self.replies = self.replies[2:size], self.replies[size:]
        self._crowd.answered(self.asked, reply)
        self.asked = None
        if self.questions < self._crowd.questions:
            self._crowd.idle.append(self)
        else:
            self.end("")

    def end(self, why: str) -> None:
        """Close it, and ask again what was under way."""
        crowd = self._crowd
        crowd.selector.unregister(self.sock)
        self.sock.close()
        crowd.lines.discard(self)
        if self in crowd.idle:
            crowd.idle.remove(self)
        crowd.counts[why] += 1
        if self.asked is not None:
            crowd.again(self.asked)


class _Crowd:
    """All of them."""

    def __init__(self, port: int, patience: float, kept: int, pause: float) -> None:
        self.port = port
        self.patience = patience
        self.questions = QUESTIONS if kept else 1
        self.kept = kept
        self.pause = pause
        self.pausing: deque[tuple[float, _Line]] = deque()
        self.selector = selectors.DefaultSelector()
        self.lines: set[_Line] = set()
        self.idle: deque[_Line] = deque()
        self.counts: Counter[str] = Counter()
        self.times: list[float] = []
        self.ended = 0.0

    def leave(self) -> None:
        """Standard input has ended: no more questions."""
        self.ended = time.monotonic()
        self.selector.unregister(sys.stdin)

    def ask(self, asked: _Asked) -> None:
        """On the connection that has been idle for longest, or on a new one."""
        asked.times += 1
        while len(self.lines) >= self.kept and self.idle:
            line = self.idle.popleft()
            if line.stands():
                line.ask(asked)
                return
        self.lines.add(_Line(self, asked))

    def again(self, asked: _Asked) -> None:
        """Once."""
        if asked.times > 1:
            self.counts["lost"] += 1
            return
        self.counts["repeated"] += 1
        asked.times += 1
        self.lines.add(_Line(self, asked))

    def answered(self, asked: _Asked, reply: bytes) -> None:
        """By this."""
        self.times.append(time.monotonic() - asked.first)
        self.counts["bad"] += bool(reply[:2] != asked.octets[2:4] or reply[3] & 0xF or reply[6:8] == b"\0\0")

    def turn(self, wait: float) -> None:
        """Read and write what can be; give up who waits for too long."""
        for key, _ in self.selector.select(wait):
            if self.selector.get_map().get(key.fd) is key:
                key.data()
        now = time.monotonic()
        while self.pausing and self.pausing[0][0] <= now:
            self.pausing.popleft()[1].begin()
        for line in [each for each in self.lines if each.asked and now - each.since > self.patience]:
            line.end("silent")

    def close(self) -> None:
        """Nobody asks any more."""
        for line in list(self.lines):
            line.end("")


def main(port: int, rate: int, patience: float, kept: int, pause: float, names: list[str]) -> None:
    """Ask until the end of standard input."""
    bodies = [question(name) for name in names]
    crowd = _Crowd(port, patience, kept, pause)
    crowd.selector.register(sys.stdin, selectors.EVENT_READ, crowd.leave)
    asked, begun = 0, time.monotonic()
    print("asking", flush=True)
    while not crowd.ended or any(line.asked for line in crowd.lines):
        if not crowd.ended:
            now = time.monotonic()
            for _ in range(min(AT_ONCE, int((now - begun) * rate) - asked)):
                packet = (asked & 0xFFFF).to_bytes(2, "big") + bodies[asked % len(bodies)]
                asked += 1
                crowd.ask(_Asked(len(packet).to_bytes(2, "big") + packet, now))
        crowd.turn(0.001)
    crowd.close()
    kinds = ("lost", "repeated", "bad", "unanswered", "reset", "refused", "silent", "closed")
    outcome = {"asked": asked, "per_second": round(asked / (crowd.ended - begun))}
    print(json.dumps(outcome | {kind: crowd.counts[kind] for kind in kinds} | ranked(crowd.times)))


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        float(sys.argv[3]),
        int(sys.argv[4]),
        float(sys.argv[5]),
        sys.argv[6:],
    )
