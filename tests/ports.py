"""Ports for servers that tests start."""

from __future__ import annotations

import contextlib
import socket

_handed_out: set[int] = set()


def free_port() -> int:
    """A TCP and UDP port that nobody uses now and nobody got from here before."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            if port in _handed_out:
                continue
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                _handed_out.add(port)
                return port
