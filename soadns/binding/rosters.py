"""A Service's endpoint addresses, and how many of them provide each interface.

A ``Roster`` keeps the counts of the vote up to date as single addresses change, so that asking for a
vote costs the number of addresses that changed lately, not the number of addresses. It is told what
each address provides (see ``soadns.binding.sites``) and knows nothing of registries or time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from soadns.model import EndpointSlice, InterfaceId


@dataclass(frozen=True, slots=True)
class Address:
    """One endpoint address of a Service, over all of its EndpointSlices."""

    ready: bool
    ports: tuple[int, ...]
    """Port numbers on the pod, sorted."""


def merge_slices(slices: Iterable[EndpointSlice]) -> dict[str, Address]:
    """Addresses by IP; ready if any slice says so, with the ports of all slices that hold it."""
    ready: dict[str, bool] = {}
    ports: dict[str, set[int]] = {}
    for piece in slices:
        numbers = {p.port for p in piece.ports if p.port}
        for endpoint in piece.endpoints:
            ip = endpoint.address
            ready[ip] = ready.get(ip, False) or endpoint.ready
            ports.setdefault(ip, set()).update(numbers)
    return {ip: Address(ready[ip], tuple(sorted(ports[ip]))) for ip in ready}


@dataclass(frozen=True, slots=True)
class Tally:
    """How a Service's registered addresses stand to one interface; all figures are addresses."""

    addresses: int = 0
    ready: int = 0
    registered: int = 0
    providing: int = 0
    against: int = 0
    """Registered, settled, and without the interface."""

    @property
    def unanimous(self) -> bool:
        """Every registered address provides the interface, and there is one."""
        return self.registered > 0 and self.providing == self.registered


class Roster:
    """The counts of one Service."""

    __slots__ = ("addresses", "had_ready", "providing", "ready", "registered", "unsettled", "view")

    def __init__(self) -> None:
        self.addresses: dict[str, Address] = {}
        self.ready = 0
        self.had_ready = False
        """Whether an endpoint was ever ready since the Service exists."""
        self.registered: set[str] = set()
        self.unsettled: set[str] = set()
        """Registered addresses that do not count against anything yet."""
        self.providing: dict[InterfaceId, set[str]] = {}
        self.view: dict[str, frozenset[InterfaceId]] = {}
        """What each registered address provides, as last told."""

    def set_addresses(self, addresses: dict[str, Address]) -> set[str]:
        """Replace the addresses; returns those that came, went or changed readiness or ports."""
        before = self.addresses
        changed = {ip for ip in before.keys() | addresses.keys() if before.get(ip) != addresses.get(ip)}
        self.addresses = addresses
        self.ready = sum(a.ready for a in addresses.values())
        self.had_ready = self.had_ready or self.ready > 0
        return changed

    def tell(
        self, ip: str, provided: frozenset[InterfaceId] | None, *, settled: bool
    ) -> tuple[set[InterfaceId], bool]:
        """Say what an address provides (None: not registered, or no longer an address).

        Returns the interfaces whose providing count changed, and whether the number of addresses
        that count for or against *every* interface changed.
        """
        old = self.view.get(ip)
        whole = (old is None) != (provided is None)
        touched: set[InterfaceId] = set()
        if old is not provided:
            new = provided or frozenset()
            for interface in (old or frozenset()) - new:
                holders = self.providing[interface]
                holders.discard(ip)
                if not holders:
                    del self.providing[interface]
                touched.add(interface)
            for interface in new - (old or frozenset()):
                self.providing.setdefault(interface, set()).add(ip)
                touched.add(interface)
        if provided is None:
            self.view.pop(ip, None)
            self.registered.discard(ip)
            self.unsettled.discard(ip)
            return touched, whole
        self.view[ip] = provided
        self.registered.add(ip)
        if settled:
            whole = whole or ip in self.unsettled
            self.unsettled.discard(ip)
        else:
            whole = whole or ip not in self.unsettled
            self.unsettled.add(ip)
        return touched, whole

    def tally(self, interface: InterfaceId) -> Tally:
        """The figures of one interface; costs the number of unsettled addresses."""
        holders: Collection[str] = self.providing.get(interface, ())
        undecided = sum(1 for ip in self.unsettled if ip not in holders)
        registered = len(self.registered)
        return Tally(
            addresses=len(self.addresses),
            ready=self.ready,
            registered=registered,
            providing=len(holders),
            against=registered - len(holders) - undecided,
        )
