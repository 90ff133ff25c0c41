"""What has moved is known by all replicas, whoever of them is lost, and forgotten by all when one is told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from soadns.kubeapi import ApiError, KubeApi
from soadns.mesh.eventbook import Entry, Happening, Regarding
from soadns.mesh.events import EVENTS, GOING
from tests.scenarios.stage.kubernetes import ADMIN, READER, ApiServer
from tests.scenarios.stage.pages import istio_rules, sharing_rules
from tests.scenarios.stage.process import eventually, printed
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import RULES, Service, Stage

USER, ADDRESS, PAY = "com.x.UserService", "com.x.AddressService", "com.x.PayService"
LEASE_S = 6
"""Who can not renew it for two thirds of that gives it up: on a machine with much to do nobody is to."""


class Shared:
    """A story whose replicas share what has moved, with two Services and an interface that can move between them."""

    def __init__(self, stage: Stage) -> None:
        assert stage.api is not None
        self.stage, self.api = stage, stage.api
        stage.api.grant(sharing_rules(), namespace=stage.namespace)
        self.user, self.account = stage.service("user"), stage.service("account")
        self.old, self.new = stage.pod(self.user), stage.pod(self.account)
        self.old.registers(USER, ADDRESS)
        self.new.registers(PAY)

    def replica(self, *, ready: bool = True) -> Soadns:
        share = {"moves": True, "namespace": self.stage.namespace, "lease": f"{LEASE_S}s"}
        found = self.stage.soadns(sidecar={"share": share})
        if ready:
            tells_routes(found)
        return found

    def moves(self) -> None:
        """The interface leaves ``user`` for ``account``."""
        self.new.registers(USER)
        self.old.unregisters(USER)

    def lease(self) -> dict[str, Any]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.stage.namespace}/leases/soadns"
        return dict(self.api.request("GET", path)["spec"])

    def leader(self, *replicas: Soadns) -> Soadns:
        """Who of them has the Lease; one gets it in time."""

        def look() -> Soadns | None:
            return next((each for each in replicas if shares(each)["lease"]["held"]), None)

        found = eventually(look, within=30.0)
        assert found is not None, "\n".join(each.process.tail() for each in replicas)
        return found

    def written(self) -> list[dict[str, Any]]:
        """All facts that stand in the cluster."""
        path = f"/api/v1/namespaces/{self.stage.namespace}/configmaps?labelSelector=soadns.io/holds=moves"
        found = self.api.request("GET", path)["items"]
        return [row for item in found for row in json.loads(item["data"]["moves.json"])["moves"]]

    def has_written(self, *expected: str) -> None:
        """``USER`` has moved and all may know; ``-USER`` was forgotten."""

        def look() -> list[str]:
            return sorted(
                f"{'-' if 'forgotten' in row else ''}{row['interface'][0]}" for row in self.written()
            )

        got = eventually(look, within=30.0, until=lambda found: found == sorted(expected))
        assert got == sorted(expected)


def shares(soadns: Soadns) -> dict[str, Any]:
    """What a replica says of what it shares."""
    return dict(json.loads(soadns.http("/v1/mesh")[1])["share"])


def tells_routes(soadns: Soadns) -> None:
    status = eventually(lambda: soadns.http("/v1/routes")[0], within=30.0, until=lambda code: code == 200)
    assert status == 200, f"{soadns.http('/v1/routes')[1]}\n{soadns.process.tail()}"


def sends(soadns: Soadns, at: Service, interface: str, to: Service) -> None:
    """A sidecar sends calls of an interface at a Service's ClusterIP to a Service."""

    def look() -> object:
        path = f"/v1/resolve?address={at.cluster_ip}&port=20880&interface={interface}"
        return json.loads(soadns.http(path)[1]).get("service")

    got = eventually(look, within=30.0, until=lambda said: said == to.ref)
    assert got == to.ref, f"{interface} at {at.name}: {got}\n{soadns.process.tail()}"


