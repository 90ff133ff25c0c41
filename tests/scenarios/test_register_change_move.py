"""An interface is registered, changes its Service's address, moves to another Service, and is taken back."""

from __future__ import annotations

from tests.scenarios.stage.stage import QUICK, Stage

USER = "com.alipay.user.UserService"


def test_a_registered_interface_answers_with_the_cluster_ip_of_its_service(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    soadns.says(USER, "NXDOMAIN")

    stage.pod(user).registers(USER, "com.alipay.user.AddressService")

    soadns.answers(USER, user.cluster_ip)
    soadns.answers("com.alipay.user.AddressService", user.cluster_ip)
    soadns.answers(USER, kind="AAAA")  # known name, no such data: NOERROR and nothing
    soadns.answers(f"_dubbo._tcp.{USER}", f"0 100 20880 {USER}.rpc.cluster.local.", kind="SRV")
    soadns.says("user.UserService", "NOERROR")  # an empty non-terminal
    soadns.says("www.example.com.", "REFUSED")
    explained = soadns.explain(USER)
    assert explained["service"] == user.ref
    assert explained["host"] == f"user.{stage.namespace}.svc.cluster.local"
    assert explained["clusters"] == [f"outbound|20880||user.{stage.namespace}.svc.cluster.local"]


def test_the_interface_moves_to_the_service_that_takes_it_over(stage: Stage) -> None:
    soadns = stage.soadns()
    # Of two that are as old as each other, to the second, the name decides: `user` would be chosen anew, too.
    user, account = stage.service("user"), stage.service("user-account")
    old = [stage.pod(user), stage.pod(user)]
    for pod in old:
        pod.registers(USER, "com.alipay.user.AddressService")
    soadns.answers(USER, user.cluster_ip)

    for _ in range(2):
        stage.pod(account).registers(USER)
    soadns.keeps_answering(USER, user.cluster_ip, seconds=0.5)  # two Services want it: the winner stays

    # The next release of `user` does without it, pod by pod: an interface is being split off.
    old[0].unregisters(USER)
    soadns.answers(USER, account.cluster_ip)
    old[1].unregisters(USER)
    soadns.answers(USER, account.cluster_ip)
    soadns.answers("com.alipay.user.AddressService", user.cluster_ip)
    assert [step["why"] for step in soadns.explain(USER)["history"]][-1] == "split"


def test_a_recreated_service_answers_with_its_new_cluster_ip_at_once(stage: Stage) -> None:
    soadns = stage.soadns(binding=QUICK | {"recreateGrace": "30s"})  # in which it comes back
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)
    before = user.cluster_ip

    user.delete()
    user.apply()

    assert user.cluster_ip != before
    soadns.answers(USER, user.cluster_ip)
    assert soadns.explain(USER)["cause"] == "recreated"


def test_a_cluster_ip_that_another_service_took_is_never_answered(stage: Stage) -> None:
    soadns = stage.soadns(binding=QUICK | {"recreateGrace": "30s"})  # in which it is still `user`'s
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)
    before = user.cluster_ip

    user.delete()
    stage.service("takes-the-address", clusterIP=before)

    soadns.answers(USER, pod.host)  # nobody else runs it: the process is still there
    assert soadns.explain(USER)["cause"] == "stolen"
    user.apply()
    soadns.answers(USER, user.cluster_ip)


def test_a_removed_interface_lingers_and_then_goes(stage: Stage) -> None:
    soadns = stage.soadns(binding=QUICK | {"linger": "8s"})
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER, "com.alipay.user.AddressService")
    soadns.answers(USER, user.cluster_ip)

    pod.unregisters(USER)

    soadns.keeps_answering(USER, user.cluster_ip, seconds=2.0)
    soadns.says(USER, "NXDOMAIN", within=30)
    soadns.answers("com.alipay.user.AddressService", user.cluster_ip)
    known = soadns.cli_json("explain", USER)
    assert known["zones"][0]["history"][-1]["to"] == "nothing"
