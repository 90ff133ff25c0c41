"""The page of clients holds what the tests of the clients write: every framework is in it, and no row is red."""

from __future__ import annotations

import re

from tests.clients import page
from tests.scenarios.stage.riders import CLIENTS
from tests.scenarios.stage.timeline import API_SERVER, COREDNS, SOADNS, ZOOKEEPER

LOOKS_UP = {"rest/http", "sofarpc-5.12.0/bolt"}


def rows(table: str, columns: tuple[str, ...]) -> list[list[str]]:
    text = page.PAGE.read_text(encoding="utf-8")
    body = text.partition(page.begin(table))[2].partition(page.end(table))[0].strip()
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines())
    assert head == [column.strip() for column in columns]
    assert all(len(line) == len(columns) for line in lines), lines
    return lines


def test_every_client_is_there_and_none_lost_a_call_that_it_must_not_lose() -> None:
    found = rows("clients", page.COLUMNS)
    assert [row[0] for row in found] == [page.name(client) for client in CLIENTS]
    for client, row in zip(CLIENTS, found, strict=True):
        said = dict(zip(page.COLUMNS, row, strict=True))
        called, _, interfaces = said["names"].partition(" of ")
        assert called == interfaces, row
        assert said["configuration"] != page.NOTHING, row
        for what in (SOADNS, COREDNS, ZOOKEEPER, API_SERVER):
            by_name, _, without = said[what].partition(" / ")
            assert re.fullmatch(r"\d+", by_name), row
            assert re.fullmatch(r"\d+", without), row
            if client.key not in LOOKS_UP or what != COREDNS:
                assert by_name == "0", f"{client.key} {what}"


def test_each_way_of_each_client_is_there() -> None:
    found = rows("direct URLs", page.WAY_COLUMNS)
    expected = [(page.name(client), way) for client in CLIENTS for way in client.ways]
    assert [tuple(row[:2]) for row in found] == expected
    for row in found:
        assert page.NOTHING not in row, row
