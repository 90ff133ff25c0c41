"""Every file of ``deploy/coredns``, booted by the real CoreDNS in front of two real soadns, and asked with dig.

By an older CoreDNS, too, without the lines that it does not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.scenarios.stage.certificates import Authority
from tests.scenarios.stage.corefiles import CLUSTER, OUTSIDE, SINCE, Around, corefile, newer_than, world
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.nameservers import OLDER, CoreDns
from tests.scenarios.stage.process import eventually, parts
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import ZONE, Soadns

Start = Callable[..., CoreDns]
Written = Callable[..., str]
NEWER = [
    name
    for name in ("bare-names", "nodelocal", "outside", "shared-first", "stub", "tls")
    if newer_than(name, (1, 11))
]

OF_THE_CLUSTER = """
kubernetes.default.svc.cluster.local                       A     NOERROR 10.96.0.1
kubernetes.default.svc.cluster.local                       AAAA  NOERROR
nobody.default.svc.cluster.local                           A     NXDOMAIN
"""

OF_THE_ZONE = """
com.alipay.user.UserService.ZONE                           A     NOERROR 10.96.1.7
COM.alipay.user.USERservice.ZONE                           A     NOERROR 10.96.1.7
com.alipay.user.UserService.ZONE                           AAAA  NOERROR
com.alipay.user.UserService.ZONE                           HTTPS NOERROR
com.alipay.pay.PayService.ZONE                             AAAA  NOERROR fd00:10:96::20
_dubbo._tcp.com.alipay.user.UserService.ZONE               SRV   NOERROR 0 100 20880 com.alipay.user.UserService.ZONE.
user.UserService.ZONE                                      A     NOERROR
com.alipay.nobody.NoSuchService.ZONE                       A     NXDOMAIN
com.alipay.nobody.NoSuchService.ZONE                       AAAA  NXDOMAIN
"""

SEARCHED_IN_VAIN = """
com.alipay.user.UserService.default.svc.cluster.local      A     NXDOMAIN
com.alipay.user.UserService.svc.cluster.local              A     NXDOMAIN
com.alipay.user.UserService.cluster.local                  A     NXDOMAIN
com.alipay.user.UserService.ZONE.default.svc.cluster.local A     NXDOMAIN
com.alipay.user.UserService.ZONE.cluster.local             A     NXDOMAIN
"""

BARE = """
com.alipay.user.UserService                                A     NOERROR 10.96.1.7
COM.alipay.user.USERservice                                A     NOERROR 10.96.1.7
com.alipay.user.UserService                                AAAA  NOERROR
com.alipay.pay.PayService                                  AAAA  NOERROR fd00:10:96::20
com.alipay.nobody.NoSuchService                            A     NXDOMAIN
com.alipay.user.UserService.default.svc.cluster.local      A     NOERROR 10.96.1.7
com.alipay.user.UserService.default.svc.cluster.local      AAAA  NOERROR
com.alipay.nobody.NoSuchService.default.svc.cluster.local  A     NXDOMAIN
com.alipay.user.UserService.svc.cluster.local              A     NXDOMAIN
com.alipay.user.UserService.cluster.local                  A     NXDOMAIN
com.alipay.user.UserService.ZONE.default.svc.cluster.local A     NXDOMAIN
com.alipay.user.UserService.ZONE.cluster.local             A     NXDOMAIN
com.example                                                A     NOERROR 192.0.2.80
cn.example.com                                             A     NOERROR 192.0.2.80
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Soadns]]:
    """Two replicas that serve both zones, over TLS too."""
    folder = tmp_path_factory.mktemp("pair")
    authority = Authority(folder / "authority")
    key, certificate = authority.sign("soadns")
    replicas = []
    with ExitStack() as last_to_first:
        for number in (1, 2):
            soadns = showcase(folder / f"replica-{number}")
            tls = {"listen": [f"127.0.0.1:{free_port()}"], "cert": str(certificate), "key": str(key)}
            nameserver = soadns.settings["nameserver"] | {"workers": 1, "tls": tls}
            soadns.write_config(nameserver=nameserver, zones=[{"name": ZONE}, {"name": OUTSIDE}])
            last_to_first.callback(soadns.stop)
            replicas.append(soadns.start())
        yield replicas


@pytest.fixture
def around(pair: list[Soadns]) -> Around:
    tls = [soadns.settings["nameserver"]["tls"] for soadns in pair]
    return Around(
        *(f"127.0.0.1:{soadns.port}" for soadns in pair), *(each["listen"][0] for each in tls),
        authority=Path(tls[0]["cert"]).with_name("ca.crt"), world=f"127.0.0.1:{free_port()}",
    )  # fmt: skip


@pytest.fixture(params=["coredns", OLDER])
def part(request: pytest.FixtureRequest) -> str:
    """The version of CoreDNS that a test is about."""
    return str(request.param)


