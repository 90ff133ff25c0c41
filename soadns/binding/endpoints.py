"""Who has which endpoint address: the EndpointSlices of one zone, put together for each Service. Pure.

A Service has its addresses in any number of slices, and an address may be another Service's as well. What is registered
at an address, and what that counts for a Service, is ``soadns.binding.rosters``.
"""

from __future__ import annotations

from typing import NamedTuple

from soadns.binding.rosters import Address, Roster, merge_slices
from soadns.binding.sight import StoreSettings
from soadns.binding.sites import HostPort
from soadns.indexes import place
from soadns.model import EndpointSlice, ObjectRef


class Refreshed(NamedTuple):
    """What became of the addresses of one Service."""

    roster: Roster
    changed: set[str]
    """Addresses that came, went or changed readiness or ports."""
    rated: bool
    """Whether it has a ready endpoint, or ever had one, differs from before."""


class Endpoints:
    """Endpoint addresses by Service, and living Services by address."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self.slices: dict[ObjectRef, dict[ObjectRef, EndpointSlice]] = {}
        """Service → its EndpointSlices."""
        self.rosters: dict[ObjectRef, Roster] = {}
        self.by_address: dict[str, set[ObjectRef]] = {}
        """Endpoint IP → living Services that have it."""

    def slice(self, before: EndpointSlice | None, after: EndpointSlice | None) -> set[ObjectRef]:
        """Replace one slice; returns the Services to be refreshed."""
        if before is not None:
            held = self.slices.get(before.service, {})
            held.pop(before.ref, None)
            if not held:
                self.slices.pop(before.service, None)
        if after is not None:
            self.slices.setdefault(after.service, {})[after.ref] = after
        return {piece.service for piece in (before, after) if piece is not None}

    def refresh(self, ref: ObjectRef, *, lives: bool) -> Refreshed:
        """Bring a Service's roster up to date with its slices; one that does not live has no address."""
        found: dict[str, Address] = {}
        if lives:
            found = {
                ip: address
                for ip, address in merge_slices(self.slices.get(ref, {}).values()).items()
                if self._settings.meaningful(ref.cluster, ip)
            }
        roster = self.rosters.get(ref)
        if roster is None:
            roster = self.rosters[ref] = Roster()
        rated = (roster.had_ready, roster.ready > 0)
        changed = roster.set_addresses(found)
        for ip in changed:
            place(self.by_address, ip, ref, add=ip in found)
        return Refreshed(roster, changed, rated != (roster.had_ready, roster.ready > 0))

    def forget(self, ref: ObjectRef) -> None:
        """Keep no roster of a Service that does not live and has no slice any more."""
        if ref not in self.slices:
            del self.rosters[ref]

    def ready(self, key: HostPort) -> bool:
        """Whether some Service has the address as a ready endpoint with that port."""
        for ref in self.by_address.get(key[0], ()):
            address = self.rosters[ref].addresses.get(key[0])
            if address is not None and address.ready and key[1] in address.ports:
                return True
        return False
