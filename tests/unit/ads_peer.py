"""A MOSN as far as pushes are concerned: it keeps what it was sent, and asks and acknowledges as MOSN does.

Messages are encoded as JSON here, so that nothing but the standard library reads them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from soadns.ads.inventory import Inventory
from soadns.ads.push import Push
from soadns.ads.sharedroutes import View
from soadns.ads.wire import CDS, EDS, KINDS, RDS
from soadns.sidecar.mosn import REFUSED
from tests.unit.notation import ZONE
from tests.unit.routes_notation import RouteBook


def encode(message: str, data: Mapping[str, Any], /) -> bytes:
    return json.dumps(data).encode()


def fields(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that has nothing but texts and messages (the protocol buffers' encoding guide)."""

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            octet = octets[at]
            at += 1
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return value

    at = 0
    while at < len(octets):
        tag = number()
        assert tag & 7 == 2
        length = number()
        yield tag >> 3, octets[at : at + length]
        at += length


def message(octets: bytes) -> dict[str, Any]:
    """A resource; of routers that are put together their hosts, or the routes of the one they have."""
    if octets.startswith(b"{"):
        return dict(json.loads(octets))
    found: dict[str, Any] = {"virtual_hosts": []}
    for number, value in fields(octets):
        if number == 1:
            found["name"] = value.decode()
        elif value.startswith(b"{"):
            found["virtual_hosts"].append(json.loads(value))
        else:
            found["virtual_hosts"].append(_host(value))
    return found


def _host(octets: bytes) -> dict[str, Any]:
    """A host of which the name and domains were put before routes, in pieces."""
    host: dict[str, Any] = {"domains": [], "routes": []}
    while octets and octets[0] in (0x0A, 0x12):  # a name, or a domain; both are short
        text, octets = octets[2 : 2 + octets[1]].decode(), octets[2 + octets[1] :]
        host.setdefault("name", text)
        host["domains"].append(text)
    del host["domains"][0]
    decoder, rest = json.JSONDecoder(), octets.decode()
    while rest:
        piece, end = decoder.raw_decode(rest)
        host["routes"] += piece["routes"]
        rest = rest[end:]
    return host


@dataclass
class Mosn:
    """One stream."""

    inventory: Inventory
    view: View = None
    routers: dict[str, dict[str, Any]] = field(default_factory=dict)
    clusters: set[str] = field(default_factory=lambda: {REFUSED})
    hosts: dict[str, list[str]] = field(default_factory=dict)
    took: list[list[str]] = field(default_factory=list)
    """By each ``take``: ``routes 10.96.0.1_20880`` ..."""
    now: float = 0.0

    def __post_init__(self) -> None:
        self.push = Push(self.inventory, self.view, "replica")

    def follow(self) -> None:
        for _ in self.inventory.follow():
            pass

    def take(self) -> list[str]:
        """Follow, and be sent what is new."""
        self.follow()
        names: list[str] = []
        for batch in self.push.take(self.now):
            said = list(fields(batch.octets))
            [kind], [version], [nonce] = (
                [v.decode() for n, v in said if n == number] for number in (4, 1, 5)
            )
            for _, any_ in (each for each in said if each[0] == 2):
                parts = dict(fields(any_))
                assert parts[1].decode() == kind
                names.append(f"{KINDS[kind]} {self._keep(kind, message(parts[2]))}")
            assert not self.push.hear(kind, version, nonce, "")
        self.took.append(names)
        return names

    def _keep(self, kind: str, told: dict[str, Any]) -> str:
        if kind == CDS:
            self.clusters.add(told["name"])
            return str(told["name"])
        if kind == EDS:
            name = str(told["cluster_name"])
            assert name in self.clusters, "hosts of a cluster that is not there are lost"
            self.hosts[name] = [
                host["endpoint"]["address"]["socket_address"]["address"]
                for locality in told["endpoints"]
                for host in locality["lb_endpoints"]
            ]
            return name
        assert kind == RDS
        self.routers[told["name"]] = told
        leads = set(self.leads(told["name"]))
        assert leads <= self.clusters, f"routes lead to clusters that are not there: {leads - self.clusters}"
        return str(told["name"])

    def leads(self, router: str) -> list[str]:
        """The clusters that a router leads to, in order."""
        hosts = self.routers[router]["virtual_hosts"]
        return [route["route"]["cluster"] for host in hosts for route in host["routes"]]


def inventory(book: RouteBook) -> Inventory:
    return Inventory(book.estate.zones[ZONE], book.routing, encode)
