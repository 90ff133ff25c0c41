"""How far soadns reaches into the sidecars of a Service's callers, and why: the least that is right. Pure.

| tier | what | its price |
|---|---|---|
| 0 | nothing: Istio's own TCP listener | calls are balanced by connection; they go where the ClusterIP says |
| 1 | ``dubbo_proxy`` with one rule that never changes | what Istio's TCP filter did (``LOST``) |
| 2 | ``dubbo_proxy`` with rules in the filter | a change of rules cuts the connections after Envoy's drain |
| 3 | ``dubbo_proxy`` with rules from a file in the pod | the pod mounts the file |

A change of tier replaces a listener's filter, and that cuts its connections. So it happens by itself only upwards,
only where calls would fail otherwise, and never downwards: what is in force is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from soadns.model import Service
from soadns.routemodel import Route, Target, Vip
from soadns.sidecar import dubboproxy, istioports
from soadns.sidecar.destinations import Destinations, Lead

CONNECTION, REQUEST = "connection", "request"
"""Words of ``soadns.io/balancing``: Istio's own filter, or each call by itself."""
FAILING, INLINE, NEVER = "failing", "inline", "never"
"""Words of ``soadns.io/moves``: rules where calls would fail without them, all rules, or none."""
HESSIAN = "hessian2"
LOST = ("the access log of its connections", "Istio's idle timeout of them")
"""What Istio's TCP filter does and dubbo_proxy does not, for every Service."""


@dataclass(frozen=True, slots=True)
class PortFacts:
    """What is known of one port of a Service."""

    vip: Vip
    """Its rules at the Service's first ClusterIP."""
    name: str = ""
    app_protocol: str = ""
    protocols: tuple[str, ...] = ()
    """By which its interfaces are called there, as far as anybody says; sorted."""
    others: tuple[str, ...] = ()
    """Serializations that providers prefer to hessian2: the Service's own, and those that its rules lead to; sorted."""
    registered: bool = False
    """Whether any provider of the Service is registered, so that its serialization is known."""
    failing: frozenset[Route] = frozenset()
    """Rules whose calls fail without them: the Service itself does not provide what they are for."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One Service of the home cluster, as far as a filter for its callers is concerned."""

    service: Service
    host: str
    """Its Istio host."""
    ports: tuple[PortFacts, ...]
    """Its TCP ports, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is configured (``sidecar.istio``)."""

    balancing: str = CONNECTION
    """For Services whose annotation says nothing."""
    moves: str = FAILING
    """Likewise."""
    root_namespace: str = "istio-system"
    """Where an EnvoyFilter is for all sidecars."""
    namespaces: tuple[str, ...] = ()
    """Of callers whose pods may mount files of rules."""
    selector: tuple[tuple[str, str], ...] = (("soadns.io/routes", "mounted"),)
    """Labels of the pods that do."""
    directory: str = "/etc/soadns/routes"
    """Where they mount them."""
    shards: int = 4
    """ConfigMaps that the files are spread over."""


