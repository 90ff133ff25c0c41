"""What the tables of ``docs/clients.md`` say, without the figures that differ from run to run.

The page is a run's, and every run must come to the same: whether a client follows, whether its calls fail, whether its
calls go to one pod. How long it waited is the page's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.clients import page
from tests.clients.driving import SCRIPTS
from tests.scenarios.stage.promises import FAILS, longest_s
from tests.scenarios.stage.riders import CLIENTS, LOCAL, Client
from tests.scenarios.stage.timeline import COREDNS, LOSSES

Verdicts = dict[str, tuple[str, ...]]
"""By client and way."""
LOST = "calls failed"


def rows(text: str, table: str, columns: Sequence[str]) -> list[list[str]]:
    """The cells of a table of the page."""
    body = text.partition(page.begin(table))[2].partition(page.end(table))[0].strip()
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines())
    assert head == [column.strip() for column in columns], head
    assert all(len(line) == len(columns) for line in lines), lines
    return lines


def _by_client(text: str, table: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    found = rows(text, table, columns)
    assert [row[0] for row in found] == [page.name(client) for client in CLIENTS], table
    keys = (client.key for client in CLIENTS)
    return {key: dict(zip(columns, row, strict=True)) for key, row in zip(keys, found, strict=True)}


def of_moves(text: str) -> Verdicts:
    """By what each client was configured, whether all names were called, and when it goes to another Service."""
    return {
        key: (
            said["configuration"], said["names"],
            *(_follows(said[column]) for column in ("follows, connected", "follows, pods gone")),
        )
        for key, said in _by_client(text, page.CLIENTS_TABLE, page.COLUMNS).items()
    }  # fmt: skip


def _follows(cell: str) -> str:
    if cell == page.NOTHING:
        return cell
    return "not by itself" if cell.startswith("not by itself") else "follows"


def of_faults(text: str) -> Verdicts:
    """Of each loss whether calls failed by name, and to how many pods calls go."""
    found: Verdicts = {}
    for key, said in _by_client(text, page.CLIENTS_TABLE, page.COLUMNS).items():
        losses = [_loss(key, what, said[what]) for what in LOSSES]
        found[key] = (*losses, _spread(key, said["calls per pod"]))
    for client, way, said in _local(text):
        found[f"{client.key}, {way}"] = tuple(_loss(client.key, what, said[what]) for what in LOSSES)
    return found


def _loss(key: str, what: str, cell: str) -> str:
    """``0 / 2`` or ``0 of 360, 0.1 s``: by name comes first."""
    lost = LOST if int(cell.split(" ")[0]) else "no call failed"
    if what == COREDNS and key in FAILS:
        lost = "calls may fail"
    return f"{what}: {lost}"


def _spread(key: str, cell: str) -> str:
    if key.partition("/")[0] in SCRIPTS:  # a connection of each call, or of each thread: as it falls
        return ""
    by_name, without = ("one pod" if " : " not in each else "both" for each in cell.split(" / "))
    return f"{by_name} by name, {without} without"


def late(text: str) -> list[str]:
    """Who was without an answer for longer than is promised."""
    waited = _by_client(text, page.WAITS_TABLE, page.WAITS_COLUMNS)
    cells = [(client, "", waited[client.key]) for client in CLIENTS] + _local(text)
    found = []
    for client, way, said in cells:
        for what in LOSSES:
            # `0.1 s, 360 / 0.1 s, 361` or `0 of 360, 0.1 s`
            gap_s = float(said[what].partition(" s")[0].rpartition(" ")[2])
            if gap_s > longest_s(client, what):
                found.append(f"{client.key}{way and ', '}{way}: {gap_s} s for {what}")
    return found


def _local(text: str) -> list[tuple[Client, str, dict[str, str]]]:
    found = rows(text, page.LOCAL_TABLE, page.LOCAL_COLUMNS)
    ridden = [(client, way) for client in LOCAL for way in client.ways]
    assert [tuple(row[:2]) for row in found] == [(page.name(client), way) for client, way in ridden]
    cells = [dict(zip(page.LOCAL_COLUMNS, row, strict=True)) for row in found]
    return [(*whose, said) for whose, said in zip(ridden, cells, strict=True)]


def broken(verdicts: Verdicts) -> list[str]:
    """What is not as promised."""
    return [f"{key}: {verdict}" for key, each in verdicts.items() for verdict in each if LOST in verdict]
