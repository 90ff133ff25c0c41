"""EnvoyFilters in a real API server: written by one replica, whole, no more than needed, and taken back."""

from __future__ import annotations

import http.server
import json
import re
from collections.abc import Iterator
from functools import partial
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.scenarios.stage import istiokinds
from tests.scenarios.stage.pages import istio_rules, sharing_rules
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import RULES, Service, Stage
from tests.scenarios.test_shared_moves import LEASE_S, sends, shares, standing_still

USER, ADDRESS, PAY = "com.x.UserService", "com.x.AddressService", "com.x.PayService"


class Meshed:
    """A story in a cluster that knows Istio's kinds; its root namespace is its own."""

    def __init__(self, stage: Stage) -> None:
        assert stage.api is not None
        self.stage, self.api = stage, stage.api
        self.root = f"{stage.namespace}-istio"
        istiokinds.define(stage.api)
        stage.at_the_end(lambda: istiokinds.remove_all(self.api, stage.namespace))
        stage.api.create_namespace(self.root)
        rules = istio_rules()
        stage.api.grant([*RULES, *rules["ClusterRole"]])
        stage.api.grant(rules["Role"], namespace=self.root)
        stage.api.grant(sharing_rules(), namespace=stage.namespace)
        self.user = stage.service("user")
        self.pod = stage.pod(self.user)
        self.pod.registers(USER, ADDRESS)

    def replica(self, *, mode: str = "write", guard: dict[str, Any] | None = None, **istio: Any) -> Soadns:
        share = {"moves": True, "namespace": self.stage.namespace, "lease": f"{LEASE_S}s"}
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
    leader.lost()
    assert eventually(lambda: shares(follower)["lease"]["held"], within=30.0)
    row = eventually(lambda: filters(follower, meshed.user), within=30.0, until=applied)
    assert (row["tier"], [each["state"] for each in row["objects"]]) == (1, ["applied"])
    assert meshed.stand(name)[name]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    # By hand it is something else; that lasts as long as nobody looks.
    path = f"{istiokinds.collection_of('EnvoyFilter', meshed.root)}/{made['metadata']['name']}"
    patch = {"spec": {"priority": 77}}
    meshed.api.request("PATCH", path, patch, kind="application/merge-patch+json")
    spec = eventually(lambda: meshed.objects()[name]["spec"], within=30.0, until=made["spec"].__eq__)
    assert spec == made["spec"]

    meshed.user.annotate(balancing="connection")
    meshed.stand(by=follower)


def test_rules_outlive_all_else_that_is_known_of_what_moved(meshed: Meshed) -> None:
    """The leader, its volume and its replacement are lost, and so is what they shared; callers still need the rules."""
    account = meshed.stage.service("account")
    new = meshed.stage.pod(account)
    new.registers(PAY)
    first, second = meshed.replica(), meshed.replica()
    sends(first, meshed.user, USER, meshed.user)
    new.registers(USER)
    meshed.pod.unregisters(USER)
    name = meshed.uid(meshed.user)
    made = meshed.stand(name, by=first)[name]
    assert [interface for interface, _ in rules_in(made)] == [USER, "*"]
    maps = f"/api/v1/namespaces/{meshed.stage.namespace}/configmaps"

    def shared() -> list[str]:
        found = meshed.api.request("GET", f"{maps}?labelSelector=soadns.io/holds=moves")["items"]
        return [item["metadata"]["name"] for item in found if USER in item["data"]["moves.json"]]

    assert eventually(shared, within=30.0)
    for replica in (first, second):
        replica.lost()
    for each in shared():
        meshed.api.request("DELETE", f"{maps}/{each}")

    fresh = meshed.replica()
    assert eventually(lambda: shares(fresh)["lease"]["held"], within=30.0)
    sends(fresh, meshed.user, USER, account)
    row = eventually(lambda: filters(fresh, meshed.user), within=30.0, until=applied)
    assert (row["tier"], [each["state"] for each in row["objects"]]) == (2, ["applied"])
    assert eventually(shared, within=30.0), "the others are to know it again, too"
    after = meshed.stand(name)[name]["metadata"]
    assert after["generation"] == made["metadata"]["generation"], "it was never without"
    assert fresh.logged("move-adopted")


