"""What is configured of a ZooKeeper ensemble, and what tells one from another. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

PORT = 2181
"""Where a connect string names none."""


@dataclass(frozen=True, slots=True)
class Root:
    """A registry tree."""

    path: str
    dialect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files of a TLS client."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)
    check_hostname: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooKeeperSettings:
    """An ensemble and what is read from it. ``hosts`` is a connect string with an optional chroot."""

    name: str
    hosts: str
    roots: tuple[Root, ...]
    auth: tuple[str, str] | None = field(default=None, repr=False)
    """(scheme, credentials)."""
    tls: Tls | None = None
    read_only: bool
    max_in_flight: int
    session_timeout: float
    unusable: str = ""
    """Why nobody can connect: what is wrong with the secrets that are configured, none of which is here."""


def identity(hosts: str) -> str:
    """What tells ensembles apart, as a comma list: two are one when they share an item."""
    servers, slash, chroot = hosts.partition("/")
    named = servers.replace(" ", "").split(",")
    whole = (name if name.rpartition(":")[2].isdigit() else f"{name}:{PORT}" for name in named)
    return ",".join(sorted(f"{server}{slash}{chroot}" for server in whole))
