"""A tap on the wire has seen, when it is taken off, all that was sent until then: it may be slower than the wire."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.wiretap import Tap

DATAGRAMS = 40


@dataclass(frozen=True)
class Here:
    """Where the test runs."""

    ip: str = "127.0.0.1"
    place: Place = OUTSIDE


class Slow(Tap):
    """One that takes its time, and looks for a mark."""

    def __init__(self, mark: bytes) -> None:
        super().__init__(Here())
        self._mark = mark
        self.seen: set[bytes] = set()

    def _saw(self, octets: bytes, at: float) -> None:
        if self._mark in octets:
            self.seen.add(octets[octets.index(self._mark) :])
            time.sleep(0.002)


def test_what_was_sent_before_its_end_is_seen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
        sent = {b"soadns-tap-%d-%d;" % (port, number) for number in range(DATAGRAMS)}
        with Slow(b"soadns-tap-%d-" % port) as tap:
            for each in sent:
                there.sendto(each, there.getsockname())
    assert tap.seen == sent