def filters(soadns: Soadns, service: Service) -> dict[str, Any]:
    """What ``mesh status`` says of the filters of a Service."""
    found = (json.loads(soadns.http("/v1/mesh")[1])["istio"] or {}).get("services", [])
    return next((row for row in found if row["service"] == service.ref), {})


def applied(row: dict[str, Any]) -> bool:
    """Whether all filters of such a Service stand as they should."""
    return {each["state"] for each in row.get("objects", [])} == {"applied"}


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

    with standing_still(soadns):  # so that it hears of all at once
        for service in services[1:]:
            service.delete_with_endpoints()
    assert eventually(lambda: soadns.logged("filters-held", "soadns release mesh/filters"), within=30.0)
    # As long as fewer than three were to go, they went; the others wait. That of the Service that is there stands.
    held = eventually(
        lambda: soadns.metric("soadns_mesh_filters_held"), within=30.0,
        until=lambda held: held == len(meshed.objects()) - 1,
    )  # fmt: skip
    assert held == len(meshed.objects()) - 1 >= 2
    status, text = soadns.cli("release", "mesh/filters")
    assert status == 0, text
    meshed.stand(names[0], by=soadns)


def test_what_the_api_server_refuses_is_told_and_keeps_nobody_else_waiting(meshed: Meshed) -> None:
    istiokinds.deny_filters(meshed.api, meshed.stage.namespace, "user", root=meshed.root)
    other = meshed.stage.service("other")
    meshed.stage.pod(other).registers(PAY)
    soadns = meshed.replica(balancing="request")
    meshed.stand(meshed.uid(other), by=soadns)
    said = eventually(
        lambda: [each["refused"] or "" for each in filters(soadns, meshed.user).get("objects", [])],
        within=30.0,
        until=lambda texts: any("no filter for user" in text for text in texts),
    )
    assert any("no filter for user" in text for text in said), soadns.process.tail()
    assert "no filter for user" in soadns.cli("mesh", "status")[1]


def test_a_holder_that_stood_still_writes_nothing_any_more(meshed: Meshed) -> None:
    first, second = meshed.replica(balancing="request"), meshed.replica(balancing="request")
    name = meshed.uid(meshed.user)
    meshed.stand(name, by=first)
    leader = first if shares(first)["lease"]["held"] else second
    [follower] = {first, second} - {leader}
    with standing_still(leader):
        assert eventually(lambda: shares(follower)["lease"]["held"], within=30.0)
        meshed.user.annotate(balancing="connection")
        meshed.stand(by=follower)
    assert eventually(lambda: filters(leader, meshed.user).get("objects", []) == [], within=30.0)
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

    # It reads one kind after the other.
    row = eventually(
        lambda: filters(soadns, meshed.user), within=30.0, until=lambda found: bool(found.get("foreign"))
    )
    assert row["foreign"] == [f"{meshed.root}/theirs"]
    assert [each["state"] for each in row["objects"]] == ["missing"]
    split = f"outbound|20880|v2|{host}"
    status, text = eventually(
        lambda: soadns.cli("export", "envoyfilters", "--diff"),
        within=30.0,
        until=lambda said: split in said[1],
    )
    assert status == 1, text
    [uid] = re.findall(
        r"^\+    soadns\.io/service-uid: '?([^'\n]+)'?$", text, re.M
    )  # quoted if it begins as a number
    assert uid == meshed.uid(meshed.user)
    assert split in text, "as the VirtualService says"
    assert set(meshed.objects()) == {"theirs"}
    assert "theirs" in soadns.cli("mesh", "status")[1]


def test_a_first_filter_is_tried_in_one_namespace_where_so_configured(meshed: Meshed) -> None:
    canary = f"{meshed.stage.namespace}-canary"
    meshed.api.create_namespace(canary)
    meshed.api.grant(istio_rules()["Role"], namespace=canary)
    soadns = meshed.replica(balancing="request", tryFirst=canary, tryFor="4s")
    meshed.stand(meshed.uid(meshed.user), by=soadns)
    meshed.stand(namespace=canary, by=soadns)
    steps = [("created", canary), ("created", meshed.root), ("removed", canary)]

    def logged() -> list[tuple[str, str]]:
        """What was done is told when the API server has answered."""
        return re.findall(r"event=filter-(\w+) filter=([\w-]+)/", soadns.process.log.read_text())

    assert eventually(logged, within=30.0, until=steps.__eq__) == steps


