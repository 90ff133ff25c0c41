"""The table of routes: (ClusterIP, port) → rules, kept up to date by single changes. Pure.

For the ClusterIP of Service X the table says ``*`` → X, preceded by rules for every interface that X's callers may
still send there though it lives elsewhere, and for groups and versions of its interfaces that do. What it is told are
Services, bindings and the wire names of interfaces; in what order, does not matter. ``flush`` rebuilds what those touch
and nothing else. ``soadns.sidecar.wires`` says which interfaces a wire name means at a Service, and
``soadns.sidecar.rules`` what the rules are then. Where nobody can say there is none: requests stay with the Service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from soadns.indexes import count, place
from soadns.model import Binding, InterfaceId, ObjectRef, ServedPort, Service
from soadns.routemodel import ANY, Left, Move, Place, Route, Target, Vip
from soadns.sidecar.anywhere import Anywhere
from soadns.sidecar.bindings import Bindings
from soadns.sidecar.formerplaces import FormerPlaces
from soadns.sidecar.homeservices import HomeServices
from soadns.sidecar.moves import Moves
from soadns.sidecar.rules import Rule, is_at, plan, portless, spoken, target
from soadns.sidecar.wires import Wires


class RouteTable:
    """The routes of one zone. ``home``: the cluster whose ClusterIPs callers have; ``missing``: a word of the rules."""

    def __init__(self, home: str, missing: str) -> None:
        self.missing = missing
        self.vips: dict[Place, Vip] = {}
        self.moves = Moves()
        self.services = HomeServices()
        self.former = FormerPlaces(self.find)
        self._places: dict[ObjectRef, tuple[Place, ...]] = {}
        self._bound = Bindings(home)
        self._serving: dict[ObjectRef, int] = {}
        """Service → interfaces that are bound to it."""
        self.wires = Wires(self._bound, self.moves)
        self.anywhere = Anywhere(missing, self._bound, self.services, self.wires, self._target)
        self._ruled: dict[ObjectRef, set[str]] = {}
        """Service → wire names that have rules of their own at it."""
        self._towards: dict[ObjectRef, dict[str, int]] = {}
        """Service → wire names some rule of which leads to it, and at how many Services."""
        self._dirty: dict[str, set[str]] = {}
        """Wire names to be looked at again, and for which interfaces."""
        self._stale: set[ObjectRef] = set()
        """Services whose moves changed."""
        self._planned: dict[str, set[str]] | None = None
        """Those that were looked at again since ``take_planned``, likewise, once somebody wants to know."""
        self._touched: set[ObjectRef | InterfaceId] | None = None
        """Services and interfaces that moves may hold or not because of, since ``take_touched``, likewise."""
        self._left: set[Left] = set()
        """Places that Services lost, since ``take_left``."""

    # ------------------------------------------------------------------ what it is told

    def put(self, ref: ObjectRef, service: Service | None, host: str) -> None:
        """A Service of the home cluster as it is now (None: it does not exist), and its Istio host."""
        before = self.services.get(ref)
        self.services.put(ref, service, host)
        if (before and before.cluster_ips) != (service and service.cluster_ips):
            self._touch(ref)

    def bind(self, interface: InterfaceId, binding: Binding | None, wires: Sequence[str] = ()) -> None:
        """An interface's binding as it is now, and the wire names that its providers have; () where it has none."""
        before = self.home_of(interface)
        self._bound.put(interface, binding, wires)
        if self.home_of(interface) != before:
            self._touch(interface)

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

    def prune(self, moves: Iterable[Move]) -> None:
        """Forget those of these moves that do not hold: all Services and bindings are known by now."""
        for move in list(moves):
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

    def _touch(self, subject: ObjectRef | InterfaceId) -> None:
        if self._touched is not None:
            self._touched.add(subject)

    def _moved(self, move: Move) -> None:
        """Look again at all that a move concerns, now that it is there or gone."""
        self._touch(move.interface)
        self._stale.add(move.service)
        self._index(move.interface, move.wires)

    # ------------------------------------------------------------------ what follows

    def flush(self, now: float) -> dict[Place, Vip | None]:
        """Rebuild what was touched since the last time; returns what changed of the routes (None: it is gone)."""
        stale = self._take_services()
        stale |= self._take_bindings(now)
        addresses = self.services.addresses_of_changed()
        self.services.take()
        for name in sorted(self._dirty):
            stale |= self._plan(name, self._dirty[name])
        self._dirty.clear()
        stale |= self._stale
        self._stale.clear()
        changed: dict[Place, Vip | None] = {}
        for ref in sorted(stale):
            self._rebuild(ref, changed)
        replaced = {at: vip for at, vip in changed.items() if self._replace(at, vip)}
        self.former.follow(replaced, addresses)
        return replaced

    def _take_services(self) -> set[ObjectRef]:
        """Services that changed, and whoever has an address with one of them in common."""
        stale = set(self.services.changed)
        for ref in self.services.changed:
            stale |= self.services.neighbours(ref)
            if self.services.changed[ref] is not None and not self.services.kept(ref):
                for move in self.moves.of(ref):
                    self._unmove(move)
            for name in self._towards.get(ref, ()):
                self._dirty.setdefault(name, set()).update(self.wires.callers_at(name, ref))
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
        """Look again at what callers of an interface write, and at what they wrote before."""
        for name, names in self.wires.index(interface, before).items():
            self._dirty.setdefault(name, set()).update(names)

    def _plan(self, name: str, names: set[str]) -> set[ObjectRef]:
        """Make the rules of a wire name anew, where these interfaces are meant by it, or were.

        Returns the Services at which it has rules of those, or had.
        """
        if self._planned is not None:
            self._planned.setdefault(name, set()).update(names)
        wire = self.wires.of.get(name)
        if wire is None:
            return set()
        stale: set[ObjectRef] = set()
        planned: dict[frozenset[str], tuple[Rule, ...]] = {}
        refs = self.wires.look(name, names)
        for ref in refs:
            called = frozenset(self.wires.callers_at(name, ref))
            if called not in planned:
                bound = self.wires.meant(name, called)
                planned[called] = plan(bound, self.missing, self.services.created)
            rules = planned[called]
            after = rules if any(not _is_own(rule, ref) for rule in rules) else ()
            before = wire.rule(ref, after)
            if bool(before) != bool(after):
                place(self._ruled, ref, name, add=bool(after))
            self._lead(name, before, -1)
            self._lead(name, after, 1)
            if before or after:
                stale.add(ref)
        self.wires.judge(name, refs)
        return stale

    def _lead(self, name: str, rules: Iterable[Rule], by: int) -> None:
        """Count the Services to which some rules of a wire name lead."""
        homes = {self._bound.home(rule.binding) for rule in rules if rule.binding is not None}
        for ref in homes:
            if ref is None:
                continue
            names = self._towards.setdefault(ref, {})
            count(names, name, by)
            if not names:
                del self._towards[ref]

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
            rules = self.wires.of[name].at[ref]
            for port, protocols in spoken(self._ports_at(ref, name), ports).items():
                found[port] += self._routes_of(name, rules, ref, port, protocols)
        return {port: (*routes, self._rest(ref, port)) for port, routes in found.items()}

    def _rest(self, ref: ObjectRef, port: int) -> Route:
        """The last rule: everything else is the Service's own."""
        return Route(ANY, None, None, Target("service", ref, self.services.host(ref), port), "own")

    def _ports_at(self, ref: ObjectRef, name: str) -> list[ServedPort]:
        """By which ports callers of a Service call a wire name there."""
        found: list[ServedPort] = []
        for interface in self.wires.meant_at(ref, name):
            binding = self._bound.get(interface)
            if binding is not None and self._bound.home(binding) == ref:
                found += self._bound.called(interface).ports
            if (move := self.moves.get(ref, interface)) is not None:
                found += move.ports
        return found

    def _routes_of(
        self, name: str, rules: Sequence[Rule], ref: ObjectRef, port: int, protocols: Sequence[str]
    ) -> list[Route]:
        """The routes of one wire name at one port; a rule that leads to a Service without such a port is left out.

        Not so a group or version that is told from others: without a rule it would be taken for one that nobody has.
        """
        found = []
        for rule in rules:
            goes = None
            if rule.binding is not None:
                goes = self._target(rule.binding, port, protocols)
                if goes is None and is_at(rule.binding, ref):
                    goes = self._rest(ref, port).target  # else it would be taken for one that nobody has
                if goes is None:
                    found += portless(name, rule)
                    continue
            found.append(Route(name, rule.group, rule.version, goes, self._why(rule, ref)))
        return found

    def _target(self, binding: Binding, port: int, protocols: Collection[str]) -> Target | None:
        """Where a binding leads from one port, where its Service has one for that."""
        at = self._bound.home(binding) if binding.kind != "providers" else None
        return target(
            binding,
            port,
            protocols,
            self.services.ports(at),
            called=self._bound.called(binding.interface).ports,
            registered=self._bound.registered(binding.interface),
        )

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
        before = self.vips.get(at)
        if before == vip:
            return False
        if before is not None and (vip is None or vip.service != before.service):
            self._left.add(Left(at, before.service))
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

    def places_of(self, ref: ObjectRef) -> tuple[Place, ...]:
        """Where a Service has routes."""
        return self._places.get(ref, ())

    @property
    def replanned(self) -> bool:
        """Whether ``take_planned`` has any."""
        return bool(self._planned)

    def take_planned(self) -> dict[str, set[str]]:
        """Wire names of which ``anywhere`` may say something else than at the last call; at the first one, all.

        With each stand the interfaces whose calls by it may go elsewhere.
        """
        planned, self._planned = self._planned, {}
        return planned if planned is not None else {w: set(each.names) for w, each in self.wires.of.items()}

    def plan_anew(self) -> None:
        """Somebody else begins to take them, who has none yet."""
        self._planned = None

    def take_touched(self) -> set[ObjectRef | InterfaceId] | None:
        """Services and interfaces of which ``moves`` or ``holds`` may say something else than at the last call.

        None at the first one: all.
        """
        touched, self._touched = self._touched, set()
        return touched

    def take_left(self) -> frozenset[Left]:
        """Places that Services lost since the last call, be it to nobody or to one another."""
        left, self._left = frozenset(self._left), set()
        return left

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

    def concerned(self, interface: InterfaceId) -> set[ObjectRef]:
        """The Services at which an interface is called, or has rules of its own."""
        found = {ref for name in self._written(interface) for ref in self._ruled_at(name, interface)}
        return found if (home := self.home_of(interface)) is None else found | {home}

    def ruled_at(self, interface: InterfaceId) -> list[tuple[Vip, list[Route]]]:
        """Where the interface has rules of its own, and which, in order."""
        names_at: dict[ObjectRef, set[str]] = {}
        for name in self._written(interface):
            for ref in self._ruled_at(name, interface):
                if any(i.name == interface.name for i in self.wires.meant_at(ref, name)):
                    names_at.setdefault(ref, set()).add(name)
        vips = [self.vips[at] for ref in sorted(names_at) for at in sorted(self.places_of(ref))]
        found = [(vip, [r for r in vip.routes[:-1] if r.interface in names_at[vip.service]]) for vip in vips]
        return [(vip, routes) for vip, routes in found if routes]

    def _ruled_at(self, name: str, interface: InterfaceId) -> list[ObjectRef]:
        """The Services at which a wire name has rules, and callers may mean the interface by it."""
        at = self.wires.of[name].at
        return [ref for ref in self.wires.callers_of(name, interface.name) if ref in at]

    def _written(self, interface: InterfaceId) -> set[str]:
        return self.wires.said(interface).intersection(self.wires.of)


def _is_own(rule: Rule, ref: ObjectRef) -> bool:
    """Whether a rule says of a Service no more than ``*`` does."""
    return rule.binding is not None and not rule.missing and is_at(rule.binding, ref)
