"""How far Istio's sidecars are told of routes, with a real ZooKeeper and API server: what providers register, Services
are annotated with, and interfaces do, is what the export says; and real Envoy takes what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soadns.yamlfile import load_all
from tests.scenarios.stage.envoyproxy import EnvoyProxy, filters_of
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Service, Stage

USER, ADDRESS, PAY = "com.x.UserService", "com.x.AddressService", "com.x.PayService"


def exported(soadns: Soadns, service: Service) -> dict[str, Any]:
    """What is said of one Service."""
    _, text = soadns.http(f"/v1/envoyfilters?service={service.namespace}/{service.name}")
    return dict((json.loads(text).get("items") or [{"tier": None}])[0])


def comes_to(soadns: Soadns, service: Service, tier: int) -> dict[str, Any]:
    """The Service has a tier in the end."""
    found = eventually(
        lambda: exported(soadns, service), within=15.0, until=lambda each: each["tier"] == tier
    )
    assert found["tier"] == tier, found
    return found


def test_tiers_follow_what_is_registered_annotated_and_moved(stage: Stage, tmp_path: Path) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    old, new = stage.pod(user), stage.pod(account)
    old.registers(USER, ADDRESS)
    new.registers(PAY)
    assert comes_to(soadns, user, 0)["filters"] == []

    user.annotate(balancing="request")
    [one] = comes_to(soadns, user, 1)["filters"]
    assert one["spec"]["configPatches"][0]["match"]["listener"]["name"] == f"{user.cluster_ip}_20880"
    assert one["metadata"]["labels"]["soadns.io/service-uid"] == exported(soadns, user)["uid"]

    user.annotate(balancing="requests")  # the last good value is kept, and the bad one shown
    told = eventually(
        lambda: soadns.cli("explain", USER)[1], within=10.0, until=lambda text: "'requests' is not" in text
    )
    assert "soadns.io/balancing: 'requests' is not one of connection, request; did you mean request?" in told
    assert exported(soadns, user)["tier"] == 1
    user.annotate(balancing="")

    new.registers(USER)
    old.unregisters(USER)
    [port] = comes_to(soadns, user, 2)["ports"]
    assert port["why"] == f"calls of {USER} would fail without rules: {user.ref} does not provide it"
    status, text = soadns.cli("resolve", f"{user.cluster_ip}:20880", USER)
    assert (status, f"istio      tier 2: {port['why']}" in text) == (0, True)

    done = soadns.verb("export", "envoyfilters")
    objects: list[Any] = load_all(done.stdout, where="export")
    assert (done.returncode, len(objects)) == (0, 1)
    assert EnvoyProxy(tmp_path, filters_of(objects), {}).validate() == ""

    new.registers(USER, **{"prefer.serialization": "fastjson2,hessian2"})  # its newest registration says so
    [port] = comes_to(soadns, user, 0)["ports"]
    assert "providers prefer fastjson2 to hessian2" in port["why"]
