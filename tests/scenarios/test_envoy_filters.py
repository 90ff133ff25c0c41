"""EnvoyFilters in a real API server: written by one replica, whole, no more than needed, and taken back."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.stage import istiokinds
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import RULES, Service, Stage
from tests.scenarios.test_shared_moves import rules_of_the_page, shares, standing_still

USER, ADDRESS, PAY = "com.x.UserService", "com.x.AddressService", "com.x.PayService"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "istio.md"


def istio_rules_of_the_page() -> dict[str, list[dict[str, Any]]]:
    """``ClusterRole`` and ``Role`` for Istio, as the documentation has them."""
    [text] = re.findall(r"^```yaml rbac-istio\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return {role["kind"]: role["rules"] for role in yaml.safe_load_all(text)}


class Meshed:
    """A story in a cluster that knows Istio's kinds; its root namespace is its own."""

    def __init__(self, stage: Stage) -> None:
        assert stage.api is not None
        self.stage, self.api = stage, stage.api
        self.root = f"{stage.namespace}-istio"
        istiokinds.define(stage.api)
        stage.api.create_namespace(self.root)
        rules = istio_rules_of_the_page()
        stage.api.grant([*RULES, *rules["ClusterRole"]])
        stage.api.grant(rules["Role"], namespace=self.root)
        stage.api.grant(rules_of_the_page(), namespace=stage.namespace)
        self.user = stage.service("user")
        self.pod = stage.pod(self.user)
        self.pod.registers(USER, ADDRESS)

    def replica(self, *, mode: str = "write", guard: dict[str, Any] | None = None, **istio: Any) -> Soadns:
        share = {"moves": True, "namespace": self.stage.namespace, "lease": "3s"}
        sidecar = {"share": share, "istio": {"mode": mode, "rootNamespace": self.root, **istio}}
        return self.stage.soadns(sidecar=sidecar, **({"guard": guard} if guard else {}))

    def objects(self, namespace: str = "") -> dict[str, dict[str, Any]]:
        """All EnvoyFilters of the root namespace, or of another one, by the UID of the Service, or their name."""
        found = self.api.request("GET", istiokinds.collection_of("EnvoyFilter", namespace or self.root))
        return {
            item["metadata"].get("labels", {}).get("soadns.io/service-uid", item["metadata"]["name"]): item
            for item in found["items"]
        }

    def uid(self, service: Service) -> str:
        path = f"/api/v1/namespaces/{service.namespace}/services/{service.name}"
        return str(self.api.request("GET", path)["metadata"]["uid"])

    def stand(self, *uids: str, namespace: str = "", by: Soadns | None = None) -> dict[str, dict[str, Any]]:
        """Filters of exactly these Services stand, or come to."""
        found = eventually(
            lambda: self.objects(namespace), within=30.0, until=lambda objects: set(objects) == set(uids)
        )
        said = f"{by.process.tail()}\n{by.cli('mesh', 'status')[1]}" if by is not None else ""
        assert set(found) == set(uids), said
        return found


@pytest.fixture
def meshed(stage: Stage) -> Meshed:
    return Meshed(stage)


def rules_in(document: dict[str, Any]) -> list[tuple[str, str]]:
    """(interface, cluster) of each rule of an EnvoyFilter's first patch."""
    [patch] = document["spec"]["configPatches"]
    config = patch["patch"]["value"]["typed_config"]["multiple_route_config"]["route_config"]
    return [(rule["interface"], str(rule["routes"][0]["route"])) for rule in config]


