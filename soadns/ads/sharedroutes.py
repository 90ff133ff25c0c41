"""The routers of ClusterIPs that a MOSN's file has no listener for: by interface, whatever the ClusterIP. Pure.

They grow with the interfaces, so each wire name is encoded by itself, once, and a router is put together of these
pieces when somebody needs it: for who may see everything, and for each set of namespaces that somebody may see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from soadns.ads.encoding import Encode
from soadns.ads.wire import host_of_domains, router_of_hosts, router_of_routes
from soadns.indexes import count, place
from soadns.routemodel import Route
from soadns.sidecar import mosn
from soadns.sidecar.routes import RouteTable
from soadns.sidecar.wires import NOBODY
from soadns.speech import BOLT, DUBBO

View = frozenset[str] | None
"""Namespaces whose Services somebody may see; None: all."""


class Part(NamedTuple):
    """What one wire name adds to a router."""

    octets: bytes
    """Its rules: a VirtualHost that has nothing else."""
    clusters: frozenset[str]
    namespaces: frozenset[str]
    """Of the Services that have it."""


class Whole(NamedTuple):
    """A router, put together."""

    octets: bytes
    """RouteConfiguration."""
    generation: int
    clusters: frozenset[str]


class Host(NamedTuple):
    """What keys with the same rules add to ``egress_dubbo`` together."""

    first: str
    octets: bytes
    """VirtualHost."""
    clusters: frozenset[str]


class SharedRoutes:
    """Both routers of one zone."""

    def __init__(self, table: RouteTable, encode: Encode) -> None:
        self._table = table
        self._encode = encode
        self._parts: dict[str, dict[str, Part]] = {mosn.SHARED_DUBBO: {}, mosn.SHARED_BOLT: {}}
        self._seen: dict[tuple[str, str], set[str]] = {}
        """Router and namespace → keys of the parts that its Services have."""
        self._led: dict[str, Counter[str]] = {}
        """Namespace → clusters to which those lead, and how many of them."""
        self._staged: dict[tuple[str, str], Part | None] = {}
        """Router and key → a part that does not count yet."""
        self._uses: dict[Part, tuple[Part, int]] = {}
        """Parts that count → the one that stands for all that are equal, and for how many: a Service's mostly are."""
        self._alike: dict[bytes, set[str]] = {}
        """Rules of hosts of ``egress_dubbo`` → the keys that have them."""
        self._hosts: dict[bytes, Host] = {}
        """Those that were put together, by their rules."""
        self._wires: dict[str, tuple[str, ...]] = {}
        """Keys of hosts of ``egress_dubbo`` → wire names that are looked up by them."""
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

    def look_at(self, wire: str, names: Iterable[str]) -> None:
        """Look at a wire name again, for these interfaces; what that changes counts from ``settle`` on."""
        self._staged[mosn.SHARED_BOLT, wire] = self._bolt(wire)
        for key in mosn.host_keys(wire, names):
            self._staged[mosn.SHARED_DUBBO, key] = self._dubbo(key, wire)

    def settle(self, generation: int) -> dict[str, set[str]]:
        """Let what was looked at count; returns the routers that became others, with this generation.

        With each stand the clusters that what is new of it leads to.
        """
        found: dict[str, set[str]] = {}
        for (name, key), part in self._staged.items():
            if self._put(name, key, part):
                found.setdefault(name, set()).update(part.clusters if part is not None else ())
        self._staged.clear()
        for name in found:
            self._changed[name] = generation
        return found

    def _has(self, key: str, wire: str) -> bool:
        """Whether a wire name is looked up by a key."""
        found = self._table.wires.of.get(wire, NOBODY)
        return bool(found.names) and (key == wire.lower() or any(found.called(key)))

    def _dubbo(self, key: str, wire: str) -> Part | None:
        """The host of a key; ``wire`` may be new there, or gone."""
        held = {*self._wires.pop(key, ()), wire}
        held = {w for w in held if self._has(key, w)}
        if held:
            self._wires[key] = tuple(sorted(held))
        wires = self._table.anywhere.routes_by(key, held, DUBBO)
        if not wires:
            return None
        host = mosn.shared_host(key, wires)
        return self._part(host.rules, host.prefix, [route for each in wires.values() for route in each])

    def _bolt(self, wire: str) -> Part | None:
        routes = self._table.anywhere.routes(wire, BOLT)
        rules = [rule for route in routes for rule in mosn.bolt_rules(route)]
        if not rules:
            return None
        return self._part(rules, "", routes)

    def _part(self, rules: Sequence[mosn.Rule], prefix: str, routes: Sequence[Route]) -> Part:
        octets = self._encode("VirtualHost", {"routes": [mosn.route(rule, prefix) for rule in rules]})
        services = [r.target.service for r in routes if r.target is not None and r.target.service is not None]
        clusters = frozenset(rule.cluster for rule in rules) - {mosn.REFUSED}
        return Part(octets, clusters, frozenset(ref.namespace for ref in services))

    def _put(self, name: str, key: str, part: Part | None) -> bool:
        parts = self._parts[name]
        if parts.get(key) == part:
            return False
        held = parts.pop(key, None)
        if held is not None:
            self._use(held, -1)
        if part is not None:
            part = parts[key] = self._use(part, 1)
        for each, add in ((held, False), (part, True)):
            if each is not None:
                self._index(name, key, each, add=add)
        return True

    def _use(self, part: Part, by: int) -> Part:
        """Use a part once more, or once less; returns the one that stands for it."""
        one, uses = self._uses.get(part, (part, 0))
        if uses + by:
            self._uses[one] = (one, uses + by)
        else:
            del self._uses[one]
        return one

    def _index(self, name: str, key: str, part: Part, *, add: bool) -> None:
        for namespace in part.namespaces:
            place(self._seen, (name, namespace), key, add=add)
        lead(self._led, part.namespaces, part.clusters, add=add)
        if name == mosn.SHARED_DUBBO:
            place(self._alike, part.octets, key, add=add)
            self._hosts.pop(part.octets, None)

    # ------------------------------------------------------------------ what is told

    def changed(self, name: str) -> int:
        """The generation at which a router changed last, whoever sees that."""
        return self._changed[name]

    def whole(self, name: str, view: View) -> Whole:
        """A router as somebody may see it. Its generation stays while nothing changes of what they see."""
        changed = self._changed[name]
        at, known = self._known.get((name, view), (-1, None))
        if known is not None and at == changed:
            return known
        seen: Sequence[Part | Host]
        if name == mosn.SHARED_DUBBO:
            seen = self._hosts_for(view)
            octets = router_of_hosts(name, [self._none, *(host.octets for host in seen)])
        else:
            seen = [self._parts[name][key] for key in self._keys_for(name, view)]
            octets = router_of_routes(name, [part.octets for part in seen])
        if known is None or known.octets != octets:
            known = Whole(octets, changed, frozenset().union(*(each.clusters for each in seen)))
        self._known[name, view] = (changed, known)
        return known

    def led_to(self, namespaces: frozenset[str]) -> set[str]:
        """The clusters to which the parts lead that Services of these namespaces have."""
        return set[str]().union(*(self._led.get(each, ()) for each in namespaces))

    def _keys_for(self, name: str, view: View) -> list[str]:
        """The parts of a router that somebody may see, in order."""
        if view is None:
            return sorted(self._parts[name])
        return sorted(set[str]().union(*(self._seen.get((name, namespace), ()) for namespace in view)))

    def _hosts_for(self, view: View) -> list[Host]:
        """The hosts of ``egress_dubbo``, as ``mosn.gathered`` has them: one for all keys with the same rules.

        For who sees everything these are kept, so that a change costs what has changed.
        """
        name, parts = mosn.SHARED_DUBBO, self._parts[mosn.SHARED_DUBBO]
        if view is None:
            for octets, keys in self._alike.items():
                if octets not in self._hosts:
                    self._hosts[octets] = _host(sorted(keys), octets, parts)
            return sorted(self._hosts.values())
        alike: dict[bytes, list[str]] = {}
        for key in self._keys_for(name, view):
            alike.setdefault(parts[key].octets, []).append(key)
        return [_host(keys, octets, parts) for octets, keys in alike.items()]


def lead(
    led: dict[str, Counter[str]], namespaces: Iterable[str], clusters: Iterable[str], *, add: bool
) -> None:
    """Count, by namespace, to which clusters something leads: from now on, or no more."""
    for namespace in namespaces:
        counts = led.setdefault(namespace, Counter())
        for cluster in clusters:
            count(counts, cluster, 1 if add else -1)
        if not counts:
            del led[namespace]


def _host(keys: list[str], octets: bytes, parts: Mapping[str, Part]) -> Host:
    return Host(keys[0], host_of_domains(keys, octets), parts[keys[0]].clusters)
