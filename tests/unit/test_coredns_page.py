"""The tables of ``docs/coredns.md`` hold what a run wrote, within the bounds that every run is held to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.clients.page import begin, end
from tests.crowd import Outcome
from tests.scenarios.stage import beside, failures, replicas
from tests.scenarios.stage.beside import ALONE, BESIDE, CLIENTS, IN_THE_MOMENT, LONGEST_S, ONE
from tests.scenarios.stage.clients import Tally
from tests.scenarios.stage.corednspage import BEHIND, FAILURES, FORWARD, GONE, PAGE, drawn
from tests.scenarios.stage.failures import EVENTS, VARIANTS, WAYS, Found, Looked
from tests.scenarios.stage.replicas import FIRST, OWN, SHARED, Row, Seen
from tests.scenarios.stage.wiretap import Question
from tests.stalls import Stood

TEXT = PAGE.read_text(encoding="utf-8")


def rows(table: str) -> list[list[str]]:
    """The cells below the head of a table of the page."""
    body = TEXT.partition(begin(table))[2].partition(end(table))[0].strip()
    lines = [
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        for line in body.splitlines()
    ]
    return lines[2:]


def test_no_question_is_lost_and_no_answer_later_than_tests_allow() -> None:
    for cells, event in zip(rows(FAILURES), EVENTS.values(), strict=True):
        whom, what, lost, *slowest = cells
        assert (whom, what, lost) == (event.whom, event.what, "0")
        found = {way: failures.seconds(cell) for way, cell in zip(WAYS, slowest, strict=True) if cell}
        assert found.keys() == {*event.ways}
        assert max(found.values()) <= event.longest_s


def test_the_files_here_do_better_than_the_defaults() -> None:
    found = dict(zip(VARIANTS, rows(FORWARD), strict=True))
    assert [row[:2] for row in found.values()] == [[each.has, each.since] for each in VARIANTS.values()]
    assert {row[3] for row in found.values()} == {"0"}
    answered = [int(found[name][2]) for name in (failures.DEFAULTS, failures.DEPLOYED, failures.SOONER)]
    assert answered == sorted(set(answered))


def test_behind_clusterips_no_question_is_lost_where_each_replica_has_one() -> None:
    found = rows(BEHIND)
    expected = [(event, way) for event in replicas.EVENTS for way in replicas.WAYS]
    late = dict.fromkeys(replicas.WAYS, 0)
    lost = dict.fromkeys(replicas.WAYS, 0)
    for (event, way), cells in zip(expected, found, strict=True):
        whom, what, has, share, waited, slowest, others = cells
        each = replicas.WAYS[way]
        if way == SHARED:
            assert (whom, what) == (replicas.EVENTS[event].whom, replicas.EVENTS[event].what)
        assert has == each.has
        number, asked = map(int, share.split(" of "))
        assert number <= each.lost * asked
        assert failures.seconds(slowest) <= each.longest_s
        assert failures.seconds(others.removeprefix("0 lost, ")) < replicas.LATE_S
        lost[way] += number
        late[way] += int(waited)
    assert lost[OWN] == lost[FIRST] == 0 < lost[SHARED]
    assert late[FIRST] < late[OWN] / 2


def test_what_waits_for_longer_than_a_resolver_does_is_lost() -> None:
    waits = (0.003, 0.4, 4.9, 5.1, float("inf"))
    seen = Seen.of([Question("a.", 0.0, waited=wait) for wait in waits], Stood())
    assert seen == Seen(asked=5, lost=2, late=2, longest_ms=4900.0)
    assert Seen.of([], Stood()) == Seen(0, 0, 0, 0.0)


def test_who_waits_while_the_machine_stands_still_waits_for_nobody() -> None:
    waits = (0.003, 0.4, 0.9, 5.1, float("inf"))
    questions = [Question("a.", 100.0, waited=wait) for wait in waits]
    seen = Seen.of(questions, Stood([[100.3, 100.6], [200.0, 201.0]]))
    assert seen == Seen(asked=5, lost=1, late=2, longest_ms=4800.0)


def test_one_of_two_coredns_costs_little_and_all_of_it_nothing_to_who_can_ask_soadns() -> None:
    found = rows(GONE)
    assert [tuple(row[:2]) for row in found] == [
        (client, pods.asks) for client in CLIENTS for pods in (ALONE, BESIDE)
    ]
    for _, asks, one, whole in found:
        failed, _, made = one.partition(",")[0].partition(" of ")
        assert int(failed) <= (0 if asks == BESIDE.asks else IN_THE_MOMENT) < int(made)
        if asks == BESIDE.asks:
            assert whole.startswith("0 of ")
            assert failures.seconds(whole.partition(", ")[2]) <= LONGEST_S


def test_the_manifest_that_the_page_shows_is_what_the_pods_had() -> None:
    [block] = re.findall(r"^```yaml pod\n(.*?)^```$", TEXT, re.M | re.S)
    assert yaml.safe_load(block) == {"spec": beside.manifest()}


@pytest.fixture
def whole() -> Found:
    """A run in which nothing was remarkable."""
    found = Found(variants={name: Looked(100, 0, 2004.0) for name in VARIANTS})
    for name, event in EVENTS.items():
        for way in event.ways:
            found.note(name, way, Outcome(asked=10, slowest=12.4))
    return found


def test_what_a_run_wrote_is_read_again(
    whole: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "FILE", tmp_path / "build" / "failures.json")
    whole.write()
    found = failures.read(failures.FILE)
    assert found == whole
    assert failures.absent(found) == []
    assert failures.absent(failures.read(tmp_path / "none")) == [*EVENTS, *VARIANTS]
    first = list(failures.events(found))[2]
    assert first.startswith("| one of two replicas | killed (SIGKILL ")
    assert first.endswith(" | 0 | 12 ms | 12 ms | 12 ms |")
    assert list(failures.variants(found))[2] == "| its defaults |  | 100 | 0 | 2.0 s |"


@pytest.fixture
def behind() -> replicas.Found:
    """The same of replicas behind ClusterIPs."""
    row = Row(Seen(1200, 0, 7, 2004.0), Seen(400, 0, 0, 8.2))
    return replicas.Found({event: dict.fromkeys(replicas.WAYS, row) for event in replicas.EVENTS})


def test_what_a_run_wrote_of_clusterips_is_read_again(
    behind: replicas.Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "FILE", tmp_path / "build" / "replicas.json")
    behind.write()
    found = replicas.read(replicas.FILE)
    assert found == behind
    assert replicas.absent(found) == []
    nobody = replicas.absent(replicas.read(tmp_path / "none"))
    assert nobody == [f"{event} behind ClusterIPs" for event in replicas.EVENTS]
    first = list(replicas.table(found))[2]
    assert first.startswith("| one of two replicas | killed (SIGKILL), ")
    assert first.endswith(" | one for both | 0 of 1200 | 7 | 2.0 s | 0 lost, 8 ms |")


def test_the_worst_of_several_crowds_counts(whole: Found) -> None:
    whole.note("both", "UDP", Outcome(asked=10, lost=1, bad=1, slowest=5.0))
    assert whole.slowest_ms["both"]["UDP"] == 12.4
    assert whole.lost["both"] == 2


def test_a_page_is_made_of_what_was_found(
    whole: Found, behind: replicas.Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "FILE", tmp_path / "build" / "beside.json")
    tally = Tally(calls=360, failed=2, longest_gap_ms=3_060.0)
    called = {
        (client, pods.asks): dict.fromkeys(beside.EVENTS, tally)
        for client in CLIENTS
        for pods in (ALONE, BESIDE)
    }
    beside.write(called)
    found = beside.read(beside.FILE)
    assert found == called
    assert beside.absent(found) == []
    assert beside.absent({}) == [f"{client}, {pods.asks}" for client in CLIENTS for pods in (ALONE, BESIDE)]
    page = drawn(TEXT, whole, behind, found)
    assert f"| {ONE} |" in page
    assert "| one for both | 0 of 1200 | 7 | 2.0 s | 0 lost, 8 ms |" in page
    assert "| CoreDNS alone | 2 of 360, 3.1 s | 2 of 360, 3.1 s |" in page
    assert page.partition("<!--")[0] == TEXT.partition("<!--")[0]
