"""Which addresses the name of the name server itself has."""

from __future__ import annotations

import socket

from soadns.addresses import ANY, on_this_host, parse_address
from soadns.settings.config import Config


def own_addresses(config: Config) -> tuple[str, ...]:
    """The addresses that the name server's own name answers: those it listens on; for all of them, this host's."""
    listening = [where for where in map(parse_address, config.nameserver.listen) if where is not None]
    return tuple(dict.fromkeys(host if host not in ANY else _outward(host) for host, _ in listening))


def _outward(listening: str) -> str:
    """The address from which this host speaks to the world: a pod's own. Loopback where there is no world."""
    family, somewhere = (
        (socket.AF_INET6, "2001:db8::1") if ":" in listening else (socket.AF_INET, "192.0.2.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((somewhere, 53))  # nothing is sent: a route is looked up
        except OSError:
            return on_this_host(listening)
        return str(sock.getsockname()[0])
