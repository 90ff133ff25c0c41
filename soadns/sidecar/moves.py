"""What has moved: interfaces that a Service's callers may still send to it, though they live elsewhere now.

This can not be derived from the present. Whoever resolved an interface while Service X had it may hold a connection to
X's ClusterIP for days, so the interface is remembered with X until it returns to X, X is gone, or an operator says
``soadns mesh forget``; never by time. Pure; what is kept is a plain list of ``Move``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from soadns.indexes import place
from soadns.marks import Marks
from soadns.model import InterfaceId, ObjectRef, ServedPort
from soadns.routemodel import Move

T = TypeVar("T", str, ServedPort)


class Moves:
    """All moves of one zone."""

    def __init__(self) -> None:
        self.generation = 0
        """Counts what is added and removed."""
        self.changed: Marks[tuple[ObjectRef, InterfaceId]] = Marks()
        """Services and what left them of which what is saved says something else."""
        self._of: dict[ObjectRef, dict[InterfaceId, Move]] = {}
        self._left: dict[InterfaceId, set[ObjectRef]] = {}

    def add(self, move: Move) -> None:
        """Remember one; with what is known already of the same interface and Service (``joined``)."""
        before = self._of.get(move.service, {}).get(move.interface)
        if before is not None:
            move = joined(before, move)
        if move != before:
            self.generation += 1
            self.changed.add((move.service, move.interface))
        self._of.setdefault(move.service, {})[move.interface] = move
        self._left.setdefault(move.interface, set()).add(move.service)

    def remove(self, service: ObjectRef, interface: InterfaceId) -> bool:
        """Forget one; returns whether there was one."""
        held = self._of.get(service, {})
        if held.pop(interface, None) is None:
            return False
        self.generation += 1
        self.changed.add((service, interface))
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


def joined(one: Move, other: Move) -> Move:
    """What two replicas know of one interface that left one Service, whichever comes first."""
    return replace(
        one,
        addresses=_union(one.addresses, other.addresses),
        ports=_union(one.ports, other.ports),
        wires=_union(one.wires, other.wires),
        since=min(one.since, other.since),
    )


def tells_more(one: Move, other: Move) -> bool:
    """Whether ``one`` knows something of a move, its time apart, that ``other`` does not."""
    return not (
        {*one.addresses} <= {*other.addresses}
        and {*one.ports} <= {*other.ports}
        and {*one.wires} <= {*other.wires}
    )


def _union(one: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
    return one if set(one) == set(other) else tuple(sorted({each for part in (one, other) for each in part}))
