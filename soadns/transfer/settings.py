"""Who may have zones, and who is told of changes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class Key:
    """A key of TSIG: its name in lower case, an algorithm (``hmac-sha256``), and the shared secret in base64."""

    name: str
    algorithm: str
    secret: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key whose secret stands in a file, which may be renewed."""

    name: str
    algorithm: str
    secret_file: str


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """Settings of the transfer of zones; addresses are (IP, port)."""

    listen: tuple[tuple[str, int], ...]
    allow: tuple[IPv4Network | IPv6Network, ...]
    keys: tuple[KeyFile, ...]
    notify: tuple[tuple[str, int], ...]
    history: int
    """Changed names that are remembered for differences, a zone."""
