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
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from soadns.model import Binding, InterfaceId, ObjectRef, ServedPort
from soadns.routemodel import Target

CLOSED, OPEN = "closed", "open"
"""What becomes of a group or version that nobody has."""


class Lead(NamedTuple):
    """Where the requests of an interface go, whatever the port."""

    service: ObjectRef | None
    """The Service, or None: the providers that the registry names for ``interface``."""
    interface: InterfaceId | None


class Rule(NamedTuple):
    """One rule of a wire name, wherever it is asked."""

    group: str | None
    version: str | None
    binding: Binding | None
    """Where it leads; None: refused."""
    missing: bool = False


def lead(binding: Binding) -> Lead:
    """Where a binding leads."""
    if binding.kind == "providers" or binding.service is None:
        return Lead(None, binding.interface)
    return Lead(binding.service, None)


def is_at(binding: Binding, ref: ObjectRef) -> bool:
    """Whether requests of an interface stay with the Service: a twin in another cluster is the same one to a mesh."""
    service = lead(binding).service
    return service is not None and service[1:] == ref[1:]


def plan(bound: Collection[Binding], missing: str, created: Callable[[ObjectRef], float]) -> tuple[Rule, ...]:
    """The rules of one wire name, exact before the one for what nobody has. ``bound`` are all of its variants.

    ``created`` is the age of a Service, in Unix seconds: of two with as many variants the older one has the plain name.
    """
    leads = {binding.interface: lead(binding) for binding in bound}
    if len(set(leads.values())) <= 1:
        return tuple(Rule(None, None, binding) for binding in sorted(bound, key=_order)[:1])
    of = {binding.interface: binding for binding in bound}
    rules: dict[tuple[str | None, str | None], Rule] = {}
    for interface in sorted(of, key=_variant_order):
        group, version = _compared(interface, leads)
        rules.setdefault((group, version), Rule(group, version, of[interface]))
    rest = None if missing == CLOSED else of[_plain(leads, created)]
    return (*rules.values(), Rule(None, None, rest, missing=True))


def _order(binding: Binding) -> tuple[bool, bool, InterfaceId]:
    return _variant_order(binding.interface)


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


def _plain(leads: dict[InterfaceId, Lead], created: Callable[[ObjectRef], float]) -> InterfaceId:
    """The variant that the plain name follows (``soadns.binding.owners``)."""
    counts = Counter(leads.values())

    def order(variant: InterfaceId) -> tuple[bool, bool, int, float, InterfaceId]:
        service = leads[variant].service
        age = 0.0 if service is None else created(service)
        return (not variant.plain, service is None, -counts[leads[variant]], age, variant)

    return min(leads, key=order)


def spoken(ports: Iterable[ServedPort], offered: Sequence[int]) -> dict[int, list[str]]:
    """Port of a Service → protocols by which the interface is called there; all ports, where nobody knows."""
    found: dict[int, list[str]] = {}
    for protocol, port in sorted(set(ports)):
        if port in offered:
            found.setdefault(port, []).append(protocol)
    return found or {port: [] for port in offered}


def target(binding: Binding, port: int, protocols: Sequence[str], offered: Sequence[int]) -> Target | None:
    """Where a binding leads from one port; None where its Service has no port for that.

    ``offered`` are the TCP ports of the binding's Service, as far as they are known. The same protocol comes first,
    then the same number: what a declared Service speaks is read off the names of its ports, and may be a guess.
    """
    alike = [p.port for p in binding.ports if p.protocol in protocols]
    numbers = {*offered, *(p.port for p in binding.ports)}
    if port not in alike:
        if alike:
            port = min(alike)
        elif port not in numbers:
            if len(numbers) != 1:
                return None
            [port] = numbers
    goes = lead(binding)
    if goes.service is None:
        return Target("providers", None, "", port, goes.interface)
    return Target(binding.kind, goes.service, binding.host, port)
