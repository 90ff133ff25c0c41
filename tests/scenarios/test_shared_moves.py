"""What has moved is known by all replicas, whoever of them is lost, and forgotten by all when one is told to."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.stage.kubernetes import READER, ApiServer
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import RULES, Service, Stage

USER, ADDRESS, PAY = "com.x.UserService", "com.x.AddressService", "com.x.PayService"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "sidecar.md"
LEASE_S = 3


def rules_of_the_page() -> list[dict[str, Any]]:
    """What the documentation says that it takes."""
    [text] = re.findall(r"^```yaml rbac\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return list(yaml.safe_load(text)["rules"])


class Shared:
    """A story whose replicas share what has moved, with two Services and an interface that can move between them."""

    def __init__(self, stage: Stage) -> None:
        assert stage.api is not None
        self.stage, self.api = stage, stage.api
        stage.api.grant(rules_of_the_page(), namespace=stage.namespace)
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

        found = eventually(look, within=20.0)
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

        got = eventually(look, within=15.0, until=lambda found: found == sorted(expected))
        assert got == sorted(expected)


def shares(soadns: Soadns) -> dict[str, Any]:
    """What a replica says of what it shares."""
    return dict(json.loads(soadns.http("/v1/mesh")[1])["share"])


def tells_routes(soadns: Soadns) -> None:
    status = eventually(lambda: soadns.http("/v1/routes")[0], within=20.0, until=lambda code: code == 200)
    assert status == 200, f"{soadns.http('/v1/routes')[1]}\n{soadns.process.tail()}"


def sends(soadns: Soadns, at: Service, interface: str, to: Service) -> None:
    """A sidecar sends calls of an interface at a Service's ClusterIP to a Service."""

    def look() -> object:
        path = f"/v1/resolve?address={at.cluster_ip}&port=20880&interface={interface}"
        return json.loads(soadns.http(path)[1]).get("service")

    got = eventually(look, within=15.0, until=lambda said: said == to.ref)
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
        leader.process.kill()
        shutil.rmtree(leader.folder / "state")
        leader.start()
    leader.stop()

    fresh = shared.replica()
    sends(fresh, shared.user, USER, shared.account)
    sends(fresh, shared.user, ADDRESS, shared.user)
    shared.leader(fresh)

    shared.old.registers(USER)
    shared.new.unregisters(USER)
    sends(fresh, shared.user, USER, shared.user)
    eventually(lambda: [row["service"][2] for row in shared.written()], within=15.0, until=["account"].__eq__)
    assert [row["service"][2] for row in shared.written()] == ["account"]


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
    assert eventually(lambda: not shares(leader)["lease"]["held"], within=10.0)
    shared.has_written(f"-{USER}")
    assert shared.lease()["holderIdentity"] == after["holderIdentity"]
    assert shares(follower)["lease"]["held"]


def test_routes_go_on_without_the_api_server_and_a_fresh_replica_waits_for_it(shared: Shared) -> None:
    first = shared.replica()
    shared.moves()
    sends(first, shared.user, USER, shared.account)
    shared.has_written(USER)
    leader = shared.leader(first)
    eventually(lambda: first.metric("soadns_snapshots_total") > 0, within=10.0)

    shared.api.kill()
    assert eventually(lambda: not shares(leader)["lease"]["held"], within=15.0), "it may not write any more"
    sends(first, shared.user, USER, shared.account)
    first.stop()
    first.start()
    sends(first, shared.user, USER, shared.account)  # by its snapshot
    saved = first.metric("soadns_snapshots_total")
    status, text = first.cli("mesh", "forget", f"{shared.user.namespace}/user", USER)
    assert (status, "can not know it yet" in text) == (0, True), text
    assert eventually(lambda: first.metric("soadns_snapshots_total") > saved, within=20.0)
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
        lambda: fresh.http("/v1/routes")[1], within=10.0, until=lambda text: "forbidden" in text
    )
    assert "what other replicas saw move was not read yet: configmaps" in said
    assert shares(fresh)["lease"]["trouble"]


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

    assert ordered(allowed(here)) == ordered([*RULES, *rules_of_the_page()])
    assert ordered(allowed("default")) == ordered(RULES), "elsewhere it only reads"


def ordered(rules: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(rule, sort_keys=True) for rule in rules)
