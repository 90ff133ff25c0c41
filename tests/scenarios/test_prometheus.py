"""What watches soadns, in a real Prometheus that scrapes it: each alert of the chart fires by what it is for, and not
before; each panel of the dashboard has something to draw.

Rules and dashboard are as real Helm renders them. Prometheus lives sixty times as fast as in a cluster, so all times of
a rule are divided by sixty (``stage/prometheus.py``): ``for: 1m`` is a second here. Nothing else of a rule is changed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.stage import prometheus
from tests.scenarios.stage.breaking import Breakable
from tests.scenarios.stage.helm import CHART
from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import story
from tests.scenarios.stage.watched import OTHER, OWN
from tests.scenarios.stage.zookeeper import ZooKeeper
from tests.stalls import Machine

Data = dict[str, Any]
# A second of a busy machine is a minute here: a rate of five minutes may miss a burst.
pytestmark = pytest.mark.alone

FIRES_WITHIN_S = 60.0
CALM_S = 7.0
"""For so long nothing fires at first, from when all was evaluated: longer than the longest ``for``."""

LOOKED, STILL_MS = 5, 250.0
"""So often at most; a quarter of the shortest ``for``."""


@dataclass(frozen=True)
class Fault:
    """What is done, and labels of the alert that fires by it."""

    happens: Callable[[Breakable], None]
    labels: dict[str, str]


MAIN, LOST, ELSEWHERE = (
    {"namespace": namespace, "pod": pod}
    for namespace, pod in ((OWN, "soadns-0"), (OWN, "soadns-1"), (OTHER, "soadns-0"))
)
ZONED = {"zone": "rpc.cluster.local"}
DUBBO = {"source": "zookeeper/main/dubbo"}
ROUNDS: tuple[dict[str, Fault], ...] = (
    {
        "SoadnsNotComplete": Fault(Breakable.unready_replica, LOST | ZONED),
        "SoadnsServfail": Fault(Breakable.unready_replica, LOST | ZONED),
        "SoadnsNotListening": Fault(Breakable.unready_replica, LOST | {"part": "transfer"}),
        "SoadnsSnapshotDenied": Fault(Breakable.stranger, MAIN),
        "SoadnsCredentialsRefused": Fault(Breakable.secret_is_damaged, MAIN | {"setting": "transfer.keys"}),
        "SoadnsFilterRefused": Fault(Breakable.denied_filter_of_a_service_too_many, MAIN),
        "SoadnsFilesWanting": Fault(Breakable.denied_filter_of_a_service_too_many, MAIN),
        "SoadnsFiltersWanting": Fault(Breakable.service_beyond_the_room_for_filters, MAIN),
        "SoadnsMeshMovesOmitted": Fault(Breakable.everything_moves, ELSEWHERE),
        "SoadnsSnapshotFails": Fault(Breakable.snapshot_in_the_way, ELSEWHERE),
        "SoadnsEtcdForeignKeys": Fault(Breakable.somebody_else_in_etcd, MAIN | ZONED),
        "SoadnsEtcdHeld": Fault(Breakable.etcd_is_restored, MAIN | ZONED),
        "SoadnsWorkerReplaced": Fault(Breakable.worker_dies_again_and_again, MAIN | {"worker": "0"}),
    },
    {
        "SoadnsFiltersHeld": Fault(Breakable.balancing_changes_everywhere, MAIN),
        "SoadnsRemovalsHeld": Fault(Breakable.pods_go_all_at_once, MAIN | ZONED | DUBBO),
        "SoadnsSidecarsRefuse": Fault(Breakable.sidecar_refuses, MAIN),
        "SoadnsWorkerBehind": Fault(Breakable.frozen_worker, ELSEWHERE | {"worker": "0"}),
        "SoadnsEtcdTrouble": Fault(Breakable.etcd_is_full, MAIN),
        "SoadnsEtcdBehind": Fault(Breakable.etcd_is_full, MAIN | ZONED),
    },
    {
        "SoadnsMeshTrouble": Fault(Breakable.rights_are_taken, MAIN | {"what": "lease"}),
        "SoadnsMeshNobodyWrites": Fault(Breakable.rights_are_taken, {"namespace": OWN}),
        "SoadnsQuestionsLost": Fault(Breakable.flood, ELSEWHERE | {"worker": "0"}),
        "SoadnsEtcdNobodyWrites": Fault(Breakable.etcd_dies, {"namespace": OWN}),
        "SoadnsSourceStale": Fault(Breakable.zookeeper_dies, MAIN | DUBBO),
    },
    {"SoadnsGone": Fault(Breakable.all_replicas_die, {"namespace": OTHER})},
)
"""By alert. What is in one round happens one after another, and then all of it is waited for."""
FAULTS = {alert: fault for each in ROUNDS for alert, fault in each.items()}
RULES = {rule["alert"]: rule for group in prometheus.rules()["groups"] for rule in group["rules"]}
BOARD = prometheus.dashboard()
PANELS = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in BOARD["panels"]
    for target in panel.get("targets", ())
]


@dataclass
class Found:
    """What Prometheus said."""

    calm: list[Data] = field(default_factory=list)
    """What fired while all was well."""
    before: dict[str, list[Data]] = field(default_factory=dict)
    """By alert: what of it fired when its fault began."""
    after: dict[str, list[Data]] = field(default_factory=dict)
    """The same when it was waited for."""
    drawn: dict[str, list[Data]] = field(default_factory=dict)
    """By expression of the dashboard."""
    variables: dict[str, list[str]] = field(default_factory=dict)
    after_two: list[Data] = field(default_factory=list)
    """Of workers, when one had been replaced twice."""
    log: str = ""


@pytest.fixture(scope="module")
def found(
    zookeeper_server: ZooKeeper, api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("prometheus")
    with story(folder, zookeeper=zookeeper_server, api=api_server) as stage, ExitStack() as ends:
        watched = Breakable(stage, ends)
        watched.settle()
        yield told(watched)


def told(watched: Breakable) -> Found:
    """The whole story."""
    found, server = Found(), watched.prometheus
    found.calm = calm(server)
    for faults in ROUNDS:
        for happens in dict.fromkeys(fault.happens for fault in faults.values()):
            for alert, fault in faults.items():
                if fault.happens is happens:
                    found.before[alert] = of(fault, watched.names(alert))
            happens(watched)
        eventually(lambda faults=faults: look(server, faults, found.after), within=FIRES_WITHIN_S)
    for _, expr, _ in PANELS:
        found.drawn[expr] = server.drawn(substituted(expr))
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            [(selector, label)] = re.findall(r"^label_values\((.*), (\w+)\)$", variable["query"]["query"])
            found.variables[variable["name"]] = server.values_of(label, substituted(selector))
    found.after_two = watched.after_two
    found.log = server.process.log.read_text(errors="replace")
    return found


def calm(server: prometheus.Prometheus) -> list[Data]:
    """What fires by itself.

    A machine that stands still for a second does so for a minute here, in which nobody is heard of: an alert of that
    time is right. Then it is looked at anew.
    """
    for _ in range(LOOKED):
        with Machine() as machine:
            fired = eventually(server.firing, within=CALM_S, until=bool)
        if not fired or machine.outcome.longest_ms < STILL_MS:
            break
        print(f"the machine stood still for {machine.outcome.longest_ms:.0f} ms: {fired}")
        eventually(server.firing, within=FIRES_WITHIN_S, until=lambda firing: not firing)
    return fired


def look(server: prometheus.Prometheus, faults: dict[str, Fault], after: dict[str, list[Data]]) -> bool:
    """Note what fires of a round; returns whether all of it has."""
    firing = server.firing()
    for alert, fault in faults.items():
        named = [each for each in firing if each["labels"]["alertname"] == alert]
        if fired := of(fault, named):
            after.setdefault(alert, fired)
    return faults.keys() <= after.keys()


def of(fault: Fault, alerts: list[Data]) -> list[Data]:
    """Those that the fault is to raise."""
    return [each for each in alerts if fault.labels.items() <= each["labels"].items()]


def substituted(expr: str) -> str:
    """As Grafana asks where "All" is chosen: the values of its variables, and four scrapes for a rate."""
    values = {v["name"]: v["allValue"] for v in BOARD["templating"]["list"] if v.get("includeAll")}
    values["__rate_interval"] = f"{4 * prometheus.SCRAPE_S:g}s"
    text = re.sub(r"\$(\w+)", lambda match: values[match[1]], expr)
    assert "$" not in text
    return text


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    count = f"{len(RULES)} rules found"
    rendered, hurried = tmp_path / "rendered", tmp_path / "hurried"
    rendered.write_text(json.dumps(prometheus.rules()))
    hurried.write_text(json.dumps(prometheus.hurried(prometheus.rules())))
    for file in (CHART / "files" / "alerts.yaml", rendered, hurried):
        said = prometheus.check(file)
        assert count in said
        assert said.startswith("0 ")


def test_hurried_rules_are_the_same_but_for_time() -> None:
    [group] = prometheus.hurried(prometheus.rules())["groups"]
    for before, after in zip(RULES.values(), group["rules"], strict=True):
        assert timeless(after) == timeless(before)
        timed = "for" in before or re.search(r"\[|_seconds >", before["expr"])
        assert (after != before) == bool(timed)


def timeless(rule: Data) -> str:
    text = re.sub(r"\b\d+(ms|m|h)\b", "TIME", json.dumps(rule))
    return re.sub(r"(_seconds >) \d+", r"\1 TIME", text)


def test_every_rule_has_a_fault_by_which_it_fires() -> None:
    assert FAULTS.keys() == RULES.keys()


def test_nothing_fires_while_all_is_well(found: Found) -> None:
    assert found.calm == []


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_fires_by_its_fault_and_not_before(alert: str, found: Found) -> None:
    assert found.before[alert] == [], "it fired before its fault"
    assert alert in found.after, f"it did not fire within {FIRES_WITHIN_S} s"
    [each, *_] = found.after[alert]
    for name, text in RULES[alert]["annotations"].items():
        used = set(re.findall(r"\$labels\.(\w+)", text))
        assert used <= each["labels"].keys(), f"{name} names labels that it has not: {each['labels']}"
        said = each["annotations"][name]
        assert said
        assert "{{" not in said
        assert "<no value>" not in said
        assert "%!" not in said


def test_a_worker_that_was_replaced_twice_is_no_alarm(found: Found) -> None:
    """Though ``increase`` makes more than two of it: it reckons what was before the first sample and after the last."""
    assert found.after_two == []


def test_the_namespace_of_callers_that_have_no_room_is_named(found: Found) -> None:
    [alert] = found.after["SoadnsFilesWanting"]
    assert re.search(r" in story-\d+-web$", alert["annotations"]["summary"]), alert


@pytest.mark.parametrize(("title", "expr", "legend"), PANELS, ids=lambda text: text[:60])
def test_a_panel_has_something_to_draw(title: str, expr: str, legend: str, found: Found) -> None:
    series = found.drawn[expr]
    values = [float(value) for each in series for _, value in each["values"]]
    assert any(math.isfinite(value) for value in values), f"{title}: {series}"
    for each in series:
        assert set(re.findall(r"{{(\w+)}}", legend)) <= each["metric"].keys(), f"{title}: {each['metric']}"


def test_the_variables_of_the_dashboard_have_values(found: Found) -> None:
    assert found.variables == {"namespace": [OWN, OTHER], "pod": ["soadns-0", "soadns-1"]}


def test_prometheus_took_all_that_it_scraped(found: Found) -> None:
    assert "scrape" not in found.log.lower(), found.log
