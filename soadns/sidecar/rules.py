"""From the variants of an interface to rules: what a request is compared with, and where it goes. Pure.

A sidecar sees what the wire says: the *wire name* (the interface, or the path of its provider URL, with ``$`` and
capitals as they are), a group and a version. Where all variants of a wire name live in one Service nothing more is
compared, and the provider itself refuses what it does not have. Where they live in several, each is a rule of its own,
with as little compared as tells them apart: to see the group a sidecar must decode all arguments of a call. The last
rule then says what becomes of a group or version that nobody has: it is refused (closed), or goes where the plain name
leads (open).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from soadns.model import Binding, InterfaceId, ObjectRef, ServedPort
from soadns.routemodel import Route, Target

CLOSED, OPEN = "closed", "open"
"""What becomes of a group or version that nobody has."""
UNSAID = frozenset({"tcp"})
"""What a port is said to speak of which nobody says what it speaks."""


class Lead(NamedTuple):
    """Where the requests of an interface go, whatever the port."""

    service: tuple[str, str] | None
    """Namespace and name of the Service, or None: the providers that the registry names for ``interface``.

    Of which cluster it is, is not asked: twins of one name are one Service to a mesh, and one ClusterIP to callers.
    """
    interface: InterfaceId | None


class Rule(NamedTuple):
    """One rule of a wire name, wherever it is asked."""

    group: str | None
    version: str | None
    binding: Binding | None
    """Where it leads; None: refused."""
    missing: bool = False

    @property
    def tells(self) -> bool:
        """Whether it is for some groups or versions alone."""
        return self.group is not None or self.version is not None


def led_to(binding: Binding) -> ObjectRef | None:
    """The Service that a binding leads to; None: the registry's providers."""
    return None if binding.kind == "providers" else binding.service


def lead(binding: Binding) -> Lead:
    """Where a binding leads."""
    ref = led_to(binding)
    return Lead(None, binding.interface) if ref is None else Lead(ref[1:], None)


def is_at(binding: Binding, ref: ObjectRef) -> bool:
    """Whether requests of an interface stay with the Service: a twin in another cluster is the same one to a mesh."""
    service = led_to(binding)
    return service is not None and twins(service, ref)


def twins(one: ObjectRef, other: ObjectRef) -> bool:
    """Whether two Services are one to a mesh, and to callers: of one namespace and name, in whatever cluster."""
    return one[1:] == other[1:]


def alike(bound: Collection[Binding]) -> bool:
    """Whether all of some bindings lead to one place."""
    return len({lead(binding) for binding in bound}) <= 1


def plan(bound: Collection[Binding], missing: str, created: Callable[[ObjectRef], float]) -> tuple[Rule, ...]:
    """The rules of one wire name, exact before the one for what nobody has. ``bound`` are all variants that it means.

    These are of one interface, or all lead to one place: what else two interfaces have in common can not be told apart
    by their groups and versions. ``created`` is the age of a Service, in Unix seconds: of two with as many variants
    the older one has the plain name.
    """
    if alike(bound):
        return tuple(Rule(None, None, binding) for binding in sorted(bound, key=_order)[:1])
    leads = {binding.interface: lead(binding) for binding in bound}
    of = {binding.interface: binding for binding in bound}
    rules: dict[tuple[str | None, str | None], Rule] = {}
    for interface in sorted(of, key=_variant_order):
        group, version = _compared(interface, leads)
        rules.setdefault((group, version), Rule(group, version, of[interface]))
    rest = None if missing == CLOSED else of[_plain(of, created)]
    return (*rules.values(), Rule(None, None, rest, missing=True))


def _order(binding: Binding) -> tuple[bool, tuple[bool, bool, InterfaceId]]:
    """Of twins in several clusters the one at home speaks for all: callers have its ClusterIP."""
    return (binding.kind == "remote", _variant_order(binding.interface))


def _variant_order(interface: InterfaceId) -> tuple[bool, bool, InterfaceId]:
    """Those with a group first: a sidecar that can not tell 'none given' from 'any' must come to those last."""
    return (not interface.group, not interface.version, interface)


def _compared(interface: InterfaceId, leads: dict[InterfaceId, Lead]) -> tuple[str | None, str | None]:
    """As little of a variant as tells where it goes."""
    if _tell(leads, lambda variant: variant.version):
        return None, interface.version
    if _tell(leads, lambda variant: variant.group):
        return interface.group, None
    return interface.group, interface.version


def _tell(leads: dict[InterfaceId, Lead], part: Callable[[InterfaceId], str]) -> bool:
    """Whether a part of the variants alone says where each goes."""
    told: dict[str, Lead] = {}
    return all(told.setdefault(part(variant), goes) == goes for variant, goes in leads.items())


def _plain(of: Mapping[InterfaceId, Binding], created: Callable[[ObjectRef], float]) -> InterfaceId:
    """The variant that the plain name follows (``soadns.binding.owners``)."""
    services = {variant: led_to(binding) for variant, binding in of.items()}
    counts = Counter(services.values())

    def order(variant: InterfaceId) -> tuple[bool, bool, int, float, InterfaceId]:
        service = services[variant]
        age = 0.0 if service is None else created(service)
        return (not variant.plain, service is None, -counts[service], age, variant)

    return min(of, key=order)


def spoken(ports: Iterable[ServedPort], offered: Sequence[int]) -> dict[int, list[str]]:
    """Port of a Service → protocols by which the interface is called there; all ports, where nobody knows."""
    found: dict[int, list[str]] = {}
    for protocol, port in sorted(set(ports)):
        if port in offered:
            found.setdefault(port, []).append(protocol)
    return found or {port: [] for port in offered}


def target(
    binding: Binding,
    port: int,
    protocols: Collection[str],
    offered: Sequence[int],
    *,
    called: Sequence[ServedPort] = (),
    registered: bool = True,
) -> Target | None:
    """Where a binding leads from one port; None where its Service has no port for that.

    It is the port that speaks the same protocol, as the registry says, or has said since the binding leads there
    (``called``): what is gone for a moment is no reason to send its calls elsewhere. Only where nothing says that
    (``registered`` is False, or nobody knows what is spoken at ``port``) it is the port with the same number, or the
    only one there is: what a Service that declares an interface speaks is read off the names of its ports, and may be a
    guess. ``offered`` are the TCP ports of the binding's Service, as far as they are known.
    """
    said = {*binding.ports, *called}
    same = {p.port for p in binding.ports if p.protocol in protocols}
    same = same or {p.port for p in said if p.protocol in protocols}
    numbers = {*offered, *(p.port for p in binding.ports)}
    if port not in same:
        if same:
            port = min(same)
        elif registered and said and not UNSAID.issuperset(protocols):
            return None
        elif port not in numbers:
            if len(numbers) != 1:
                return None
            [port] = numbers
    service = led_to(binding)
    if service is None:
        return Target("providers", None, "", port, binding.interface)
    return Target(binding.kind, service, binding.host, port)


def portless(name: str, rule: Rule) -> list[Route]:
    """What is told of a wire name's rule that leads to where no port speaks that."""
    if not rule.tells or rule.binding is None:
        return []
    return [Route(name, rule.group, rule.version, None, "portless", led_to(rule.binding))]
