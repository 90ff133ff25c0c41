"""What callers see through CoreDNS while one of two soadns replicas dies, hangs or is replaced, and while both do.

The server blocks are those of ``deploy/coredns`` without their cache: every question goes to a replica. Callers have
the patience of a resolver, five seconds; a question that took longer, or was answered without data, counts as lost.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.crowd import Crowd, Outcome
from tests.ports import free_port
from tests.scenarios.stage import failures, shop
from tests.scenarios.stage.certificates import Authority
from tests.scenarios.stage.corefiles import CLUSTER, Around, corefile
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.failures import EVENTS, PATIENCE_S, WAYS, Found
from tests.scenarios.stage.nameservers import CoreDns, wire_name
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.stalls import Machine

pytestmark = pytest.mark.alone

RATE = 300
"""Of each crowd."""
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


@pytest.fixture(scope="module")
def found() -> Iterator[Found]:
    """What the page is made of."""
    figures = Found()
    yield figures
    figures.write()


@pytest.fixture
def crowds(replicas: list[Soadns], found: Found, tmp_path: Path) -> Iterator[Crowds]:
    """Callers of a CoreDNS that asks by UDP, one that asks by TCP as behind NodeLocal DNSCache, and one by TLS."""
    with (
        running(tmp_path / "udp", replicas, "stub") as udp,
        running(tmp_path / "tcp", replicas, "stub", "force_tcp") as tcp,
        running(tmp_path / "tls", replicas, "tls") as tls,
    ):
        yield Crowds(found, callers(udp), callers(tcp), callers(tls))


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
    return Crowd(coredns.port, *NAMES, rate=RATE, patience=PATIENCE_S)


class Crowds:
    """A crowd for each of ``WAYS``."""

    def __init__(self, found: Found, *crowds: Crowd) -> None:
        self._found = found
        self._crowds = crowds

    @contextmanager
    def during(self, event: str) -> Iterator[None]:
        """They ask as long as the context lasts; then nobody may have lost a question, or waited for too long."""
        with ExitStack() as entered:
            machine = entered.enter_context(Machine())
            for crowd in self._crowds:
                entered.enter_context(crowd)
            time.sleep(0.5)
            yield
            time.sleep(0.5)
        for way, crowd in zip(WAYS, self._crowds, strict=True):
            nobody_lost(crowd.outcome)
            self._found.note(event, way, crowd.outcome)
            assert in_time(event, crowd.outcome, machine), f"{way}: {crowd.outcome}"


def in_time(event: str, outcome: Outcome, machine: Machine) -> bool:
    """Whether nobody waited for too long, but for what a machine that stood still added to it."""
    return outcome.slowest - machine.outcome.longest_ms <= EVENTS[event].longest_s * 1000


def nobody_lost(outcome: Outcome) -> None:
    print(outcome)
    assert not outcome.unharmed
    assert not outcome.repeated


def test_a_replica_is_killed(crowds: Crowds, replicas: list[Soadns]) -> None:
    with crowds.during("killed"):
        replicas[0].signalled(signal.SIGKILL)
        replicas[0].process.kill()
        time.sleep(1.5)


def test_a_replica_is_stopped(crowds: Crowds, replicas: list[Soadns]) -> None:
    """Questions to it cost two seconds each, for the six seconds after which CoreDNS asks it no more."""
    with crowds.during("stopped"), stopped(replicas[0]):
        time.sleep(8.0)


def test_replicas_are_restarted_one_after_another(crowds: Crowds, replicas: list[Soadns]) -> None:
    with crowds.during("restarted"):
        for soadns in replicas:
            soadns.stop()
            soadns.start()
            time.sleep(0.5)


def test_replicas_are_rolled(crowds: Crowds, replicas: list[Soadns]) -> None:
    with crowds.during("rolled"):
        for soadns in replicas:
            before = soadns.worker()
            soadns.process.signal(signal.SIGUSR1)
            assert eventually(lambda pid=before: not os.path.exists(f"/proc/{pid}"), within=15)


@pytest.mark.parametrize("gone", [killed, stopped])
@pytest.mark.parametrize("name", ["stub", "bare-names"])
def test_the_cluster_is_unhurt_while_both_replicas_are_slow_or_down(
    name: str,
    gone: Callable[..., AbstractContextManager[None]],
    replicas: list[Soadns],
    found: Found,
    tmp_path: Path,
) -> None:
    service = "kubernetes.default.svc.cluster.local"
    with (
        running(tmp_path / "coredns", replicas, name) as coredns,
        Machine() as machine,
        Crowd(coredns.port, service, rate=RATE, patience=PATIENCE_S) as others,
        callers(coredns) as crowd,
    ):
        for _ in range(5):
            with stopped(*replicas):
                time.sleep(0.3)
            time.sleep(0.1)
        with gone(*replicas):
            time.sleep(3.0)
    nobody_lost(others.outcome)
    found.note("both", "UDP", others.outcome)
    assert in_time("both", others.outcome, machine), others.outcome
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


class LooksUp(threading.Thread):
    """Looks a name up at each call, as a resolver with two attempts of ``PATIENCE_S`` does, until it is told to end."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._question = b"\1\0\0\1\0\0\0\0\0\0" + wire_name(name) + b"\0\1\0\1"
        self._over = threading.Event()
        self.answered = self.failed = 0
        self.longest_ms = 0.0

    def run(self) -> None:
        number = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self._port))
            sock.settimeout(PATIENCE_S)
            while not self._over.is_set():
                number += 1
                began = time.monotonic()
                if self._asks(sock, number.to_bytes(2, "big")):
                    self.answered += 1
                else:
                    self.failed += 1
                took = time.monotonic() - began
                self.longest_ms = max(self.longest_ms, took * 1000)
                self._over.wait(failures.EVERY_S - took)

    def _asks(self, sock: socket.socket, number: bytes) -> bool:
        for _ in range(2):
            sock.send(number + self._question)
            with suppress(TimeoutError):
                while (reply := sock.recv(4096))[:2] != number:
                    pass  # to a question of which it is late
                return reply[3] & 15 == 0 and reply[6:8] != b"\0\0"
        return False

    def end(self) -> None:
        """What is under way is waited for by ``join``."""
        self._over.set()


