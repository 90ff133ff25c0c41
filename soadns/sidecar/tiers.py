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

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from soadns.model import Service
from soadns.routemodel import Route, Target, Vip
from soadns.sidecar import dubboproxy, istioports
from soadns.sidecar.destinations import Destinations, Lead
from soadns.sidecar.rules import twins
from soadns.sidecar.wirenames import tellable

CONNECTION, REQUEST = "connection", "request"
"""Words of ``soadns.io/balancing``: Istio's own filter, or each call by itself."""
FAILING, INLINE, NEVER = "failing", "inline", "never"
"""Words of ``soadns.io/moves``: rules where calls would fail without them, all rules, or none."""
FOR_RULES, FOR_BALANCING = "rules", "balancing"
"""What a port would have a file, or a filter, for: rules, or no more than each call by itself."""
ALL = ""
"""All callers, where a namespace of callers is meant."""
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
    most_filters: int = 500
    """Ports that have filters for all callers: istiod's work for each push and sidecar grows with them."""
    most: int = 16
    """Ports whose rules the pods of one namespace have from files: Envoy watches each file by an inotify instance."""
    whole: frozenset[str] | None = None
    """Namespaces all of whose Services are read; None: all."""


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
    claim: str = ""
    """What it would have a file for (``FOR_RULES``, ``FOR_BALANCING``); ``''``: it is to have none anew."""
    full: str = ""
    """Where it would have one, and why it has none: there are too many already."""
    wants: str = ""
    """What it would have a filter for all callers for (as ``claim``); ``''``: it is to have none."""
    crowded: str = ""
    """Why it has none though it wants one: there are too many already."""


def decide(
    subject: Subject,
    facts: PortFacts,
    wishes: Wishes,
    destinations: Destinations,
    applied: Applied,
    places: Mapping[str, Collection[int]] | None = None,
) -> PortTier:
    """The tier of one port.

    :param places: namespace of callers → ports of the Service that may have files there, and of ``ALL`` those that may
        have filters (``places``); None: all.
    """
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
    wants = (FOR_RULES if tier > 1 else FOR_BALANCING) if tier else ""
    crowded = bool(wants and not held and places is not None and port not in places.get(ALL, ()))
    if crowded:
        tier, why = 0, f"no further filter is written, though {why}"
    asked = held_files if obstacle else wishes.namespaces
    if service.moves == NEVER:
        asked = ()
    files = tuple(ns for ns in asked if places is None or ns in held_files or port in places.get(ns, ()))
    without = [ns for ns in asked if ns not in files]
    return PortTier(
        port,
        tier,
        why,
        files=files,
        claim=_claim(facts, rules) if asked and not obstacle else "",
        full=_full(without, wishes.most) if without else "",
        wants=wants,
        crowded=_crowded(wishes.most_filters) if crowded else "",
        untold=tuple(untold),
        lost=(*LOST, *lead.lost) if tier or files else (),
        harm=obstacle if tier or files else "",
    )


def _claim(facts: PortFacts, rules: list[Route]) -> str:
    """What a file would be for: a port that refuses nothing and sends nothing elsewhere needs no rule but ``*``."""
    refuses = any(route.target is None for route in facts.vip.routes)
    return FOR_RULES if rules or refuses else FOR_BALANCING


def _full(namespaces: list[str], most: int) -> str:
    """Why there is no file in some namespaces."""
    return (
        f"tier 3 is full in {', '.join(namespaces)}: {most} ports have files there; raise "
        "fs.inotify.max_user_instances on the nodes and then sidecar.istio.files.most, or set soadns.io/moves: never "
        "on Services that need no rules"
    )


def _crowded(most: int) -> str:
    """Why there is no filter for all callers."""
    return (
        f"there is room for {most} ports with filters, a quarter of it for those that need rules, and it is full: "
        "istiod's work for each push grows with them; set soadns.io/balancing: connection on Services that can do "
        "without, have callers' pods mount files of rules, or raise sidecar.istio.most"
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
        if not tellable(route.interface):
            untold.append(f"{route.interface}: Envoy would take such a name for a pattern")
        elif route.target is not None and (reason := untellable(route.target, destinations)):
            untold.append(f"{dubboproxy.spelled(route)}: {reason}")
        elif route.target is not None and not _stays(route.target, facts.vip):
            rules.append(route)
    return rules, untold


def _stays(target: Target, vip: Vip) -> bool:
    """Whether a target is the VIP's own Service, or its twin: to Istio these are one host."""
    return target.service is not None and twins(target.service, vip.service)


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
