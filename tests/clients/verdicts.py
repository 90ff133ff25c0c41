"""What the tables of ``docs/clients.md`` say, without the figures that differ from run to run.

The page is a run's, and every run must come to the same: what a client keeps, whether it follows, whether its calls
fail, whether its calls go to one pod. How much failed and how long it waited is the page's own, within what is promised
(``beyond_faults``, ``beyond_moves``, ``late``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.clients import page, tables
from tests.clients.driving import INTERFACES, SCRIPTS
from tests.scenarios.stage.promises import (
    FOLLOWS_S,
    GONE,
    NEVER,
    OPENED,
    PART_MADE,
    fails_killed,
    fails_restarted,
    least_calls,
    longest_s,
)
from tests.scenarios.stage.residents import KEPT_S, PAUSE_S
from tests.scenarios.stage.riders import BY_NAME, CLIENTS, LOCAL, NAME, REGISTRY, Client
from tests.scenarios.stage.timeline import AFTER_S, DOWN_S, KILLED, KILLED_S, LOSSES, RESTARTED, lost
from tests.scenarios.stage.timeline import back as returned

Verdicts = dict[str, tuple[str, ...]]
"""By client and way."""
LOST = "calls failed"


def rows(text: str, table: str, columns: Sequence[str]) -> list[list[str]]:
    """The cells of a table of the page."""
    first, _, *rest = (
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in page.body(text, table)
    )
    assert first == [column.strip() for column in columns], first
    assert all(len(line) == len(columns) for line in rest), rest
    return rest


def _by_client(text: str, table: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    found = rows(text, table, columns)
    if columns[: len(tables.WHO)] == tables.WHO:
        expected = [(tables.framework(client), f"`{client.protocol}`") for client in CLIENTS]
        assert [(row[0], row[2]) for row in found] == expected, table
    else:
        assert [row[0] for row in found] == [tables.name(client) for client in CLIENTS], table
    keys = (client.key for client in CLIENTS)
    return {key: dict(zip(columns, row, strict=True)) for key, row in zip(keys, found, strict=True)}


def of_moves(text: str) -> Verdicts:
    """What each client ran, by what it was configured, what it looked up and called, whether and when it follows to
    another Service, and what it keeps of what providers say."""
    kept = _by_client(text, page.KEPT_TABLE, tables.KEPT_COLUMNS)
    return {
        key: (
            *(said[column] for column in ("version", "configuration", "resolves", "calls")),
            *(_follows(said[column]) for column in tables.FOLLOWS),
            *(kept[key][column] for column in (*tables.HELD, "else")),
        )
        for key, said in _by_client(text, page.CLIENTS_TABLE, tables.COLUMNS).items()
    }


def _follows(cell: str) -> str:
    if cell == tables.NOTHING:
        return cell
    return tables.STAYS if cell.startswith(tables.STAYS) else "follows"


def of_preferences(text: str) -> list[list[str]]:
    """What older callers do at providers that prefer what they do not know: all of it."""
    return rows(text, page.PREFERRED_TABLE, tables.PREFERRED_COLUMNS)


def of_faults(text: str) -> Verdicts:
    """Of each loss whether calls failed by name, to how many pods calls go, and over how many connections."""
    found: Verdicts = {}
    for key, said in _by_client(text, page.CLIENTS_TABLE, tables.COLUMNS).items():
        losses = [_loss(what, said[what]) for what in LOSSES]
        found[key] = (*losses, _spread(key, said["calls per pod"]))
    for client, way, said in _local(text):
        found[f"{client.key}, {way}"] = tuple(_loss(what, said[what]) for what in LOSSES)
    for client, way, said in _ways(text):
        if client.program not in SCRIPTS:
            found[f"{client.key}, {way}"] = (f"connections: {said['connections']}",)
    return found


def _loss(what: str, cell: str) -> str:
    """``0 / 2`` or ``0 of 360, 0.1 s``: by name comes first."""
    lost = LOST if int(cell.split(" ")[0]) else "no call failed"
    return f"{what}: {lost}"


def _spread(key: str, cell: str) -> str:
    if key.partition("/")[0] in SCRIPTS:  # a connection of each call, or of each thread: as it falls
        return ""
    by_name, without = ("one pod" if " : " not in each else "both" for each in cell.split(" / "))
    return f"{by_name} by name, {without} without"


def broken(verdicts: Verdicts) -> list[str]:
    """What is not as promised."""
    return [f"{key}: {verdict}" for key, each in verdicts.items() for verdict in each if LOST in verdict]


# ---------------------------------------------------------------------- figures, and what is promised of them


def beyond_faults(text: str, *, restarted: int = 0, killed: int = 0) -> list[str]:
    """What more, or less, than is promised is on the page of a timeline, but for how long somebody waited."""
    return [*_outages(text), *_idle(text), *_lost(text, restarted, killed), *_opened(text)]


def beyond_moves(text: str) -> list[str]:
    """The same of the matrix."""
    return list(_slow(text))


def _outages(text: str) -> Iterator[str]:
    """What was not down for as long as is said."""
    found = rows(text, page.AWAY_TABLE, tables.AWAY_COLUMNS)
    assert [row[0] for row in found] == list(LOSSES)
    for what, down, back in found:
        if not DOWN_S[what] <= _number(down) <= _number(back):
            yield f"{what}: down for {down}, works again after {back}"


def _idle(text: str) -> Iterator[str]:
    """Who made so few calls that what became of them says nothing."""
    lasted = {
        what: (_number(down), _number(back))
        for what, down, back in rows(text, page.AWAY_TABLE, tables.AWAY_COLUMNS)
    }
    waited = _by_client(text, page.WAITS_TABLE, tables.WAITS_COLUMNS)
    for what in LOSSES:
        down, back = lasted[what]
        seconds = {lost(what): down, returned(what): back - down + AFTER_S[what]}
        made = [
            # `0.1 s, 360 / 0.1 s, 361`
            (client, way, int(each.rpartition(", ")[2]))
            for client in CLIENTS
            for way, each in zip((NAME, REGISTRY), waited[client.key][what].split(" / "), strict=True)
        ]
        # `0 of 360, 0.1 s`
        made += [(client, way, _whole(said[what])) for client, way, said in _local(text)]
        for client, way, calls in made:
            least = sum(least_calls(client, way, phase, each) for phase, each in seconds.items())
            if calls < least:
                yield f"{client.key}, {way}: {calls} calls, of at least {least}, for {what}"
    for client, way, said in _ways(text):
        for column, phase in (("restarted: failed", RESTARTED), ("killed: failed", KILLED)):
            # How long restarts took the page does not say: not less than the pod that is killed was looked after.
            least = least_calls(client, way, phase, KILLED_S)
            if (calls := _whole(said[column])) < least:
                yield f"{client.key}, {way}: {calls} calls, of at least {least}, {phase}"


def _whole(cell: str) -> int:
    """Of ``2 of 360``, how many there were."""
    return int(cell.partition(" of ")[2].partition(",")[0])


def late(text: str) -> list[str]:
    """Who was without an answer for longer than is promised, on a machine that has time."""
    found = []
    waited = _by_client(text, page.WAITS_TABLE, tables.WAITS_COLUMNS)
    for client, way, said in [(client, "", waited[client.key]) for client in CLIENTS] + _local(text):
        for what in LOSSES:
            # `0.1 s, 360 / 0.1 s, 361` or `0 of 360, 0.1 s`
            gap_s = float(said[what].partition(" s")[0].rpartition(" ")[2])
            if gap_s > longest_s(client, what):
                found.append(f"{client.key}{way and ', '}{way}: {gap_s} s for {what}")
    return found


def _lost(text: str, more_restarted: int, more_killed: int) -> Iterator[str]:
    """Who lost more calls by name when pods restart and when one is killed, and any with a server."""
    for client, way, said in _ways(text):
        if way in BY_NAME:
            restarted, killed = (_number(said[column]) for column in ("restarted: failed", "killed: failed"))
            if restarted > fails_restarted(client) + more_restarted:
                yield f"{client.key}, {way}: {restarted:g} calls failed for pods that restart"
            if killed > fails_killed(client, way) + more_killed:
                yield f"{client.key}, {way}: {killed:g} calls failed for a pod that is killed"
    for key, said in _by_client(text, page.CLIENTS_TABLE, tables.COLUMNS).items():
        for what in LOSSES:
            if _number(said[what]):
                yield f"{key}: {said[what]} calls failed for {what}"


def _opened(text: str) -> Iterator[str]:
    """Who opened more connections, or less."""
    for client, way, said in _ways(text):
        if client.program not in SCRIPTS and way != REGISTRY:
            expected = tables.opened(OPENED[client.key][way])
            if said["connections"] != expected:
                yield f"{client.key}, {way}: {said['connections']} connections, not {expected}"


def _slow(text: str) -> Iterator[str]:
    """Who followed later than is promised, or with more calls that failed; who did not, as far as was looked."""
    for key, said in _by_client(text, page.CLIENTS_TABLE, tables.COLUMNS).items():
        connected, gone = (said[column] for column in tables.FOLLOWS)
        if _follows(connected) == "follows" and _number(connected) > FOLLOWS_S.get(key, 0.0):
            yield f"{key}: followed after {connected}"
        if _follows(connected) == tables.STAYS:
            calls = int(connected.removeprefix(f"{tables.STAYS} in ").removesuffix(" calls"))
            if calls < PART_MADE * KEPT_S / PAUSE_S:
                yield f"{key}: {connected}"
        for done in ("resolves", "calls"):
            if said[done] != f"{len(INTERFACES)} of {len(INTERFACES)}":
                yield f"{key}: {done} {said[done]}"
        if key in NEVER:
            continue
        if _number(gone) > GONE[key].within_s:
            yield f"{key}: followed after {gone}"
        if "," in gone and _number(gone.partition(", ")[2]) > GONE[key].fails:
            yield f"{key}: {gone}"


def _number(cell: str) -> float:
    """The first one."""
    return float(cell.split(" ")[0])


def _local(text: str) -> list[tuple[Client, str, dict[str, str]]]:
    return _with_ways(text, page.LOCAL_TABLE, tables.LOCAL_COLUMNS, LOCAL)


def _ways(text: str) -> list[tuple[Client, str, dict[str, str]]]:
    return _with_ways(text, page.WAYS_TABLE, tables.WAY_COLUMNS, CLIENTS)


def _with_ways(
    text: str, table: str, columns: Sequence[str], clients: Sequence[Client]
) -> list[tuple[Client, str, dict[str, str]]]:
    found = rows(text, table, columns)
    ridden = [(client, way) for client in clients for way in client.ways]
    assert [tuple(row[:2]) for row in found] == [(tables.name(client), way) for client, way in ridden]
    cells = [dict(zip(columns, row, strict=True)) for row in found]
    return [(*whose, said) for whose, said in zip(ridden, cells, strict=True)]