def test_a_filter_is_written_adopted_repaired_and_taken_back(meshed: Meshed) -> None:
    first, second = meshed.replica(), meshed.replica()
    assert meshed.objects() == {}, "nobody asked for one"

    meshed.user.annotate(balancing="request")
    name = meshed.uid(meshed.user)
    made = meshed.stand(name, by=first)[name]
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "soadns"
    assert {each["manager"] for each in made["metadata"]["managedFields"]} == {"soadns"}
    [patch] = made["spec"]["configPatches"]
    assert patch["match"]["listener"]["name"] == f"{meshed.user.cluster_ip}_20880"

    # Its writer is lost with all it knew; who takes over finds it as it should be, and writes nothing.
    leader = first if shares(first)["lease"]["held"] else second
    [follower] = {first, second} - {leader}
    leader.process.kill()
    shutil.rmtree(leader.folder / "state")
    assert eventually(lambda: shares(follower)["lease"]["held"], within=20.0)
    row = eventually(lambda: filters(follower, meshed.user), within=20.0)
    assert (row["tier"], [each["state"] for each in row["objects"]]) == (1, ["applied"])
    assert meshed.stand(name)[name]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    # By hand it is something else; that lasts as long as nobody looks.
    path = f"{istiokinds.collection_of('EnvoyFilter', meshed.root)}/{made['metadata']['name']}"
    patch = {"spec": {"priority": 77}}
    meshed.api.request("PATCH", path, patch, kind="application/merge-patch+json")
    spec = eventually(lambda: meshed.objects()[name]["spec"], within=20.0, until=made["spec"].__eq__)
    assert spec == made["spec"]

    meshed.user.annotate(balancing="connection")
    meshed.stand(by=follower)


def filters(soadns: Soadns, service: Service) -> dict[str, Any]:
    """What ``mesh status`` says of the filters of a Service."""
    found = (json.loads(soadns.http("/v1/mesh")[1])["istio"] or {}).get("services", [])
    return next((row for row in found if row["service"] == service.ref), {})


def test_the_filter_of_a_service_that_is_created_again_goes_at_once(meshed: Meshed) -> None:
    soadns = meshed.replica(balancing="request", guard={"share": 0.0, "minimum": 1})
    before = meshed.uid(meshed.user)
    meshed.stand(before, by=soadns)
    meshed.user.delete()
    meshed.user.apply()
    after = meshed.uid(meshed.user)
    assert before != after
    [made] = meshed.stand(after, by=soadns).values()
    [patch] = made["spec"]["configPatches"]
    assert patch["match"]["listener"]["name"] == f"{meshed.user.cluster_ip}_20880"


def test_removals_of_many_are_held_until_somebody_releases_them(meshed: Meshed) -> None:
    services = [meshed.user, *(meshed.stage.service(f"more-{number}") for number in range(4))]
    for service in services[1:]:
        meshed.stage.pod(service).registers(f"com.x.{service.name}")
    soadns = meshed.replica(balancing="request", guard={"share": 0.2, "minimum": 3})
    names = [meshed.uid(service) for service in services]
    meshed.stand(*names, by=soadns)

    for service in services[1:]:
        service.delete_with_endpoints()
    assert eventually(lambda: soadns.logged("filters-held", "soadns release mesh/filters"), within=20.0)
    assert len(meshed.objects()) >= 3
    assert soadns.metric("soadns_mesh_filters_held") >= 3
    status, text = soadns.cli("release", "mesh/filters")
    assert status == 0, text
    meshed.stand(names[0], by=soadns)


def test_what_the_api_server_refuses_is_told_and_keeps_nobody_else_waiting(meshed: Meshed) -> None:
    deny(meshed, "user")
    other = meshed.stage.service("other")
    meshed.stage.pod(other).registers(PAY)
    soadns = meshed.replica(balancing="request")
    meshed.stand(meshed.uid(other), by=soadns)
    said = eventually(
        lambda: [each["refused"] or "" for each in filters(soadns, meshed.user).get("objects", [])],
        within=20.0,
        until=lambda texts: any("no filter for user" in text for text in texts),
    )
    assert any("no filter for user" in text for text in said), soadns.process.tail()
    assert "no filter for user" in soadns.cli("mesh", "status")[1]


