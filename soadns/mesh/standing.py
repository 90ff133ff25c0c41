"""Our EnvoyFilters as they stand in the API server, by Service and by ClusterIP, and what changed of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from soadns.indexes import place
from soadns.mesh.filterplan import Name, Standing, listeners_of
from soadns.sidecar.envoyfilters import REFUSED_SINCE, SERVICE


class StandingFilters:
    """All of them; every question is answered without a look at the others."""

    def __init__(self) -> None:
        self.of: dict[Name, Standing] = {}
        self._by_uid: dict[str, set[Name]] = {}
        self._by_service: dict[str, set[Name]] = {}
        self._by_address: dict[str, set[Name]] = {}
        self._changed: set[str] = set()
        self.notes: dict[Name, str] = {}
        """Those that say that sidecars refused something, and since when (``haltnotes``)."""

    def put(self, name: Name, found: Standing | None) -> None:
        """One object as it is now; None: it does not exist."""
        before = self.of.pop(name, None)
        if before is not None:
            self._index(name, before, add=False)
        if found is not None:
            self.of[name] = found
            self._index(name, found, add=True)

    def _index(self, name: Name, each: Standing, *, add: bool) -> None:
        self._changed.add(each.uid)
        self.notes.pop(name, None)
        if add and (text := _annotation(each, REFUSED_SINCE)):
            self.notes[name] = text
        place(self._by_uid, each.uid, name, add=add)
        place(self._by_service, service_of(each), name, add=add)
        for address in addresses_of(each):
            place(self._by_address, address, name, add=add)

    def take(self) -> set[str]:
        """UIDs of Services whose objects changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def names(self, uid: str) -> frozenset[Name]:
        """The objects of one Service."""
        return frozenset(self._by_uid.get(uid, ()))

    def written_for(self, service: str) -> frozenset[Name]:
        """The objects of all Services that ever had this name (``namespace/name``)."""
        return frozenset(self._by_service.get(service, ()))

    def at(self, addresses: Iterable[str]) -> set[Name]:
        """The objects that name a listener of one of these ClusterIPs."""
        return {name for address in addresses for name in self._by_address.get(address, ())}


def service_of(each: Standing) -> str:
    """``namespace/name`` of the Service for which an object of ours was written."""
    return _annotation(each, SERVICE)


def _annotation(each: Standing, key: str) -> str:
    return str((each.document["metadata"].get("annotations") or {}).get(key) or "")


def addresses_of(each: Standing) -> set[str]:
    """The ClusterIPs whose listeners an object of ours names."""
    return {listener.rpartition("_")[0] for listener in listeners_of(each.document)}
