"""Places that had routes and have none now, and whose they are: for sidecars that forget nothing by themselves. Pure.

A Service without interfaces has no routes, so nobody is told when it takes a ClusterIP. But who was told where that led
before has to hear of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from soadns.indexes import place
from soadns.routemodel import Place, Vip


class FormerPlaces:
    """Those of one table.

    :param find: what is told of a place as it is now; None where that is nobody's.
    """

    def __init__(self, find: Callable[[str, int], Vip | None]) -> None:
        self.vips: dict[Place, Vip] = {}
        """Those that are a Service's."""
        self._find = find
        self._ports: dict[str, set[int]] = {}
        """Address → ports of all of them."""
        self._changed: set[Place] = set()

    def follow(self, changed: Mapping[Place, Vip | None], addresses: Iterable[str]) -> None:
        """Routes of these places changed (None: they have none any more), and these addresses may be others'."""
        for (address, port), vip in changed.items():
            place(self._ports, address, port, add=vip is None)
        again = {(address, port) for address in addresses for port in self._ports.get(address, ())}
        for at in again.union(changed):
            found = self._find(*at) if changed.get(at) is None else None
            if found == self.vips.get(at):
                continue
            self._changed.add(at)
            if found is None:
                del self.vips[at]
            else:
                self.vips[at] = found

    def take(self) -> dict[Place, Vip | None]:
        """Those of which something else is so than at the last call, as they are now."""
        taken, self._changed = self._changed, set()
        return {at: self.vips.get(at) for at in taken}
