"""What a secondary may have and gets: the decision, without sockets or waiting. Pure.

A difference is given only from a serial that this process gave to the same client (address and key): replicas of soadns
count their serials apart, and another one's version of the same serial may hold something else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from soadns.nameserver import wire
from soadns.transfer.questions import NOTAUTH, Question
from soadns.transfer.versions import Versions

CLIENTS, SERIALS = 1_024, 64
"""Of so many clients it is remembered which serials they were given, so many of each, the latest."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: an address without port, and the name of a key (empty: none)."""

    address: str
    key: str


class Access:
    """Who may have zones: who signs with a key, and addresses within ``allow``."""

    def __init__(self, allow: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._allow = allow

    def refusal(self, client: Client) -> str:
        """Why a client may have nothing; empty if it may."""
        if client.key:
            return ""
        here = ip_address(client.address.partition("%")[0])
        mapped = getattr(here, "ipv4_mapped", None) or here
        if any(mapped in network for network in self._allow):
            return ""
        return (
            "its address is not in transfer.allow, and its question is not signed by a key of transfer.keys"
        )


class Given:
    """Which serials each client was given whole."""

    def __init__(self) -> None:
        self._serials: OrderedDict[tuple[Client, bytes], dict[int, None]] = OrderedDict()

    def note(self, client: Client, zone: bytes, serial: int) -> None:
        """It was."""
        serials = self._serials.setdefault((client, zone), {})
        serials.pop(serial, None)
        serials[serial] = None
        self._serials.move_to_end((client, zone))
        if len(serials) > SERIALS:
            del serials[next(iter(serials))]
        if len(self._serials) > CLIENTS:
            self._serials.popitem(last=False)

    def has(self, client: Client, zone: bytes, serial: int) -> bool:
        """Whether it was."""
        return serial in self._serials.get((client, zone), ())


def zone_of(question: Question, zones: Mapping[bytes, Versions]) -> Versions | int:
    """The zone that is asked for, or the RCODE of the refusal."""
    found = zones.get(question.zone)
    if found is None:
        return NOTAUTH
    if question.kind not in (wire.SOA, wire.AXFR, wire.IXFR):
        return wire.REFUSED
    return found


def is_newer(serial: int, than: int) -> bool:
    """Serial number arithmetic (RFC 1982 3.2)."""
    return 0 < (serial - than) % (1 << 32) < 1 << 31