class Refusals(http.server.BaseHTTPRequestHandler):
    """The metrics of an istiod whose sidecars refuse so many listeners."""

    total = 3

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'pilot_total_xds_rejects{{type="lds"}} {self.total}\n'.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def istiod(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of its metrics."""
    monkeypatch.setattr(Refusals, "total", 3)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusals) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()


def test_what_sidecars_refused_stops_who_takes_over_as_well(
    meshed: Meshed, istiod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (meshed.replica(balancing="request", metrics=[istiod]) for _ in range(2))
    name = meshed.uid(meshed.user)
    made = meshed.stand(name, by=first)[name]["metadata"]
    leader = first if shares(first)["lease"]["held"] else second
    [follower] = {first, second} - {leader}
    since = "soadns.io/sidecars-refused-since"
    for each in (first, second):
        count = partial(each.metric, "soadns_mesh_rejects_total")
        counted = eventually(count, within=30.0, until=(3.0).__eq__)
        assert counted == 3.0, "what was refused before is read"
    monkeypatch.setattr(Refusals, "total", 4)

    def noted() -> dict[str, Any]:
        found: dict[str, Any] = meshed.objects()[name]["metadata"]
        return found

    told = eventually(noted, within=30.0, until=lambda found: since in found["annotations"])
    assert since in told["annotations"], leader.process.tail()
    assert told["generation"] == made["generation"], "the filter itself is the same"
    assert leader.logged("filters-halted", "soadns release mesh/filters")

    leader.lost()
    assert eventually(lambda: shares(follower)["lease"]["held"], within=30.0)
    other = meshed.stage.service("other")
    meshed.stage.pod(other).registers(PAY)
    why = "sidecars refused something (soadns release mesh/filters)"
    said = eventually(
        lambda: [each["waitsFor"] for each in filters(follower, other).get("objects", [])],
        within=30.0,
        until=[why].__eq__,
    )
    assert said == [why], follower.process.tail()
    assert f"({told['annotations'][since]}): nothing is written" in follower.cli("mesh", "status")[1]
    assert follower.cli("release", "mesh/filters")[0] == 0
    meshed.stand(name, meshed.uid(other), by=follower)
    clear = eventually(noted, within=30.0, until=lambda found: since not in found["annotations"])
    assert clear["annotations"] == made["annotations"]
    assert clear["generation"] == made["generation"]


def test_rights_that_are_missing_are_told_with_what_gives_them(meshed: Meshed) -> None:
    api, namespace = meshed.api, meshed.stage.namespace
    share = {"moves": True, "events": True, "namespace": namespace}
    istio = {"mode": "write", "rootNamespace": meshed.root}
    soadns = meshed.stage.soadns_not_started(sidecar={"share": share, "istio": istio})
    nothing = [{"apiGroups": ["example.com"], "resources": ["nothing"], "verbs": ["get"]}]
    api.grant(RULES)
    for where in (namespace, meshed.root):
        api.grant(nothing, namespace=where)
    status, text = soadns.cli("check")
    assert status == 1, text
    for line in ("create leases", "list and watch virtualservices", "create and patch events"):
        assert f"FAIL kube/home: {line}" in text, text
    assert f"may not create or patch or delete envoyfilters in {meshed.root}" in text
    for plural in ("sidecars", "envoyfilters"):
        assert f"may not list or watch {plural}\n" in text, text
    assert (
        f"# then: kubectl create rolebinding soadns-istio -n {meshed.root} --role=soadns-istio --user=soadns"
        in text
    )

    [cure] = {row["cure"] for row in soadns.cli_json("check")["findings"] if row["cure"]}
    everywhere = list(RULES)
    for role in yaml.safe_load_all(cure):
        if role["kind"] == "Role":
            api.grant(role["rules"], namespace=role["metadata"]["namespace"])
        else:
            everywhere += role["rules"]
    api.grant(everywhere)
    found = eventually(lambda: soadns.cli("check"), within=30.0, until=lambda done: done[0] == 0)
    assert found[0] == 0, found[1]
