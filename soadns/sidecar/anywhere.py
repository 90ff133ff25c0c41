"""Where requests for a wire name go, whatever ClusterIP they were sent to: for sidecars that do not know it. Pure.

What no home Service has, no ClusterIP leads to, and of what may mean interfaces in several places nobody knows where it
leads: both have no routes here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from soadns.model import Binding
from soadns.routemodel import Route, Target
from soadns.sidecar.bindings import Bindings
from soadns.sidecar.homeservices import HomeServices
from soadns.sidecar.rules import plan, portless
from soadns.sidecar.wires import NOBODY, Wires


class Anywhere:
    """The routes of one table's wire names.

    :param target: where a binding leads from a port, by protocols; None where its Service has no port for that.
    """

    def __init__(
        self,
        missing: str,
        bound: Bindings,
        services: HomeServices,
        wires: Wires,
        target: Callable[[Binding, int, Collection[str]], Target | None],
    ) -> None:
        self._missing = missing
        self._bound = bound
        self._services = services
        self._wires = wires
        self._target = target

    def routes(self, name: str, protocol: str, interface: str = "") -> tuple[Route, ...]:
        """Where requests for a wire name go by a protocol; () where nowhere.

        :param interface: whose requests alone are meant, in lower case: where a sidecar sees more than the wire name.
        """
        wire = self._wires.of.get(name, NOBODY)
        names = {*wire.called(interface)} if interface else wire.names
        bound = self._wires.meant(name, names) if names else []
        at_home = [b for b in bound if (ref := self._bound.home(b)) is not None and self._services.get(ref)]
        if not any(self._speaks(b, protocol) for b in at_home):
            return ()
        found = []
        for rule in plan(bound, self._missing, self._services.created):
            if rule.binding is None:
                found.append(Route(name, rule.group, rule.version, None, "missing"))
                continue
            port = self._speaks(rule.binding, protocol)
            goes = self._target(rule.binding, port, (protocol,)) if port is not None else None
            if goes is not None:
                why = "missing" if rule.missing else "own"
                found.append(Route(name, rule.group, rule.version, goes, why))
            else:
                found += portless(name, rule)
        return tuple(found)

    def routes_by(self, key: str, wires: Iterable[str], protocol: str) -> dict[str, tuple[Route, ...]]:
        """``routes`` for a sidecar that sees the interface of a request, or its wire name where none is said.

        ``key`` is what it sees, in lower case. An interface that is called so comes before a path that is.

        :param wires: those of interfaces that are called so, and those that are so themselves.
        """
        by_name = {w for w in wires if any(self._wires.of.get(w, NOBODY).called(key))}
        asked = [(w, key) for w in by_name] or [(w, "") for w in wires if w.lower() == key]
        return {w: found for w, name in sorted(asked) if (found := self.routes(w, protocol, name))}

    def _speaks(self, binding: Binding, protocol: str) -> int | None:
        """The first port by which a binding is called by a protocol."""
        return min(
            (p.port for p in self._bound.called(binding.interface).ports if p.protocol == protocol),
            default=None,
        )
