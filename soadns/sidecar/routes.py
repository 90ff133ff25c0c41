"""The table of routes: (ClusterIP, port) → rules, kept up to date by single changes. Pure.

For the ClusterIP of Service X the table says ``*`` → X, preceded by rules for every interface that X's callers may
still send there though it lives elsewhere, and for groups and versions of its interfaces that do. What it is told are
Services, bindings and the wire names of interfaces; in what order, does not matter. ``flush`` rebuilds what those touch
and nothing else, and ``soadns.sidecar.rules`` says what the rules of one wire name are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from soadns.indexes import place
from soadns.model import Binding, InterfaceId, ObjectRef, ServedPort, Service
from soadns.routemodel import ANY, Move, Place, Route, Target, Vip
from soadns.sidecar.bindings import Bindings
from soadns.sidecar.homeservices import HomeServices
from soadns.sidecar.moves import Moves
from soadns.sidecar.rules import Rule, is_at, plan, spoken, target


@dataclass(slots=True)
class Wire:
    """One wire name."""

    variants: tuple[InterfaceId, ...]
    """Interfaces whose callers write it."""
    rules: tuple[Rule, ...] = ()
    at: frozenset[ObjectRef] = frozenset()
    """Services at whose ClusterIPs it has rules of its own."""


class RouteTable:
    """The routes of one zone. ``home``: the cluster whose ClusterIPs callers have; ``missing``: a word of the rules."""

    def __init__(self, home: str, missing: str) -> None:
        self.missing = missing
        self.vips: dict[Place, Vip] = {}
        self.moves = Moves()
        self.services = HomeServices()
        self._places: dict[ObjectRef, tuple[Place, ...]] = {}
        self._bound = Bindings(home)
        self._serving: dict[ObjectRef, int] = {}
        """Service → interfaces that are bound to it."""
        self._wires: dict[str, Wire] = {}
        self._ruled: dict[ObjectRef, set[str]] = {}
        """Service → wire names that have rules of their own at it."""
        self._towards: dict[ObjectRef, set[str]] = {}
        """Service → wire names some rule of which leads to it."""
        self._dirty: set[str] = set()
        """Wire names to be looked at again."""
        self._stale: set[ObjectRef] = set()
        """Services whose moves changed."""
        self._planned: set[str] | None = None
        """Wire names that were looked at again since ``take_planned``, once somebody wants to know."""

    # ------------------------------------------------------------------ what it is told

    def put(self, ref: ObjectRef, service: Service | None, host: str) -> None:
        """A Service of the home cluster as it is now (None: it does not exist), and its Istio host."""
        self.services.put(ref, service, host)

    def bind(self, interface: InterfaceId, binding: Binding | None, wires: Sequence[str] = ()) -> None:
        """An interface's binding as it is now, and the wire names that its providers have; () where it has none."""
        self._bound.put(interface, binding, wires)

    def adopt(self, moves: Iterable[Move]) -> None:
        """Take over what another process knows of moves; ``prune`` tells what of that does not hold."""
        for move in moves:
            self.moves.add(move)
            self._moved(move)

    def forget(self, service: ObjectRef, interface: InterfaceId | None = None) -> list[Move]:
        """Forget that an interface (None: any) has left a Service; returns what was forgotten."""
        found = [move for move in self.moves.of(service) if interface in (None, move.interface)]
        for move in found:
            self._unmove(move)
        return found

    def prune(self) -> None:
        """Forget moves that do not hold: all Services and bindings are known by now."""
        for move in list(self.moves):
            if not self.holds(move):
                self._unmove(move)

    def holds(self, move: Move) -> bool:
        """Whether a Service is still what an interface left, and the interface elsewhere or nowhere."""
        service, bound = self.services.get(move.service), self._bound.get(move.interface)
        if service is None or set(move.addresses).isdisjoint(service.cluster_ips):
            return False
        return bound is None or self._bound.home(bound) != move.service

    def _unmove(self, move: Move) -> None:
        self.moves.remove(move.service, move.interface)
        self._moved(move)

    def _moved(self, move: Move) -> None:
        """Look again at all that a move concerns, now that it is there or gone."""
        self._stale.add(move.service)
        self._index(move.interface, move.wires)

    # ------------------------------------------------------------------ what follows

    def flush(self, now: float) -> dict[Place, Vip | None]:
        """Rebuild what was touched since the last time; returns what changed of the routes (None: it is gone)."""
        stale = self._take_services()
        stale |= self._take_bindings(now)
        self.services.take()
        for name in sorted(self._dirty):
            stale |= self._plan(name)
        self._dirty.clear()
        stale |= self._stale
        self._stale.clear()
        changed: dict[Place, Vip | None] = {}
        for ref in sorted(stale):
            self._rebuild(ref, changed)
        return {at: vip for at, vip in changed.items() if self._replace(at, vip)}

    def _take_services(self) -> set[ObjectRef]:
        """Services that changed, and whoever has an address with one of them in common."""
        stale = set(self.services.changed)
        for ref in self.services.changed:
            stale |= self.services.neighbours(ref)
            if self.services.changed[ref] is not None and not self.services.kept(ref):
                for move in self.moves.of(ref):
                    self._unmove(move)
            self._dirty |= self._towards.get(ref, set())
        return stale

    def _take_bindings(self, now: float) -> set[ObjectRef]:
        """Note what moved; returns the Services that serve their first interface now, or none any more."""
        stale: set[ObjectRef] = set()
        for interface, (before, called) in self._bound.changed.items():
            after = self._bound.get(interface)
            left = self._bound.home(before) if before is not None else None
            at = self._bound.home(after) if after is not None else None
            if left != at:
                stale |= self._count(left, -1) | self._count(at, 1)
                if at is not None and (returned := self.moves.get(at, interface)) is not None:
                    self._unmove(returned)
                if left is not None and (ips := self.services.kept(left)):
                    self.adopt([Move(left, interface, ips, called.ports, called.wires, now)])
            self._index(interface, called.wires)
        self._bound.take()
        return stale

    def _count(self, ref: ObjectRef | None, by: int) -> set[ObjectRef]:
        """Count an interface that a Service serves; returns it if that is the first one, or was the last."""
        if ref is None:
            return set()
        total = self._serving.get(ref, 0) + by
        if total:
            self._serving[ref] = total
        else:
            del self._serving[ref]
        return {ref} if total == max(by, 0) else set()

    def _index(self, interface: InterfaceId, before: Iterable[str]) -> None:
        """Say of wire names whether the interface is among their variants, and look at them again.

        These are all that its callers write, and those that they wrote before.
        """
        written = self.moves.wires(interface)
        if self._bound.get(interface) is not None:
            written.update(self._bound.called(interface).wires)
        for name in written.union(before):
            self._dirty.add(name)
            wire = self._wires.get(name)
            if wire is None:
                if name in written:
                    self._wires[name] = Wire((interface,))
            elif (name in written) != (interface in wire.variants):
                # Hardly any has more than one or two: a tuple takes a quarter of a set.
                wire.variants = tuple(sorted({*wire.variants} ^ {interface}))

    def _plan(self, name: str) -> set[ObjectRef]:
        """Make the rules of a wire name anew; returns the Services at which it has rules, or had."""
        if self._planned is not None:
            self._planned.add(name)
        wire = self._wires.get(name)
        if wire is None:
            return set()
        bound = [binding for i in wire.variants if (binding := self._bound.get(i)) is not None]
        rules = plan(bound, self.missing, self.services.created)
        callers = {ref for i in wire.variants for ref in self.moves.left(i)}
        callers.update(ref for binding in bound if (ref := self._bound.home(binding)) is not None)
        at = frozenset(ref for ref in callers if any(not _is_own(rule, ref) for rule in rules))
        before, rules = wire.at, rules if at else ()
        for ref in before ^ at:
            place(self._ruled, ref, name, add=ref in at)
        for ref in self._leads_to(wire.rules):
            place(self._towards, ref, name, add=False)
        for ref in self._leads_to(rules):
            place(self._towards, ref, name, add=True)
        wire.rules, wire.at = rules, at
        if not wire.variants:
            del self._wires[name]
        return set(before | at)

    def _leads_to(self, rules: Iterable[Rule]) -> set[ObjectRef]:
        found = (self._bound.home(rule.binding) for rule in rules if rule.binding is not None)
        return {ref for ref in found if ref is not None}

    # ------------------------------------------------------------------ one Service

    def _rebuild(self, ref: ObjectRef, changed: dict[Place, Vip | None]) -> None:
        """Make the routes of one Service anew."""
        for at in self._places.pop(ref, ()):
            changed.setdefault(at, None)
        service = self.services.get(ref)
        if service is None or not (ref in self._serving or ref in self.moves):
            return
        routes = self._routes(ref)
        found = {
            (ip, port): Vip(ip, port, ref, service.uid, self.services.host(ref), routes[port])
            for ip in service.cluster_ips
            if self.services.holder(ip) == ref
            for port in routes
        }
        self._places[ref] = tuple(found)
        changed.update(found)

    def _routes(self, ref: ObjectRef) -> dict[int, tuple[Route, ...]]:
        """The routes at each port of a Service."""
        ports = self.services.ports(ref)
        found: dict[int, list[Route]] = {port: [] for port in ports}
        for name in sorted(self._ruled.get(ref, ())):
            wire = self._wires[name]
            for port, protocols in spoken(self._ports_at(ref, wire), ports).items():
                found[port] += self._routes_of(name, wire.rules, ref, port, protocols)
        return {port: (*routes, self._rest(ref, port)) for port, routes in found.items()}

    def _rest(self, ref: ObjectRef, port: int) -> Route:
        """The last rule: everything else is the Service's own."""
        return Route(ANY, None, None, Target("service", ref, self.services.host(ref), port), "own")

    def _ports_at(self, ref: ObjectRef, wire: Wire) -> list[ServedPort]:
        """By which ports callers of a Service call a wire name there."""
        found: list[ServedPort] = []
        for interface in wire.variants:
            binding = self._bound.get(interface)
            if binding is not None and self._bound.home(binding) == ref:
                found += self._bound.called(interface).ports
            if (move := self.moves.get(ref, interface)) is not None:
                found += move.ports
        return found

    def _routes_of(
        self, name: str, rules: Sequence[Rule], ref: ObjectRef, port: int, protocols: Sequence[str]
    ) -> list[Route]:
        """The routes of one wire name at one port; a rule that leads to a Service without such a port is left out."""
        found = []
        for rule in rules:
            goes = None
            if rule.binding is not None:
                at = self._bound.home(rule.binding) if rule.binding.kind != "providers" else None
                goes = target(rule.binding, port, protocols, self.services.ports(at))
                if goes is None:
                    continue
            found.append(Route(name, rule.group, rule.version, goes, self._why(rule, ref)))
        return found

    def _why(self, rule: Rule, ref: ObjectRef) -> str:
        if rule.missing or rule.binding is None:
            return "missing"
        if is_at(rule.binding, ref):
            return "own"
        if rule.binding.kind == "providers":
            return "providers"
        return "moved" if self.moves.get(ref, rule.binding.interface) is not None else "variant"

    def _replace(self, at: Place, vip: Vip | None) -> bool:
        """Replace what is known of one place; returns whether it changed."""
        if self.vips.get(at) == vip:
            return False
        if vip is None:
            del self.vips[at]
        else:
            self.vips[at] = vip
        return True

    # ------------------------------------------------------------------ questions

    def find(self, address: str, port: int) -> Vip | None:
        """What is told of a place; of one whose Service has no interface there is but ``*``."""
        if (vip := self.vips.get((address, port))) is not None:
            return vip
        ref = self.services.holder(address)
        service = self.services.get(ref) if ref is not None else None
        if ref is None or service is None or port not in self.services.ports(ref):
            return None
        return Vip(address, port, ref, service.uid, self.services.host(ref), (self._rest(ref, port),))

    def service_of(self, interface: InterfaceId) -> ObjectRef | None:
        """The Service that an interface is bound to."""
        binding = self._bound.get(interface)
        return binding.service if binding is not None else None

    def variants(self, wire: str) -> tuple[InterfaceId, ...]:
        """The interfaces whose callers write a wire name, in order."""
        found = self._wires.get(wire)
        return found.variants if found is not None else ()

    def places_of(self, ref: ObjectRef) -> tuple[Place, ...]:
        """Where a Service has routes."""
        return self._places.get(ref, ())

    @property
    def replanned(self) -> bool:
        """Whether ``take_planned`` has any."""
        return bool(self._planned)

    def take_planned(self) -> set[str]:
        """Wire names of which ``anywhere`` may say something else than at the last call; at the first one, all."""
        planned, self._planned = self._planned, set()
        return planned if planned is not None else set(self._wires)

    def anywhere(self, name: str, protocol: str) -> tuple[Route, ...]:
        """Where requests for a wire name go by a protocol, whatever ClusterIP they were sent to; () where nowhere.

        For sidecars that do not know the ClusterIP. What no home Service has, no ClusterIP leads to.
        """
        wire = self._wires.get(name)
        bound = (
            [b for i in wire.variants if (b := self._bound.get(i)) is not None] if wire is not None else []
        )
        at_home = [b for b in bound if (ref := self._bound.home(b)) is not None and self.services.get(ref)]
        if not any(self._speaks(b, protocol) for b in at_home):
            return ()
        found = []
        for rule in plan(bound, self.missing, self.services.created):
            if rule.binding is None:
                found.append(Route(name, rule.group, rule.version, None, "missing"))
            elif (port := self._speaks(rule.binding, protocol)) is not None:
                at = self._bound.home(rule.binding) if rule.binding.kind != "providers" else None
                if (goes := target(rule.binding, port, (protocol,), self.services.ports(at))) is not None:
                    why = "missing" if rule.missing else "own"
                    found.append(Route(name, rule.group, rule.version, goes, why))
        return tuple(found)

    def _speaks(self, binding: Binding, protocol: str) -> int | None:
        """The first port by which a binding is called by a protocol."""
        return min(
            (p.port for p in self._bound.called(binding.interface).ports if p.protocol == protocol),
            default=None,
        )

    def variants_of(self, name: str) -> tuple[InterfaceId, ...]:
        """The interfaces whose callers write a wire name."""
        wire = self._wires.get(name)
        return wire.variants if wire is not None else ()

    @property
    def wires(self) -> tuple[str, ...]:
        """All wire names."""
        return tuple(self._wires)

    def home_of(self, interface: InterfaceId) -> ObjectRef | None:
        """The Service at whose ClusterIP an interface is called now."""
        binding = self._bound.get(interface)
        return self._bound.home(binding) if binding is not None else None

    def called(self, interface: InterfaceId) -> tuple[ServedPort, ...]:
        """By which ports an interface is called where it is now."""
        return self._bound.called(interface).ports

    def ports_of(self, ref: ObjectRef, interfaces: Iterable[InterfaceId]) -> set[ServedPort]:
        """By which ports callers of a Service call it: for those of the interfaces that it has, and what left it."""
        found = {port for move in self.moves.of(ref) for port in move.ports}
        for interface in interfaces:
            if (binding := self._bound.get(interface)) is not None and self._bound.home(binding) == ref:
                found.update(self._bound.called(interface).ports)
        return found

    def ruled_at(self, interface: InterfaceId) -> list[tuple[Vip, list[Route]]]:
        """Where the interface has rules of its own, and which, in order."""
        names = {*self.moves.wires(interface), *self._bound.called(interface).wires}
        refs = {ref for name in names if name in self._wires for ref in self._wires[name].at}
        vips = [self.vips[at] for ref in sorted(refs) for at in sorted(self.places_of(ref))]
        found = [(vip, [route for route in vip.routes if route.interface in names]) for vip in vips]
        return [(vip, routes) for vip, routes in found if routes]


def _is_own(rule: Rule, ref: ObjectRef) -> bool:
    """Whether a rule says of a Service no more than ``*`` does."""
    return rule.binding is not None and not rule.missing and is_at(rule.binding, ref)
