"""The benchmark of sidecars runs, small as can be, and says what it is to say of those that soadns tells itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.bench.sidecar.told import WAYS

SMALL = ("--services", "4", "--interfaces", "8", "--moves", "2", "--calls", "64", "--quiet", "0.1")
PARTS = ("direct", "drds", "ads", "mosn")
"""Those that need neither an API server nor istiod."""
TOLD = [way for way in WAYS if way != "istio"]
ESTATE = "4x8"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What it wrote, and what it printed."""
    output = tmp_path_factory.mktemp("bench") / "sidecar.json"
    command = [sys.executable, "-m", "tests.bench.sidecar", *SMALL, "--only", *PARTS, "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(output.read_text()), done.stdout


@pytest.mark.parametrize("way", TOLD)
def test_moves_have_effect_and_are_told(way: str, ran: tuple[dict[str, Any], str]) -> None:
    found, printed = ran
    row = found[ESTATE][way]
    assert (row["moves"], row["lost"], row["failed_calls"], row["cut_connections"]) == (2, 0, 0, 0)
    assert 0 < found[f"{way}_p50_ms"] <= found[f"{way}_p99_ms"]
    assert f"{way}_soadns_cpu_ms" in found
    assert f"| {ESTATE} | {WAYS[way]} |" in printed


def test_memory_starts_and_costs_are_told(ran: tuple[dict[str, Any], str]) -> None:
    found, printed = ran
    for name in ("envoy", "mosn", "soadns"):
        assert found[f"{name}_mb_{ESTATE}"] > 1, name
    for name in ("envoy", "mosn", "envoy_every_rule"):
        assert found[f"{name}_start_s_{ESTATE}"] > 0, name
    assert found["direct"]["1"]["calls_per_s"] > 1
    assert f"| {ESTATE}, tells Envoys and MOSN |" in printed
