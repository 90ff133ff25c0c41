"""One town with Istio for all of these tests; each leaves it as it found it. What was seen stands in
``build/mesh/rows.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.stage.mesh import BOLT, LINES, Mesh
from tests.scenarios.stage.town import MOUNTED, Town
from tests.scenarios.stage.watch import Line

ROWS = Path(__file__).resolve().parents[3] / "build" / "mesh" / "rows.json"
SIDECAR = {"istio": {"files": {"namespaces": ["shop"], "directory": str(MOUNTED)}}}


@pytest.fixture(scope="package")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    town = Town(tmp_path_factory.mktemp("mesh"), quarters=[BOLT], linger="3s", sidecar=lambda _: SIDECAR)
    try:
        mesh = Mesh(town)
        yield mesh
        ROWS.parent.mkdir(parents=True, exist_ok=True)
        ROWS.write_text(json.dumps({"rows": mesh.rows}, indent=1) + "\n")
    finally:
        town.end()


@pytest.fixture(scope="module")
def lines(mesh: Mesh) -> Iterator[list[Line]]:
    """Each caller calls all the time what stays and what moves, by names of their own and by the Service's."""
    found = [
        Line(caller, name, interface) for caller in mesh.callers.values() for name, interface in LINES.items()
    ]
    for line in found:
        line.start()
    yield found
    for caller in mesh.callers.values():
        caller.process.ask("stop")
