"""What callers see through CoreDNS while one of two soadns replicas dies, hangs or is replaced, and while both do.

The server blocks are those of ``deploy/coredns`` without their cache: every question goes to a replica. Callers have
the patience of a resolver, five seconds; a question that took longer, or was answered without data, counts as lost.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.crowd import Crowd, Outcome
from tests.ports import free_port
from tests.scenarios.stage import shop
from tests.scenarios.stage.certificates import Authority
from tests.scenarios.stage.corefiles import CLUSTER, Around, corefile
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns

pytestmark = pytest.mark.alone

RATE = 300
"""Of each crowd."""
PATIENCE = 5.0
INTERFACES = 100
NAMES = [f"com.alipay.shop{i % 10}.facade.Service{i}.{ZONE}" for i in range(INTERFACES)]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Soadns]]:
    """Two replicas that outlive what the stories do to them."""
    folder = tmp_path_factory.mktemp("failures")
    shop.write(folder / "shop", INTERFACES)
    key, certificate = Authority(folder / "authority").sign("soadns")
    with ExitStack() as last_to_first:
        replicas = []
        for number in (1, 2):
            static = [{"name": "shop", "paths": [str(folder / "shop")]}]
            soadns = Soadns(folder / f"replica-{number}", {"static": static})
            tls = {"listen": [f"127.0.0.1:{free_port()}"], "cert": str(certificate), "key": str(key)}
            more = {"workers": 1, "lameduck": "1s", "tls": tls}
            soadns.write_config(nameserver=soadns.settings["nameserver"] | more)
            last_to_first.callback(soadns.stop)
            replicas.append(soadns.start())
        yield replicas


@pytest.fixture
def replicas(lasting: list[Soadns]) -> list[Soadns]:
    """The same with everything up."""
    for soadns in lasting:
        if not soadns.process.running:
            soadns.start()
        soadns.wait_ready()
    return lasting


def around(replicas: list[Soadns]) -> Around:
    tls = [soadns.settings["nameserver"]["tls"] for soadns in replicas]
    return Around(
        *(f"127.0.0.1:{soadns.port}" for soadns in replicas), *(each["listen"][0] for each in tls),
        authority=Path(tls[0]["cert"]).with_name("ca.crt"), world="127.0.0.1:9",
    )  # fmt: skip


@contextmanager
def running(folder: Path, replicas: list[Soadns], name: str, *options: str) -> Iterator[CoreDns]:
    """CoreDNS with a file of ``deploy/coredns``, without its cache and with further options of ``forward``."""
    more = "\n        ".join(["max_concurrent 2000", *options])
    text = corefile(name, around(replicas), cache="", max_concurrent=more)
    server = CoreDns(folder, ZONE, text + ("" if name == "bare-names" else CLUSTER))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def crowds(replicas: list[Soadns], tmp_path: Path) -> Iterator[Crowds]:
    """Callers of a CoreDNS that asks by UDP, one that asks by TCP as behind NodeLocal DNSCache, and one by TLS."""
    with (
        running(tmp_path / "udp", replicas, "stub") as udp,
        running(tmp_path / "tcp", replicas, "stub", "force_tcp") as tcp,
        running(tmp_path / "tls", replicas, "tls") as tls,
    ):
        yield Crowds(callers(udp), callers(tcp), callers(tls))


@contextmanager
def killed(*replicas: Soadns) -> Iterator[None]:
    """Replicas that refuse."""
    for soadns in replicas:
        soadns.signalled(signal.SIGKILL)
        soadns.process.kill()
    yield


@contextmanager
def stopped(*replicas: Soadns) -> Iterator[None]:
    """Replicas that neither run nor refuse."""
    for soadns in replicas:
        soadns.signalled(signal.SIGSTOP)
    try:
        yield
    finally:
        for soadns in replicas:
            soadns.signalled(signal.SIGCONT)


def callers(coredns: CoreDns) -> Crowd:
    return Crowd(coredns.port, *NAMES, rate=RATE, patience=PATIENCE)


class Crowds:
    """They ask as long as the context lasts; then nobody may have lost a question."""

    def __init__(self, *crowds: Crowd) -> None:
        self.crowds = crowds

    def __enter__(self) -> None:
        with ExitStack() as entered:
            for crowd in self.crowds:
                entered.enter_context(crowd)
            time.sleep(0.5)
            self._entered = entered.pop_all()

    def __exit__(self, *_: object) -> None:
        time.sleep(0.5)
        self._entered.close()
        for crowd in self.crowds:
            nobody_lost(crowd.outcome)


def nobody_lost(outcome: Outcome) -> None:
    print(outcome)
    assert not outcome.unharmed
    assert not outcome.repeated


def test_a_replica_is_killed(crowds: Crowds, replicas: list[Soadns]) -> None:
    with crowds:
        replicas[0].signalled(signal.SIGKILL)
        replicas[0].process.kill()
        time.sleep(1.5)


def test_a_replica_is_stopped(crowds: Crowds, replicas: list[Soadns]) -> None:
    """Questions to it cost two seconds each, for the six seconds after which CoreDNS asks it no more."""
    with crowds, stopped(replicas[0]):
        time.sleep(8.0)


def test_replicas_are_restarted_one_after_another(crowds: Crowds, replicas: list[Soadns]) -> None:
    with crowds:
        for soadns in replicas:
            soadns.stop()
            soadns.start()
            time.sleep(0.5)


def test_replicas_are_rolled(crowds: Crowds, replicas: list[Soadns]) -> None:
    with crowds:
        for soadns in replicas:
            before = soadns.worker()
            soadns.process.signal(signal.SIGUSR1)
            assert eventually(lambda pid=before: not os.path.exists(f"/proc/{pid}"), within=15)


@pytest.mark.parametrize("gone", [killed, stopped])
@pytest.mark.parametrize("name", ["stub", "bare-names"])
def test_the_cluster_is_unhurt_while_both_replicas_are_slow_or_down(
    name: str, gone: Callable[..., AbstractContextManager[None]], replicas: list[Soadns], tmp_path: Path
) -> None:
    service = "kubernetes.default.svc.cluster.local"
    with (
        running(tmp_path / "coredns", replicas, name) as coredns,
        Crowd(coredns.port, service, rate=RATE) as others,
        callers(coredns) as crowd,
    ):
        for _ in range(5):
            with stopped(*replicas):
                time.sleep(0.3)
            time.sleep(0.1)
        with gone(*replicas):
            time.sleep(3.0)
    nobody_lost(others.outcome)
    assert crowd.outcome.unharmed or crowd.outcome.slowest > 2_000, "it was down"


@pytest.mark.parametrize("gone", [killed, stopped])
def test_what_was_asked_before_is_answered_from_a_cache_that_serves_stale(
    gone: Callable[..., AbstractContextManager[None]], replicas: list[Soadns], tmp_path: Path
) -> None:
    stale = "cache 30 {\n        success 9984 1 1\n        serve_stale 1h verify\n    }"
    coredns = CoreDns(tmp_path / "coredns", ZONE, corefile("stub", around(replicas), cache=stale))
    name = NAMES[0]
    try:
        coredns.start()
        assert dig(coredns.port, name).data == ("10.96.2.0",)
        with gone(*replicas):
            time.sleep(1.5)
            # CoreDNS asks replicas that are silent for six seconds, before it takes the old answer.
            first = dig(coredns.port, name, patience_s=10)
            # When health checks have found nobody well, nobody is asked: one attempt would take two seconds.
            assert eventually(lambda: dig(coredns.port, name, patience_s=1).data, within=20.0)
            later = [dig(coredns.port, name, patience_s=2) for _ in range(5)]
    finally:
        coredns.stop()
    for dug in (first, *later):
        assert dug.data == ("10.96.2.0",), dug.text
        assert f"{name}. 0 IN A" in " ".join(dug.text.split())
