"""The Services that callers have ClusterIPs of: those of the home cluster, and who has which address. Pure."""

from __future__ import annotations

from soadns.indexes import place
from soadns.model import ObjectRef, Service


class HomeServices:
    """The Services of one zone's home cluster, and what changed of them since ``take``."""

    def __init__(self) -> None:
        self._held: dict[ObjectRef, tuple[Service, str]] = {}
        """Services and their Istio hosts."""
        self._holders: dict[str, set[ObjectRef]] = {}
        """ClusterIP → Services that have it: two, while one takes over what another had."""
        self._before: dict[ObjectRef, Service | None] = {}
        """Those that changed, as they were; None: not there."""

    def put(self, ref: ObjectRef, service: Service | None, host: str) -> None:
        """Replace one (None: it does not exist)."""
        before = self._held.get(ref)
        if before == (service, host) or (before is None and service is None):
            return
        self._before.setdefault(ref, before[0] if before is not None else None)
        if before is not None:
            for ip in before[0].cluster_ips:
                place(self._holders, ip, ref, add=False)
        if service is None:
            del self._held[ref]
            return
        self._held[ref] = (service, host)
        for ip in service.cluster_ips:
            place(self._holders, ip, ref, add=True)

    @property
    def changed(self) -> dict[ObjectRef, Service | None]:
        """Services that changed since ``take``, as they were before."""
        return self._before

    def take(self) -> None:
        """What changed has been seen."""
        self._before.clear()

    def get(self, ref: ObjectRef) -> Service | None:
        """One Service."""
        held = self._held.get(ref)
        return held[0] if held is not None else None

    def host(self, ref: ObjectRef) -> str:
        """Its Istio host; ``''`` of one that does not exist."""
        held = self._held.get(ref)
        return held[1] if held is not None else ""

    def ports(self, ref: ObjectRef | None) -> tuple[int, ...]:
        """Its TCP ports, in order."""
        service = self.get(ref) if ref is not None else None
        if service is None:
            return ()
        return tuple(sorted({port.port for port in service.ports if port.protocol == "TCP"}))

    def created(self, ref: ObjectRef) -> float:
        """Its age in Unix seconds; 0 of one that does not exist."""
        service = self.get(ref)
        return service.created if service is not None else 0.0

    def holder(self, ip: str) -> ObjectRef | None:
        """Who has an address: of two, the younger, for the API server gives away what is free alone."""
        holders = self._holders.get(ip)
        return max(holders, key=lambda ref: (self.created(ref), ref)) if holders else None

    def neighbours(self, ref: ObjectRef) -> set[ObjectRef]:
        """Services that have an address in common with one that changed, as it is or as it was."""
        return {other for ip in self._addresses(ref) for other in self._holders.get(ip, ())}

    def addresses_of_changed(self) -> set[str]:
        """The ClusterIPs of those that changed since ``take``, as they are and as they were."""
        return set[str]().union(*map(self._addresses, self._before))

    def _addresses(self, ref: ObjectRef) -> set[str]:
        services = (self._before.get(ref), self.get(ref))
        return {ip for service in services if service is not None for ip in service.cluster_ips}

    def kept(self, ref: ObjectRef) -> tuple[str, ...]:
        """Its ClusterIPs, if to callers it is the Service that it was before the change: they hold one; else none."""
        service = self.get(ref)
        before = self._before.get(ref, service)
        if service is None or before is None or set(before.cluster_ips).isdisjoint(service.cluster_ips):
            return ()
        return service.cluster_ips
