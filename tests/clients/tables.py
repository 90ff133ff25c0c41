"""The tables of ``docs/clients.md`` that a run writes, in Markdown, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.scenarios.stage.preferences import Preference
from tests.scenarios.stage.riders import (
    BY_NAME,
    CLIENTS,
    CONNECTIONS,
    CONNECTIONS_EACH,
    LOCAL,
    NAME,
    REGISTRY,
    TWO_NAMES,
    TWO_URLS,
    Client,
)
from tests.scenarios.stage.timeline import LOSSES

RESTARTED = "pods restarted"
WHO = ("framework", "version", "protocol")
FOLLOWS = ("follows, connected", "follows, pods gone")
COLUMNS = (*WHO, "configuration", "resolves", "calls", *FOLLOWS, *LOSSES, RESTARTED, "calls per pod")
CURES = {
    NAME: "one URL", CONNECTIONS: f"`connections={CONNECTIONS_EACH}`", TWO_URLS: "`URL;URL`", TWO_NAMES: "two names",
}  # fmt: skip
"""By way: what an operator writes."""
HELD = ("generic invocation", "a provider's timeout", "attempts")
KEPT_COLUMNS = (*WHO, *HELD, *CURES.values(), "else")
AWAY_COLUMNS = ("lost", "down", "works again after")
WAITS_COLUMNS = ("client", *LOSSES, RESTARTED)
LOCAL_COLUMNS = ("client", "called", *LOSSES)
WAY_COLUMNS = (
    "client", "called", "connections", "calls per pod", "after a restart", "restarted: failed", "longest gap",
    "killed: failed", "longest gap ",
)  # fmt: skip
PREFERRED_COLUMNS = (
    "caller", "provider", "its URL says", "`soadns export resolve`", "requests", "answers", "calls by name",
    "by the registry",
)  # fmt: skip
NOTHING = "–"
_FRAMEWORKS = {"dubbo": "Dubbo", "sofarpc": "SOFARPC", "sofa-rpc-node": "sofa-rpc-node"}
_WITHOUT = {"rest": "REST over HTTP", "private-tcp": "a private protocol over TCP"}

Row = Mapping[str, Any]
Rows = Mapping[tuple[str, str], Row]


@dataclass(frozen=True)
class Figures:
    """What the tests wrote, by program and protocol; nothing of those that did not run."""

    matrix: Rows
    timeline: Rows
    local: Rows
    """Behind NodeLocal DNSCache."""
    away: Mapping[str, Row]
    """By loss."""
    preferences: Sequence[Preference]
    absent: tuple[str, ...]
    """What is not there, one line for each."""


def name(client: Client) -> str:
    """A client in words."""
    if client.program in _WITHOUT:
        return _WITHOUT[client.program]
    return f"{framework(client)} {version(client)}, `{client.protocol}`"


def framework(client: Client) -> str:
    """What it is written with."""
    return _WITHOUT.get(client.program) or _FRAMEWORKS[client.program.rpartition("-")[0]]


def version(client: Client) -> str:
    """The version that its program is made of."""
    return NOTHING if client.program in _WITHOUT else client.program.rpartition("-")[2]


def _who(client: Client, row: Row) -> tuple[str, str, str]:
    """The version is the one that its process ran."""
    return framework(client), str(row.get("version") or NOTHING), f"`{client.protocol}`"


STAYS = "not by itself"
"""How cells begin that say so."""


def _seconds(value: float | None) -> str:
    return STAYS if value is None else f"{value:.1f} s"


def _moves(row: Row) -> Sequence[str]:
    if not row:
        return [NOTHING] * 5
    kept, gone = _seconds(row["follows_kept_s"]), _seconds(row["follows_gone_s"])
    if kept == STAYS:
        kept += f" in {row['calls_kept']} calls"
    if row["failed_gone"]:
        gone += f", {row['failed_gone']} of {row['calls_gone']} calls failed"
    return (
        ", ".join(f"`{text}`" if text.isascii() and " " not in text else text for text in row["configurations"]),
        *(f"{row[done]} of {row['names']}" for done in ("resolves", "calls")),
        kept,
        gone,
    )  # fmt: skip


def _failed(ways: Mapping[str, Row], what: str) -> str:
    """The most of all ways by name, and by the registry."""
    by_name = max(row[what]["failed"] for way, row in ways.items() if way in BY_NAME)
    return f"{by_name} / {ways[REGISTRY][what]['failed']}"


def _shares(counts: Sequence[int]) -> str:
    whole = sum(counts) or 1
    return " : ".join(f"{count / whole:.0%}" for count in counts) or "none"


def clients(found: Figures) -> Iterator[str]:
    """Each client in a row."""
    yield from head(COLUMNS)
    for client in CLIENTS:
        key = client.program, client.protocol
        row, ways = found.matrix.get(key, {}), found.timeline.get(key, {}).get("ways")
        faults = [NOTHING] * (len(LOSSES) + 2)
        if ways:
            shares = " / ".join(_shares(ways[way]["per_pod"]) for way in (NAME, REGISTRY))
            faults = [_failed(ways, what) for what in LOSSES]
            faults.append(" / ".join(str(ways[way]["restarted"]["failed"]) for way in (NAME, REGISTRY)))
            faults.append(shares)
        yield line(*_who(client, row), *_moves(row), *faults)


def kept(found: Figures) -> Iterator[str]:
    """What each client keeps of a registry's ways by one name, and what an operator can do."""
    yield from head(KEPT_COLUMNS)
    for client in CLIENTS:
        key = client.program, client.protocol
        row, ways = found.matrix.get(key, {}), found.timeline.get(key, {}).get("ways", {})
        cells = [NOTHING] * len(HELD)
        if row:
            cells = [
                _truth(row["generic"], "works"),
                _truth(row["timeout_holds"], "holds"),
                str(row["attempts"]),
            ]
        cures = [_cured(client, ways[way]) if way in ways else NOTHING for way in CURES]
        yield line(*_who(client, row), *cells, *cures, row.get("cure") or NOTHING)


