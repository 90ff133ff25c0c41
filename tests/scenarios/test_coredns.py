"""CoreDNS in front of soadns, by the server block of ``deploy/coredns``, and CoreDNS on the exported zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.stage.corefiles import Around, corefile
from tests.scenarios.stage.dig import Dug, dig
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.process import eventually, printed
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import ZONE, Soadns

Start = Callable[[str], CoreDns]

QUESTIONS = """
com.alipay.user.UserService                A      NOERROR 10.96.1.7
COM.alipay.user.USERSERVICE                A      NOERROR 10.96.1.7
com.alipay.pay.PayService                  AAAA   NOERROR fd00:10:96::20
_dubbo._tcp.com.alipay.user.UserService    SRV    NOERROR 0 100 20880 com.alipay.user.UserService.rpc.cluster.local.
_tcp._tcp.com.acme.Wide                    TYPE33 NOERROR 30
com.alipay.user.UserService                HTTPS  NOERROR
user.UserService                           A      NOERROR
com.alipay.nobody.NoSuchService            A      NXDOMAIN
"""


def deployed(upstream: str, **changes: str) -> str:
    """The server block of ``deploy/coredns``, with our ports in it and one soadns at both addresses."""
    return corefile("stub", Around(upstream, upstream), **changes)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as last_to_first:

        def begin(text: str) -> CoreDns:
            server = CoreDns(tmp_path / "coredns", ZONE, text)
            last_to_first.callback(server.stop)
            server.start()
            return server

        yield begin


def ask(server: CoreDns, name: str, kind: str, *, tcp: bool = False) -> Dug:
    return dig(server.port, f"{name}.{ZONE}.", kind, tcp=tcp)


def holds(server: CoreDns) -> None:
    """The questions of the table, by UDP and TCP."""
    for line in QUESTIONS.strip().splitlines():
        name, kind, expected = line.split(None, 2)
        for tcp in (False, True):
            dug = ask(server, name, kind, tcp=tcp)
            if kind == "TYPE33":
                assert len(dug.data) == int(expected.split()[1]), dug.text
            else:
                assert str(dug).lower() == expected.lower(), dug.text


@pytest.mark.parametrize("options", ["", "force_tcp", "prefer_udp"])
def test_coredns_forwards_the_zone(options: str, showcased: Soadns, start: Start) -> None:
    upstream = f"127.0.0.1:{showcased.port}"
    holds(start(deployed(upstream, max_concurrent=f"max_concurrent 1000\n{options}")))


def test_coredns_keeps_a_denial_for_the_five_seconds_that_soadns_gives_it(
    tmp_path: Path, start: Start
) -> None:
    soadns = showcase(tmp_path / "showcase")  # which nobody else asks
    try:
        soadns.start()
        server = start(deployed(f"127.0.0.1:{soadns.port}"))
        name = "com.alipay.never.AskedBefore"
        # By one dig, which does not take five seconds for it on a machine that does much else.
        asked = ["@127.0.0.1", "-p", str(server.port), "+tries=1", *([f"{name}.{ZONE}.", "TXT"] * 5)]
        shown = printed("dig", *asked).stdout
        assert re.findall(r"status: (\w+)", shown) == ["NXDOMAIN"] * 5
        ttl, *_ = [line.split()[1] for line in shown.splitlines() if "\tSOA\t" in line]
        assert ttl == "5"
        # The second one makes sure that the first was counted.
        assert soadns.dig(name, "TXT").status == "NXDOMAIN"
        denials = 'soadns_dns_responses_total{rcode="NXDOMAIN",type="TXT",zone="rpc.cluster.local"}'
        assert eventually(lambda: soadns.metric(denials), within=20.0, until=lambda count: count >= 2) == 2
    finally:
        soadns.stop()


def test_coredns_finds_a_soadns_again_that_was_away(tmp_path: Path, start: Start) -> None:
    soadns = showcase(tmp_path / "showcase")
    try:
        soadns.start()
        server = start(deployed(f"127.0.0.1:{soadns.port}"))
        assert ask(server, "com.alipay.user.UserService", "A").data == ("10.96.1.7",)
        soadns.stop()
        assert ask(server, "com.alipay.pay.PayService", "A").status == "SERVFAIL"
        soadns.start()
        found = eventually(
            lambda: ask(server, "com.alipay.pay.RefundService", "A"),
            within=30.0,
            until=lambda dug: bool(dug.data),
        )
        assert found.data == ("10.96.1.20",)
    finally:
        soadns.stop()


def test_coredns_serves_the_exported_zone(showcased: Soadns, tmp_path: Path, start: Start) -> None:
    status, text = showcased.cli("export", "zonefile")
    assert status == 0, text
    (tmp_path / "zone").write_text(text)
    holds(start(f"{ZONE}:{{port}} {{\n    bind 127.0.0.1\n    file {tmp_path}/zone\n}}\n"))
