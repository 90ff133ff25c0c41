"""The page of clients holds what the tests of the clients write: every framework is in it, and no row is red."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients import page, tables, verdicts
from tests.scenarios.stage import costs, outcomes, preferences
from tests.scenarios.stage.preferences import Preference
from tests.scenarios.stage.promises import BY_THEMSELVES, DEAF, NEVER, OPENED
from tests.scenarios.stage.riders import CLIENTS, LOCAL, Client
from tests.scenarios.stage.timeline import LOSSES

TEXT = page.PAGE.read_text(encoding="utf-8")


UNITS = "s|seconds?|minutes?|milliseconds?|calls?|times|of|percent|in"
NUMBERS = "two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|sixty|hundred"


def test_every_client_is_there_with_all_its_names_and_the_version_that_ran() -> None:
    found = verdicts.of_moves(TEXT)
    assert list(found) == [client.key for client in CLIENTS]
    for client, (version, configuration, resolves, calls, *_) in zip(CLIENTS, found.values(), strict=True):
        assert version == tables.version(client)
        assert configuration != tables.NOTHING, client.key
        for done in (resolves, calls):
            assert len(set(done.split(" of "))) == 1, client.key


def test_who_follows_is_who_is_said_to() -> None:
    for key, (*_, connected, gone, _, _, _, _) in verdicts.of_moves(TEXT).items():
        assert (connected == "follows") == (key in BY_THEMSELVES), key
        assert (gone == "follows") == (key not in NEVER), key
    assert verdicts.beyond_moves(TEXT) == []


def test_what_is_kept_is_what_is_said_to_be() -> None:
    for key, (*_, generic, timeout, attempts, other) in verdicts.of_moves(TEXT).items():
        framework = key.partition("-")[0] in {"dubbo", "sofarpc"}
        assert generic == ("works" if framework else tables.NOTHING), key
        assert attempts == "1", key
        assert (timeout == "**no**") == (key in DEAF), key
        assert (other != tables.NOTHING) == (key in DEAF | NEVER), key


def test_none_lost_a_call_that_it_must_not_lose_or_waited_longer_than_is_promised() -> None:
    found = verdicts.of_faults(TEXT)
    assert {client.key for client in CLIENTS + LOCAL} <= {key.removesuffix(", by name") for key in found}
    assert verdicts.broken(found) == []
    assert verdicts.late(TEXT) == []
    assert verdicts.beyond_faults(TEXT) == []


def test_each_way_of_each_client_is_there() -> None:
    found = verdicts.rows(TEXT, page.WAYS_TABLE, tables.WAY_COLUMNS)
    expected = [(tables.name(client), way) for client in CLIENTS for way in client.ways]
    assert [tuple(row[:2]) for row in found] == expected
    for row in found:
        assert row.count(tables.NOTHING) == (row[1] == "without soadns"), (
            row
        )  # who has no name connects to pods


def test_what_is_promised_stands_there_word_by_word() -> None:
    for table, lines in page.PROMISED.items():
        assert page.body(TEXT, table) == list(lines()), table


def test_no_figure_is_typed_by_hand() -> None:
    words = re.sub(r"`[^`]*`|\]\([^)]*\)", "", page.by_hand(TEXT))
    typed = re.compile(rf"\b(?:\d[\d.,]*|{NUMBERS})(?:[- ](?:{UNITS})\b|%)", re.IGNORECASE)
    assert typed.findall("it took 3 s, of 280 calls 48 failed, ten seconds or 5%") == [
        "3 s", "280 calls", "ten seconds", "5%",
    ]  # fmt: skip
    assert typed.findall(words) == []


# ---------------------------------------------------------------------- from what a run wrote


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a run has written all its figures, none of which is remarkable."""
    outcome = {
        "configurations": ["url"], "names": 5, "resolves": 5, "calls": 5, "follows_kept_s": None, "follows_gone_s": 1.0,
        "calls_kept": 400, "failed_gone": 0, "calls_gone": 10, "generic": None, "timeout_holds": True, "attempts": 1,
        "cure": "",
    }  # fmt: skip
    rest = dict.fromkeys(outcomes.Outcome.__dataclass_fields__, 0)
    moves = [rest | outcome | whose(client) for client in CLIENTS]
    write(tmp_path / outcomes.MATRIX.name, rows=moves)
    write_timeline(tmp_path, list(map(ridden, CLIENTS)), list(map(ridden, LOCAL)))
    monkeypatch.setattr(preferences, "FILE", tmp_path / preferences.FILE.name)
    preferences.write([PREFERENCE])
    return tmp_path


