"""Groups and versions of one interface in different Services, called by the interface's one name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.stage.mesh import CALLERS, Kind, Mesh
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.town import Behind, at_once, name_of

pytestmark = pytest.mark.alone

INTERFACE = "com.example.dubbo.ByName"
VARIANTS = {
    "red": {"group": "red", "version": "1.0.0"},
    "blue": {"group": "blue", "version": "1.0.0"},
    "next": {"group": "red", "version": "2.0.0"},
}
NOBODY = {"group": "blue", "version": "2.0.0"}
DUBBO = [kind for kind in CALLERS if kind.protocol == "dubbo"]


@pytest.fixture(scope="module")
def pods(mesh: Mesh) -> Iterator[dict[str, Behind]]:
    """A Service for each variant, and the pod in it. The name leads to the first of them."""

    def provide(name: str) -> Behind:
        service = mesh.town.shop(f"variant-{name}", "dubbo")
        return mesh.town.register("dubbo-3.3.5", service, INTERFACE, **VARIANTS[name])

    first, *others = VARIANTS
    found = {first: provide(first)}
    mesh.town.knows(INTERFACE, found[first].service)
    found |= zip(others, at_once(provide, others), strict=True)
    yield found
    at_once(Behind.stop, found.values())


def tries(mesh: Mesh, kind: Kind, variant: dict[str, str]) -> dict[str, Any]:
    """One call of a variant at the interface's name."""
    process = mesh.callers[kind].process
    # Whose listener is not there yet is to try again, and not to give the reference up.
    options = {"url": f"dubbo://{name_of(INTERFACE)}:20880", "timeout": 3000, "check": False}
    referred = process.ask("refer", interface=INTERFACE, options=options, **variant)
    if not referred["ok"]:
        return referred
    return process.ask("call", interface=INTERFACE, method="whoami", argument="hello", **variant)


@pytest.mark.parametrize("kind", DUBBO, ids=str)
def test_each_reaches_its_own_service_and_one_that_nobody_has_is_refused(
    kind: Kind, mesh: Mesh, pods: dict[str, Behind]
) -> None:
    mesh.publish()
    expected = {name: pod.home.name for name, pod in pods.items()}

    def answers() -> dict[str, str]:
        said = {name: tries(mesh, kind, variant) for name, variant in VARIANTS.items()}
        return {name: str(each.get("answer", each.get("error"))) for name, each in said.items()}

    found = eventually(answers, within=20.0, until=lambda answers: answers == expected)
    assert found == expected
    assert not tries(mesh, kind, NOBODY)["ok"]
