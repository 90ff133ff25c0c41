"""``ADDRESS:PORT`` as people write it in configuration, on the command line and in messages. Pure."""

from __future__ import annotations

from ipaddress import ip_address

from soadns.numerals import whole_number

ANY = ("0.0.0.0", "::")  # noqa: S104 - compared, never bound
"""All addresses of the host, as listeners name them."""


def parse_address(text: str) -> tuple[str, int] | None:
    """(IP, port) of ``10.0.0.1:53``, ``[::1]:53`` or ``:53`` (all IPv4 addresses)."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or ANY[0]
    try:
        ip_address(host)
    except ValueError:
        return None
    number = whole_number(port, 65_535) if colon else None
    return (host, number) if number is not None else None


def print_address(host: str, port: int) -> str:
    """The same as text; IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def on_this_host(host: str) -> str:
    """Where a listener on ``host`` is asked by its neighbours: loopback, if it listens on all addresses."""
    return host if host not in ANY else "::1" if ":" in host else "127.0.0.1"
