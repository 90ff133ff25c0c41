"""Keys of the section ``state`` of the configuration file, with their defaults and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from soadns.settings import values
from soadns.settings.schema import Duration, setting

LEAST_AGE_S = 120.0
"""A running replica saves at least every minute: what is a little older is not wrong."""


@dataclass(frozen=True, slots=True)
class PeersTlsConfig:
    """TLS between replicas."""

    cert: str = setting(
        "File of the certificate chain that `state.peers.listen` shows, for the names of `state.peers.hosts`; empty: "
        "no TLS there. Renewed files hold at once.",
        default="",
        example="/etc/soadns-peers-tls/tls.crt",
    )
    key: str = setting("File of its key.", default="", example="/etc/soadns-peers-tls/tls.key")
    ca: str = setting(
        "File of the CA by which other replicas are known; they are asked by TLS then. Empty: without.",
        default="",
        example="/etc/soadns-peers-tls/ca.crt",
    )


@dataclass(frozen=True, slots=True)
class PeersConfig:
    """Replicas that give each other their snapshots."""

    hosts: tuple[str, ...] = setting(
        "Replicas that are asked for a snapshot where there is none, each with its port; a name means all of its "
        "addresses. Empty: nobody is asked.",
        default=(),
        example="soadns-headless.soadns.svc:8056",
        check=values.servers,
    )
    listen: str = setting(
        "Address at which other replicas get this one's; empty: nobody does.",
        default="",
        example="0.0.0.0:8056",
        check=values.address,
    )
    token_file: str = setting(
        "File of the bearer token that the replicas share.", default="", example="/etc/soadns-peers/token"
    )
    tls: PeersTlsConfig = setting("TLS.", factory=PeersTlsConfig)
    oldest: Duration = setting(
        "How old a snapshot may be that another replica gives; an own one that is older counts as none.",
        default=Duration(600),
        check=values.between(LEAST_AGE_S, 86_400 * 365),
    )


@dataclass(frozen=True, slots=True)
class StateConfig:
    """What survives a restart."""

    directory: str = setting(
        "Folder of the snapshot; empty: none outlives the process.", default="", example="/var/lib/soadns"
    )
    peers: PeersConfig = setting("Snapshots of other replicas.", factory=PeersConfig)
