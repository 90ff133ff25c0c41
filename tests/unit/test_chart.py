"""The chart without Helm: its values are soadns's keys, and what Prometheus and Grafana ask for is there."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from soadns import __version__
from soadns.commands.arguments import parser
from soadns.settings.config import Config
from soadns.settings.configfile import ConfigError, effective, parse
from soadns.settings.jsonschema import json_schema
from soadns.web.metrics import Exporter
from tests.unit.demo_process import DemoProcess

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "soadns"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def test_its_application_is_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    assert f"soadns:{__version__}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_helm_knows_every_key_of_the_configuration() -> None:
    """``make chart`` writes it."""
    spec = importlib.util.spec_from_file_location("chart", ROOT / "tools" / "chart.py")
    assert spec is not None
    assert spec.loader is not None
    chart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chart)
    assert (CHART / "values.schema.json").read_text(encoding="utf-8") == chart.schema()


def test_the_schema_has_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == {*VALUES, "global"}
    for name, section in schema["properties"].items():
        if section.get("additionalProperties") is False and name != "config":
            assert set(VALUES[name]) <= set(section["properties"]), name


def test_what_is_installed_by_default_can_work() -> None:
    config = parse(yaml.safe_dump(VALUES["config"]), where="values.yaml")
    grace = VALUES["terminationGracePeriodSeconds"]
    # The supervisor ends what does not end by itself ten seconds after that.
    assert float(config.nameserver.lameduck) + 10.0 < grace
    assert config.nameserver.workers, (
        "without a limit of processors there would be one for each core of the node"
    )
    assert not config.http.listen.startswith("0.0.0.0"), "the API stays on loopback"


TAKEN = """
zookeeper: [{hosts: 'zk:2181', maxInFlight: 1.5}]
zookeeper: [{}]
zookeeper: [{hosts: 'zk:2181', dialect: sofa}]
nameserver: {workers: null}
static: [{paths: /one}]
binding: {linger: 10, settle: 500ms, recreateGrace: 1h30m}
guard: {share: 1, releaseAfter: null}
sidecar: {istio: {mode: wirte}}
"""


@pytest.mark.parametrize("text", TAKEN.strip().splitlines())
def test_the_schema_refuses_what_soadns_refuses_for_its_form(text: str) -> None:
    some = {"kubernetes": [{"name": "home"}]}
    data = some | yaml.safe_load(text)
    problems = against(json_schema(Config), data, "")
    try:
        parse(json.dumps(data), where="test")
    except ConfigError:
        assert problems, text
    else:
        assert problems == []


def test_the_schema_takes_all_defaults() -> None:
    data = effective(parse("kubernetes: [{name: home}]", where="test"))
    assert against(json_schema(Config), data, "") == []


def against(schema: dict[str, Any], value: Any, path: str) -> list[str]:
    """What a schema has against a value: as much of JSON schema as the chart uses."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    named = {
        "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
        "integer": int, "number": (int, float),
    }  # fmt: skip
    misfit = isinstance(value, bool) and "boolean" not in kinds
    if misfit or not any(isinstance(value, named[kind]) for kind in kinds):
        return [f"{path}: {value!r} is not one of {kinds}"]
    found = []
    if isinstance(value, dict):
        found += [f"{path}.{name} is required" for name in schema.get("required", ()) if name not in value]
        found += [f"{path}.{name} is unknown" for name in value.keys() - schema["properties"].keys()]
        for name in value.keys() & schema["properties"].keys():
            found += against(schema["properties"][name], value[name], f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            found += against(schema["items"], item, f"{path}[]")
    elif isinstance(value, str):
        words = schema.get("enum", [value])
        found += (
            [] if value in words and re.search(schema.get("pattern", ""), value) else [f"{path}: {value!r}"]
        )
    return found


# --------------------------------------------------------------------------- what watches it


def expressions() -> list[str]:
    """Of all alerts, and of all panels of the dashboard."""
    rules = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    board = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
    found = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return found + [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]


def test_alerts_and_the_dashboard_ask_for_what_there_is() -> None:
    families = {family.name: family for family in Exporter(DemoProcess()).collect()}
    asked = set()
    for expression in expressions():
        named = re.findall(r"(soadns_[a-z_]+)(?:\{([^}]*)\})?", expression)
        assert named, expression
        for name, chosen in named:
            family = families.get(name) or families.get(re.sub(r"_(total|bucket|sum|count)$", "", name))
            assert family is not None, f"{name} in {expression}"
            labels = set(re.findall(r"(\w+)=", chosen)) - {"namespace", "pod"}
            assert labels <= set(family._labelnames), f"{expression}: {family.name} has no {labels}"
            asked.add(family.name)
    assert len(asked) > 20


GIVEN = {"job", "instance", "namespace", "pod", "service", "endpoint", "container", "node"}
"""Labels that Prometheus's operator gives to all that is scraped: a metric's own would become ``exported_...``."""


def test_no_metric_has_a_label_that_whoever_scrapes_it_gives() -> None:
    for family in Exporter(DemoProcess()).collect():
        assert not GIVEN & set(family._labelnames), family.name


def test_the_page_says_of_each_alert_when_it_fires_and_what_to_do() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    [section] = re.findall(r"^### Alerts\n((?s:.*?))^## ", page, re.M)
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", section, re.M)
    [group] = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    assert [alert for alert, _, _ in rows] == [rule["alert"] for rule in group["rules"]]
    for rule, (_, when, then) in zip(group["rules"], rows, strict=True):
        assert NUMBERS.get(rule.get("for", ""), "") in when, rule["alert"]
        for command in re.findall(r"`soadns ([^`]+)`", then):
            assert parser().parse_args(command.split()).verb in command
    assert sum("`" in then for _, _, then in rows) >= len(rows) - 1


NUMBERS = {"1m": "minute", "2m": "two minutes", "5m": "five minutes"}


def test_every_alert_that_the_page_names_is_there_and_says_what_to_do() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    [worth] = re.findall(r"^Worth an alert: ((?s:.*?))\n\n", page, re.M)
    rules = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0][
        "rules"
    ]
    asked = " ".join(rule["expr"] for rule in rules)
    for name in re.findall(r"`(soadns_\w+)", worth):
        assert name in asked, name
    for rule in rules:
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["description"], rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")