PREFERENCE = Preference(
    caller="Dubbo 1", provider="Dubbo 3", says="prefer.serialization=fastjson2", told="safe", requests=("hessian2",),
    answers=("hessian2",), by_name="succeed", by_registry="fail",
)  # fmt: skip
AWAY = {"down_s": 18.1, "back_s": 19.04}


def write_timeline(
    run: Path, rows: list[dict[str, Any]], node_local: list[dict[str, Any]], **away: object
) -> None:
    write(run / costs.FILE.name, rows=rows, node_local=node_local, away=dict.fromkeys(LOSSES, AWAY) | away)


def whose(client: Client) -> dict[str, str]:
    return {"program": client.program, "protocol": client.protocol, "version": tables.version(client)}


def ridden(client: Client) -> dict[str, Any]:
    fault = {"calls": 360, "failed": 0, "gap_ms": 100.0}
    way = {"per_pod": [60, 20], "per_pod_after": [80], **dict.fromkeys(costs.FAULTS, fault)}
    opened = OPENED.get(client.key.partition(",")[0], {})
    return whose(client) | {
        "ways": {name: way | {"connections": opened.get(name, 0)} for name in client.ways}
    }


def write(file: Path, **said: object) -> None:
    file.write_text(json.dumps(said), encoding="utf-8")


def test_a_page_is_made_of_a_whole_run(run: Path) -> None:
    text = page.draft(run)
    assert (run / "clients.md").read_text(encoding="utf-8") == text
    assert verdicts.broken(verdicts.of_faults(text)) == verdicts.late(text) == []
    assert verdicts.beyond_faults(text) == verdicts.beyond_moves(text) == []
    assert verdicts.of_moves(text)["rest/http"] == (
        "–", "`url`", "5 of 5", "5 of 5", "not by itself", "follows", "–", "holds", "1", "–",
    )  # fmt: skip
    assert verdicts.of_preferences(text) == [
        [
            "Dubbo 1",
            "Dubbo 3",
            "`prefer.serialization=fastjson2`",
            "safe",
            "hessian2",
            "hessian2",
            "succeed",
            "fail",
        ]
    ]
    assert "| soadns | 18.1 s | 19.0 s |" in text
    assert text.partition("<!--")[0] == TEXT.partition("<!--")[0]


def test_what_a_run_lost_or_waited_for_too_long_is_seen(run: Path) -> None:
    rows = list(map(ridden, CLIENTS))
    rows[0]["ways"]["by name"] |= {"ZooKeeper": {"calls": 360, "failed": 1, "gap_ms": 100.0}}
    rows[1]["ways"]["by name"] |= {"ZooKeeper": {"calls": 360, "failed": 0, "gap_ms": 10_100.0}}
    local = list(map(ridden, LOCAL))
    local[0]["ways"]["by name"] |= {"CoreDNS": {"calls": 360, "failed": 2, "gap_ms": 20_200.0}}
    write_timeline(run, rows, local)
    text = page.draft(run)
    assert verdicts.broken(verdicts.of_faults(text)) == [
        "dubbo-2.6.12/dubbo: ZooKeeper: calls failed",
        "dubbo-3.3.5/dubbo, NodeLocal, by name: CoreDNS: calls failed",
    ]
    assert verdicts.late(text) == [
        "dubbo-2.7.23/dubbo: 10.1 s for ZooKeeper",
        "dubbo-3.3.5/dubbo, NodeLocal, by name: 20.2 s for CoreDNS",
    ]


