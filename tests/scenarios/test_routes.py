"""An interface moves between Services, and what sidecars are told follows it: for callers of every ClusterIP."""

from __future__ import annotations

import json
import urllib.request

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Service, Stage

USER, ADDRESS, PAY = "com.x.UserService", "com.x.AddressService", "com.x.PayService"


def cluster(service: Service) -> str:
    return f"outbound|20880||{service.name}.{service.namespace}.svc.cluster.local"


def sends(soadns: Soadns, at: Service, interface: str, to: Service, *options: str) -> None:
    """A sidecar sends calls of an interface at a Service's ClusterIP to a Service; it may take a while to get there."""

    def look() -> object:
        _, text = soadns.cli("resolve", f"{at.cluster_ip}:20880", interface, *options, "-o", "json")
        return json.loads(text)["cluster"] if text.startswith("{") else text

    got = eventually(look, within=30.0, until=lambda said: said == cluster(to))
    assert got == cluster(to), f"{interface} at {at.name}: {got}\n{soadns.cli('routes')[1]}"


def test_resolve_follows_an_interface_that_moves_and_returns(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    old, new = stage.pod(user), stage.pod(account)
    old.registers(USER, ADDRESS)
    new.registers(PAY)
    sends(soadns, user, USER, user)

    new.registers(USER)
    old.unregisters(USER)

    sends(soadns, user, USER, account)  # its connections stay, its requests follow
    sends(soadns, user, ADDRESS, user)
    sends(soadns, account, USER, account)
    assert soadns.cli("routes", f"{user.namespace}/user")[1].splitlines()[1].split()[0] == USER
    [rule] = soadns.explain(USER)["routes"]["rules"]
    assert (rule["service"], rule["why"], rule["to"]["cluster"]) == (user.ref, "moved", cluster(account))

    old.registers(USER)
    new.unregisters(USER)

    sends(soadns, user, USER, user)
    sends(soadns, account, USER, user)
    sends(soadns, account, PAY, account)


def test_what_has_moved_survives_a_restart_with_everything_down(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    old, new = stage.pod(user), stage.pod(account)
    old.registers(USER, ADDRESS)
    soadns.answers(USER, user.cluster_ip)
    new.registers(USER)
    old.unregisters(USER)
    sends(soadns, user, USER, account)

    soadns.stop()
    assert stage.zookeeper is not None
    assert stage.api is not None
    stage.zookeeper.kill()
    stage.api.kill()
    soadns.start()

    sends(soadns, user, USER, account)
    stage.zookeeper.start()
    stage.api.start()
    old.registers_again()
    new.registers_again()
    eventually(lambda: "stale" not in soadns.http("/readyz")[1], within=30.0)
    sends(soadns, user, USER, account)

    status, _ = soadns.cli("mesh", "forget", f"{user.namespace}/user", USER)
    assert status == 0
    sends(soadns, user, USER, user)


def test_versions_in_two_services_and_a_service_that_is_created_again(stage: Stage) -> None:
    soadns = stage.soadns()
    user, next_ = stage.service("user"), stage.service("next")
    stage.pod(user).registers(USER, version="1.0.0")
    stage.pod(next_).registers(USER, version="2.0.0")

    sends(soadns, user, f"{USER}:2.0.0", next_)
    sends(soadns, user, f"{USER}:1.0.0", user)
    sends(soadns, next_, USER, user, "--version", "1.0.0")
    status, text = soadns.cli("resolve", f"{user.cluster_ip}:20880", f"{USER}:3.0.0")
    assert (status, "it is refused (sidecar.missing: closed)" in text) == (1, True)

    before = user.cluster_ip
    user.delete()
    user.apply()
    assert user.cluster_ip != before
    sends(soadns, user, f"{USER}:2.0.0", next_)
    status, text = soadns.cli("resolve", f"{before}:20880", USER)
    assert (status, "is no ClusterIP" in text) == (1, True)


def test_who_follows_hears_of_a_move(stage: Stage) -> None:
    soadns = stage.soadns()
    user, account = stage.service("user"), stage.service("account")
    old, new = stage.pod(user), stage.pod(account)
    old.registers(USER, ADDRESS)
    soadns.answers(USER, user.cluster_ip)
    url = f"http://127.0.0.1:{soadns.http_port}/v1/routes?watch=1&service={user.namespace}/user"
    with urllib.request.urlopen(url, timeout=20) as stream:
        lines = (line.decode().strip() for line in stream)
        said = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
        assert [len(vip["routes"]) for vip in next(said)["vips"]] == [1]
        new.registers(USER)
        old.unregisters(USER)
        [vip] = next(said)["vips"]
        assert [route["to"]["cluster"] for route in vip["routes"]] == [cluster(account), cluster(user)]
