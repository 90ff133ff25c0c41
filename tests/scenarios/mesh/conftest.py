"""One town with Istio for all of these tests; each leaves it as it found it. What was seen stands in
``build/mesh/rows.json``, and ``docs/istio.md`` is held against it when all stories are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.stage import istiopage
from tests.scenarios.stage.mesh import BOLT, LINES, Mesh
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.town import MOUNTED, Town, at_once
from tests.scenarios.stage.variants import Variants
from tests.scenarios.stage.watch import Line
from tests.scenarios.stage.writing import Writing

LONG_SESSIONS = "maxSessionTimeout=40000"
"""As ZooKeeper has it by default. With less, sessions of SOFARPC end now and then while ZooKeeper is away, what they
registered goes, and it does not come again: it was still there when they registered it anew.
"""
HERE = Path(__file__).resolve().parent
LAST = "test_page.py"
assert (HERE / LAST).exists()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The page is read when all stories of this folder are told; other folders' stay where they are."""
    places = [number for number, item in enumerate(items) if item.path.parent == HERE]
    in_order = sorted((items[number] for number in places), key=lambda item: item.path.name == LAST)
    for number, item in zip(places, in_order, strict=True):
        items[number] = item


@pytest.fixture(scope="package")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The first replica knows nothing of Istio's objects, the second one reads them."""
    files: dict[str, Any] = {"files": {"namespaces": ["shop"], "directory": str(MOUNTED)}}
    replicas = iter([files, files | {"mode": "read", "zone": ZONE}])
    town = Town(
        tmp_path_factory.mktemp("mesh"),
        quarters=[BOLT],
        linger="3s",
        zookeeper=[LONG_SESSIONS],
        sidecar=lambda _: {"istio": next(replicas)},
    )
    try:
        mesh = Mesh(town)
        yield mesh
        istiopage.write(mesh.rows)
    finally:
        town.end()


@pytest.fixture(scope="package")
def variants(mesh: Mesh) -> Iterator[Variants]:
    found = Variants(mesh.town)
    yield found
    at_once(lambda pod: pod.stop(), found.pods)


@pytest.fixture(scope="package")
def writing(mesh: Mesh) -> Iterator[Writing]:
    """soadns writes from its ``begin`` on, to the end: stories that apply filters by hand come before. Nothing of it
    stands then, and who called what had moved by its name is where the name leads."""
    mesh.settle()
    mesh.publish()
    mesh.withdraw()
    found = Writing(mesh)
    yield found
    found.end()


@pytest.fixture(scope="module")
def lines(mesh: Mesh) -> Iterator[list[Line]]:
    """Each caller calls all the time what stays and what moves, by names of their own and by the Service's."""
    found = [
        Line(caller, name, interface) for caller in mesh.callers.values() for name, interface in LINES.items()
    ]
    for line in found:
        line.start()
    for line in found:
        line.answered()
    yield found
    # Who waits for an answer that does not come stops at its time-out.
    at_once(lambda caller: caller.process.ask("stop"), mesh.callers.values())
