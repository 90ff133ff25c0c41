"""What pods see through CoreDNS while one of two replicas dies, hangs or is replaced, where kube-proxy is in between.

A CoreDNS for each of ``WAYS``, which differ in the ClusterIPs that they have for the replicas, without a cache, so that
every question goes to a replica. All is counted on the wire of each CoreDNS.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crowd import Crowd
from tests.scenarios.stage import replicas, shop
from tests.scenarios.stage.cluster import Cluster, Home
from tests.scenarios.stage.corefiles import changed
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.failures import PATIENCE_S
from tests.scenarios.stage.places import Pod
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.replicas import (
    EVENTS,
    FIRST,
    GOES_S,
    OWN,
    SHARED,
    STEADY_S,
    STOPPED_S,
    WAYS,
    Found,
    Row,
    Seen,
)
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import DNS_PORTS, SOADNS
from tests.scenarios.stage.wiretap import QuestionTap, SourceTap
from tests.stalls import Machine

pytestmark = pytest.mark.alone

RATE, RATE_OF_OTHERS = 300, 100
INTERFACES = 100
NAMES = [f"com.alipay.shop{i % 10}.facade.Service{i}.{ZONE}" for i in range(INTERFACES)]
OF_THE_CLUSTER = "kubernetes.default.svc.cluster.local"
DRAWN_AGAIN = 8
BOTH = "10.96.0.52"
"""The ClusterIP of both replicas."""
Rows = dict[str, dict[str, Row]]
"""By event and way."""
COREDNS = {way: f"10.96.0.{number}" for number, way in enumerate(WAYS, 10)}


class Replica:
    """A soadns in a pod, behind a ClusterIP of its own and the one of both."""

    def __init__(self, cluster: Cluster, number: int, both: Service) -> None:
        self._cluster = cluster
        self._name = f"soadns-{number}"
        self._services = (cluster.service(self._name, *DNS_PORTS, clusterIP=SOADNS[number]), both)
        self._pods = 0
        self.home: Home
        self.soadns: Soadns
        self.begin()

    def begin(self) -> None:
        """A new pod, ready when this returns."""
        self.home = self._cluster.home(f"{self._name}-{self._pods}")
        self._pods += 1
        static = [{"name": "shop", "paths": [str(self._cluster.folder / "shop")]}]
        self.soadns = Soadns(self.home.folder / "soadns", {"static": static}, place=self.home.place)
        listen = [f"127.0.0.1:{self.soadns.port}", f"{self.home.ip}:1053"]
        self.soadns.write_config(nameserver={"listen": listen, "workers": 1, "lameduck": "1s"})
        self.start()

    def start(self) -> None:
        """Start it, and find it ready."""
        self.soadns.start()
        self.ready(True)

    def ready(self, is_ready: bool) -> None:
        for service in self._services:
            service.endpoint(self.home.ip, ready=is_ready)

    def found_out(self) -> None:
        """The kubelet sees after a while that its process has ended."""
        time.sleep(GOES_S)
        self.ready(False)

    def killed(self) -> None:
        """kill -9, and started again in its pod."""
        self.soadns.signalled(signal.SIGKILL)
        self.soadns.process.kill()
        self.found_out()
        self.start()

    def replace(self) -> None:
        """Another pod in its place, as a StatefulSet does it: the endpoint goes as the pod is told to end."""
        for service in self._services:
            service.terminating(self.home.ip)
        self.soadns.stop()
        assert isinstance(self.home.place, Pod)
        self.home.place.close()
        time.sleep(GOES_S)
        for service in self._services:
            service.without(self.home.ip)
        self.begin()


class Estate(Cluster):
    """Two replicas, and a CoreDNS for each way to reach them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            shop.write(folder / "shop", INTERFACES)
            both = self.service("soadns", *DNS_PORTS, clusterIP=BOTH)
            self.replicas = [Replica(self, number, both) for number in range(len(SOADNS))]
            self.homes = {way: self._coredns(way) for way in WAYS}
            self.callers = self.home("callers")
        except BaseException:
            self.end()
            raise

    def _coredns(self, way: str) -> Home:
        how = WAYS[way]
        stub = changed(how.file, cache="", **how.changes)
        if how.shared:
            assert " ".join(SOADNS) in stub
            stub = stub.replace(" ".join(SOADNS), BOTH)
        assert (BOTH in stub) == (way != OWN)
        server, home = self.name_server(f"coredns-{way}", stub=stub)
        server.start()
        ports: list[dict[str, Any]] = [{**port, "targetPort": 53} for port in DNS_PORTS]
        self.service(f"coredns-{way}", *ports, clusterIP=COREDNS[way]).endpoint(home.ip)
        return home

    def crowd(self, way: str, *names: str, rate: int) -> Crowd:
        """A pod's callers."""
        popen = self.callers.place.popen
        return Crowd(53, *names, rate=rate, patience=PATIENCE_S, host=COREDNS[way], popen=popen)

    def asked(self) -> Replica:
        """Which replica gets most questions of the CoreDNS that has one ClusterIP for both."""
        with ExitStack() as entered:
            taps = [entered.enter_context(SourceTap(each.home)) for each in self.replicas]
            time.sleep(0.5)
        counts = [tap.sources[self.homes[SHARED].ip] for tap in taps]
        print(f"behind one ClusterIP are asked: {counts}")
        return self.replicas[counts.index(max(counts))]

    def well(self) -> bool:
        """Whether all names are found by pods, in every way."""
        return all(
            dig(53, f"{name}.", server=host, place=self.callers.place).data
            for host in COREDNS.values()
            for name in (NAMES[0], OF_THE_CLUSTER)
        )


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    world = Estate(tmp_path_factory.mktemp("estate"))
    try:
        assert eventually(world.well, within=20.0)
        yield world
    finally:
        world.end()


