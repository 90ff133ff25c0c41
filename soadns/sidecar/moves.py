"""What has moved: interfaces that a Service's callers may still send to it, though they live elsewhere now.

This can not be derived from the present. Whoever resolved an interface while Service X had it may hold a connection to
X's ClusterIP for days, so the interface is remembered with X until it returns to X, X is gone, or an operator says
``soadns mesh forget``; never by time. Pure; what is kept is a plain list of ``Move``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from soadns.indexes import place
from soadns.model import InterfaceId, ObjectRef
from soadns.routemodel import Move


class Moves:
    """All moves of one zone."""

    def __init__(self) -> None:
        self._of: dict[ObjectRef, dict[InterfaceId, Move]] = {}
        self._left: dict[InterfaceId, set[ObjectRef]] = {}

    def add(self, move: Move) -> None:
        """Remember one. Of two of the same interface and Service the later one counts, and the earlier time."""
        before = self._of.get(move.service, {}).get(move.interface)
        if before is not None:
            move = replace(move, since=min(before.since, move.since))
        self._of.setdefault(move.service, {})[move.interface] = move
        self._left.setdefault(move.interface, set()).add(move.service)

    def remove(self, service: ObjectRef, interface: InterfaceId) -> bool:
        """Forget one; returns whether there was one."""
        held = self._of.get(service, {})
        if held.pop(interface, None) is None:
            return False
        if not held:
            del self._of[service]
        place(self._left, interface, service, add=False)
        return True

    def of(self, service: ObjectRef) -> tuple[Move, ...]:
        """What left a Service, in order."""
        held = self._of.get(service, {})
        return tuple(held[interface] for interface in sorted(held))

    def get(self, service: ObjectRef, interface: InterfaceId) -> Move | None:
        """The move of one interface from one Service."""
        return self._of.get(service, {}).get(interface)

    def left(self, interface: InterfaceId) -> tuple[ObjectRef, ...]:
        """The Services that an interface left, in order."""
        return tuple(sorted(self._left.get(interface, ())))

    def wires(self, interface: InterfaceId) -> set[str]:
        """What callers of the Services that it left write as the interface."""
        return {w for ref in self._left.get(interface, ()) for w in self._of[ref][interface].wires}

    def __contains__(self, service: ObjectRef) -> bool:
        """Whether anything left the Service."""
        return service in self._of

    def __iter__(self) -> Iterator[Move]:
        for service in sorted(self._of):
            yield from self.of(service)

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))


def merged(*lists: Iterable[Move]) -> list[Move]:
    """Moves of several replicas as one list; each of an interface and Service once."""
    whole = Moves()
    for move in sorted((m for moves in lists for m in moves), key=lambda m: (m.since, m.wires, m.ports)):
        whole.add(move)
    return list(whole)
