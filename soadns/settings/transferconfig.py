"""Keys of the section ``transfer`` of the configuration file, with their defaults and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from soadns.settings import values
from soadns.settings.schema import setting

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")


@dataclass(frozen=True, slots=True)
class TransferKeyConfig:
    """A key that secondaries sign with."""

    name: str = setting(
        "Its name, the same on both sides.", example="soadns-transfer", check=values.zone_name
    )
    secret_file: str = setting(
        "File of the shared secret, in base64.",
        example="/etc/soadns/transfer.key",
    )
    algorithm: str = setting("How it signs.", default="hmac-sha256", check=values.one_of(*ALGORITHMS))


@dataclass(frozen=True, slots=True)
class TransferConfig:
    """Zones for other name servers."""

    listen: tuple[str, ...] = setting(
        "Addresses at which secondaries ask for zones (SOA, AXFR, IXFR), by UDP and TCP; empty: nobody gets one.",
        default=(),
        example="0.0.0.0:1054",
        check=values.any_addresses,
    )
    allow: tuple[str, ...] = setting(
        "Networks from which they may without a key.",
        default=(),
        example="10.0.5.0/24",
        check=values.networks,
    )
    keys: tuple[TransferKeyConfig, ...] = setting(
        "Keys of TSIG: who signs with one may have zones, from anywhere. NOTIFY is signed by the first.",
        default=(),
    )
    notify: tuple[str, ...] = setting(
        "Secondaries that are told at once when a zone has changed; the others ask every ten seconds.",
        default=(),
        example="10.0.5.7:53",
        check=values.any_addresses,
    )
    history: int = setting(
        "Of how many changed names a zone remembers what they were, so that a secondary gets only what changed.",
        default=20_000,
        check=values.between(0, 10_000_000),
    )
