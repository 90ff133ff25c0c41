"""How far Istio's sidecars are told of routes, with a real ZooKeeper and API server: what providers register, Services
are annotated with, and interfaces do, is what the export says; and real Envoy takes what it prints."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from soadns.yamlfile import load_all
from tests.scenarios.stage import istiokinds
from tests.scenarios.stage.envoyproxy import EnvoyProxy, filters_of
from tests.scenarios.stage.kubernetes import ADMIN
from tests.scenarios.stage.process import command_of, eventually
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


MISTAKABLE = tuple(
    (group, version)
    for group in ("y", "n", "on", "null", "1.30")
    for version in ("7e10", "08", "12e03", "0x1F", "1_000", "2026-01-02", "~")
)
"""Groups and versions that a reader of YAML may take for something else than text."""


def test_kubectl_reads_groups_and_versions_as_what_they_are(stage: Stage, tmp_path: Path) -> None:
    assert stage.api is not None
    istiokinds.define(stage.api)
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    user.annotate(moves="inline")
    old, new = stage.pod(user), stage.pod(account)
    old.registers(ADDRESS)
    for number, (group, version) in enumerate(MISTAKABLE):
        (new if number % 2 else old).registers(USER, group=group, version=version)

    def told() -> set[tuple[str, str]]:
        rules = [rule for each in exported(soadns, user).get("filters", []) for rule in rules_of(each)]
        return {(rule["group"], rule["version"]) for rule in rules if "group" in rule and "version" in rule}

    assert eventually(told, within=20.0, until=set(MISTAKABLE).__le__) >= set(MISTAKABLE), exported(
        soadns, user
    )
    _, text = soadns.cli("export", "envoyfilters", "-o", "json")
    sent = [each for item in json.loads(text)["items"] for each in item["filters"]]
    file = tmp_path / "filters.yaml"
    file.write_text(soadns.verb("export", "envoyfilters").stdout)
    command, environment = command_of("kubectl")
    done = subprocess.run(
        [*command, "create", "--dry-run=client", "-o", "json", "-f", str(file)],
        env=environment | {"KUBECONFIG": str(stage.api.kubeconfig(ADMIN)), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = one_after_another(done.stdout)
    assert [each["spec"] for each in found] == [each["spec"] for each in sent]
    assert [each["metadata"] for each in found] == [each["metadata"] for each in sent]


def one_after_another(text: str) -> list[dict[str, Any]]:
    """JSON objects, as kubectl prints those that it creates."""
    found = []
    while text := text.lstrip():
        value, end = json.JSONDecoder().raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def rules_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of an EnvoyFilter's first patch."""
    settings = document["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]
    return list(settings["multiple_route_config"]["route_config"])
