"""What is to be written of EnvoyFilters, when, and what is held back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soadns.mesh.filterguard import WINDOW_S, FilterAlarm, FilterGuard
from soadns.mesh.filterplan import (
    APART_S,
    BURST_S,
    CHANGE,
    CREATE,
    REMOVE,
    Likeness,
    Name,
    Pace,
    Standing,
    Step,
    Wanted,
    step_for,
    turn,
)
from soadns.mesh.istiod import Istiod, Rejects, Said, read
from soadns.mesh.istioreader import Foreign, filter_of
from soadns.mesh.trials import BLAME_S, Trials

ROOT = "istio-system"
NOW = 1_800_000_000.0


def an_object(name: str = "soadns-shop-user-1", *, rule: str = "*", **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": ROOT, "labels": {"soadns.io/service-uid": "u1"}, **metadata},
        "spec": {"priority": 10, "configPatches": [rule]},
    }


def standing(document: dict[str, Any], uid: str = "u1") -> Standing:
    served = {**document, "metadata": {**document["metadata"], "resourceVersion": "7", "generation": 1}}
    return Standing(served, "7", "object-1", uid)


NAME: Name = (ROOT, "soadns-shop-user-1")
WISH = Wanted(an_object(), "u1")


def plan(wanted: dict[Name, Wanted], held: dict[Name, Standing], fate: str = "here") -> list[str]:
    likeness = Likeness()
    made = (
        step_for(name, wanted.get(name), held.get(name), lambda _: fate, likeness.same)
        for name in wanted.keys() | held.keys()
    )
    found = sorted((step for step in made if step is not None), key=turn)
    return [f"{step.kind}{' urgent' if step.urgent else ''}" for step in found]


@pytest.mark.parametrize(
    ("wanted", "held", "fate", "expected"),
    [
        ({NAME: WISH}, {}, "here", ["create"]),
        ({NAME: WISH}, {NAME: standing(an_object())}, "here", []),
        ({NAME: WISH}, {NAME: standing(an_object(rule="other"))}, "here", ["change"]),
        ({NAME: WISH}, {NAME: standing(an_object(labels={"by": "hand"}))}, "here", ["change"]),
        ({}, {NAME: standing(an_object())}, "here", ["remove"]),
        ({}, {NAME: standing(an_object())}, "gone", ["remove"]),
        ({}, {NAME: standing(an_object())}, "replaced", ["remove urgent"]),
    ],
)
def test_what_is_to_be_done(
    wanted: dict[Name, Wanted], held: dict[Name, Standing], fate: str, expected: list[str]
) -> None:
    assert plan(wanted, held, fate) == expected


def test_a_service_that_was_created_again_has_its_old_filter_removed_first() -> None:
    other = (ROOT, "soadns-shop-user-2")
    wanted = {other: Wanted(an_object(other[1]), "u2")}
    assert plan(wanted, {NAME: standing(an_object())}, "replaced") == ["remove urgent", "create"]


def test_what_an_api_server_makes_of_an_object_is_not_written_again_and_again() -> None:
    likeness = Likeness()
    made = {**an_object(), "spec": {"priority": 10, "configPatches": ["*"], "added": True}}
    assert not likeness.same(NAME, an_object(), made)
    likeness.note(NAME, an_object(), made)
    assert likeness.same(NAME, an_object(), made)
    assert not likeness.same(NAME, an_object(rule="other"), made)
    assert not likeness.same(NAME, an_object(), an_object(rule="by hand"))


# --------------------------------------------------------------------------- pace


def test_rules_of_one_service_change_once_a_minute() -> None:
    pace = Pace()
    change = Step(CHANGE, NAME, "u1", an_object(), rules=True)
    assert pace.wait(change, NOW) == 0.0
    pace.note(change, NOW)
    assert pace.wait(change, NOW + 10) == APART_S - 10
    assert pace.wait(replace(change, uid="u2"), NOW + 10) == 0.0
    assert pace.wait(replace(change, rules=False), NOW + 10) == 0.0, "the rule for everything cuts nothing"
    assert pace.wait(replace(change, kind=REMOVE, urgent=True), NOW + 10) == 0.0
    assert pace.wait(change, NOW + APART_S) == 0.0


def test_what_follows_at_once_belongs_to_the_same_change() -> None:
    pace = Pace()
    change = Step(CHANGE, NAME, "u1", an_object(), rules=True)
    pace.note(change, NOW)
    for after in (1.0, 2.0, BURST_S - 0.1):
        assert pace.wait(change, NOW + after) == 0.0, "what it cuts is cut already"
        pace.note(change, NOW + after)
    assert pace.wait(change, NOW + BURST_S) == APART_S - BURST_S, (
        "a minute after the first one, however many followed"
    )
    assert pace.wait(change, NOW + APART_S) == 0.0
    pace.note(change, NOW + APART_S)
    assert pace.wait(change, NOW + APART_S + BURST_S) == APART_S - BURST_S


def test_who_takes_over_does_not_know_what_was_changed_just_now() -> None:
    pace = Pace()
    pace.begin(["u1"], NOW)
    assert pace.wait(Step(CHANGE, NAME, "u1", an_object(), rules=True), NOW + 1) == APART_S - BURST_S - 1
    assert pace.wait(Step(CREATE, NAME, "u1", an_object(), rules=True), NOW + 1) == 0.0


def test_nor_does_who_gets_back_what_it_had_before() -> None:
    pace = Pace()
    change = Step(CHANGE, NAME, "u1", an_object(), rules=True)
    pace.note(change, NOW)
    pace.begin(["u1"], NOW + 3600)
    assert pace.wait(change, NOW + 3601) == APART_S - BURST_S - 1
    pace.note(change, NOW + 3600 + APART_S)
    pace.begin(["u1"], NOW + 3600 + APART_S + 1)
    assert pace.wait(change, NOW + 3600 + APART_S + BURST_S) == APART_S - BURST_S, "its own is the later one"


# --------------------------------------------------------------------------- guard


def some(kind: str, numbers: range, **more: Any) -> list[Step]:
    return [Step(kind, (ROOT, f"soadns-{number}"), f"u{number}", **more) for number in numbers]


def test_many_changes_at_once_are_held_until_somebody_releases_them() -> None:
    guard = FilterGuard(0.2, 20)
    many = some(REMOVE, range(21))
    assert guard.sort_out(many, 100, NOW) == []
    assert guard.alarm == FilterAlarm(100, 21, 21)
    assert guard.release() == 21
    assert guard.sort_out(many, 100, NOW + 1) == many
    assert guard.alarm.held == 0
    more = some(CHANGE, range(30, 60))
    assert guard.sort_out([*many, *more], 100, NOW + 2) == many, "what came later was not released"


@pytest.mark.parametrize(
    ("steps", "total"),
    [
        (some(REMOVE, range(19)), 19),
        (some(CHANGE, range(21)), 105),
        (some(CREATE, range(500)), 0),
        (some(REMOVE, range(50), urgent=True), 100),
    ],
)
def test_few_changes_are_not_held_nor_what_is_new_or_wrong_by_proof(steps: list[Step], total: int) -> None:
    assert FilterGuard(0.2, 20).sort_out(steps, total, NOW) == steps


def test_changes_that_come_one_by_one_count_together() -> None:
    guard = FilterGuard(0.2, 20)
    for number in range(40):
        [one] = some(REMOVE, range(number, number + 1))
        if guard.sort_out([one], 100 - number, NOW + number) != [one]:
            break
        guard.note(one, NOW + number)
    assert number == 19
    assert guard.sort_out([one], 80, NOW + WINDOW_S + 21) == [one], "they are minutes apart"


def test_what_is_wanted_again_is_no_longer_held() -> None:
    guard = FilterGuard(0.2, 20)
    guard.sort_out(some(REMOVE, range(30)), 100, NOW)
    assert guard.sort_out([], 100, NOW + 1) == []
    assert guard.alarm == FilterAlarm(100, 0, 0)


# --------------------------------------------------------------------------- first writes


def tried(at: float) -> dict[Name, Standing]:
    created = "2027-01-15T08:00:00Z"
    assert NOW == 1_800_000_000.0  # which is then
    document = an_object(namespace="canary", creationTimestamp=created)
    return {("canary", NAME[1]): standing(document)} if at else {}


def places(trials: Trials, held: dict[Name, Standing], now: float, rejects: float = 0.0) -> list[str]:
    found = trials.places([an_object()], held, Rejects(1.0, rejects), now)
    return [each["metadata"]["namespace"] for each in found]


def test_a_first_filter_is_tried_in_one_namespace_and_is_for_all_then() -> None:
    trials = Trials("canary", ROOT, 300.0)
    assert places(trials, {}, NOW) == ["canary"]
    assert places(trials, tried(1), NOW + 299) == ["canary"]
    assert places(trials, tried(1), NOW + 300) == ["canary", ROOT]
    both = tried(1) | {NAME: standing(an_object())}
    assert places(trials, both, NOW + 301) == [ROOT]
    assert places(Trials("", ROOT, 300.0), {}, NOW) == [ROOT]


def test_what_sidecars_refuse_after_a_write_stops_the_rest_until_somebody_says_so() -> None:
    trials = Trials("canary", ROOT, 300.0)
    trials.note(Step(CREATE, NAME, "u1", an_object()), NOW)
    assert places(trials, tried(1), NOW + 301, rejects=NOW - 5) == ["canary", ROOT], "they did before"
    assert places(trials, tried(1), NOW + 301, rejects=NOW + 5) == ["canary"]
    assert trials.halted(Rejects(2.0, NOW + 500)), "it stays so"
    trials.forgive(NOW + 600)
    assert places(trials, tried(1), NOW + 601, rejects=NOW + 5) == ["canary", ROOT]
    assert not trials.halted(Rejects(9.0, NOW + BLAME_S + 700)), "nothing was written before that"


def test_rejects_are_read_from_istiods_metrics() -> None:
    text = (
        "# TYPE pilot_total_xds_rejects counter\n"
        'pilot_total_xds_rejects{type="lds"} 3\npilot_total_xds_rejects{type="cds"} 40\n'
        'pilot_xds_push_time_count{type="lds"} 9\n'
    )
    assert read(text) == Said(3.0, None, 0.0)
    assert read("") == Said(0.0, None, 0.0)


def test_which_filters_found_what_to_patch_is_read_from_istiods_metrics() -> None:
    text = (
        'pilot_envoy_filter_status{name="istio-system/soadns-a",patch="networkfilter",result="applied"} 1\n'
        'pilot_envoy_filter_status{name="web/soadns-b",patch="networkfilter",result="applied"} 0\n'
        'pilot_envoy_filter_status{patch="networkfilter",result="error"} 1\n'
    )
    assert read(text) == Said(0.0, frozenset({(ROOT, "soadns-a")}), 1.0)
    istiod = Istiod(("http://one", "http://two"), now=lambda: NOW)
    assert istiod.applied((ROOT, "soadns-a")) is None
    istiod._take("http://one", read(text))
    istiod._take("http://two", read(""))
    assert (istiod.applied((ROOT, "soadns-a")), istiod.applied(("web", "soadns-b"))) == (True, False)
    assert (istiod.errors, istiod.rejects) == (1.0, Rejects(0.0, 0.0))


# --------------------------------------------------------------------------- filters of others


def foreign(patch: dict[str, Any]) -> Foreign | None:
    found = filter_of(
        {"metadata": {"name": "theirs", "namespace": "web"}, "spec": {"configPatches": [patch]}}
    )
    assert not isinstance(found, Standing)
    return found


def a_patch(operation: str = "REPLACE", apply_to: str = "NETWORK_FILTER", **listener: Any) -> dict[str, Any]:
    match = {"context": "SIDECAR_OUTBOUND", "listener": listener}
    return {"applyTo": apply_to, "match": match, "patch": {"operation": operation}}


def named(name: str) -> dict[str, Any]:
    return {"filter": {"name": name}}


LISTENERS = ["10.96.0.1_20880"]
TCP, HTTP = "envoy.filters.network.tcp_proxy", "envoy.filters.network.http_connection_manager"


@pytest.mark.parametrize(
    ("patch", "concerned"),
    [
        (a_patch(name="10.96.0.1_20880", filterChain=named(TCP)), True),
        (a_patch(name="10.96.0.2_20880", filterChain=named(TCP)), False),
        (a_patch(portNumber=20880), True),
        (a_patch(portNumber=20881), False),
        (a_patch(), True),
        (a_patch("MERGE", filterChain=named(TCP)), True),
        (a_patch("REMOVE", "FILTER_CHAIN", name="10.96.0.1_20880"), True),
        (a_patch("INSERT_BEFORE", name="10.96.0.1_20880", filterChain=named(TCP)), False),
        (a_patch("INSERT_BEFORE", "HTTP_FILTER"), False),
        (a_patch("MERGE", filterChain=named(HTTP)), False),
        (a_patch() | {"match": {"context": "SIDECAR_INBOUND"}}, False),
        ({"applyTo": "CLUSTER", "match": {}, "patch": {"operation": "MERGE"}}, False),
        ({"applyTo": 5, "match": [], "patch": None}, False),
    ],
)  # fmt: skip
def test_filters_of_others_that_are_in_the_way_are_found(patch: dict[str, Any], concerned: bool) -> None:
    found = foreign(patch)
    assert (found is not None and found.concerns(LISTENERS)) == concerned


def test_ours_are_told_by_their_labels() -> None:
    labels = {"app.kubernetes.io/managed-by": "soadns", "soadns.io/service-uid": "u1"}
    document = an_object(labels=labels, uid="object-1", resourceVersion="7", managedFields=[{}])
    found = filter_of(document)
    assert isinstance(found, Standing)
    assert (found.uid, found.version, found.object_uid) == ("u1", "7", "object-1")
    assert "managedFields" not in found.document["metadata"]
