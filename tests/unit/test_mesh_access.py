"""What ``soadns check`` finds out about the rights to write, and the rules that it prints: those of the pages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soadns.composition import mesh_wants
from soadns.kubeapi import KubeApi
from soadns.mesh import access
from soadns.mesh.access import Need, Wants, needs, probe
from soadns.settings.configfile import parse
from soadns.yamlfile import load_all
from tests.scenarios.stage.pages import istio_rules, sharing_rules
from tests.unit.scripted_api import Reply, Request, ScriptedApi, failure

ALL = Wants(
    namespace="soadns", moves=True, events=True, mode="write", root_namespace="istio-system", try_first="canary",
    files=("web",), shards=4, metrics=(), namespaces=(),
)  # fmt: skip


def of(found: list[Need], role: str, namespace: str) -> list[dict[str, Any]]:
    """The rules of a role, as RBAC has them."""
    [need] = [need for need in found if (need.role, need.namespace) == (role, namespace)]
    [rules] = load_all("\n".join(rule.yaml() for rule in need.rules).encode(), where="test")
    return list(rules)


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    return {
        (group, resource, verb, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def test_what_is_asked_for_is_what_the_pages_say() -> None:
    found = needs(ALL)
    pages = istio_rules()
    assert rights(of(found, "soadns-share", "soadns")) == rights(sharing_rules())
    assert rights(of(found, "soadns-istio", "")) == rights(pages["ClusterRole"])
    for namespace in ("istio-system", "canary"):
        assert rights(of(found, "soadns-istio", namespace)) == rights(pages["Role"])
    assert rights(of(found, "soadns-istio", "web")) == rights([*pages["Role"], *pages["files"]])
    assert rights(of(found, "soadns-events", "")) == rights(pages["events"])


def test_no_more_is_asked_for_than_is_configured() -> None:
    nothing = replace(ALL, moves=False, events=False, mode="none")
    assert needs(nothing) == []
    reading = needs(replace(nothing, mode="read"))
    verbs = {verb for need in reading for rule in need.rules for verb in rule.verbs}
    assert (verbs, {need.role for need in reading}) == ({"list", "watch"}, {"soadns-istio"})
    assert [need.role for need in needs(replace(nothing, moves=True))] == ["soadns-share"]


def test_events_are_asked_for_where_services_are_read() -> None:
    data = {
        "kubernetes": [{"name": "far", "namespaces": ["web"]}, {"name": "home", "namespaces": ["shop", "pay", "shop"]}],
        "sidecar": {"share": {"cluster": "home", "namespace": "soadns", "moves": True, "events": True}},
    }  # fmt: skip
    found = needs(mesh_wants(parse(json.dumps(data), where="test")))
    assert [need.namespace for need in found if need.role == "soadns-events"] == ["shop", "pay"]
    everywhere = of(needs(ALL), "soadns-events", "")
    assert of(found, "soadns-events", "shop") == of(found, "soadns-events", "pay") == everywhere


def script(refused: set[str], *, user: str = "", kinds: bool = True) -> ScriptedApi:
    def answer(request: Request) -> Reply:
        if request.path.endswith("/networking.istio.io"):
            return (
                Reply(body={}) if kinds else failure(404, "the server could not find the requested resource")
            )
        if request.path.endswith("/selfsubjectreviews"):
            return Reply(body={"status": {"userInfo": {"username": user}}}) if user else failure(403, "no")
        if not request.body:
            return Reply(body={"major": "1"})
        asked = json.loads(request.body)["spec"]["resourceAttributes"]
        right = f"{asked['verb']} {asked['resource']} {asked['namespace']} {asked['name']}".strip()
        return Reply(body={"status": {"allowed": not any(right.startswith(each) for each in refused)}})

    return ScriptedApi(answer)


async def probed(api: ScriptedApi, wants: Wants, tmp_path: Path) -> list[access.Access]:
    async with api:
        client = KubeApi(kubeconfig=api.kubeconfig(tmp_path))
        found = await probe(wants, client)
        await client.close()
    return found


async def test_all_that_is_permitted_is_said_to_be(tmp_path: Path) -> None:
    found = await probed(script(set()), ALL, tmp_path)
    assert [each.problem or each.note for each in found] == [""] * len(found)
    assert [each.what for each in found][:2] == [
        "create leases in soadns",
        "get and update leases (soadns) in soadns",
    ]
    assert found[-1].what == "know networking.istio.io"


@pytest.mark.parametrize(
    ("user", "option"),
    [
        ("system:serviceaccount:soadns:default", "--serviceaccount=soadns:default"),
        ("jo", "--user=jo"),
        ("", "--serviceaccount=NAMESPACE:NAME"),
    ],
)
async def test_what_is_missing_is_told_with_the_rules_and_the_commands(
    user: str, option: str, tmp_path: Path
) -> None:
    refused = {"patch envoyfilters istio-system", "update configmaps soadns soadns-moves-07", "create events"}
    found = await probed(script(refused, user=user), ALL, tmp_path)
    assert [each.problem for each in found if each.problem] == [
        "may not update configmaps (soadns-moves-00 ...) in soadns",
        "may not patch envoyfilters in istio-system",
        "may not create events",
    ]
    [cure] = {each.cure for each in found if each.cure}
    documents = load_all(cure.encode(), where="test")
    assert [(each["metadata"].get("namespace"), each["metadata"]["name"]) for each in documents] == [
        ("soadns", "soadns-share"), ("istio-system", "soadns-istio"), (None, "soadns-events"),
    ]  # fmt: skip
    assert [line for line in cure.splitlines() if line.startswith("#")] == [
        f"# then: kubectl create rolebinding soadns-share -n soadns --role=soadns-share {option}",
        f"# then: kubectl create rolebinding soadns-istio -n istio-system --role=soadns-istio {option}",
        f"# then: kubectl create clusterrolebinding soadns-events --clusterrole=soadns-events {option}",
    ]


async def test_a_cluster_without_istio_and_an_istiod_that_is_silent_are_told(tmp_path: Path) -> None:
    wants = replace(ALL, metrics=("http://127.0.0.1:1/metrics",))
    *_, kinds, metrics = await probed(script(set(), kinds=False), wants, tmp_path)
    assert kinds.problem.startswith("the cluster does not have Istio's kinds")
    assert "refused" in metrics.note
    assert metrics.problem == ""
