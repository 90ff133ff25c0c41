"""Keys of the section ``skydns`` of the configuration file, with their defaults and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from soadns.settings import values
from soadns.settings.schema import Duration, setting


@dataclass(frozen=True, slots=True)
class SkydnsTlsConfig:
    """TLS towards etcd."""

    ca: str = setting(
        "File of CA certificates; empty: those of the system.",
        default="",
    )
    cert: str = setting("File of the client certificate.", default="")
    key: str = setting("File of the client key.", default="")


@dataclass(frozen=True, slots=True)
class SkydnsConfig:
    """Zones in etcd, for CoreDNS."""

    endpoints: tuple[str, ...] = setting(
        "URLs of the members of an etcd (3.4 or newer); empty: nothing is written.",
        default=(),
        example="https://etcd-0:2379",
        check=values.urls,
    )
    mode: str = setting(
        "`write` (one replica keeps the zones there) or `clear` (it deletes all that it has there).",
        default="write",
        check=values.one_of("write", "clear"),
    )
    prefix: str = setting(
        "Below which keys are, as CoreDNS's `path` has it.", default="/skydns", check=values.absolute
    )
    owner: str = setting(
        "Whose keys these are, the same for all replicas: others' are never touched.",
        default="soadns",
        check=values.name,
    )
    zones: tuple[str, ...] = setting(
        "Zones that are written; empty: all. What this owner has there of others is deleted.", default=()
    )
    username: str = setting("User of etcd; empty: none.", default="")
    password_file: str = setting(
        "File of the user's password.",
        default="",
        example="/etc/soadns/etcd",
    )
    tls: SkydnsTlsConfig = setting("TLS.", factory=SkydnsTlsConfig)
    resync: Duration = setting(
        "How often all that is there is compared.", default=Duration(600), check=values.between(1, 86_400)
    )
    lease: Duration = setting(
        "After how long without a sign of the replica that writes another one does.",
        default=Duration(15),
        check=values.between(2, 600),
    )