@pytest.fixture
def written(part: str) -> Written:
    """A file of ``deploy/coredns`` as that version takes it."""

    def text(name: str, around: Around, **changes: str) -> str:
        return corefile(name, around, **newer_than(name, version(part)), **changes)

    return text


def version(part: str) -> tuple[int, ...]:
    return tuple(map(int, parts()[part]["version"].split(".")))


@pytest.fixture
def start(tmp_path: Path, part: str) -> Iterator[Start]:
    with ExitStack() as last_to_first:

        def begin(text: str, zone: str = ZONE) -> CoreDns:
            server = CoreDns(tmp_path / f"coredns-{free_port()}", zone, text, part=part)
            last_to_first.callback(server.stop)
            server.start()
            return server

        yield begin


def holds(server: CoreDns, table: str, zone: str = ZONE) -> None:
    """The questions of a table, by UDP and TCP: status and data; the owner is who was asked for; denials have a SOA."""
    for line in table.replace("ZONE", zone).strip().splitlines():
        name, kind, expected = line.split(None, 2)
        for tcp in (False, True):
            dug = dig(server.port, f"{name}.", kind, tcp=tcp)
            assert str(dug).lower() == expected.lower(), f"{name} {kind}: {dug.text}"
            rows = [row.split() for row in dug.text.lower().splitlines() if row and not row.startswith(";")]
            if dug.data:
                assert f"{name}.".lower() in [row[0] for row in rows], dug.text
            else:
                assert [row[3] for row in rows] == ["soa"], dug.text


@pytest.mark.parametrize("name", NEWER)
def test_an_older_coredns_does_not_start_and_says_which_line_it_does_not_know(
    name: str, around: Around, tmp_path: Path
) -> None:
    server = CoreDns(tmp_path / "coredns", ZONE, corefile(name, around), part=OLDER)
    server.process.start()
    try:
        assert eventually(lambda: not server.process.running, within=20.0), "it runs"
    finally:
        server.stop()
    said = server.process.tail()
    assert any(f"unknown property '{word}'" in said for word in SINCE), said


def asked(pair: list[Soadns], kind: str, proto: str, zone: str) -> float:
    """How many questions for records of this type the replicas were asked by this protocol."""
    labels = f'family="1",proto="{proto}",type="{kind}",zone="{zone}"'
    return sum(soadns.metric(f"soadns_dns_requests_total{{{labels}}}") for soadns in pair)


@pytest.mark.parametrize("name", ["shared-first", "stub", "tls"])
def test_a_stub_zone_below_that_of_the_cluster(
    name: str, around: Around, written: Written, start: Start
) -> None:
    server = start(written(name, around) + CLUSTER)
    holds(server, OF_THE_ZONE)
    holds(server, SEARCHED_IN_VAIN)
    holds(server, OF_THE_CLUSTER)


def test_a_stub_zone_elsewhere(around: Around, written: Written, start: Start) -> None:
    server = start(written("outside", around) + CLUSTER, OUTSIDE)
    holds(server, OF_THE_ZONE, OUTSIDE)
    holds(server, SEARCHED_IN_VAIN, OUTSIDE)
    holds(server, OF_THE_CLUSTER)


def test_bare_names(around: Around, written: Written, start: Start) -> None:
    server = start(written("bare-names", around) + world(int(around.world.rpartition(":")[2])))
    holds(server, BARE)
    holds(server, OF_THE_ZONE)  # the guard: nothing is doubled
    holds(server, OF_THE_CLUSTER)


def test_node_local_dns_cache_asks_by_tcp_alone(
    pair: list[Soadns], around: Around, written: Written, start: Start
) -> None:
    behind = start(written("stub", around) + CLUSTER)
    around = Around(around.first, around.second, cluster_dns=f"127.0.0.1:{behind.port}")
    server = start(written("nodelocal", around))
    for zone in (ZONE, OUTSIDE):
        holds(server, OF_THE_ZONE, zone)
        before = asked(pair, "TXT", "tcp", zone)
        for number in range(5):  # nobody else asks for a TXT
            assert dig(server.port, f"com.alipay.nobody.Number{number}.{zone}.", "TXT").status == "NXDOMAIN"
        come = eventually(
            lambda of=zone, so_far=before: asked(pair, "TXT", "tcp", of) - so_far,
            within=20.0,
            until=lambda n: n >= 5,
        )
        assert come == 5
        assert asked(pair, "TXT", "udp", zone) == 0
    holds(server, OF_THE_CLUSTER)


def test_node_local_dns_cache_answers_on_while_coredns_is_gone(
    around: Around, written: Written, start: Start
) -> None:
    behind = start(written("stub", around) + CLUSTER)
    around = Around(around.first, around.second, cluster_dns=f"127.0.0.1:{behind.port}")
    server = start(written("nodelocal", around, success="success 9984 1 1"))
    name = f"com.alipay.user.UserService.{ZONE}."
    asked_before = dig(server.port, name)
    assert asked_before.data
    behind.process.kill()
    time.sleep(1.5)  # what it remembers is old now
    assert dig(server.port, name).data == asked_before.data
