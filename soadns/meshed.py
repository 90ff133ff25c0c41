"""What is known of a Service, as far as a filter for its callers is concerned. Pure.

It asks the table of routes and the observations of one zone: which protocols are spoken at a port, which serializations
providers prefer (its own, and those that its rules lead to), and of which rules the calls would fail without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from soadns.binding.zone import Zone
from soadns.model import Binding, InterfaceId, ObjectRef, Provider
from soadns.routemodel import Route, Vip
from soadns.sidecar.routes import RouteTable
from soadns.sidecar.rules import twins
from soadns.sidecar.tiers import HESSIAN, PortFacts, Subject

DUBBO = "dubbo"


def subject(zone: Zone, table: RouteTable, ref: ObjectRef) -> Subject | None:
    """One Service of the home cluster; None where there is none, or nobody may call it by its first ClusterIP."""
    service = table.services.get(ref)
    if service is None or not service.cluster_ips:
        return None
    places = [(port, table.find(service.cluster_ips[0], port.port)) for port in service.ports]
    bound = _bound(zone, ref)
    own = list(_providers(zone, ref, bound))
    called = {
        *(p for binding in bound for p in binding.ports),
        *(p for m in table.moves.of(ref) for p in m.ports),
    }
    facts = {}
    for port, vip in places:
        if port.protocol != "TCP" or vip is None or vip.service != ref:
            continue
        behind = [*own, *_led_to(zone, table, vip)]
        facts[port.port] = PortFacts(
            vip,
            port.name,
            port.app_protocol,
            protocols=tuple(sorted({spoken.protocol for spoken in called if spoken.port == port.port})),
            others=tuple(sorted(_others(behind))),
            registered=bool(behind),
            failing=frozenset(route for route in vip.routes if _fails(zone, table, vip, route)),
        )
    if not facts:
        return None
    return Subject(service, table.services.host(ref), tuple(facts[number] for number in sorted(facts)))


def ports_of(table: RouteTable, home: str) -> Callable[[str], tuple[int, ...]]:
    """What says the TCP ports of an Istio host's Service in the home cluster; () of any other host."""

    def ports(host: str) -> tuple[int, ...]:
        name, _, rest = host.partition(".")
        ref = ObjectRef(home, rest.partition(".")[0], name)
        return table.services.ports(ref) if table.services.host(ref) == host else ()

    return ports


def _bound(zone: Zone, ref: ObjectRef) -> list[Binding]:
    """The interfaces that a Service has, as they are bound."""
    outcomes = (zone.outcomes.get(interface) for interface in zone.store.interfaces_of(ref))
    return [each for each in outcomes if isinstance(each, Binding) and each.service == ref]


def _providers(zone: Zone, ref: ObjectRef, bound: Iterable[Binding]) -> Iterator[Provider]:
    """The Dubbo providers of a Service: those at its endpoints, or of its interfaces where none is there."""
    roster = zone.store.rosters.get(ref)
    found = False
    for ip, address in roster.addresses.items() if roster is not None else ():
        for port in address.ports:
            site = zone.store.sites.get((ip, port))
            for live in site.live if site is not None else ():
                if live.provider.protocol == DUBBO and not live.stale:
                    found = True
                    yield live.provider
    if not found:
        for binding in bound:
            yield from _registered(zone, binding.interface)


def _registered(zone: Zone, interface: InterfaceId) -> Iterator[Provider]:
    known = zone.store.interfaces.get(interface)
    for live in known.live.values() if known is not None else ():
        if live.provider.protocol == DUBBO and live.usable:
            yield live.provider


def _led_to(zone: Zone, table: RouteTable, vip: Vip) -> Iterator[Provider]:
    """The Dubbo providers that the rules of a port lead to, beside the Service's own."""
    for route in vip.routes:
        target = route.target
        if target is None or target.service is None or target.service == vip.service:
            continue
        roster = zone.store.rosters.get(target.service)
        for interface in table.wires.meant_at(vip.service, route.interface):
            for provider in _registered(zone, interface):
                if roster is None or provider.host in roster.addresses:
                    yield provider


def _others(providers: Iterable[Provider]) -> set[str]:
    """What providers prefer to hessian2; one that says nothing speaks it."""
    first = {provider.serialization[0] for provider in providers if provider.serialization}
    return first - {HESSIAN}


def _fails(zone: Zone, table: RouteTable, vip: Vip, route: Route) -> bool:
    """Whether a rule leads elsewhere what the Service itself does not provide; its twin is the Service itself."""
    if route.target is None or route.target.service is None or twins(route.target.service, vip.service):
        return False
    roster = zone.store.rosters.get(vip.service)
    meant = (
        interface
        for interface in table.wires.meant_at(vip.service, route.interface)
        if route.group in (None, interface.group) and route.version in (None, interface.version)
    )
    return roster is None or not any(interface in roster.providing for interface in meant)
