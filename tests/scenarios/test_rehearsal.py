"""``soadns explain --manifest`` against a real cluster: what it says of manifests comes true when they are applied."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import Stage

USER, AUDIT = "com.alipay.user.UserService", "com.alipay.user.AuditService"


def rehearsed(soadns: Soadns, *documents: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    """Exit status, text and data of the verb for one file of these."""
    path = soadns.folder / "manifest.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    status, text = soadns.cli("explain", "--manifest", str(path))
    return status, text, json.loads(soadns.cli("explain", "--manifest", str(path), "-o", "json")[1])


def test_what_is_said_before_is_what_happens(stage: Stage) -> None:
    soadns = stage.soadns()
    user, old = stage.service("user"), stage.machine()
    stage.pod(user).registers(USER)
    old.registers(AUDIT)
    soadns.answers(USER, user.cluster_ip)
    soadns.answers(AUDIT, old.host)
    annotations = {"soadns.io/interfaces": f"{AUDIT},{USER}", "soadns.io/traffic": "mesh"}
    metadata = {"name": "audit", "namespace": stage.namespace, "annotations": annotations}
    spec = {"selector": {"app": "audit"}, "ports": [{"name": "tcp-dubbo", "port": 20880}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    status, text, data = rehearsed(soadns, service)
    assert status == 1, text  # of the two names it gets one
    assert f"Service {stage.namespace}/audit: new" in text
    assert "1 name would change; 1 of what is declared would have no effect" in text
    [change], [lost] = data["zones"][0]["changes"], data["zones"][0]["refused"]
    assert (change["interface"], change["before"]["addresses"]) == (AUDIT, [old.host])
    assert (change["after"]["service"], change["after"]["unassigned"]) == (
        f"home/{stage.namespace}/audit",
        True,
    )
    assert (lost["interface"], lost["verdict"]) == (USER, "conflict")
    soadns.keeps_answering(AUDIT, old.host, seconds=0.5)  # nothing happened

    assert stage.api is not None
    given = stage.api.apply(service)["spec"]["clusterIP"]
    stage.at_the_end(lambda: stage.api and stage.api.delete(service))
    soadns.answers(AUDIT, given)
    soadns.answers(USER, user.cluster_ip)

    # What is there by now has its address; a manifest that is as it was changes nothing.
    _, text, data = rehearsed(soadns, service)
    assert (data["objects"][0]["state"], data["zones"][0]["changes"]) == ("unchanged", []), text
    off = service | {"metadata": metadata | {"annotations": annotations | {"soadns.io/traffic": "off"}}}
    [change] = rehearsed(soadns, off)[2]["zones"][0]["changes"]
    assert [change[side]["addresses"] for side in ("before", "after")] == [[given], [old.host]]
    stage.api.apply(off)
    soadns.answers(AUDIT, old.host)
    soadns.answers(USER, user.cluster_ip)


def test_what_would_have_no_effect_is_said_with_file_and_document(stage: Stage) -> None:
    soadns = stage.soadns()
    metadata = {"name": "x", "namespace": stage.namespace}
    bad = metadata | {"annotations": {"soadns.io/traffic": "everything=fast"}}
    documents = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata},
        {"apiVersion": "v1", "kind": "Servcie", "metadata": metadata},
        {"apiVersion": "v1", "kind": "Service", "metadata": bad, "spec": {"ports": [{"port": 1}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": "ten"}},
    ]
    status, text, data = rehearsed(soadns, *documents)
    assert status == 1
    path = soadns.folder / "manifest.yaml"
    line = path.read_text().splitlines().index("kind: Servcie")  # its apiVersion stands before it
    assert f"{path} line {line}: unknown-kind: the kind 'Servcie' is neither" in text
    assert f"Service {stage.namespace}/x: annotation: " in text
    assert "clusterIPs holds 'ten', which is no IP address" in text
    assert data["passedOver"] == {"Deployment": 1}
    path.write_text("kind: [\n")
    status, text = soadns.cli("explain", "--manifest", str(path))
    assert (status, str(path) in text) == (1, True), text
    assert soadns.cli("explain", "--manifest", str(soadns.folder / "none.yaml"))[0] == 2
    soadns.says(f"x.{ZONE}.", "NXDOMAIN")
