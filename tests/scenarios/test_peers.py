"""Replicas without a snapshot, and ZooKeeper down: they take one from another replica, and no name is lost.

Callers ask a CoreDNS that forwards to all replicas, without a cache: every question goes to one of them.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from soadns.persistence import snapshot, snapshotfile
from tests.crowd import Crowd
from tests.ports import free_port
from tests.scenarios.stage.corefiles import CLUSTER, Around, corefile
from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import Stage, story
from tests.scenarios.stage.zookeeper import ZooKeeper

RATE = 300
TOKEN = "a token that three replicas share"


class Replicas:
    """Three of them over one story, which know where the others are, and a name server in front."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.answers: dict[str, str] = {}
        """The address of every name."""
        self.all: list[Soadns] = []
        ports = [free_port() for _ in range(3)]
        for port in ports:
            replica = stage.soadns_not_started()
            (replica.folder / "token").write_text(TOKEN)
            peers = {
                "hosts": [f"127.0.0.1:{each}" for each in ports],
                "listen": f"127.0.0.1:{port}",
                "tokenFile": str(replica.folder / "token"),
            }
            nameserver = replica.settings["nameserver"] | {"workers": 1, "lameduck": "1s"}
            state = replica.settings["state"] | {"peers": peers}
            replica.write_config(nameserver=nameserver, state=state)
            self.all.append(replica)
        self._people()
        for replica in self.all:
            replica.start(ready=False)  # the first ones ever: nobody has anything to give
        for replica in self.all:
            replica.wait_ready()
            self.right(replica)

    def _people(self) -> None:
        """What there is to know: interfaces of Services, and of the old world."""
        for number in range(3):
            service = self.stage.service(f"shop{number}")
            names = [f"com.alipay.shop{number}.Service{i}" for i in range(20)]
            for _ in range(2):
                self.stage.pod(service).registers(*names)
            self.answers |= dict.fromkeys(names, service.cluster_ip)
        machine = self.stage.machine()
        names = [f"com.alipay.legacy.Service{i}" for i in range(20)]
        machine.registers(*names)
        self.answers |= dict.fromkeys(names, machine.host)

    def wrong(self, replica: Soadns) -> list[str]:
        """What it does not answer as it should, of all names."""
        items = json.loads(replica.http("/v1/interfaces?limit=500")[1])["items"]
        found = {item["interface"]: item["addresses"] for item in items}
        return [name for name, address in self.answers.items() if found.get(name) != [address]]

    def right(self, replica: Soadns) -> None:
        """Wait until it answers all names as it should."""
        wrong = eventually(lambda: self.wrong(replica), within=30.0, until=lambda found: not found)
        assert not wrong, replica.process.tail()

    def crowd(self, coredns: CoreDns) -> Crowd:
        asked = [f"{name}.{ZONE}={address}" for name, address in self.answers.items()]
        return Crowd(coredns.port, *asked, rate=RATE, patience=5.0)

    @contextmanager
    def resolver(self) -> Iterator[CoreDns]:
        one, other, third = (f"127.0.0.1:{replica.port}" for replica in self.all)
        text = corefile("stub", Around(one, f"{other} {third}"), cache="")
        server = CoreDns(self.stage.folder / "coredns", ZONE, text + CLUSTER)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def emptied(replica: Soadns) -> None:
    """Its pod is gone, and so is its volume."""
    replica.stop()
    shutil.rmtree(replica.folder / "state")


