"""Groups and versions of one interface in different Services, called by the interface's one name."""

from __future__ import annotations

import pytest

from tests.scenarios.stage.mesh import CALLERS, Kind, Mesh
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.variants import INTERFACE, NOBODY, VARIANTS, Variants

DUBBO = [kind for kind in CALLERS if kind.protocol == "dubbo"]


@pytest.mark.parametrize("kind", DUBBO, ids=str)
def test_each_reaches_its_own_service_and_one_that_nobody_has_is_refused(
    kind: Kind, mesh: Mesh, variants: Variants
) -> None:
    caller = mesh.callers[kind]

    def strays() -> dict[str, str]:
        mesh.publish()  # soadns hears of one variant after the other
        found = {}
        for name, variant in VARIANTS.items():
            said = variants.refer(caller, variant)
            answer = variants.call(caller, variant) if said["ok"] else said
            if answer.get("answer") not in variants.names(name):
                found[name] = str(answer)
        return found

    found = eventually(strays, within=40.0, until=lambda strays: not strays)
    assert not found
    before = refused(mesh, kind)
    assert variants.refer(caller, NOBODY)["ok"]
    said = variants.call(caller, NOBODY)
    assert not said["ok"]
    mesh.rows.append({"situation": "a variant that nobody has", "program": str(kind), "error": said["error"]})
    assert says_of_what(said["error"])
    assert refused(mesh, kind) == before + 1


def says_of_what(error: str) -> bool:
    """Whether an error says which interface, group and version it is about."""
    return all(word in error for word in (INTERFACE, "group=blue", "version=2.0.0"))


def refused(mesh: Mesh, kind: Kind) -> int:
    """How many requests a caller's Envoy has refused by itself."""
    lines = mesh.sidecar(kind).get("/stats?filter=local_response_business_exception").splitlines()
    return sum(int(line.rpartition(": ")[2]) for line in lines)