@contextmanager
def standing_still(soadns: Soadns) -> Iterator[None]:
    """Supervisor and control process stop; each goes on where it was."""
    pids = [soadns.process.pid, soadns.child("_control")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def shared(stage: Stage) -> Shared:
    return Shared(stage)


def test_what_moved_outlives_the_replica_that_saw_it_its_volume_and_its_successor(shared: Shared) -> None:
    first, second = shared.replica(), shared.replica()
    sends(first, shared.user, USER, shared.user)
    shared.moves()
    for replica in (first, second):
        sends(replica, shared.user, USER, shared.account)
    shared.has_written(USER)

    leader = shared.leader(first, second)
    [follower] = {first, second} - {leader}
    follower.process.kill()
    for _ in range(2):  # it, its volume, and the one that takes its place
        leader.lost()
        leader.start()
    leader.stop()

    fresh = shared.replica()
    sends(fresh, shared.user, USER, shared.account)
    sends(fresh, shared.user, ADDRESS, shared.user)
    shared.leader(fresh)

    shared.old.registers(USER)
    shared.new.unregisters(USER)
    sends(fresh, shared.user, USER, shared.user)
    found = eventually(
        lambda: [row["service"][2] for row in shared.written()], within=30.0, until=["account"].__eq__
    )
    assert found == ["account"]


def test_what_is_forgotten_at_one_replica_is_forgotten_by_all(shared: Shared) -> None:
    first, second, away = shared.replica(), shared.replica(), shared.replica()
    shared.moves()
    for replica in (first, second, away):
        sends(replica, shared.user, USER, shared.account)
    shared.has_written(USER)
    away.stop()  # with a snapshot in which it has moved
    leader = shared.leader(first, second)
    [follower] = {first, second} - {leader}

    status, text = follower.cli("mesh", "forget", f"{shared.user.namespace}/user", USER)
    assert (status, "can not know it yet" in text) == (0, False), text
    sends(leader, shared.user, USER, shared.user)
    shared.has_written(f"-{USER}")
    away.start()
    tells_routes(away)
    sends(away, shared.user, USER, shared.user)

    # Nor does it come back when those are gone who were there.
    leader.process.kill()
    follower.process.kill()
    shared.leader(away)
    fresh = shared.replica()
    sends(fresh, shared.user, USER, shared.user)
    shared.has_written(f"-{USER}")


def test_a_holder_that_stood_still_neither_undoes_nor_repeats_anything(shared: Shared) -> None:
    first, second = shared.replica(), shared.replica()
    leader = shared.leader(first, second)
    [follower] = {first, second} - {leader}
    shared.moves()
    sends(follower, shared.user, USER, shared.account)
    shared.has_written(USER)
    before = shared.lease()

    with standing_still(leader):
        assert shared.leader(follower) is follower
        status, text = follower.cli("mesh", "forget", f"{shared.user.namespace}/user", USER)
        assert (status, "can not know it yet" in text) == (0, False), text
        shared.has_written(f"-{USER}")
        after = shared.lease()
        assert after["leaseTransitions"] == before["leaseTransitions"] + 1
        assert after["holderIdentity"] != before["holderIdentity"]

    sends(leader, shared.user, USER, shared.user)
    assert eventually(lambda: not shares(leader)["lease"]["held"], within=30.0)
    shared.has_written(f"-{USER}")
    assert shared.lease()["holderIdentity"] == after["holderIdentity"]
    assert shares(follower)["lease"]["held"]


def test_routes_go_on_without_the_api_server_and_a_fresh_replica_waits_for_it(shared: Shared) -> None:
    first = shared.replica()
    shared.moves()
    sends(first, shared.user, USER, shared.account)
    shared.has_written(USER)
    leader = shared.leader(first)
    eventually(lambda: first.metric("soadns_snapshots_total") > 0, within=30.0)

    shared.api.kill()
    assert eventually(lambda: not shares(leader)["lease"]["held"], within=30.0), "it may not write any more"
    sends(first, shared.user, USER, shared.account)
    first.stop()
    first.start()
    sends(first, shared.user, USER, shared.account)  # by its snapshot
    saved = first.metric("soadns_snapshots_total")
    status, text = first.cli("mesh", "forget", f"{shared.user.namespace}/user", USER)
    assert (status, "can not know it yet" in text) == (0, True), text
    assert eventually(lambda: first.metric("soadns_snapshots_total") > saved, within=30.0)
    first.process.kill()  # before the others could be told
    first.start()

    shared.api.start()
    tells_routes(first)
    sends(first, shared.user, USER, shared.user)


def test_a_fresh_replica_that_may_not_read_what_is_shared_tells_no_routes(shared: Shared) -> None:
    shared.api.grant(
        [{"apiGroups": ["x"], "resources": ["x"], "verbs": ["get"]}], namespace=shared.stage.namespace
    )
    fresh = shared.replica(ready=False)
    fresh.answers(USER, shared.user.cluster_ip)  # DNS needs nothing of this
    assert fresh.http("/v1/routes")[0] == 503
    said = eventually(
        lambda: fresh.http("/v1/routes")[1], within=30.0, until=lambda text: "forbidden" in text
    )
    assert "what other replicas saw move was not read yet: configmaps" in said
    assert eventually(lambda: shares(fresh)["lease"]["trouble"], within=30.0)


def test_exactly_the_rights_of_the_page_are_needed_and_given(shared: Shared, api_server: ApiServer) -> None:
    here = shared.stage.namespace
    silent = shared.stage.soadns()
    sends(silent, shared.user, USER, shared.user)
    assert shared.api.request("GET", f"/api/v1/namespaces/{here}/configmaps")["items"] == []
    assert shared.api.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{here}/leases")["items"] == []
    assert json.loads(silent.http("/v1/mesh")[1])["share"] is None

    replica = shared.replica()
    shared.moves()
    shared.has_written(USER)
    shared.leader(replica)
    assert not replica.logged("forbidden")

    def allowed(namespace: str) -> list[dict[str, Any]]:
        """What soadns may do in a namespace, as the API server says, beyond asking that."""
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }  # fmt: skip
        rules = api_server.request("POST", path, review, token=READER)["status"]["resourceRules"]
        return [
            rule
            for rule in rules
            if not {"authorization.k8s.io", "authentication.k8s.io"} & {*rule["apiGroups"]}
        ]

    assert ordered(allowed(here)) == ordered([*RULES, *sharing_rules()])
    assert ordered(allowed("default")) == ordered(RULES), "elsewhere it only reads"


