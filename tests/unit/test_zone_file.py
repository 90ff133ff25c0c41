"""A zone as a master file: what it looks like, and that dnspython reads back what the zone answers."""

from __future__ import annotations

import io
from ipaddress import ip_address

import dns.name
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.model import Records, RRset, ServedPort
from soadns.nameserver.presentation import name_text
from soadns.nameserver.zone import ZoneData
from soadns.ownaddresses import own_addresses
from soadns.publishers import zonefile
from soadns.settings.config import Config, NameserverConfig
from tests.unit.dig import CONTENT

FILE = """\
$ORIGIN rpc.test.
$TTL 30
@ 3600 IN SOA ns.rpc.test. hostmaster.rpc.test. 7 10 5 86400 5
@ 3600 IN NS ns.rpc.test.
ns 3600 IN A 192.0.2.53
com.alipay.Outer\\$Inner_V2 IN A 10.96.0.12
any.Texts IN TXT "evidence=declared"
com.alipay.user.UserService IN A 10.96.0.10
com.alipay.user.UserService IN AAAA fd00::10
com.alipay.user.UserService IN TXT "host=user.prod.svc.cluster.local" "evidence=endpoint"
_dubbo._tcp.com.alipay.user.UserService IN SRV 0 100 20880 com.alipay.user.UserService.rpc.test.
_tri._tcp.com.alipay.user.UserService IN SRV 0 100 50051 com.alipay.user.UserService.rpc.test.
com.alipay.user.UserService--g-blue--v-1-0-0 IN A 10.96.0.11
old.World 5 IN A 192.0.2.1
old.World 5 IN A 192.0.2.2
old.World 5 IN A 192.0.2.3
; 14 records
"""
"""Names in canonical order: by their last labels first, without case."""


def built(content: dict[str, Records], origin: str = "rpc.test") -> ZoneData:
    zone = ZoneData(origin)
    zone.start(("192.0.2.53",))
    zone.apply(dict(content), serial=7)
    return zone


def text_of(zone: ZoneData) -> str:
    return "".join(f"{line}\n" for line in zonefile.lines(zone.origin, zone.rrsets(), ttl=30))


def test_the_file_is_readable_and_in_canonical_order() -> None:
    shown = {name: records for name, records in CONTENT.items() if name not in ("many.Pods", "v6.Only")}
    assert text_of(built(shown)) == FILE
    backwards = dict(reversed(shown.items()))
    assert text_of(built(backwards)) == FILE, "the order of changes does not show"


def test_what_changes_meanwhile_does_not_show() -> None:
    zone = built(CONTENT)
    before = text_of(zone)
    lines = zonefile.lines(zone.origin, zone.rrsets(), ttl=30)
    first = next(lines)
    zone.apply(
        {"v6.Only": None, "old.World": Records(("192.0.2.9",)), "aaa.New": Records(("192.0.2.8",))}, serial=8
    )
    assert "".join(f"{line}\n" for line in (first, *lines)) == before


def test_an_owner_keeps_its_spelling_whatever_it_was_before() -> None:
    zone = built({"a.Service": CONTENT["com.alipay.user.UserService"]})
    zone.apply({"a.Service": None, "a.SERVICE": CONTENT["com.alipay.user.UserService"]}, serial=8)
    assert "_tri._tcp.a.SERVICE IN SRV 0 100 50051 a.SERVICE.rpc.test." in text_of(zone).splitlines()
    assert "a.Service" not in text_of(zone)


def test_a_zone_that_ends_like_another_name_is_not_cut_out_of_it() -> None:
    sets = [RRset("xrpc.test.", 30, "A", ("192.0.2.1",)), RRset("RPC.test.", 30, "A", ("192.0.2.2",))]
    assert list(zonefile.lines("rpc.test", sets, ttl=30))[2:4] == [
        "xrpc.test. IN A 192.0.2.1",
        "@ IN A 192.0.2.2",
    ]


@pytest.mark.parametrize("label", [b"a.b", b'"();\\@$', b"\0\t \x7f\xff", b"plain-_9"])
def test_names_are_escaped_as_dnspython_reads_them(label: bytes) -> None:
    name = dns.name.Name([label, b"test", b""])
    assert dns.name.from_text(name_text(name.to_wire())) == name
    assert name_text(name.to_wire()).isascii()


def test_equal_records_of_two_spellings_of_a_protocol_are_one() -> None:
    zone = built(
        {"a.B": Records(("10.0.0.1",), ports=(ServedPort("dubbo", 20880), ServedPort("Dubbo", 20880)))}
    )
    assert [line for line in text_of(zone).splitlines() if " SRV " in line] == [
        "_dubbo._tcp.a.B IN SRV 0 100 20880 a.B.rpc.test."
    ]


LISTENING = """
127.0.0.5:53 [::1]:53 127.0.0.5:5353  -> 127.0.0.5 ::1
0.0.0.0:53 10.0.0.1:53                -> IPv4 10.0.0.1
[::]:53                               -> IPv6
"""
"""Where the name server listens, and what its own name answers: never nothing, which checkers refuse."""


@pytest.mark.parametrize("row", LISTENING.strip().splitlines())
def test_the_name_servers_own_name_has_addresses_that_can_be_asked(row: str) -> None:
    listen, expected = (cell.split() for cell in row.split("->"))
    found = own_addresses(Config(nameserver=NameserverConfig(listen=tuple(listen))))
    for address, wanted in zip(found, expected, strict=True):
        assert wanted in (address, f"IPv{ip_address(address).version}")
        assert not ip_address(address).is_unspecified


labels = st.text("aZ0_-$", min_size=1, max_size=9)
ports = st.builds(ServedPort, st.just("tri"), st.integers(0, 65_535))
contents = st.dictionaries(
    st.lists(labels, min_size=1, max_size=4).map(".".join),
    st.builds(
        Records,
        addresses=st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1"]), unique=True, min_size=1).map(tuple),
        ttl=st.sampled_from([0, 5, 30]),
        ports=st.lists(ports, max_size=2).map(tuple),
        texts=st.lists(st.text(max_size=300), max_size=2).map(tuple),
        rotate=st.booleans(),
    ),
    max_size=5,
)  # fmt: skip


@given(contents)
def test_dnspython_reads_what_the_zone_holds(content: dict[str, Records]) -> None:
    zone = built(content)
    read = dns.zone.from_file(io.StringIO(text_of(zone)), relativize=False)
    expected = {
        (dns.name.from_text(rrset.owner), dns.rdatatype.from_text(rrset.type)): dns.rrset.from_text(
            rrset.owner, rrset.ttl, "IN", rrset.type, *rrset.data
        )
        for rrset in zone.rrsets()
    }
    found = {(name, rdataset.rdtype): rdataset for name, node in read.items() for rdataset in node}
    assert found.keys() == expected.keys()
    for key, rdataset in found.items():
        assert rdataset.ttl == expected[key].ttl
        assert set(rdataset) == set(expected[key])
