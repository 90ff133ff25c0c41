"""The page of clients holds what the tests of the clients write: every framework is in it, and no row is red."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients import page, verdicts
from tests.scenarios.stage import costs, outcomes
from tests.scenarios.stage.promises import BY_THEMSELVES, NEVER
from tests.scenarios.stage.riders import CLIENTS, LOCAL, Client

TEXT = page.PAGE.read_text(encoding="utf-8")


def test_every_client_is_there_with_all_its_names() -> None:
    found = verdicts.of_moves(TEXT)
    assert list(found) == [client.key for client in CLIENTS]
    for key, (configuration, names, *_) in found.items():
        called, _, there_are = names.partition(" of ")
        assert called == there_are, key
        assert configuration != page.NOTHING, key


def test_who_follows_is_who_is_said_to() -> None:
    for key, (_, _, connected, gone) in verdicts.of_moves(TEXT).items():
        assert (connected == "follows") == (key in BY_THEMSELVES), key
        assert (gone == "follows") == (key not in NEVER), key


def test_none_lost_a_call_that_it_must_not_lose_or_waited_longer_than_is_promised() -> None:
    found = verdicts.of_faults(TEXT)
    assert len(found) == len(CLIENTS) + sum(len(client.ways) for client in LOCAL)
    assert verdicts.broken(found) == []
    assert verdicts.late(TEXT) == []


def test_each_way_of_each_client_is_there() -> None:
    found = verdicts.rows(TEXT, page.WAYS_TABLE, page.WAY_COLUMNS)
    expected = [(page.name(client), way) for client in CLIENTS for way in client.ways]
    assert [tuple(row[:2]) for row in found] == expected
    for row in found:
        assert page.NOTHING not in row, row


# ---------------------------------------------------------------------- from what a run wrote


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder in which a run has written all its figures, none of which is remarkable."""
    outcome = {
        "configurations": ["url"], "names": 5, "resolves": 5, "calls": 5, "follows_kept_s": None, "follows_gone_s": 1.0,
        "failed_gone": 0, "calls_gone": 10,
    }  # fmt: skip
    rest = dict.fromkeys(outcomes.Outcome.__dataclass_fields__, 0)
    moves = [rest | outcome | whose(client) for client in CLIENTS]
    write(tmp_path / outcomes.MATRIX.name, rows=moves)
    write(tmp_path / costs.FILE.name, rows=list(map(ridden, CLIENTS)), node_local=list(map(ridden, LOCAL)))
    return tmp_path


def whose(client: Client) -> dict[str, str]:
    return {"program": client.program, "protocol": client.protocol}


def ridden(client: Client) -> dict[str, Any]:
    fault = {"calls": 360, "failed": 0, "gap_ms": 100.0}
    way = {"per_pod": [60, 20], "per_pod_after": [80], **dict.fromkeys(costs.FAULTS, fault)}
    return whose(client) | {"ways": dict.fromkeys(client.ways, way)}


def write(file: Path, **said: object) -> None:
    file.write_text(json.dumps(said), encoding="utf-8")


def test_a_page_is_made_of_a_whole_run(run: Path) -> None:
    text = page.draft(run)
    assert (run / "clients.md").read_text(encoding="utf-8") == text
    assert verdicts.broken(verdicts.of_faults(text)) == verdicts.late(text) == []
    assert verdicts.of_moves(text)["rest/http"] == ("`url`", "5 of 5", "not by itself", "follows")
    assert text.partition("<!--")[0] == TEXT.partition("<!--")[0]


def test_what_a_run_lost_or_waited_for_too_long_is_seen(run: Path) -> None:
    rows = list(map(ridden, CLIENTS))
    rows[0]["ways"]["by name"] |= {"ZooKeeper": {"calls": 360, "failed": 1, "gap_ms": 100.0}}
    rows[1]["ways"]["by name"] |= {"ZooKeeper": {"calls": 360, "failed": 0, "gap_ms": 10_100.0}}
    local = list(map(ridden, LOCAL))
    local[0]["ways"]["by name"] |= {"CoreDNS": {"calls": 360, "failed": 2, "gap_ms": 20_200.0}}
    write(run / costs.FILE.name, rows=rows, node_local=local)
    text = page.draft(run)
    assert verdicts.broken(verdicts.of_faults(text)) == [
        "dubbo-2.6.12/dubbo: ZooKeeper: calls failed",
        "dubbo-3.3.5/dubbo, NodeLocal, by name: CoreDNS: calls failed",
    ]
    assert verdicts.late(text) == [
        "dubbo-2.7.23/dubbo: 10.1 s for ZooKeeper",
        "dubbo-3.3.5/dubbo, NodeLocal, by name: 20.2 s for CoreDNS",
    ]


def test_a_page_is_not_made_of_half_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(map(ridden, CLIENTS))
    del rows[0]["ways"]["two names"]["soadns"]
    write(run / costs.FILE.name, rows=rows[:-1], node_local=[])
    (run / outcomes.MATRIX.name).unlink()
    assert page.main(run) == 1
    said = capsys.readouterr().err
    assert "matrix.json: dubbo-2.6.12/dubbo: attempts, calls, " in said
    assert "timeline.json: dubbo-2.6.12/dubbo, two names: soadns\n" in said
    assert "timeline.json: private-tcp/tcp, by name: soadns, " in said
    assert "timeline.json: rest/http, NodeLocal, by name: soadns, " in said
    assert "make test-scenarios" in said
    assert page.PAGE.read_text(encoding="utf-8") == TEXT
    assert set(verdicts.of_moves(page.draft(run)).values()) == {(page.NOTHING,) * 4}