def test_what_is_beyond_a_promise_is_seen(run: Path) -> None:
    rows = list(map(ridden, CLIENTS))
    rows[0]["ways"]["by name"] |= {"restarted": {"calls": 360, "failed": 300, "gap_ms": 100.0}}
    rows[1]["ways"]["by name"] |= {"killed": {"calls": 360, "failed": 3, "gap_ms": 100.0}}
    rows[1]["ways"]["two names"] |= {"killed": {"calls": 360, "failed": 3, "gap_ms": 100.0}, "connections": 1}
    rows[0]["ways"]["bare"] |= {"killed": {"calls": 360, "failed": 360, "gap_ms": 100.0}}
    rows[7]["ways"]["by name"] |= {"CoreDNS": {"calls": 360, "failed": 361, "gap_ms": 100.0}}
    write_timeline(run, rows, list(map(ridden, LOCAL)), ZooKeeper={"down_s": 5.0, "back_s": 6.0})
    assert verdicts.beyond_faults(page.draft(run)) == [
        "ZooKeeper: down for 5.0 s, works again after 6.0 s",
        "dubbo-2.6.12/dubbo, by name: 300 calls failed for pods that restart",
        "dubbo-2.7.23/dubbo, two names: 3 calls failed for a pod that is killed",
        "sofarpc-5.12.0/bolt: 361 / 0 calls failed for CoreDNS",
        "dubbo-2.7.23/dubbo, two names: 1 connections, not 2",
    ]
    moves = json.loads((run / outcomes.MATRIX.name).read_text())["rows"]
    moves[0] |= {"follows_gone_s": 70.0}
    moves[1] |= {"failed_gone": 32, "calls_gone": 40}
    moves[2] |= {"follows_kept_s": 1.0}
    moves[3] |= {"calls_kept": 199}
    moves[4] |= {"resolves": 0, "names": 0}
    moves[5] |= {"calls": 4}
    moves[9] |= {"follows_kept_s": 46.0}
    write(run / outcomes.MATRIX.name, rows=moves)
    assert verdicts.beyond_moves(page.draft(run)) == [
        "dubbo-2.6.12/dubbo: followed after 70.0 s",
        "dubbo-2.7.23/dubbo: 1.0 s, 32 of 40 calls failed",
        "dubbo-3.2.16/dubbo: followed after 1.0 s",
        "dubbo-3.2.16/tri: not by itself in 199 calls",
        "dubbo-3.3.5/dubbo: resolves 0 of 0",
        "dubbo-3.3.5/dubbo: calls 5 of 0",
        "dubbo-3.3.5/tri: calls 4 of 5",
        "rest/http: followed after 46.0 s",
    ]


def test_a_run_in_which_nobody_called_proves_nothing(run: Path) -> None:
    nothing = {"calls": 0, "failed": 0, "gap_ms": 0.0}
    rows, local = list(map(ridden, CLIENTS)), list(map(ridden, LOCAL))
    for row in (*rows, *local):
        for way in row["ways"].values():
            way |= dict.fromkeys(costs.FAULTS, nothing)
    write_timeline(run, rows, local)
    found = verdicts.beyond_faults(page.draft(run))
    for client in CLIENTS:
        for way in client.ways:
            assert sum(each.startswith(f"{client.key}, {way}: 0 calls, of at least ") for each in found) >= 2
    for client in LOCAL:
        for way in client.ways:
            about = [each for each in found if each.startswith(f"{client.key}, {way}: 0 calls, of at least ")]
            assert len(about) == len(LOSSES)
    for client in CLIENTS:
        for what in LOSSES:
            for way in ("by name", "without soadns"):
                assert any(
                    each.startswith(f"{client.key}, {way}: 0 calls") and each.endswith(f"for {what}")
                    for each in found
                )


def test_a_page_is_not_made_of_half_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(map(ridden, CLIENTS))
    del rows[0]["ways"]["two names"]["soadns"]
    write_timeline(run, rows[:-1], [], CoreDNS={})
    (run / outcomes.MATRIX.name).unlink()
    (run / preferences.FILE.name).unlink()
    assert page.main(run) == 1
    said = capsys.readouterr().err
    assert "matrix.json: dubbo-2.6.12/dubbo: attempts, calls, " in said
    assert "timeline.json: dubbo-2.6.12/dubbo, two names: soadns\n" in said
    assert "timeline.json: private-tcp/tcp, by name: soadns, " in said
    assert "timeline.json: rest/http, NodeLocal, by name: soadns, " in said
    assert "timeline.json: CoreDNS: back_s, down_s\n" in said
    assert "preferences.json: all of it\n" in said
    assert "make test-scenarios" in said
    assert page.PAGE.read_text(encoding="utf-8") == TEXT
    assert set(verdicts.of_moves(page.draft(run)).values()) == {(tables.NOTHING,) * 10}