def deny(meshed: Meshed, part: str) -> None:
    """The API server lets nobody write an EnvoyFilter of the story with this in its name."""
    group = "/apis/admissionregistration.k8s.io/v1"
    kept = "application/apply-patch+yaml"
    name = f"{meshed.stage.namespace}.soadns.test"
    resources = [
        {
            "apiGroups": [istiokinds.GROUP], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": ["envoyfilters"],
        }
    ]  # fmt: skip
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": resources},
            "validations": [
                {
                    "expression": f"!object.metadata.name.startsWith('soadns-{meshed.stage.namespace}-{part}-')",
                    "message": f"no filter for {part}",
                }
            ],
        },
    }  # fmt: skip
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
    }  # fmt: skip
    for plural, document in (("policies", policy), ("policybindings", binding)):
        path = f"{group}/validatingadmission{plural}/{name}?fieldManager=test&force=true"
        meshed.api.request("PATCH", path, document, kind=kept)
    probe = f"soadns-{meshed.stage.namespace}-{part}-probe"

    def denied() -> bool:
        try:
            istiokinds.apply(meshed.api, "EnvoyFilter", meshed.root, probe, {"priority": 1})
        except AssertionError as error:
            return f"no filter for {part}" in str(error)
        meshed.api.request("DELETE", f"{istiokinds.collection_of('EnvoyFilter', meshed.root)}/{probe}")
        return False

    assert eventually(denied, within=20.0)


def test_a_holder_that_stood_still_writes_nothing_any_more(meshed: Meshed) -> None:
    first, second = meshed.replica(balancing="request"), meshed.replica(balancing="request")
    name = meshed.uid(meshed.user)
    meshed.stand(name, by=first)
    leader = first if shares(first)["lease"]["held"] else second
    [follower] = {first, second} - {leader}
    with standing_still(leader):
        assert eventually(lambda: shares(follower)["lease"]["held"], within=20.0)
        meshed.user.annotate(balancing="connection")
        meshed.stand(by=follower)
    assert eventually(lambda: filters(leader, meshed.user).get("objects", []) == [], within=20.0)
    assert meshed.stand(by=leader) == {}
    assert not shares(leader)["lease"]["held"]


def test_reading_alone_shows_what_would_be_written(meshed: Meshed) -> None:
    namespace = meshed.stage.namespace
    host = f"user.{namespace}.svc.cluster.local"
    route = [{"destination": {"host": host, "subset": subset}, "weight": 50} for subset in ("v1", "v2")]
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    istiokinds.apply(meshed.api, "DestinationRule", namespace, "user", {"host": host, "subsets": subsets})
    istiokinds.apply(
        meshed.api, "VirtualService", namespace, "user", {"hosts": [host], "tcp": [{"route": route}]}
    )
    theirs = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_OUTBOUND", "listener": {"name": f"{meshed.user.cluster_ip}_20880"}},
        "patch": {"operation": "REMOVE"},
    }
    istiokinds.apply(meshed.api, "EnvoyFilter", meshed.root, "theirs", {"configPatches": [theirs]})
    soadns = meshed.replica(mode="read", balancing="request")

    row = eventually(lambda: filters(soadns, meshed.user), within=20.0)
    assert row["foreign"] == [f"{meshed.root}/theirs"]
    assert [each["state"] for each in row["objects"]] == ["missing"]
    status, text = soadns.cli("export", "envoyfilters", "--diff")
    assert status == 1, text
    assert f"+    soadns.io/service-uid: {meshed.uid(meshed.user)}" in text
    assert f"outbound|20880|v2|{host}" in text, "as the VirtualService says"
    assert set(meshed.objects()) == {"theirs"}
    assert "theirs" in soadns.cli("mesh", "status")[1]


def test_a_first_filter_is_tried_in_one_namespace_where_so_configured(meshed: Meshed) -> None:
    canary = f"{meshed.stage.namespace}-canary"
    meshed.api.create_namespace(canary)
    meshed.api.grant(istio_rules_of_the_page()["Role"], namespace=canary)
    soadns = meshed.replica(balancing="request", tryFirst=canary, tryFor="4s")
    meshed.stand(meshed.uid(meshed.user), by=soadns)
    meshed.stand(namespace=canary, by=soadns)
    log = soadns.process.log.read_text()
    steps = re.findall(r"event=filter-(\w+) filter=([\w-]+)/", log)
    assert steps == [("created", canary), ("created", meshed.root), ("removed", canary)]
