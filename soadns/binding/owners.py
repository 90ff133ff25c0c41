"""Which interface answers at which owner name of a zone.

Every bound interface wants its canonical owner name (variants with a group or version have one of their
own) and, for nested classes, an alias. The plain name of an interface that exists only in variants
follows one of them. Names are compared without case, as DNS does; when two want one name the rule is:
plain beats alias, then stronger evidence, then the older Service, then code-point order. Pure and
incremental: a change touches the names of one Java name and whoever competes for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from soadns import naming
from soadns.binding.evidence import NO_STRENGTH
from soadns.model import Binding, InterfaceId, ObjectRef, Outcome, Records


@dataclass(frozen=True, slots=True)
class Face:
    """One interface's wish for one owner name."""

    owner: str
    interface: InterfaceId
    alias: bool
    evidence: int
    created: float

    @property
    def order(self) -> tuple[bool, int, float, str, InterfaceId]:
        """Smaller is preferred."""
        return (self.alias, self.evidence, self.created, self.owner, self.interface)


@dataclass(frozen=True, slots=True)
class _Bound:
    evidence: int
    created: float
    service: ObjectRef | None


class Owners:
    """The owner names of one zone."""

    def __init__(self, zone: str, nested: Iterable[str] = ()) -> None:
        self.zone = zone
        self._cuts = {naming.key(child.removesuffix(f".{zone}")): child for child in nested}
        """Where zones below begin, relative to this one, folded → their names."""
        self._bound: dict[str, dict[InterfaceId, _Bound]] = {}
        """Java name → its bound variants."""
        self._faces: dict[str, tuple[Face, ...]] = {}
        """Java name → what it wants now."""
        self._claims: dict[str, tuple[Face, ...]] = {}
        """Folded owner name → all who want it."""
        self._holder: dict[str, Face] = {}

    def held(self, owner: str) -> bool:
        """Whether an interface answers at an owner name."""
        return naming.key(owner) in self._holder

    def update(
        self,
        interface: InterfaceId,
        answer: Outcome | None,
        created: float,
        records: Callable[[InterfaceId], Records | None],
    ) -> dict[str, Records | None]:
        """Take in an interface's new outcome; returns the owner names whose records change.

        ``created`` is the creation time of its Service. None as records means that the name is gone.
        """
        variants = self._bound.setdefault(interface.name, {})
        if isinstance(answer, Binding) and self.problem(interface) is None:
            variants[interface] = _Bound(answer.evidence or NO_STRENGTH, created, answer.service)
        else:
            variants.pop(interface, None)
        before = self._faces.get(interface.name, ())
        after = self._wishes(interface.name, variants)
        if not variants:
            del self._bound[interface.name]
        if after:
            self._faces[interface.name] = after
        else:
            self._faces.pop(interface.name, None)
        wanted: dict[str, tuple[Face, ...]] = {naming.key(face.owner): () for face in before}
        for face in after:
            key = naming.key(face.owner)
            wanted[key] = (*wanted.get(key, ()), face)
        withdrawn = set(before)
        for key, faces in wanted.items():
            others = [face for face in self._claims.pop(key, ()) if face not in withdrawn]
            if claims := (*others, *faces):
                self._claims[key] = claims
        return self._elect(sorted(wanted), interface, records)

    def _elect(
        self, keys: list[str], changed: InterfaceId, records: Callable[[InterfaceId], Records | None]
    ) -> dict[str, Records | None]:
        published: dict[str, Records | None] = {}
        for key in keys:
            held = self._holder.get(key)
            claims = self._claims.get(key)
            if not claims:
                if held is not None:
                    del self._holder[key]
                    published[held.owner] = None
                continue
            best = min(claims, key=lambda face: face.order)
            self._holder[key] = best
            same = held is not None and (held.owner, held.interface) == (best.owner, best.interface)
            if not same or best.interface == changed:
                published[best.owner] = records(best.interface)
        return published

    def _wishes(self, name: str, variants: dict[InterfaceId, _Bound]) -> tuple[Face, ...]:
        faces: list[Face] = []
        for variant, bound in variants.items():
            if not variant.plain:
                faces.extend(self._spellings(variant, variant, bound))
        plain = InterfaceId(name)
        leader = self.leader(name)
        if leader is not None and (leader == plain or self.problem(plain) is None):
            faces.extend(self._spellings(plain, leader, variants[leader]))
        return tuple(faces)

    def _spellings(self, named: InterfaceId, answering: InterfaceId, bound: _Bound) -> list[Face]:
        faces = [Face(naming.owner_name(named), answering, False, bound.evidence, bound.created)]
        if (alias := naming.alias(named)) is not None:
            faces.append(Face(alias, answering, True, bound.evidence, bound.created))
        return [face for face in faces if not self._delegated(face.owner)]

    def _delegated(self, owner: str) -> str:
        """The zone below in which an owner name lies, or ``''``."""
        if not self._cuts:
            return ""
        name = naming.key(owner)
        return next((z for cut, z in self._cuts.items() if name == cut or name.endswith(f".{cut}")), "")

    def leader(self, name: str) -> InterfaceId | None:
        """The variant that answers at the plain name: the plain one, else of the Service with most."""
        variants = self._bound.get(name)
        if not variants:
            return None
        plain = InterfaceId(name)
        if plain in variants:
            return plain
        counts = Counter(bound.service for bound in variants.values())

        def order(variant: InterfaceId) -> tuple[bool, int, float, InterfaceId]:
            bound = variants[variant]
            return (bound.service is None, -counts[bound.service], bound.created, variant)

        return min(variants, key=order)

    def created(self, interface: InterfaceId) -> float:
        """The creation time of the interface's Service, as last told; 0 without one."""
        bound = self._bound.get(interface.name, {}).get(interface)
        return bound.created if bound is not None else 0.0

    def split(self, name: str) -> tuple[ObjectRef | None, ...]:
        """The Services among which the variants of a Java name are split; one item means no split."""
        found = {bound.service for bound in self._bound.get(name, {}).values()}
        return tuple(sorted(found, key=lambda ref: ("",) if ref is None else ("x", *ref)))

    def problem(self, interface: InterfaceId) -> tuple[str, str] | None:
        """Why the interface can have no owner name here at all."""
        found = naming.problem(interface, self.zone)
        if found is None and (child := self._delegated(naming.owner_name(interface))):
            name = f"{naming.owner_name(interface)}.{self.zone}"
            return "delegated", f"{name} lies in the zone {child}, which alone may answer it"
        return found

    def names_of(self, interface: InterfaceId) -> tuple[str, ...]:
        """Owner names at which this interface answers now."""
        faces = self._faces.get(interface.name, ())
        return tuple(
            face.owner
            for face in faces
            if face.interface == interface and self._holder.get(naming.key(face.owner)) == face
        )

    def shadowed(self, interface: InterfaceId) -> tuple[tuple[str, InterfaceId], ...]:
        """Owner names it wanted and who holds them instead."""
        faces = self._faces.get(interface.name, ())
        return tuple(
            (face.owner, holder.interface)
            for face in faces
            if face.interface == interface
            and (holder := self._holder.get(naming.key(face.owner))) is not None
            and holder != face
        )

    def at(self, owner: str) -> InterfaceId | None:
        """The interface that answers at an owner name, any case."""
        face = self._holder.get(naming.key(owner))
        return face.interface if face is not None else None
