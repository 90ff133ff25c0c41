"""Ports for servers that tests start."""

from __future__ import annotations

import os
import random
import socket

RANGE = (10_000, 32_000)
"""Below the ports that the kernel gives to clients (32768 to 60999): a server that is stopped and started again must
find its own port, and no client that connected somewhere meanwhile may have it.
"""

STRIDE = 8
"""Of so many workers of one test run no two choose the same port: between a look at it and its use there is time."""

_handed_out: set[int] = set()
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % STRIDE


def free_port() -> int:
    """A TCP and UDP port that nobody uses now and nobody got from here before."""
    while True:
        # By lot, so that several test runs at once choose apart.
        port = random.SystemRandom().randrange(RANGE[0] + _worker, RANGE[1], STRIDE)
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port


def _is_free(port: int) -> bool:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
