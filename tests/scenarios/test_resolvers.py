"""dnsmasq, unbound and systemd-resolved with the files of ``deploy/resolvers`` in front of two soadns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.stage.dig import Dug, dig
from tests.scenarios.stage.nameservers import NameServer
from tests.scenarios.stage.resolvers import Dnsmasq, Resolved, Unbound
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import ZONE, Soadns

FORWARD = (("stub-zone:", "forward-zone:"), ("stub-addr:", "forward-addr:"))
RESOLVERS: dict[str, Callable[[Path, list[int]], NameServer]] = {
    "dnsmasq": lambda folder, ports: Dnsmasq(folder, ZONE, ports),
    "unbound": lambda folder, ports: Unbound(folder, ZONE, ports),
    "unbound that forwards": lambda folder, ports: Unbound(folder, ZONE, ports, *FORWARD),
    "systemd-resolved": lambda folder, ports: Resolved(folder, ZONE, ports),
}
QUESTIONS = """
com.alipay.user.UserService                A      NOERROR 10.96.1.7
COM.alipay.user.USERservice                A      NOERROR 10.96.1.7
com.alipay.user.UserService                AAAA   NOERROR
com.alipay.pay.PayService                  AAAA   NOERROR fd00:10:96::20
_dubbo._tcp.com.alipay.user.UserService    SRV    NOERROR 0 100 20880 com.alipay.user.UserService.rpc.cluster.local.
user.UserService                           A      NOERROR
com.alipay.nobody.NoSuchService            A      NXDOMAIN
com.alipay.nobody.NoSuchService            AAAA   NXDOMAIN
"""
PRIVATE = "com.alipay.user.UserService"

Start = Callable[[Callable[[Path, list[int]], NameServer]], NameServer]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Soadns]]:
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as last_to_first:
        replicas = []
        for number in (1, 2):
            soadns = showcase(folder / f"replica-{number}")
            soadns.write_config(nameserver=soadns.settings["nameserver"] | {"workers": 1})
            last_to_first.callback(soadns.stop)
            replicas.append(soadns.start())
        yield replicas


@pytest.fixture
def start(pair: list[Soadns], tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as last_to_first:

        def begin(make: Callable[[Path, list[int]], NameServer]) -> NameServer:
            server = make(tmp_path / "resolver", [soadns.port for soadns in pair])
            last_to_first.callback(server.stop)
            server.start()
            return server

        yield begin


def ask(server: NameServer, name: str, kind: str = "A", *, tcp: bool = False) -> Dug:
    return dig(server.port, f"{name}.{ZONE}.", kind, tcp=tcp, recurse=True)


@pytest.mark.parametrize("name", RESOLVERS)
def test_a_resolver_answers_for_the_zone(name: str, start: Start) -> None:
    server = start(RESOLVERS[name])
    for line in QUESTIONS.strip().splitlines():
        owner, kind, expected = line.split(None, 2)
        for tcp in (False, True):
            dug = ask(server, owner, kind, tcp=tcp)
            assert str(dug).lower() == expected.lower(), f"{line} by {'TCP' if tcp else 'UDP'}: {dug.text}"


def test_dnsmasq_takes_addresses_out_that_it_was_not_told_to_leave(start: Start) -> None:
    server = start(lambda folder, ports: Dnsmasq(folder, ZONE, ports, without="rebind-domain-ok"))
    assert str(ask(server, PRIVATE)) == "NOERROR"


def test_so_does_unbound(start: Start) -> None:
    told = ('private-domain: "rpc.cluster.local"', 'private-domain: "elsewhere"')
    server = start(lambda folder, ports: Unbound(folder, ZONE, ports, told))
    assert not ask(server, PRIVATE).data
