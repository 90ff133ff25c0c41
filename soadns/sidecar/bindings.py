"""Where interfaces are bound, and how their callers call them there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from soadns.model import Binding, InterfaceId, ObjectRef, ServedPort

MOST = 8
"""Wire names, or ports, of one interface that are kept with those that it had before: they may be others each time."""
T = TypeVar("T")


class Called(NamedTuple):
    """How callers of the Service that has an interface may call it: in all ways that it had since it is there."""

    wires: tuple[str, ...]
    ports: tuple[ServedPort, ...]


class Bindings:
    """The bindings of one zone, and what changed of them since ``take``; ``home`` is the home cluster."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._bound: dict[InterfaceId, Binding] = {}
        self._called: dict[InterfaceId, Called] = {}
        """Of interfaces that are called by other names than their own, or by other ports than their bindings' now."""
        self._declared: set[InterfaceId] = set()
        """Interfaces that nobody registered since they are where they are: what they are called by is a guess."""
        self._before: dict[InterfaceId, tuple[Binding | None, Called]] = {}

    def put(self, interface: InterfaceId, binding: Binding | None, wires: Sequence[str]) -> None:
        """Replace one (None: it is not bound); ``wires`` are the wire names that its providers have now."""
        before, called = self._bound.get(interface), self.called(interface)
        if binding is None:
            if before is not None:
                self._before.setdefault(interface, (before, called))
                del self._bound[interface]
                self._called.pop(interface, None)
                self._declared.discard(interface)
            return
        stays = before is not None and self.home(before) == self.home(binding)
        now = Called(
            tuple(sorted(_with(wires, called.wires if stays else ()))) or (interface.name,),
            tuple(sorted(_with(binding.ports, called.ports if stays else ()))),
        )
        registered = bool(wires) or (stays and self.registered(interface))
        if (binding, now, registered) != (before, called, self.registered(interface)):
            self._before.setdefault(interface, (before, called))
        self._bound[interface] = binding
        (self._declared.discard if registered else self._declared.add)(interface)
        if now == ((interface.name,), tuple(sorted(binding.ports))):
            self._called.pop(interface, None)
        else:
            self._called[interface] = now

    def get(self, interface: InterfaceId) -> Binding | None:
        """One binding."""
        return self._bound.get(interface)

    def called(self, interface: InterfaceId) -> Called:
        """How an interface is called at the Service that has it."""
        if (found := self._called.get(interface)) is not None:
            return found
        binding = self._bound.get(interface)
        return Called((interface.name,), tuple(sorted(binding.ports)) if binding is not None else ())

    def registered(self, interface: InterfaceId) -> bool:
        """Whether the registry has said what an interface is called by where it is."""
        return interface not in self._declared

    def home(self, binding: Binding) -> ObjectRef | None:
        """The Service at whose ClusterIP callers of the binding are: a remote one's is its twin's at home."""
        return binding.service._replace(cluster=self._home) if binding.service is not None else None

    @property
    def changed(self) -> dict[InterfaceId, tuple[Binding | None, Called]]:
        """Interfaces that changed since ``take``, as they were before."""
        return self._before

    def take(self) -> None:
        """What changed has been seen."""
        self._before.clear()


def _with(now: Iterable[T], before: Iterable[T]) -> set[T]:
    """What there is now and, as far as there is room, what was there before."""
    found = set(now)
    older = [item for item in before if item not in found]
    return found.union(older[: max(0, MOST - len(found))])
