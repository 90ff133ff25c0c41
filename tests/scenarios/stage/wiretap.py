"""What is read off the wire of a pod: questions and answers of the name server there, calls of Dubbo's protocol."""

from __future__ import annotations

import math
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, Self

from tests.scenarios.stage.dubbowire import EVENT, HEADER, MAGIC, REQUEST
from tests.scenarios.stage.places import Place

A, AAAA = 1, 28
_ALL, _IPV4, _TCP, _UDP, _DNS = 0x0003, 0x0800, 6, 17, 53
_HEADER = struct.Struct("!HHHHHH")
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SOL_PACKET, _PACKET_STATISTICS = 33, 35, 263, 6
_TIMESPEC, _STATISTICS = struct.Struct("@qq"), struct.Struct("@II")
_RESPONSE = 0x8000
_ANEW_S = 60.0
"""A port that asks with a number that it had so long ago asks something else."""
_ROOM = 64 << 20
"""Octets that may wait to be looked at."""


@dataclass(frozen=True)
class Reply:
    """How a question was answered."""

    rcode: int
    answers: int
    """Records of the answer section."""


@dataclass(frozen=True)
class Packet:
    """A message to or from a name server by UDP."""

    source: str
    target: str
    port: int
    """Of the side that is no name server."""
    number: int
    """The id of the message."""
    name: str
    """In small letters, with its final dot."""
    kind: int
    reply: Reply | None
    """None for a question."""


def packet(octets: bytes) -> Packet | None:
    """Decode an IPv4 packet; None for what is no DNS message with one question to or from port 53 by UDP."""
    if len(octets) < 20 or octets[9] != _UDP:
        return None
    start = (octets[0] & 0xF) * 4
    ports = struct.unpack_from("!HH", octets, start)
    message = octets[start + 8 :]
    if _DNS not in ports or len(message) < _HEADER.size:
        return None
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    labels, at = [], _HEADER.size
    while questions == 1 and (length := message[at]):
        labels.append(message[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    if not labels:
        return None
    [kind] = struct.unpack_from("!H", message, at + 1)
    source, target = (socket.inet_ntoa(octets[at : at + 4]) for at in (12, 16))
    reply = Reply(flags & 0xF, answers) if flags & _RESPONSE else None
    port = ports[1] if ports[0] == _DNS else ports[0]
    return Packet(source, target, port, number, f"{'.'.join(labels)}.", kind, reply)


def segment(octets: bytes) -> bytes:
    """What a TCP segment in an IPv4 packet carries; nothing where it is none."""
    if len(octets) < 20 or octets[9] != _TCP:
        return b""
    start, whole = (octets[0] & 0xF) * 4, int.from_bytes(octets[2:4], "big")
    return octets[start + (octets[start + 12] >> 4) * 4 : whole]


class Wired(Protocol):
    """A pod, or a program that has one of its own."""

    @property
    def ip(self) -> str: ...
    @property
    def place(self) -> Place: ...


class Tap(ABC):
    """As long as the context lasts, it sees what a pod sends and receives."""

    def __init__(self, home: Wired) -> None:
        self._ip = home.ip
        with home.place.inside():
            # Only who asks for all protocols sees what is sent, too.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.settimeout(0.1)
        self.missed = 0
        """Packets for which there was no room."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        self.missed = _STATISTICS.unpack(statistics)[1]
        self._socket.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                self._receive()
        # What was sent before the end is queued: on a machine that does much else nobody has come to it yet.
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._receive()

    def _receive(self) -> None:
        octets, [(*_, stamp)], _, (_, protocol, *_) = self._socket.recvmsg(65_536, 64)
        if protocol == _IPV4:
            whole, rest = _TIMESPEC.unpack(stamp)
            self._saw(octets, whole + rest / 1e9)

    @abstractmethod
    def _saw(self, octets: bytes, at: float) -> None:
        """Note an IPv4 packet, and when the kernel saw it (seconds of its clock)."""


class Wiretap(Tap):
    """It notes who asks the name server of a pod by UDP, and how that answers."""

    def __init__(self, home: Wired) -> None:
        super().__init__(home)
        self.replies: defaultdict[tuple[str, str, int], set[Reply]] = defaultdict(set)
        """By who asked, for which name, for records of which type."""

    def _saw(self, octets: bytes, at: float) -> None:
        found = packet(octets)
        if found and found.reply and found.source == self._ip:
            self.replies[found.target, found.name, found.kind].add(found.reply)


class SourceTap(Tap):
    """It counts by whom packets of UDP reach a pod."""

    def __init__(self, home: Wired) -> None:
        super().__init__(home)
        self.sources: Counter[str] = Counter()

    def _saw(self, octets: bytes, at: float) -> None:
        if len(octets) >= 20 and octets[9] == _UDP and socket.inet_ntoa(octets[16:20]) == self._ip:
            self.sources[socket.inet_ntoa(octets[12:16])] += 1


@dataclass
class Question:
    """What became of a question, asked once or more often by the same port with the same number."""

    name: str
    asked: float
    times: int = 1
    waited: float = math.inf
    """Seconds from the first time it was asked until it was answered with data."""
    denied: int = 0
    """Replies without data."""


class QuestionTap(Tap):
    """It notes each question that reaches the name server of a pod by UDP, and how long that takes for it."""

    def __init__(self, home: Wired) -> None:
        super().__init__(home)
        self.questions: list[Question] = []
        self._open: dict[tuple[str, int, int, str], Question] = {}

    def _saw(self, octets: bytes, at: float) -> None:
        found = packet(octets)
        if found is None or self._ip not in ((found.source,) if found.reply else (found.target,)):
            return
        other = found.target if found.reply else found.source
        key = other, found.port, found.number, found.name
        question = self._open.get(key)
        if found.reply is None:
            if question and at - question.asked < _ANEW_S:
                question.times += 1
                return
            self._open[key] = fresh = Question(found.name, at)
            self.questions.append(fresh)
        elif question and not found.reply.rcode and found.reply.answers:
            question.waited = min(question.waited, at - question.asked)
        elif question:
            question.denied += 1


class CallTap(Tap):
    """It notes by which serialization the calls of a pod are written that speak Dubbo's protocol, and their answers."""

    def __init__(self, home: Wired) -> None:
        super().__init__(home)
        self.requests: list[int] = []
        """Numbers of serializations, call by call; heartbeats are none."""
        self.answers: list[int] = []

    def _saw(self, octets: bytes, at: float) -> None:
        carried = segment(octets)
        if len(carried) < HEADER.size:
            return
        magic, flags, *_ = HEADER.unpack_from(carried)
        if magic == MAGIC and not flags & EVENT:
            (self.requests if flags & REQUEST else self.answers).append(flags & 0x1F)
