"""Interfaces that a registry holds and soadns may not read: what was not known of them before must not be denied.

A name that is answered stays answered, whatever can be read. One that is not is SERVFAIL, until its directories can be
read or its interface is gone: NXDOMAIN would be kept by clients that never ask again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from soadns import naming
from soadns.model import InterfaceId, Records

UNSAID = Records(unsaid=True)


class Unsaid:
    """The owner names of one zone of which nothing may be said now."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._names: dict[str, str] = {}
        """Folded owner name → owner name."""

    def replace(self, interfaces: Iterable[str]) -> dict[str, Records | None]:
        """Take the names of all interfaces that can not be read; returns what changes, if nobody answers there."""
        fresh = {}
        for name in interfaces:
            interface = InterfaceId(name)
            if naming.problem(interface, self._zone) is None:
                for owner in (naming.owner_name(interface), naming.alias(interface)):
                    if owner is not None:
                        fresh[naming.key(owner)] = owner
        changes: dict[str, Records | None] = {
            owner: None for key, owner in self._names.items() if key not in fresh
        }
        changes |= {owner: UNSAID for key, owner in fresh.items() if key not in self._names}
        self._names = fresh
        return changes

    def cover(self, published: Mapping[str, Records | None]) -> dict[str, Records | None]:
        """Records as they are to be published: a name that ends while nothing may be said of it is not denied."""
        if not self._names:
            return dict(published)
        return {
            owner: UNSAID if records is None and naming.key(owner) in self._names else records
            for owner, records in published.items()
        }