_NO_PORTS: Mapping[int, int] = MappingProxyType({})
_NO_FILES: Mapping[str, frozenset[int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Applied:
    """What is in force of one Service's filters."""

    ports: Mapping[int, int] = field(default_factory=lambda: _NO_PORTS)
    """Port → tier, for all callers."""
    files: Mapping[str, frozenset[int]] = field(default_factory=lambda: _NO_FILES)
    """Namespace of callers → ports whose rules its pods have from files."""


NOTHING = Applied()


@dataclass(frozen=True, slots=True)
class PortTier:
    """What becomes of one port."""

    port: int
    tier: int
    """For all callers; 0, 1 or 2."""
    why: str
    """One sentence, for people."""
    files: tuple[str, ...] = ()
    """Namespaces of callers whose pods have its rules from files (tier 3)."""
    untold: tuple[str, ...] = ()
    """Rules that Istio's sidecars can not be told, and why: such calls stay with the Service, as without a filter."""
    lost: tuple[str, ...] = ()
    """What Istio's own filter did, and this one does not."""
    harm: str = ""
    """Why a filter that is in force should not be: it stays until somebody takes it back."""


def decide(
    subject: Subject, facts: PortFacts, wishes: Wishes, destinations: Destinations, applied: Applied
) -> PortTier:
    """The tier of one port."""
    service, port = subject.service, facts.vip.port
    held = applied.ports.get(port, 0)
    held_files = tuple(ns for ns in wishes.namespaces if port in applied.files.get(ns, ()))
    lead = destinations.leads(subject.host, port)
    obstacle = obstacle_of(subject, facts) or lead.refusal
    if obstacle and not (held or held_files):
        return PortTier(port, 0, obstacle)
    rules, untold = sorted_out(facts, destinations)
    tier, why = (0, obstacle) if obstacle else _wanted(facts, rules, wishes, service)
    least = _least(service, held, ruled=len(facts.vip.routes) > 1)
    if tier < least:
        tier, why = least, f"it is in force, and no tier is lowered by itself ({why})"
    files = held_files if obstacle else wishes.namespaces
    if service.moves == NEVER:
        files = ()
    return PortTier(
        port,
        tier,
        why,
        files=files,
        untold=tuple(untold),
        lost=(*LOST, *lead.lost) if tier or files else (),
        harm=obstacle if tier or files else "",
    )


def _least(service: Service, held: int, *, ruled: bool) -> int:
    """The tier below which what is in force does not fall by itself: only the Service's own annotations lower it.

    Rules that are gone are no tier any more: to keep them would send calls to where they do not belong.
    """
    if held == 2 and (service.moves == NEVER or not ruled):
        held = 1
    return 0 if held == 1 and service.balancing == CONNECTION else held


def _wanted(facts: PortFacts, rules: list[Route], wishes: Wishes, service: Service) -> tuple[int, str]:
    """The tier that is asked for, or needed, and why."""
    balancing, moves = service.balancing or wishes.balancing, service.moves or wishes.moves
    failing = [route for route in rules if route in facts.failing]
    if rules and moves == INLINE:
        return 2, f"rules are asked for ({_by(service.moves)}), and there are some for {_some(rules)}"
    if failing and moves == FAILING:
        return 2, f"calls of {_some(failing)} would fail without rules: {service.ref} does not provide it"
    without = f"no rule is written for {_some(rules)}: {_unwritten(moves)}" if rules else ""
    if balancing == REQUEST:
        asked = f"balancing by request is asked for ({_by(service.balancing)})"
        return 1, f"{asked}; {without}" if without else asked
    return 0, without or "all that is called there is the Service's own"


def _unwritten(moves: str) -> str:
    if moves == NEVER:
        return "soadns.io/moves: never"
    return "such calls succeed where they are; soadns.io/moves: inline asks for it"


def _by(annotation: str | None) -> str:
    return "by annotation" if annotation else "by configuration"


def _some(routes: list[Route]) -> str:
    """The interfaces of rules, or so many of them."""
    names = list(dict.fromkeys(route.interface for route in routes))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def obstacle_of(subject: Subject, facts: PortFacts) -> str:
    """Why dubbo_proxy can not stand at a port; ``''`` where it can."""
    service = subject.service
    if service.headless or not service.cluster_ips:
        return "it has no ClusterIP, and so no listener of its own"
    if not service.uid:
        return "it is in files only: no cluster is known to have it"
    spoken = istioports.protocol(facts.vip.port, facts.name, facts.app_protocol)
    if spoken not in (istioports.TCP, istioports.AUTO):
        said = f"appProtocol {facts.app_protocol}" if facts.app_protocol else f"name {facts.name}"
        return f"Istio takes the port for {spoken}, by its {said}"
    strange = [protocol for protocol in facts.protocols if protocol != "dubbo"]
    if strange:
        return f"{', '.join(strange)} is spoken there, which no filter of Istio's Envoy understands"
    if not facts.protocols:
        return "nobody says that Dubbo is spoken there"
    if not facts.registered:
        return "no provider of it is registered, so whether it understands hessian2 is not known"
    if facts.others:
        return (
            f"providers prefer {', '.join(facts.others)} to hessian2, and dubbo_proxy closes such connections"
        )
    return ""


def sorted_out(facts: PortFacts, destinations: Destinations) -> tuple[list[Route], list[str]]:
    """The rules that lead away from the Service, as far as a filter can say them; and those it can not say, and why."""
    rules, untold = [], []
    for route in facts.vip.routes[:-1]:
        if not dubboproxy.tellable(route.interface):
            untold.append(f"{route.interface}: Envoy would take such a name for a pattern")
        elif route.target is not None and (reason := untellable(route.target, destinations)):
            untold.append(f"{dubboproxy.spelled(route)}: {reason}")
        elif route.target is not None and route.target.service != facts.vip.service:
            rules.append(route)
    return rules, untold


def untellable(target: Target, destinations: Destinations) -> str:
    """Why Istio's sidecars can not be sent to a target; ``''`` where they can."""
    if not target.cluster:
        what = "a headless Service" if target.kind == "headless" else "the registry's providers"
        return f"Istio has no cluster for {what}"
    return destinations.leads(target.host, target.port).refusal


def lead_of(target: Target, vip: Vip, destinations: Destinations) -> Lead:
    """Where the requests of a rule go; to the VIP's own Service where Istio can not be told more."""
    if untellable(target, destinations):
        return destinations.leads(vip.host, vip.port)
    return destinations.leads(target.host, target.port)
