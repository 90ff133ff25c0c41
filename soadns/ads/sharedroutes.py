"""The routers of ClusterIPs that a MOSN's file has no listener for: by interface, whatever the ClusterIP. Pure.

They grow with the interfaces, so each wire name is encoded by itself, once, and a router is put together of these
pieces when somebody needs it: for who may see everything, and for each set of namespaces that somebody may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from soadns.ads.encoding import Encode
from soadns.ads.wire import router_of_hosts, router_of_routes
from soadns.routemodel import Route
from soadns.sidecar import mosn
from soadns.sidecar.routes import RouteTable
from soadns.speech import BOLT, DUBBO

View = frozenset[str] | None
"""Namespaces whose Services somebody may see; None: all."""


class Part(NamedTuple):
    """What one wire name adds to a router."""

    octets: bytes
    clusters: frozenset[str]
    namespaces: frozenset[str]
    """Of the Services that have it."""


class Whole(NamedTuple):
    """A router, put together."""

    octets: bytes
    """RouteConfiguration."""
    generation: int
    clusters: frozenset[str]


class SharedRoutes:
    """Both routers of one zone."""

    def __init__(self, table: RouteTable, encode: Encode) -> None:
        self._table = table
        self._encode = encode
        self._parts: dict[str, dict[str, Part]] = {mosn.SHARED_DUBBO: {}, mosn.SHARED_BOLT: {}}
        self._staged: dict[tuple[str, str], Part | None] = {}
        """Router and key → a part that does not count yet."""
        self._wires: dict[str, set[str]] = {}
        """Keys of hosts of ``egress_dubbo`` → wire names that are looked up by them."""
        self._keys_of: dict[str, frozenset[str]] = {}
        """Wire names → those."""
        self._changed: dict[str, int] = dict.fromkeys(self._parts, 0)
        """Router → the generation at which a part of it changed last."""
        self._known: dict[tuple[str, View], tuple[int, Whole]] = {}
        """What was put together, and of which change."""
        self._none = encode("VirtualHost", mosn.virtual_host(mosn.NO_HOST))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the routers."""
        return tuple(self._parts)

    # ------------------------------------------------------------------ what it is told

    def look_at(self, wire: str) -> None:
        """Look at a wire name again; what that changes counts from ``settle`` on."""
        self._staged[mosn.SHARED_BOLT, wire] = self._bolt(wire)
        keys = self._keys(wire)
        for key in keys | self._keys_of.pop(wire, frozenset()):
            self._staged[mosn.SHARED_DUBBO, key] = self._dubbo(key, wire)
        if self._table.variants_of(wire):
            self._keys_of[wire] = frozenset(keys)

    def settle(self, generation: int) -> set[str]:
        """Let what was looked at count; returns the routers that became others, with this generation."""
        found = {name for (name, key), part in self._staged.items() if self._put(name, key, part)}
        self._staged.clear()
        for name in found:
            self._changed[name] = generation
        return found

    def _keys(self, wire: str) -> set[str]:
        return mosn.host_keys(wire, (interface.name for interface in self._table.variants_of(wire)))

    def _dubbo(self, key: str, wire: str) -> Part | None:
        """The host of a key; ``wire`` may be new there, or gone."""
        held = self._wires.setdefault(key, set())
        held.add(wire)
        wires = {w: r for w in sorted(held) if key in self._keys(w) and (r := self._table.anywhere(w, DUBBO))}
        held.intersection_update(wires)
        if not wires:
            del self._wires[key]
            return None
        host = mosn.shared_host(key, wires)
        octets = self._encode("VirtualHost", mosn.virtual_host(host))
        return self._part(octets, host.rules, [route for each in wires.values() for route in each])

    def _bolt(self, wire: str) -> Part | None:
        routes = self._table.anywhere(wire, BOLT)
        rules = [rule for route in routes for rule in mosn.bolt_rules(route)]
        if not rules:
            return None
        octets = self._encode("VirtualHost", {"routes": [mosn.route(rule, "") for rule in rules]})
        return self._part(octets, rules, routes)

    @staticmethod
    def _part(octets: bytes, rules: Sequence[mosn.Rule], routes: Sequence[Route]) -> Part:
        services = [r.target.service for r in routes if r.target is not None and r.target.service is not None]
        clusters = frozenset(rule.cluster for rule in rules) - {mosn.REFUSED}
        return Part(octets, clusters, frozenset(ref.namespace for ref in services))

    def _put(self, name: str, key: str, part: Part | None) -> bool:
        parts = self._parts[name]
        if parts.get(key) == part:
            return False
        if part is None:
            del parts[key]
        else:
            parts[key] = part
        return True

    # ------------------------------------------------------------------ what is told

    def whole(self, name: str, view: View) -> Whole:
        """A router as somebody may see it. Its generation stays while nothing changes of what they see."""
        changed = self._changed[name]
        at, known = self._known.get((name, view), (-1, None))
        if known is not None and at == changed:
            return known
        parts = self._parts[name]
        seen = [
            parts[key] for key in sorted(parts) if view is None or not view.isdisjoint(parts[key].namespaces)
        ]
        pieces = [part.octets for part in seen]
        if name == mosn.SHARED_DUBBO:
            octets = router_of_hosts(name, [self._none, *pieces])
        else:
            octets = router_of_routes(name, pieces)
        if known is None or known.octets != octets:
            known = Whole(octets, changed, frozenset().union(*(part.clusters for part in seen)))
        self._known[name, view] = (changed, known)
        return known
