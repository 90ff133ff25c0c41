"""A real Prometheus that scrapes what tests run, with the chart's rules.

It lives sixty times as fast as one in a cluster: an hour takes a minute. So all times of a rule are divided by sixty:
``for``, the ranges of its expressions, and what a figure in seconds (``soadns_..._seconds``) is compared with. All
else of it stays as it is written, and so do its other thresholds.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.scenarios.stage.helm import documents, of_kind
from tests.scenarios.stage.process import Process, command_of, eventually, printed

FASTER = 60
SCRAPE_S = 30 / FASTER
"""The chart's ServiceMonitor says 30 s."""
VALUES = "zookeeper"
"""The values with which the chart has all that watches it."""
_DURATION = re.compile(r"\b(\d+)([smh])\b")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_OF_SECONDS = re.compile(r"(_seconds (?:>|<|>=|<=) )(\d+)\b")
Data = dict[str, Any]


def rules() -> Data:
    """The groups of rules that the chart renders."""
    [found] = of_kind(documents(VALUES), "PrometheusRule")
    return dict(found["spec"])


def dashboard() -> Data:
    """The dashboard that it renders."""
    [found] = [
        each for each in of_kind(documents(VALUES), "ConfigMap") if each["metadata"]["name"].endswith("-dashboard")
    ]  # fmt: skip
    return dict(json.loads(found["data"]["soadns.json"]))


def endpoint() -> Data:
    """What its ServiceMonitor scrapes."""
    [found] = of_kind(documents(VALUES), "ServiceMonitor")
    [scraped] = found["spec"]["endpoints"]
    return dict(scraped)


def hurried(found: Data) -> Data:
    """The same rules, sixty times as fast."""
    groups = []
    for group in found["groups"]:
        made = []
        for rule in group["rules"]:
            ranges = re.sub(r"\[[^]]*\]", lambda match: _shorter(match[0]), rule["expr"])
            expr = _OF_SECONDS.sub(lambda match: f"{match[1]}{int(match[2]) / FASTER:g}", ranges)
            made.append(rule | {"expr": expr} | ({"for": _shorter(rule["for"])} if "for" in rule else {}))
        groups.append(group | {"rules": made})
    return {"groups": groups}


def _shorter(text: str) -> str:
    short = _DURATION.sub(lambda match: f"{int(match[1]) * _UNITS[match[2]] * 1000 // FASTER}ms", text)
    assert short != text, f"{text}: no duration that is known here"
    return short


def check(file: Path) -> str:
    """What promtool says of a file of rules, and its status."""
    done = printed("promtool", "check", "rules", file)
    return f"{done.returncode} {done.stdout}{done.stderr}"


class Prometheus:
    """One server. ``targets``: address → the labels that the operator gives to what is scraped there."""

    def __init__(self, folder: Path, found: Data, targets: Mapping[str, Mapping[str, str]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.began = 0.0
        """Unix seconds."""
        self._url = f"http://127.0.0.1:{free_port()}"
        (folder / "rules.json").write_text(json.dumps(found))
        settings = {
            "global": dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), _ms(SCRAPE_S)),
            "rule_files": [str(folder / "rules.json")],
            "scrape_configs": [
                {
                    "job_name": "soadns",
                    "metrics_path": endpoint()["path"],
                    "static_configs": [{"targets": [at], "labels": dict(labels)} for at, labels in targets.items()],
                }
            ],
        }  # fmt: skip
        (folder / "prometheus.json").write_text(json.dumps(settings))
        command, env = command_of("prometheus")
        command += [
            f"--config.file={folder}/prometheus.json", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={self._url.removeprefix('http://')}", "--storage.tsdb.retention.size=64MB",
            "--log.level=warn",
        ]  # fmt: skip
        bounded = {"GOMEMLIMIT": "128MiB", "GOMAXPROCS": "1"}
        self.process = Process("prometheus", command, log=folder / "log", env=env | bounded)

    def start(self) -> None:
        """Start it, and wait until it has evaluated each rule."""
        self.began = time.time()
        self.process.start()
        self.process.wait_until(self._evaluated, within=60.0)

    def _evaluated(self) -> bool:
        return self._get("/-/ready", raw=True) is not None and set(self.health().values()) == {"ok"}

    def health(self) -> dict[str, str]:
        """How the last evaluation of each alert went."""
        groups = self._get("/api/v1/rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def evaluates(self) -> None:
        """Wait until all rules were evaluated of what is there now."""
        for _ in range(2):  # the first one may have begun before
            before = self._evaluation()
            assert eventually(lambda before=before: self._evaluation() != before, within=30.0)

    def _evaluation(self) -> list[str]:
        return [str(group["lastEvaluation"]) for group in self._get("/api/v1/rules")["groups"]]

    def firing(self) -> list[Data]:
        """The alerts that fire, with labels and annotations."""
        return [each for each in self._get("/api/v1/alerts")["alerts"] if each["state"] == "firing"]

    def value(self, query: str) -> float:
        """The largest value of an expression now; -1.0 where it has none."""
        found = self._get("/api/v1/query", query=query)["result"]
        return max((float(each["value"][1]) for each in found), default=-1.0)

    def drawn(self, query: str) -> list[Data]:
        """What a panel draws of an expression, from the beginning until now. Raises AssertionError for a bad one."""
        span = {"start": self.began, "end": time.time(), "step": 2 * SCRAPE_S}
        return list(self._get("/api/v1/query_range", query=query, **span)["result"])

    def values_of(self, label: str, selector: str) -> list[str]:
        """The values of a label, as a variable of a dashboard asks for them."""
        return list(self._get(f"/api/v1/label/{label}/values", **{"match[]": selector}))

    def _get(self, path: str, *, raw: bool = False, **asked: Any) -> Any:
        url = f"{self._url}{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it begins
                raise OSError(str(error)) from None
            raise AssertionError(f"{url}: {error.read().decode(errors='replace')}") from None
        return answer if raw else json.loads(answer)["data"]


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
