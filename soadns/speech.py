"""What is spoken at the ports of Services, as far as a sidecar has to know that before it looks into a call. Pure.

The registry says it of each provider, and of what nobody registers the name of the Service's port, as Istio reads it.
"""

from __future__ import annotations

from soadns.binding.zone import Zone
from soadns.model import InterfaceId, ObjectRef
from soadns.sidecar.routes import RouteTable

BOLT, DUBBO, OTHER = "bolt", "dubbo", "other"
"""``dubbo`` is Dubbo's own protocol with hessian2 first; ``other`` is all that has to be passed on as it is: Triple,
REST, private protocols, Dubbo with another serialization, and ports by which more than one is spoken."""
HESSIAN = "hessian2"
UNKNOWN = "tcp"
"""What an interface that nobody registers is said to be called by, where the name of the port does not say it."""


def spoken(zone: Zone, table: RouteTable, ref: ObjectRef, port: int) -> str:
    """What callers of a Service of the home cluster speak at one of its ports: a word of the three."""
    interfaces = zone.memory.watchers(ref)
    protocols = {served.protocol for served in table.ports_of(ref, interfaces) if served.port == port}
    if len(protocols) > 1:
        protocols.discard(UNKNOWN)
    if not protocols and (service := table.services.get(ref)) is not None:
        protocols = {
            (each.app_protocol or each.name).partition("-")[0].lower()
            for each in service.ports
            if each.port == port and each.protocol == "TCP"
        }
    if protocols == {BOLT}:
        return BOLT
    called = {*interfaces, *(move.interface for move in table.moves.of(ref))}
    if protocols == {DUBBO} and all(by_hessian(zone, interface) for interface in called):
        return DUBBO
    return OTHER


def by_hessian(zone: Zone, interface: InterfaceId) -> bool:
    """Whether no provider of an interface prefers another serialization; callers take what providers prefer."""
    known = zone.store.interfaces.get(interface)
    if known is None:
        return True
    return all(
        live.provider.serialization[:1] in ((), (HESSIAN,))
        for live in known.live.values()
        if live.usable and live.provider.protocol == DUBBO
    )
