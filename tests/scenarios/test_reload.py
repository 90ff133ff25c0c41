"""The configuration is read again by SIGHUP: a good file holds, a bad one is refused, a harmful one asks first."""

from __future__ import annotations

import os
import signal
import socket

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Callers
from tests.scenarios.stage.stage import Stage

USER = "com.alipay.user.UserService"


def test_a_second_zone_by_sighup_while_queries_run(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)

    zone = {"name": "soa.example", "namespaces": [stage.namespace], "ttl": 60}
    soadns.write_config(zones=[*soadns.settings["zones"], zone])
    with Callers(soadns, USER) as callers:
        soadns.process.signal(signal.SIGHUP)
        soadns.answers(f"{USER}.soa.example.", user.cluster_ip, within=20)
        assert f"{USER}.soa.example. 60 IN A {user.cluster_ip}" in soadns.dig(f"{USER}.soa.example.").text
        soadns.answers(USER, user.cluster_ip)
    assert not callers.unharmed


def test_a_bad_file_is_reported_and_the_old_one_stays_in_force(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    stage.pod(user).registers(USER)
    soadns.answers(USER, user.cluster_ip)
    good = soadns.config.read_text()

    soadns.config.write_text(good.replace('"hosts"', '"host"'))
    soadns.process.signal(signal.SIGHUP)
    assert eventually(
        lambda: soadns.logged("reload-refused", "zookeeper[0].host", "did you mean hosts?"), within=10
    )
    soadns.keeps_answering(USER, user.cluster_ip, seconds=1.0)
    soadns.config.write_text(good)
    assert soadns.metric('soadns_reloads_total{outcome="bad"}') == 1
    status, text = soadns.cli("reload")
    assert (status, text) == (0, "the configuration is being read again\n")
    soadns.answers(USER, user.cluster_ip)


def test_a_file_that_would_remove_much_is_refused_unless_accepted(stage: Stage) -> None:
    soadns = stage.soadns(guard={"minimum": 5})
    user = stage.service("user")
    names = [f"com.alipay.user.Service{i}" for i in range(8)]
    stage.pod(user).registers(*names)
    soadns.answers(names[7], user.cluster_ip)

    slip = [{"name": ZONE, "namespaces": ["no-such-namespace"]}]
    soadns.write_config(zones=slip)
    soadns.process.signal(signal.SIGHUP)
    assert eventually(lambda: soadns.logged("reload-refused", "names=8"), within=10)
    soadns.keeps_answering(names[7], user.cluster_ip, seconds=1.0)
    # The command line tells the address of the API from the same file, which is still right about it.
    status, text = soadns.cli("reload")
    assert status == 1
    assert f"namespaces {stage.namespace}" in text
    assert "soadns reload --accept-removals" in text

    assert soadns.cli("reload", "--accept-removals")[0] == 0
    assert eventually(lambda: soadns.dig(names[7]).data, within=20, until=lambda d: user.cluster_ip not in d)


def test_a_file_that_nobody_took_is_not_in_force_after_a_crash_either(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)

    slips = ['{"zones": [', soadns.config.read_text().replace(stage.namespace, "no-such-namespace"), ""]
    for number, slip in enumerate(slips):
        soadns.config.write_text(slip)
        first = soadns.child("_control")
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda gone=first: soadns.child("_control") not in (0, gone), within=10)
        soadns.wait_ready()
        name = f"com.alipay.user.Service{number}"
        pod.registers(name)
        soadns.answers(name, user.cluster_ip, within=20)
        soadns.answers(USER, user.cluster_ip)


def test_an_api_address_that_is_taken_is_refused(stage: Stage) -> None:
    soadns = stage.soadns()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        soadns.write_config(http={"listen": f"127.0.0.1:{soadns.http_port}", "probes": address})
        status, text = soadns.cli("reload")
    assert status == 1
    assert (
        f"can not listen on TCP {address}: Address already in use. Set http.probes to another address" in text
    )
    assert soadns.http("/readyz")[0] == 200
