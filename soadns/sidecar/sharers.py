"""Whose a wire name is: its variants and, where several interfaces share it, at which Services they are meant. Pure.

Nearly all wire names are of one interface alone, and there are as many as interfaces: those hold a tuple of its
variants, and no more. Of one that thousands share a change must not look at all of them, so each of these has entries
of its own, and so has each Service.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from soadns.indexes import place
from soadns.model import InterfaceId, ObjectRef
from soadns.sidecar.rules import Rule

NO_RULES: Mapping[ObjectRef, tuple[Rule, ...]] = MappingProxyType({})
_NONE: frozenset[str] = frozenset()


@dataclass(slots=True)
class Sharers:
    """The interfaces that share one wire name: two at least."""

    variants: dict[str, tuple[InterfaceId, ...]] = field(default_factory=dict)
    """Name of an interface → its variants, in order."""
    alike: dict[str, set[str]] = field(default_factory=dict)
    """Name in lower case → names that differ from it in case alone."""
    refs: dict[str, frozenset[ObjectRef]] = field(default_factory=dict)
    """Name → Services whose callers may mean it by the wire name."""
    at: dict[ObjectRef, set[str]] = field(default_factory=dict)
    """The same the other way round."""
    unclear: set[ObjectRef] = field(default_factory=set)
    """Services at which nobody can say which of several is meant."""

    def note(self, name: str, refs: frozenset[ObjectRef]) -> frozenset[ObjectRef]:
        """Note at which Services an interface is meant now; returns where it was."""
        before = self.refs.pop(name, frozenset())
        if refs:
            self.refs[name] = refs
        for ref in before - refs:
            place(self.at, ref, name, add=False)
        for ref in refs - before:
            place(self.at, ref, name, add=True)
        return before


@dataclass(slots=True)
class Wire:
    """One wire name."""

    alone: tuple[InterfaceId, ...] = ()
    """The variants of the one interface whose callers write it, in order; () where several do, or none."""
    shared: Sharers | None = None
    at: Mapping[ObjectRef, tuple[Rule, ...]] = field(default_factory=lambda: NO_RULES)
    """Services at whose ClusterIPs it has rules of its own, and these."""

    # ------------------------------------------------------------------ what it is told

    def put(self, interface: InterfaceId, *, there: bool) -> bool:
        """An interface is one of its variants, or none; returns whether it is shared by that, or alone."""
        name, variants = interface.name, self.of(interface.name)
        at = bisect_left(variants, interface)
        until = at + (variants[at : at + 1] == (interface,))
        variants = variants[:at] + ((interface,) if there else ()) + variants[until:]
        if self.shared is None:
            if not self.alone or self.alone[0].name == name:
                self.alone = variants
                return False
            if not there:
                return False
            self.shared = Sharers()
            self._keep(self.alone[0].name, self.alone)
            self._keep(name, variants)
            self.alone = ()
            return True
        self._keep(name, variants)
        if len(self.shared.variants) > 1:
            return False
        [self.alone] = self.shared.variants.values()
        self.shared = None
        return True

    def _keep(self, name: str, variants: tuple[InterfaceId, ...]) -> None:
        assert self.shared is not None
        if variants:
            self.shared.variants[name] = variants
        else:
            self.shared.variants.pop(name, None)
        place(self.shared.alike, name.lower(), name, add=bool(variants))

    def rule(self, ref: ObjectRef, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        """Replace its rules at a Service (``()``: it has none of its own there); returns those that it had."""
        before = self.at.get(ref, ())
        if before != rules:
            at = self.at if isinstance(self.at, dict) else {}
            if rules:
                at[ref] = rules
            else:
                del at[ref]
            self.at = at or NO_RULES
        return before

    # ------------------------------------------------------------------ questions

    def of(self, name: str) -> tuple[InterfaceId, ...]:
        """The variants of one interface, in order."""
        if self.shared is not None:
            return self.shared.variants.get(name, ())
        return self.alone if self.alone and self.alone[0].name == name else ()

    @property
    def names(self) -> Collection[str]:
        """The interfaces whose callers write it."""
        if self.shared is not None:
            return self.shared.variants.keys()
        return (self.alone[0].name,) if self.alone else ()

    def called(self, key: str) -> Iterable[str]:
        """Those whose names in lower case are ``key``."""
        if self.shared is not None:
            return self.shared.alike.get(key, _NONE)
        return [name for name in self.names if name.lower() == key]

    @property
    def variants(self) -> tuple[InterfaceId, ...]:
        """All variants, in order: as many as there are."""
        if self.shared is None:
            return self.alone
        return tuple(sorted(each for of in self.shared.variants.values() for each in of))