def _truth(value: bool | None, well: str) -> str:
    if value is None:
        return NOTHING
    return well if value else "**no**"


def _cured(client: Client, way: Row) -> str:
    """Connections that are open, and calls that failed when the pod was killed that got them."""
    return f"{_connected(client, way)}, {way['killed']['failed']} failed"


def _connected(client: Client, way: Row) -> str:
    return "one a call" if client.protocol == "http" else opened(way["connections"])


def opened(connections: int) -> str:
    """How many connections a way has for itself."""
    return str(connections or "shared")


def away(found: Figures) -> Iterator[str]:
    """How long each loss was."""
    yield from head(AWAY_COLUMNS)
    for what in LOSSES:
        said = found.away.get(what)
        yield line(what, *(f"{said[key]:.1f} s" if said else NOTHING for key in ("down_s", "back_s")))


def waits(found: Figures) -> Iterator[str]:
    """How long each client was without an answer, and how many calls it made meanwhile."""
    yield from head(WAITS_COLUMNS)
    for client in CLIENTS:
        ways = found.timeline.get((client.program, client.protocol), {}).get("ways")
        faults = (*LOSSES, "restarted")
        yield line(name(client), *(_waited(ways, what) if ways else NOTHING for what in faults))


def _waited(ways: Mapping[str, Row], what: str) -> str:
    """The worst of all ways by name, and by the registry."""
    by_name = [each[what] for way, each in ways.items() if way in BY_NAME]
    gap, calls = max(each["gap_ms"] for each in by_name), min(each["calls"] for each in by_name)
    registry = ways[REGISTRY][what]
    return f"{_gap(gap)}, {calls} / {_gap(registry['gap_ms'])}, {registry['calls']}"


def node_local(found: Figures) -> Iterator[str]:
    """Each client behind NodeLocal DNSCache in a row for each way in which it calls."""
    yield from head(LOCAL_COLUMNS)
    for client in LOCAL:
        ways = found.local.get((client.program, client.protocol), {}).get("ways", {})
        for way in client.ways:
            cells = [", ".join(_fault(ways[way][what])) if way in ways else NOTHING for what in LOSSES]
            yield line(name(client), way, *cells)


def ways(found: Figures) -> Iterator[str]:
    """Each client in a row for each way in which it calls."""
    yield from head(WAY_COLUMNS)
    for client in CLIENTS:
        ridden = found.timeline.get((client.program, client.protocol), {}).get("ways", {})
        for way in client.ways:
            if row := ridden.get(way):
                connected = NOTHING if way == REGISTRY else _connected(client, row)
                faults = [*_fault(row["restarted"]), *_fault(row["killed"])]
                cells = [connected, _shares(row["per_pod"]), _shares(row["per_pod_after"]), *faults]
            else:
                cells = [NOTHING] * (len(WAY_COLUMNS) - 2)
            yield line(name(client), way, *cells)


def preferred(found: Figures) -> Iterator[str]:
    """What older callers do at providers that prefer what they do not know."""
    yield from head(PREFERRED_COLUMNS)
    for each in found.preferences:
        yield line(
            each.caller, each.provider, f"`{each.says}`" if each.says else NOTHING, each.told,
            _listed(each.requests), _listed(each.answers), each.by_name, each.by_registry,
        )  # fmt: skip


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or NOTHING


def _fault(row: Row) -> tuple[str, str]:
    return f"{row['failed']} of {row['calls']}", _gap(row["gap_ms"])


def _gap(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s"


def head(columns: Sequence[str]) -> Iterator[str]:
    """The first two lines of a table."""
    yield line(*(column.strip() for column in columns))
    yield "|" + "---|" * len(columns)


def line(*cells: str) -> str:
    """One more."""
    return f"| {' | '.join(cells)} |"