@contextmanager
def counted(estate: Estate, rows: dict[str, Row]) -> Iterator[Replica]:
    """Everybody asks as long as the context lasts; afterwards ``rows`` has what became of it, by way.

    It yields the replica that is asked by the CoreDNS which has one ClusterIP for both.
    """
    with ExitStack() as entered:
        machine = entered.enter_context(Machine())
        taps = {way: entered.enter_context(QuestionTap(home)) for way, home in estate.homes.items()}
        crowds = [
            (way, entered.enter_context(crowd))
            for way in WAYS
            for crowd in (
                estate.crowd(way, *NAMES, rate=RATE),
                estate.crowd(way, OF_THE_CLUSTER, rate=RATE_OF_OTHERS),
            )
        ]
        yield estate.asked()
        time.sleep(0.5)
    for way, tap in taps.items():
        assert not tap.missed, "more went by than was seen"
        assert len(tap.questions) == sum(crowd.outcome.asked for name, crowd in crowds if name == way)
        others = [each for each in tap.questions if each.name == f"{OF_THE_CLUSTER}."]
        zone = [each for each in tap.questions if each.name != f"{OF_THE_CLUSTER}."]
        rows[way] = Row(Seen.of(zone, machine.outcome), Seen.of(others, machine.outcome))
        print(way, rows[way])


@pytest.fixture(scope="module")
def rows(estate: Estate) -> Rows:
    """All that happens, one after another."""
    found = Found({event: {} for event in EVENTS})
    with counted(estate, found.rows["killed"]) as replica:
        replica.killed()
    with counted(estate, found.rows["stopped"]) as replica:
        replica.soadns.signalled(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        replica.soadns.signalled(signal.SIGCONT)
    with counted(estate, found.rows["restarted"]) as replica:
        replica.soadns.stop()
        replica.found_out()
        replica.start()
    with counted(estate, found.rows["rolled"]):
        for each in estate.replicas:
            each.replace()
            time.sleep(STEADY_S)
    found.write()
    print("\n".join(replicas.table(found)))
    return found.rows


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("event", EVENTS)
def test_what_becomes_of_questions(event: str, way: str, rows: Rows) -> None:
    seen = rows[event][way].zone
    assert seen.asked > 0
    assert seen.lost <= WAYS[way].lost * seen.asked, seen
    assert seen.longest_ms <= WAYS[way].longest_s * 1000, seen


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("event", EVENTS)
def test_other_names_of_the_cluster_are_unhurt(event: str, way: str, rows: Rows) -> None:
    seen = rows[event][way].cluster
    assert seen.asked > 0
    assert (seen.lost, seen.late) == (0, 0), seen


def test_questions_are_lost_where_there_is_one_clusterip_and_nobody_to_turn_to(
    estate: Estate, rows: Rows
) -> None:
    """It is why the others have one for each.

    A question is lost whose second try meets the dead replica, too. kube-proxy draws lots for that; a dozen tries are
    refused each time at least. Where all of them had luck, it is drawn again.
    """
    lost = sum(rows[event][SHARED].zone.lost for event in EVENTS)
    for _ in range(DRAWN_AGAIN):
        if lost:
            break
        again: dict[str, Row] = {}
        with counted(estate, again) as replica:
            replica.killed()
        lost = again[SHARED].zone.lost
    assert lost


def test_fewest_wait_where_conntrack_finds_somebody_first(rows: Rows) -> None:
    late = {way: sum(rows[event][way].zone.late for event in EVENTS) for way in (OWN, FIRST)}
    assert late[FIRST] < late[OWN] / 2, late