def test_what_is_wrong_with_annotations_is_told_as_events_by_one_replica(
    shared: Shared, api_server: ApiServer
) -> None:
    here = shared.stage.namespace
    # Roles of one name in one namespace are one: what is granted last is all.
    api_server.grant([*sharing_rules(), *istio_rules()["events"]], namespace=here)
    share = {"moves": True, "events": True, "namespace": here, "lease": f"{LEASE_S}s"}
    replicas = [shared.stage.soadns(sidecar={"share": share}) for _ in range(2)]
    shared.leader(*replicas)
    shared.user.annotate(trafic="off", moves="sometimes")
    admin = f"--kubeconfig={api_server.kubeconfig(ADMIN)}"

    def told() -> list[list[str]]:
        done = printed("kubectl", admin, "events", "-n", here, "--for", "service/user", "--no-headers")
        return sorted(line.split(None, 4)[1:] for line in done.stdout.splitlines())

    found = eventually(told, within=30.0, until=lambda rows: len(rows) == 2)
    [moves, unknown] = [row[3] for row in found]
    assert {(*row[:3],) for row in found} == {("Warning", "AnnotationIgnored", "Service/user")}
    assert moves.startswith("soadns.io/moves: 'sometimes'"), moves
    page = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert f"Service/user   {unknown}\n" in page

    shared.user.annotate(trafic="", moves="")
    time.sleep(
        5.0
    )  # longer than the one who tells waits between two looks: what is over is told no more, nor twice
    assert len(told()) == 2
    assert {json.loads(each.http("/v1/mesh")[1])["share"]["events"]["trouble"] for each in replicas} == {None}


def test_an_api_server_says_of_a_namespace_that_goes_what_is_looked_for(api_server: ApiServer) -> None:
    """There is no controller that would end it."""
    api_server.create_namespace("going")
    api_server.request("DELETE", "/api/v1/namespaces/going")
    about = Regarding("Service", "going", "user", "uid-1")
    entry = Entry(Happening(about, "SidecarTier", "port 20880: tier 1", "Write"), 1, time.time(), time.time())

    async def apply() -> None:
        api = KubeApi(kubeconfig=str(api_server.kubeconfig(ADMIN)))
        try:
            path = f"{EVENTS.path('going')}/{entry.name}"
            await api.apply(path, entry.document("soadns-0"), manager="soadns")
        finally:
            await api.close()

    with pytest.raises(ApiError, match=GOING) as caught:
        asyncio.run(apply())
    assert caught.value.status == 403


def ordered(rules: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(rule, sort_keys=True) for rule in rules)
