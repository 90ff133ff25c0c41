"""The configuration is read again by SIGHUP: a good file holds, a bad one is refused, a harmful one asks first."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter

from tests.ports import free_port
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
        soadns.answers(f"{USER}.soa.example.", user.cluster_ip, within=60)
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
        lambda: soadns.logged("reload-refused", "zookeeper[0].host", "did you mean hosts?"), within=30
    )
    soadns.keeps_answering(USER, user.cluster_ip, seconds=1.0)
    soadns.config.write_text(good)
    assert soadns.metric('soadns_reloads_total{outcome="bad"}') == 1
    status, text = soadns.cli("reload")
    assert (status, text) == (0, "the configuration is in force\n")
    soadns.answers(USER, user.cluster_ip)


def test_a_file_that_would_remove_much_is_refused_unless_accepted(stage: Stage) -> None:
    soadns = stage.soadns(guard={"minimum": 5})
    user = stage.service("user")
    names = [f"com.alipay.user.Service{i}" for i in range(8)]
    stage.pod(user).registers(*names)
    for name in names:  # each is read by itself, and the last one perhaps before others
        soadns.answers(name, user.cluster_ip)

    slip = [{"name": ZONE, "namespaces": ["no-such-namespace"]}]
    soadns.write_config(zones=slip)
    soadns.process.signal(signal.SIGHUP)
    assert eventually(lambda: soadns.logged("reload-refused", "names=8"), within=30)
    soadns.keeps_answering(names[7], user.cluster_ip, seconds=1.0)
    # The command line tells the address of the API from the same file, which is still right about it.
    status, text = soadns.cli("reload")
    assert status == 1
    assert f"namespaces {stage.namespace}" in text
    assert "soadns reload --accept-removals" in text

    [ensemble], zones = soadns.settings["zookeeper"], stage.settings()["zones"]
    elsewhere = f"127.0.0.1:{free_port()}"
    soadns.write_config(zones=zones, zookeeper=[ensemble | {"hosts": elsewhere}])
    status, text = soadns.cli("reload")
    assert status == 1
    assert (
        f"would remove ensemble main at {ensemble['hosts']} ({elsewhere} is another), and with it 8 names"
        in text
    )
    soadns.keeps_answering(names[7], user.cluster_ip, seconds=1.0)

    soadns.write_config(zones=slip, zookeeper=[ensemble])
    assert soadns.cli("reload", "--accept-removals")[0] == 0
    assert eventually(lambda: soadns.dig(names[7]).data, within=20, until=lambda d: user.cluster_ip not in d)


def test_a_file_that_nobody_took_is_not_in_force_after_a_crash_either(stage: Stage) -> None:
    soadns = stage.soadns()
    user = stage.service("user")
    pod = stage.pod(user)
    pod.registers(USER)
    soadns.answers(USER, user.cluster_ip)

    slips = [
        '{"zones": [',
        soadns.config.read_text().replace(stage.namespace, "no-such-namespace"),
        "",
    ]
    for number, slip in enumerate(slips):
        soadns.config.write_text(slip)
        first = soadns.child("_control")
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda gone=first: soadns.child("_control") not in (0, gone), within=10)
        soadns.wait_ready()
        name = f"com.alipay.user.Service{number}"
        pod.registers(name)
        soadns.answers(name, user.cluster_ip, within=60)
        soadns.answers(USER, user.cluster_ip)


def test_nobody_who_asks_over_http_is_refused_while_the_configuration_is_read_again(stage: Stage) -> None:
    soadns = stage.soadns()
    before = soadns.child("_control")
    statuses: Counter[int] = Counter()
    over = threading.Event()
    patience_s = (
        60.0  # who connects meanwhile waits for the next one, however long a busy machine takes to start it
    )

    def ask() -> None:
        while not over.is_set():
            try:
                statuses[soadns.http("/readyz", patience_s=patience_s)[0]] += 1
            except OSError:
                statuses[0] += 1
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert soadns.cli("reload")[0] == 0
        # It is in force by now, not some time later.
        assert soadns.child("_control") not in (0, before)
        assert soadns.cli("list", "--sources")[0] == 0
        # A control process that is killed is waited for as well.
        os.kill(soadns.child("_control"), signal.SIGKILL)
        assert soadns.http("/livez", patience_s=patience_s)[0] == 200
        eventually(lambda: statuses[200] > 20, within=10)
    finally:
        over.set()
        asking.join()
    assert statuses[0] <= 1, statuses  # the one who was being answered by the process that was killed
    assert set(statuses) <= {0, 200}, statuses


def test_addresses_of_the_api_hold_from_the_next_start(stage: Stage) -> None:
    soadns = stage.soadns()
    probes = free_port()
    soadns.write_config(http={"listen": f"127.0.0.1:{soadns.http_port}", "probes": f"127.0.0.1:{probes}"})
    status, text = soadns.cli("reload")
    assert status == 0
    assert text.splitlines()[1:] == ["these hold from the next start only: http.probes, http.livez"]
    soadns.stop()
    soadns.start()
    assert soadns.http("/readyz", port=probes)[0] == 200
    assert soadns.http("/v1/sources", port=probes)[0] == 404


def test_an_api_address_that_is_taken_is_named_before_anything_starts(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        soadns = stage.soadns_not_started(http={"probes": address})
        soadns.process.start()
        assert eventually(lambda: not soadns.process.running, within=30)
    assert soadns.logged(
        f"can not listen on TCP {address}: Address already in use. Set http.probes to another"
    )