def test_what_lines_of_forward_are_worth_to_who_looks_up_while_both_are_silent(
    replicas: list[Soadns], found: Found, tmp_path: Path
) -> None:
    stale = "cache 30 {\n        success 9984 1 1\n        serve_stale 1h verify\n    }"
    name = NAMES[0]
    with ExitStack() as last_to_first:
        callers: dict[str, list[LooksUp]] = {}
        for variant, each in failures.VARIANTS.items():
            text = corefile("stub", around(replicas), cache=stale, **each.changes)
            coredns = CoreDns(tmp_path / variant, ZONE, text)
            last_to_first.callback(coredns.stop)
            coredns.start()
            assert dig(coredns.port, name).data == ("10.96.2.0",)
            callers[variant] = [LooksUp(coredns.port, name) for _ in range(failures.CALLERS)]
        everybody = [caller for each in callers.values() for caller in each]
        with stopped(*replicas):
            time.sleep(1.1)  # the answer is old now
            for caller in everybody:
                caller.start()
            time.sleep(failures.SILENT_S)
            for caller in everybody:
                caller.end()
        for caller in everybody:
            caller.join()
    for variant, them in callers.items():
        found.variants[variant] = failures.Looked(
            sum(each.answered for each in them),
            sum(each.failed for each in them),
            max(each.longest_ms for each in them),
        )
    print(found.variants)
    assert not any(each.failed for each in found.variants.values())
    answered = {variant: each.answered for variant, each in found.variants.items()}
    assert answered[failures.DEFAULTS] < answered[failures.DEPLOYED] < answered[failures.SOONER]
