"""``soadns explain --manifest``: what names would be after objects are applied. Pure.

The rules are those of binding itself, on an estate that nobody else uses: objects of manifests are folded into it as if
a cluster's API server had them, and what that touched is explained before and after. It knows no file and no process.

What an API server adds is taken from what stands there: ClusterIPs, UID, age, load balancers. A Service that is not
there yet is the youngest, and has a ClusterIP that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from soadns.binding.estate import Estate
from soadns.model import EndpointSlice, Key, Node, ObjectRef, Observation, Service, Upsert
from soadns.reports.explain import explain
from soadns.reports.views import Data

UNASSIGNED = IPv4Address("192.0.2.1")
"""The first of the addresses (RFC 5737, TEST-NET-1) that stand for ClusterIPs that nobody knows yet."""
MOST_UNASSIGNED = 250
MOST_NAMES = 2_000
"""Names that are explained; what is more is counted."""
_SAID = ("state", "names", "kind", "addresses", "service", "host", "evidence", "reason", "detail", "cause")
"""What there is to say of a name on one side."""
_ANSWERED = ("state", "names", "addresses", "service", "reason", "detail")
"""Where a difference in these is a change."""


class RehearsalError(Exception):
    """Manifests that can not be rehearsed; the message says why."""


@dataclass(slots=True)
class Plan:
    """Objects as they would stand in a cluster."""

    events: list[Upsert] = field(default_factory=list)
    objects: list[Data] = field(default_factory=list)
    """Each object, and its state: ``new``, ``changed``, ``unchanged``, or ``not read`` by the source."""
    services: set[ObjectRef] = field(default_factory=set)
    unassigned: set[str] = field(default_factory=set)
    """Addresses that stand for ClusterIPs that nobody knows yet."""


def plan(
    values: Iterable[tuple[Key, Observation]],
    known: Mapping[Key, Observation],
    source: str,
    reads: Callable[[Service], bool],
    now: float,
) -> Plan:
    """Put what manifests hold, by (file, kind, ...), beside what a source of that cluster knows.

    ``reads`` says whether the source is shown a Service.

    :raises RehearsalError: for more new Services than there are addresses to stand for theirs.
    """
    found = Plan()
    by_object = {key[-2:] if key[-2] == "Node" else key[-3:]: key for key in known}
    for (_, *rest), value in values:
        key = by_object.get(tuple(rest), tuple(rest))
        before = known.get(key)
        if isinstance(value, Service) and not reads(value):
            found.objects.append({"object": _name(rest), "state": "not read"})
            continue
        if isinstance(value, Service):
            value = _as_applied(value, before if isinstance(before, Service) else None, found, now)
            found.services.add(value.ref)
        elif not isinstance(value, EndpointSlice | Node):
            continue
        state = "new" if before is None else "unchanged" if before == value else "changed"
        found.objects.append({"object": _name(rest), "state": state})
        found.events.append(Upsert(source, key, value))
    return found


def _name(key: Sequence[str]) -> str:
    return f"{key[0]} {'/'.join(key[1:])}"


def _as_applied(service: Service, before: Service | None, plan: Plan, now: float) -> Service:
    """With what the API server keeps of it, or gives it."""
    if before is not None:
        service = replace(
            service,
            uid=before.uid,
            created=before.created,
            load_balancer=service.load_balancer or before.load_balancer,
        )
        if not (service.cluster_ips or service.headless or service.type == "ExternalName"):
            service = replace(service, cluster_ips=before.cluster_ips, headless=before.headless)
        return service
    service = replace(service, uid=f"unassigned/{service.ref}", created=now)
    if not (service.cluster_ips or service.headless or service.type == "ExternalName"):
        if len(plan.unassigned) >= MOST_UNASSIGNED:
            raise RehearsalError(f"more than {MOST_UNASSIGNED} Services that are not there yet")
        address = str(UNASSIGNED + len(plan.unassigned))
        plan.unassigned.add(address)
        service = replace(service, cluster_ips=(address,))
    return service


Touched = dict[str, list[str]]
"""By zone: names that something has touched, as they are written."""


def settle(estate: Estate, now: float) -> Touched:
    """Work until nothing is left to do at this moment; the names that were touched."""
    while True:
        estate.work(now)
        if not estate.pending:
            break
    return {
        name: [str(interface) for interface in sorted(zone.take_decided().interfaces)]
        for name, zone in estate.zones.items()
    }


def apply(estate: Estate, events: Sequence[Upsert], now: float) -> Touched:
    """Fold the objects in, as one batch; the names that this touches."""
    settle(estate, now)
    estate.fold(events, now)
    return settle(estate, now)


def sides(estate: Estate, touched: Touched, now: float) -> dict[str, dict[str, Data]]:
    """By zone and name: how it stands."""
    found: dict[str, dict[str, Data]] = {}
    for zone, names in touched.items():
        found[zone] = {}
        for name in names[:MOST_NAMES]:
            told = [
                each for each in explain(estate, name, now, zone=zone)["zones"] if each["interface"] == name
            ]
            if told:
                found[zone][name] = told[0]
    return found


def comparison(
    plan: Plan,
    before: Mapping[str, Mapping[str, Data]],
    after: Mapping[str, Mapping[str, Data]],
    touched: Touched,
) -> Data:
    """What would change, and what of the manifests would have no effect, as ``docs/http.md`` has it."""
    ours = {str(ref) for ref in plan.services}
    zones = []
    for zone, names in touched.items():
        changes, later, refused = [], [], []
        for name in names[:MOST_NAMES]:
            one, other = before.get(zone, {}).get(name), after.get(zone, {}).get(name)
            if _answer(one) != _answer(other):
                changes.append({"interface": name, "before": _side(one, plan), "after": _side(other, plan)})
            if clocks := _begun(one, other):
                later.append({"interface": name, "deadlines": clocks})
            refused += [
                {
                    "interface": name, "service": row["service"], "verdict": row["verdict"], "detail": row["detail"],
                    "declared": name in row["declares"],
                }
                for row in (other or {}).get("candidates", ())
                if row["service"] in ours and row["verdict"] != "winner"
            ]  # fmt: skip
        omitted = max(0, len(names) - MOST_NAMES)
        zones.append(
            {"zone": zone, "changes": changes, "later": later, "refused": refused, "omitted": omitted}
        )
    return {"objects": plan.objects, "zones": zones}


def _answer(side: Data | None) -> list[object] | None:
    return None if side is None else [side.get(key) for key in _ANSWERED]


def _side(side: Data | None, plan: Plan) -> Data | None:
    if side is None:
        return None
    said = {key: side[key] for key in _SAID if key in side}
    if (addresses := said.get("addresses")) is not None:
        said["addresses"] = [address for address in addresses if address not in plan.unassigned]
        said["unassigned"] = len(said["addresses"]) < len(addresses)
    return said


def _begun(before: Data | None, after: Data | None) -> Data:
    """The clocks that run towards a change by what was applied, and when they end."""
    ran = (before or {}).get("deadlines", {})
    return {
        clock: end for clock, end in (after or {}).get("deadlines", {}).items() if end and not ran.get(clock)
    }
