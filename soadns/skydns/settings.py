"""What is published to which etcd, and how. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "skydns"
"""What operators release."""


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """Where etcd is, and who asks it; files are PEM, empty where there is none."""

    endpoints: tuple[str, ...]
    """URLs of members of one cluster."""
    username: str = ""
    password_file: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class SkydnsSettings:
    """Settings of the publisher; times are seconds."""

    etcd: EtcdSettings
    prefix: str
    owner: str
    zones: frozenset[str]
    """Origins that are published."""
    clear: bool
    """Whether all keys of this owner are to be deleted instead."""
    resync: float
    lease: int
    share: float
    minimum: int
    """As of the guard."""

    @property
    def leader_key(self) -> str:
        """Which replica writes; no question leads to it (``records``)."""
        return f"{self.prefix}/SOADNS/{self.owner}"
