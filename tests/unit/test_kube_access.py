"""What ``soadns check`` finds out about a cluster's permissions, and the RBAC rules that it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soadns.kubeapi import KubeApi
from soadns.sources.kube import KubeSettings
from soadns.sources.kubeaccess import probe, rbac
from soadns.yamlfile import load_all
from tests.unit.scripted_api import Reply, Request, ScriptedApi, failure

ALL = "services endpointslices nodes namespaces"

PERMISSIONS = f"""
namespaces nodes   permitted                          told
-          auto    {ALL}                              -
-          auto    services,endpointslices,namespaces note:nodes
-          always  services,endpointslices,namespaces FAIL:nodes
-          never   services,endpointslices,namespaces -
-          auto    services,nodes,namespaces          FAIL:endpointslices
-          auto    services,endpointslices,nodes      FAIL:kube-system
shop       auto    services,endpointslices,namespaces note:nodes
shop       always  services,endpointslices,namespaces FAIL:nodes
shop,pay   never   endpointslices,namespaces          FAIL:shop,FAIL:pay
""".replace(ALL, ALL.replace(" ", ","))


def script(permitted: set[str]) -> ScriptedApi:
    def answer(request: Request) -> Reply:
        if not request.body:
            return Reply(body={"major": "1"})
        asked = json.loads(request.body)["spec"]["resourceAttributes"]["resource"]
        return Reply(body={"status": {"allowed": asked in permitted}})

    return ScriptedApi(answer)


@pytest.mark.parametrize("row", PERMISSIONS.strip().splitlines()[1:])
async def test_what_is_not_permitted_is_told_with_the_rules_that_would_permit_it(
    row: str, tmp_path: Path
) -> None:
    namespaces, nodes, permitted, told = row.split()
    settings = KubeSettings("home", tuple(filter(None, namespaces.strip("-").split(","))), "", nodes)
    async with script(set(permitted.split(","))) as api:
        client = KubeApi(kubeconfig=api.kubeconfig(tmp_path))
        found = await probe(settings, client)
        await client.close()
    lines = [f"{'FAIL' if a.problem else 'note'}:{a.what.split()[-1]}" for a in found if a.problem or a.note]
    assert ",".join(lines) == told.strip("-")
    for access in found:
        assert not (access.problem and access.note)
        assert bool(access.cure) == bool(access.problem or access.note)
        word = access.what.split()[3] if access.what.startswith("list") else "kube-system"
        assert word in access.cure or not access.cure


async def test_an_api_server_that_refuses_everything_is_told_once(tmp_path: Path) -> None:
    async with ScriptedApi(lambda _: failure(401, "Unauthorized")) as api:
        client = KubeApi(kubeconfig=api.kubeconfig(tmp_path))
        [access] = await probe(KubeSettings("home", (), "", "auto"), client)
        await client.close()
    assert (access.what, access.problem, access.cure) == ("connect to the API server", "Unauthorized", "")


RULES = """
namespaces    nodes   roles
-             auto    ClusterRole/soadns
-             never   ClusterRole/soadns
shop,pay      auto    Role/soadns@shop Role/soadns@pay Role/soadns@kube-system
kube-system   never   Role/soadns@kube-system
shop          always  Role/soadns@shop Role/soadns@kube-system ClusterRole/soadns-nodes
"""


@pytest.mark.parametrize("row", RULES.strip().splitlines()[1:])
def test_the_rules_are_no_wider_than_what_is_read(row: str) -> None:
    namespaces, nodes, *roles = row.split()
    settings = KubeSettings("home", tuple(filter(None, namespaces.strip("-").split(","))), "", nodes)
    documents = load_all(rbac(settings).encode(), where="test")
    told = []
    for document in documents:
        where = document["metadata"].get("namespace")
        told.append(f"{document['kind']}/{document['metadata']['name']}" + (f"@{where}" if where else ""))
        resources = {r for rule in document["rules"] for r in rule["resources"]}
        assert ("nodes" in resources) == (document["kind"] == "ClusterRole" and nodes != "never")
    assert told == roles


def test_a_namespace_whose_name_looks_like_a_number_stays_text() -> None:
    roles = load_all(rbac(KubeSettings("home", ("123", "1e3", "n"), "", "never")), where="rbac")
    assert [each["metadata"].get("namespace") for each in roles] == ["123", "1e3", "n", "kube-system"]  # type: ignore[index]
    assert "namespace: '1e3'\n" in rbac(KubeSettings("home", ("1e3",), "", "never")), (
        "to kubectl it is a number"
    )
