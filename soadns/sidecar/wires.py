"""Which interfaces callers mean by a wire name, wherever they send it. Pure.

A wire name may be that of several interfaces, whose paths it is. Whoever sends it to a ClusterIP means one that its
Service has, or had: others are of no concern there, whatever path they have chosen. Where that may be several, in
several places, nobody can say which.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from soadns.model import Binding, InterfaceId, ObjectRef
from soadns.sidecar.bindings import Bindings
from soadns.sidecar.moves import Moves
from soadns.sidecar.rules import lead
from soadns.sidecar.sharers import Wire
from soadns.sidecar.wirenames import meant, tellable

NOBODY = Wire()
"""A wire name that nobody writes."""


class Unclear(NamedTuple):
    """A wire name by which requests at a Service's ClusterIP may mean other interfaces, which live elsewhere."""

    wire: str
    service: ObjectRef
    others: tuple[str, ...]
    """Names of those interfaces."""


class Wires:
    """The wire names of one zone, by what is bound and what has moved."""

    def __init__(self, bound: Bindings, moves: Moves) -> None:
        self.of: dict[str, Wire] = {}
        self._bound = bound
        self._moves = moves
        self._unclear: set[str] = set()
        """Wire names whose requests may, at some Service, mean interfaces that live in several places."""
        self._untold: set[InterfaceId] = set()
        """Interfaces some of whose wire names no sidecar can be told."""

    # ------------------------------------------------------------------ what it is told

    def index(self, interface: InterfaceId, before: Iterable[str]) -> dict[str, set[str]]:
        """Say of wire names whether the interface is among their variants; returns those to be looked at again.

        These are all that its callers write, and those that they wrote before; but none that no sidecar can be told.
        With each stand the interfaces whose calls by it may be others now.
        """
        said = self.said(interface)
        written = set(filter(tellable, said))
        (self._untold.add if len(written) < len(said) else self._untold.discard)(interface)
        concerned = {}
        for name in written.union(filter(tellable, before)):
            concerned[name] = {interface.name}
            wire = self.of.get(name)
            if wire is None:
                if name not in written:
                    continue
                wire = self.of[name] = Wire()
            if wire.put(interface, there=name in written):
                concerned[name].update(wire.names)
                if (shared := wire.shared) is not None:
                    for each in wire.names:
                        # Where it has rules, somebody was meant: ``look`` comes to these Services as well.
                        shared.note(each, self.callers_of(name, each) | wire.at.keys())
        return concerned

    def look(self, name: str, names: Iterable[str]) -> set[ObjectRef]:
        """Note where these interfaces are meant by a wire name; returns the Services to whose rules that matters."""
        wire = self.of[name]
        found: set[ObjectRef] = set()
        for each in names:
            refs = self.callers_of(name, each)
            found |= refs
            found |= wire.at.keys() if wire.shared is None else wire.shared.note(each, refs)
        return found

    def judge(self, name: str, refs: Iterable[ObjectRef]) -> None:
        """Note whether requests for a wire name can be told apart at these Services; forget one of nobody."""
        wire = self.of[name]
        if (shared := wire.shared) is not None:
            for ref in refs:
                apart = self._apart(name, shared.at.get(ref, ()))
                (shared.unclear.add if apart else shared.unclear.discard)(ref)
        unclear = shared is not None and bool(shared.unclear)
        (self._unclear.add if unclear else self._unclear.discard)(name)
        if not wire.names:
            del self.of[name]

    # ------------------------------------------------------------------ who is meant

    def callers_of(self, name: str, interface: str) -> frozenset[ObjectRef]:
        """Services whose callers may mean an interface by a wire name: those that have it, and had."""
        found: set[ObjectRef] = set()
        for each in self.of.get(name, NOBODY).of(interface):
            found.update(self._moves.left(each))
            binding = self._bound.get(each)
            if binding is not None and (home := self._bound.home(binding)) is not None:
                found.add(home)
        return frozenset(found)

    def callers_at(self, name: str, ref: ObjectRef) -> Collection[str]:
        """The interfaces that callers of a Service may mean by a wire name: those it has, and had."""
        wire = self.of.get(name, NOBODY)
        if wire.shared is not None:
            return wire.shared.at.get(ref, ())
        return [each for each in wire.names if ref in self.callers_of(name, each)]

    def meant(self, name: str, names: Collection[str]) -> list[Binding]:
        """The bindings of all variants that a request may mean, of these interfaces; none where nobody can say."""
        names = meant(name, names)
        if self._apart(name, names):
            return []
        return [b for i in self._variants_of(name, names) if (b := self._bound.get(i)) is not None]

    def meant_at(self, ref: ObjectRef, name: str) -> tuple[InterfaceId, ...]:
        """The interfaces that callers of a Service may mean by a wire name, in order: those that its rules are for.

        They are of one name, unless nobody can say which of several is meant, or all of these live in one place.
        """
        return tuple(self._variants_of(name, meant(name, self.callers_at(name, ref))))

    def _apart(self, name: str, names: Collection[str]) -> bool:
        """Whether there are several interfaces whose variants do not all live in one place.

        Who is nowhere now is where it was. Of many that share a path the first few mostly say it.
        """
        if len(names) < 2:
            return False
        wire, leads = self.of.get(name, NOBODY), set()
        for each in names:
            for variant in wire.of(each):
                binding = self._bound.get(variant)
                leads.add(lead(binding) if binding is not None else None)
                if None in leads or len(leads) > 1:
                    return True
        return False

    def _variants_of(self, name: str, names: Collection[str]) -> list[InterfaceId]:
        """The variants of these interfaces alone, in order: of thousands that share a path, a Service has few."""
        wire = self.of.get(name, NOBODY)
        return [variant for each in sorted(names) for variant in wire.of(each)]

    # ------------------------------------------------------------------ questions

    def variants(self, name: str) -> tuple[InterfaceId, ...]:
        """The interfaces whose callers write a wire name, in order."""
        return self.of.get(name, NOBODY).variants

    def said(self, interface: InterfaceId) -> set[str]:
        """All that callers of an interface may write, of those whom soadns sent somewhere."""
        said = self._moves.wires(interface)
        if self._bound.get(interface) is not None:
            said.update(self._bound.called(interface).wires)
        return said

    def unclear_of(self, interface: InterfaceId) -> list[Unclear]:
        """Where requests for an interface can not be told from those for others, which live elsewhere.

        One that is called by its own name is meant by it, whatever path others have.
        """
        found = []
        for name in sorted(self._unclear.intersection(self.said(interface)) - {interface.name}):
            if (shared := self.of[name].shared) is not None:
                refs = shared.unclear.intersection(shared.refs.get(interface.name, ()))
                others = {ref: tuple(sorted(shared.at[ref] - {interface.name})) for ref in sorted(refs)}
                found += [Unclear(name, ref, each) for ref, each in others.items()]
        return found

    def unclear_at(self, ref: ObjectRef, name: str) -> tuple[str, ...]:
        """The interfaces that requests for a wire name at a Service may mean, where nobody can say which; else ()."""
        names = self.callers_at(name, ref)
        return () if name in names or not self._apart(name, names) else tuple(sorted(names))

    def untold_of(self, interface: InterfaceId) -> tuple[str, ...]:
        """The wire names of an interface that no sidecar can be told, in order."""
        return tuple(sorted(name for name in self.said(interface) if not tellable(name)))

    @property
    def unclear(self) -> int:
        """Wire names whose requests may, at some Service, mean interfaces that live in several places."""
        return len(self._unclear)

    @property
    def untold(self) -> int:
        """Interfaces some of whose wire names no sidecar can be told."""
        return len(self._untold)
