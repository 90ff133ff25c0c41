"""The Prometheus operator's kinds in the API server, as the operator defines them, without the operator."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.process import command_of, eventually

GROUP = "monitoring.coreos.com"


def define(api: ApiServer) -> None:
    """Have the API server know ServiceMonitors and PrometheusRules, if it does not yet."""
    files, _ = command_of("prometheus-kinds")
    plurals = []
    for file in files:
        definition = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        name = definition["metadata"]["name"]
        plurals.append(definition["spec"]["names"]["plural"])
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=test&force=true"
        api.request("PATCH", path, definition, kind="application/apply-patch+yaml")
    for plural in plurals:
        assert eventually(lambda each=plural: _served(api, each), within=20.0), f"{plural} are not served"


def _served(api: ApiServer, plural: str) -> bool:
    try:
        api.request("GET", f"/apis/{GROUP}/v1/namespaces/default/{plural}")
    except AssertionError:
        return False
    return True