@pytest.fixture(scope="module")
def lasting(
    zookeeper_server: ZooKeeper, api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    """They outlive what the stories do to them."""
    with story(tmp_path_factory.mktemp("peers"), zookeeper=zookeeper_server, api=api_server) as stage:
        yield Replicas(stage)


@pytest.fixture
def replicas(lasting: Replicas, zookeeper_server: ZooKeeper) -> Replicas:
    """The same with everything up, and known to all."""
    zookeeper_server.start()
    for replica in lasting.all:
        if not replica.process.running:
            replica.start(ready=False)
    for replica in lasting.all:
        assert eventually(lambda each=replica: heard(each), within=60.0), replica.process.tail()
        lasting.right(replica)
    return lasting


def heard(replica: Soadns) -> bool:
    """Whether it is ready, and hears all of its sources."""
    with suppress(OSError):
        status, text = replica.http("/readyz")
        return status == 200 and "stale" not in text
    return False


def test_replicas_that_are_replaced_one_after_another_lose_no_name(
    replicas: Replicas, zookeeper_server: ZooKeeper
) -> None:
    zookeeper_server.kill()
    took = []
    with replicas.resolver() as coredns:
        with replicas.crowd(coredns) as crowd:
            for replica in replicas.all:
                emptied(replica)
                replica.start()
                took.append(replica.metric('soadns_peer_snapshots_asked_total{outcome="taken"}'))
        print(f"ZooKeeper down, three replicas replaced by empty ones: {crowd.outcome}")
        assert not crowd.outcome.unharmed
        assert took == [1.0, 1.0, 1.0]
        for replica in replicas.all:
            assert replica.logged("snapshot-wanted", "there is none")
            assert not replicas.wrong(replica)
            replica.says("com.alipay.shop0.NeverSeen", "NXDOMAIN")
            history = replica.explain("com.alipay.shop0.Service0")["history"]
            assert len(history) == 1, "it did not become another Service's, nor nobody's"
        given = sum(
            each.metric('soadns_peer_snapshots_given_total{outcome="given"}') for each in replicas.all
        )
        assert given >= 1.0  # counters of the earlier ones went with them

        with replicas.crowd(coredns) as crowd:
            zookeeper_server.start()
            for replica in replicas.all:
                assert eventually(lambda each=replica: heard(each), within=60)
        print(f"ZooKeeper back: {crowd.outcome}")
        assert not crowd.outcome.unharmed
    service = replicas.stage.service("late")
    replicas.stage.pod(service).registers("com.alipay.late.Service")
    for replica in replicas.all:
        replica.answers("com.alipay.late.Service", service.cluster_ip)


def test_in_whichever_order_replicas_start(replicas: Replicas, zookeeper_server: ZooKeeper) -> None:
    """Two start when nobody knows anything, and the one that does comes last."""
    zookeeper_server.kill()
    *others, last = replicas.all
    last.stop()
    for replica in others:  # all of them, before any of them could be given something
        emptied(replica)
    for replica in others:
        replica.start(ready=False)
    for replica in others:
        assert eventually(lambda each=replica: each.dig("com.alipay.shop0.Service0").status, within=60.0,
                          until=lambda said: said == "SERVFAIL") == "SERVFAIL"  # fmt: skip
        assert replica.http("/readyz")[0] == 503
    last.start()
    for replica in others:
        replica.wait_ready()

    def took_from(replica: Soadns, other: Soadns) -> bool:
        return replica.logged("snapshot-taken", f"peer={other.settings['state']['peers']['listen']}")

    first = [replica for replica in others if took_from(replica, last)]
    assert first
    for replica in others:
        # Who asks a little later may have it of the other one, which has saved it since the last one did.
        assert any(took_from(replica, each) for each in (last, *first))
        assert not replicas.wrong(replica)
        replica.says("com.alipay.shop0.NeverSeen", "NXDOMAIN")
        said = replica.process.log.read_text(errors="replace").splitlines()
        assert [line for line in said if "level=error" in line] == []


class Impostor:
    """Somebody who has the right token's replies at hand: it claims to know more than all others."""

    def __init__(self, data: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Soadns-Heard", "9e12")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def impostors(replicas: Replicas) -> Iterator[list[Impostor]]:
    """Two that all replicas ask, too: one tampers with what it gives, one is of another estate."""
    path: Path = replicas.all[0].folder / "state" / "snapshot"
    address = replicas.answers["com.alipay.shop0.Service0"].encode()
    # What is known by now goes into the file some seconds later.
    assert eventually(lambda: path.exists() and address in path.read_bytes(), within=20.0)
    good = path.read_bytes()
    tampered = good.replace(address, b"9" * len(address))
    other = snapshotfile.decode(good)
    zones = [snapshot.SavedZone("rpc.elsewhere", complete=True, fed=other.zones[0].fed)]
    foreign = snapshotfile.encode(snapshot.Snapshot(other.saved, other.sources, zones, ready=True))
    found = [Impostor(tampered), Impostor(foreign)]
    for replica in replicas.all:
        state = replica.settings["state"]
        hosts = [*state["peers"]["hosts"], *(each.address for each in found)]
        replica.write_config(state=state | {"peers": state["peers"] | {"hosts": hosts}})
    yield found
    for each in found:
        each.close()


def test_what_is_not_theirs_is_refused_and_counted(
    replicas: Replicas, impostors: list[Impostor], zookeeper_server: ZooKeeper
) -> None:
    zookeeper_server.kill()
    first, *others = replicas.all
    emptied(first)
    token = first.folder / "token"
    token.write_text("another one")
    first.start(ready=False)

    def denied() -> bool:
        count = 'soadns_peer_snapshots_given_total{outcome="denied"}'
        return all(each.metric(count) >= 1 for each in others)

    assert eventually(denied, within=30.0)
    for told in (
        ["HTTP 401"],
        [impostors[0].address, "its checksum is wrong"],
        [impostors[1].address, "no zone rpc.cluster.local, but rpc.elsewhere"],
    ):
        # Others have counted it before it hears of that, and asks one after another.
        said = eventually(lambda words=told: first.logged("snapshot-not-taken", *words), within=30.0)
        assert said, (told, first.process.tail())
    assert first.http("/readyz")[0] == 503
    first.says("com.alipay.shop0.Service0", "SERVFAIL")
    for outcome in ("denied", "damaged", "foreign"):
        counted = f'soadns_peer_snapshots_asked_total{{outcome="{outcome}"}}'
        assert eventually(lambda line=counted: first.metric(line) >= 1, within=10.0)
    assert (
        first.http("/v1/snapshot", port=int(replicas.all[1].settings["state"]["peers"]["listen"][10:]))[0]
        == 401
    )

    token.write_text(TOKEN)  # read anew each time
    first.wait_ready()
    assert not replicas.wrong(first)
