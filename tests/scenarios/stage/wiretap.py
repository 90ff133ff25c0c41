"""What is asked of a name server, and what it answers, read off the wire of the pod it runs in."""

from __future__ import annotations

import socket
import struct
import threading
from collections import defaultdict
from dataclasses import dataclass

from tests.scenarios.stage.cluster import Home

A, AAAA = 1, 28
_ALL, _IPV4, _UDP, _DNS = 0x0003, 0x0800, 17, 53
_HEADER = struct.Struct("!HHHHHH")


@dataclass(frozen=True)
class Reply:
    """How a question was answered."""

    rcode: int
    answers: int
    """Records of the answer section."""


@dataclass(frozen=True)
class Packet:
    """A message that a name server sends by UDP."""

    source: str
    target: str
    name: str
    """In small letters, with its final dot."""
    kind: int
    reply: Reply


def packet(octets: bytes) -> Packet | None:
    """Decode an IPv4 packet; None for what is no DNS message with one question from port 53 by UDP."""
    if len(octets) < 20 or octets[9] != _UDP:
        return None
    start = (octets[0] & 0xF) * 4
    [port] = struct.unpack_from("!H", octets, start)
    message = octets[start + 8 :]
    if port != _DNS or len(message) < _HEADER.size:
        return None
    _, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    labels, at = [], _HEADER.size
    while questions == 1 and (length := message[at]):
        labels.append(message[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    if not labels:
        return None
    [kind] = struct.unpack_from("!H", message, at + 1)
    source, target = (socket.inet_ntoa(octets[at : at + 4]) for at in (12, 16))
    return Packet(source, target, f"{'.'.join(labels)}.", kind, Reply(flags & 0xF, answers))


class Wiretap:
    """As long as the context lasts, it notes who asks the name server of a pod by UDP, and how that answers."""

    def __init__(self, home: Home) -> None:
        self._ip = home.ip
        with home.place.inside():
            # Only who asks for all protocols sees what is sent, too.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        self._socket.settimeout(0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.replies: defaultdict[tuple[str, str, int], set[Reply]] = defaultdict(set)
        """By who asked, for which name, for records of which type."""

    def __enter__(self) -> Wiretap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                octets, (_, protocol, *_) = self._socket.recvfrom(65_536)
            except TimeoutError:
                continue
            found = packet(octets) if protocol == _IPV4 else None
            if found and found.source == self._ip:
                self.replies[found.target, found.name, found.kind].add(found.reply)
