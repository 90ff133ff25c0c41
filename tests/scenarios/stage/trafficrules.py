"""What people say with Istio's VirtualServices and DestinationRules, and what becomes of it by Service name, without a
filter, and by interface name at each tier: a table of ``docs/istio.md`` that the tests are held to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.clients.tables import head, line
from tests.scenarios.stage.mesh import host, istio
from tests.scenarios.stage.proportions import alike, likely
from tests.scenarios.stage.stage import Service

Row = Mapping[str, Any]
TIERS = (0, 1, 2, 3)
WEIGHT = 90
"""Of a hundred calls so many are to go to the first subset."""
SHARE = WEIGHT / 100
CALLS = 150
"""So many tell a split by weights from none, and from all to one (``tests/unit/test_proportions.py``)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that people say, and what becomes of it."""

    what: str
    by_service: str
    """By Service name, through Istio's own listener."""
    by_interface: tuple[str, str, str, str]
    """By interface name, tier by tier."""

    def at(self, tier: int) -> str:
        """What becomes of it by interface name."""
        return self.by_interface[tier]


BY_SHARE, ONE_HAS_ALL, EACH_CALL = "by their shares", "one subset has all", "each call goes to one"
ITS_PODS = "its pods alone"
REFUSED, WAIT, WAIT_AND_REFUSED = (
    "more are refused", "more calls wait", "more calls wait, further ones are refused",
)  # fmt: skip
EJECTED, STAYS = "ejected", "stays"


def _same(what: str, verdict: str) -> Rule:
    """The same everywhere."""
    return Rule(what, verdict, (verdict,) * 4)


def _otherwise(what: str, verdict: str, above: str) -> Rule:
    """Another thing above tier 0."""
    return Rule(what, verdict, (verdict, *(above,) * 3))


RULES = SPLIT, ONE_CONNECTION, SUBSET, LIMIT, LIMITS, DEAD, THROWING = (
    _same("a VirtualService: weights of two subsets; over many connections", BY_SHARE),
    _otherwise("the same; over one connection", ONE_HAS_ALL, EACH_CALL),
    _same("a VirtualService: one subset", ITS_PODS),
    _otherwise("a DestinationRule: `maxConnections`", REFUSED, WAIT),
    _otherwise("the same, and `http1MaxPendingRequests`", REFUSED, WAIT_AND_REFUSED),
    _same("a DestinationRule: `outlierDetection`; a pod where nobody listens", EJECTED),
    _otherwise("the same; a pod whose application throws", STAYS, EJECTED),
)  # fmt: skip


def promised() -> Iterator[str]:
    """The table, in Markdown."""
    yield from head(("what people say", "by Service name", *(f"tier {tier}" for tier in TIERS)))
    for rule in RULES:
        yield line(rule.what, rule.by_service, *rule.by_interface)


# ---------------------------------------------------------------------- shares that one run found


SHARES = "shares"
SIDES = ("by_service", "by_interface")
_SHARES_COLUMNS = ("tier", "calls to the first subset, by Service name", "by interface name")


def shares(tier: int, by_service: int, by_interface: int) -> dict[str, object]:
    """A row of what was seen: of ``CALLS`` on each side, how many went to the subset that is to have ``WEIGHT`` %."""
    return {SHARES: tier, "calls": CALLS, "by_service": by_service, "by_interface": by_interface}


def found(rows: Iterable[Row]) -> Iterator[str]:
    """The table of those rows, in Markdown."""
    them = {int(row[SHARES]): row for row in rows if SHARES in row}
    yield from head(_SHARES_COLUMNS)
    for tier in sorted(them):
        yield line(str(tier), *(f"{them[tier][side]} of {them[tier]['calls']}" for side in SIDES))


def missing(rows: Iterable[Row]) -> list[str]:
    """What was not looked at."""
    seen = {row[SHARES] for row in rows if SHARES in row}
    return [f"{SHARES}, tier {tier}: were not counted" for tier in TIERS if tier not in seen]


def beyond(lines: Sequence[str]) -> list[str]:
    """Where such a table has counts that are not of the share, or of two different ones."""
    cells = [[cell.strip() for cell in each.strip("|").split("|")] for each in lines[2:]]
    if [cell[0] for cell in cells] != [str(tier) for tier in TIERS]:
        return [f"{SHARES}: not of all tiers"]
    wrong = []
    for tier, *counts in cells:
        pairs = [tuple(map(int, count.split(" of "))) for count in counts]
        [(ours, calls), (theirs, of)] = pairs
        if not (all(likely(*pair, SHARE) for pair in pairs) and alike(ours, calls, theirs, of)):
            wrong.append(f"{SHARES}, tier {tier}: {', '.join(counts)}")
    return wrong


# ---------------------------------------------------------------------- what is written


def subsets(service: Service, **policy: Any) -> dict[str, Any]:
    """A DestinationRule with the subsets ``v1`` and ``v2``, and a policy for all."""
    named = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    spec: dict[str, Any] = {"host": host(service), "subsets": named}
    return istio("DestinationRule", service.name, spec | ({"trafficPolicy": policy} if policy else {}))


def split(service: Service, first: int) -> dict[str, Any]:
    """A VirtualService that sends so many of a hundred to ``v1``."""
    route = [
        {"destination": {"host": host(service), "subset": name}, "weight": weight}
        for name, weight in (("v1", first), ("v2", 100 - first))
        if weight
    ]
    return istio("VirtualService", service.name, {"hosts": [host(service)], "tcp": [{"route": route}]})


def pool(pending: int = 0) -> dict[str, Any]:
    """One connection at most, to be had by so many that wait for it; 0 says nothing of those."""
    found: dict[str, Any] = {"tcp": {"maxConnections": 1}}
    return {"connectionPool": found | ({"http": {"http1MaxPendingRequests": pending}} if pending else {})}


def detection() -> dict[str, Any]:
    """Who fails once is called no more."""
    found = {
        "consecutive5xxErrors": 1,
        "interval": "100ms",
        "baseEjectionTime": "60s",
        "maxEjectionPercent": 100,
    }
    return {"outlierDetection": found}
