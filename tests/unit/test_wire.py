"""The little wire format that is needed, against dnspython."""

from __future__ import annotations

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns import naming
from soadns.nameserver import wire

labels = st.text("abcXYZ019_-$", min_size=1, max_size=63)
names = st.lists(labels, max_size=8).map(".".join)


@given(names)
def test_names_are_encoded_as_dnspython_does(text: str) -> None:
    try:
        expected = dns.name.from_text(text or ".").to_wire()
    except (dns.exception.DNSException, ValueError):
        with pytest.raises(wire.BadNameError):
            wire.encode_name(text)
        return
    assert wire.encode_name(text) == wire.encode_name(text + ".") == expected
    assert wire.fold(expected) == dns.name.from_text(text.lower() or ".").to_wire()


@given(names.filter(bool))
def test_the_parent_is_the_name_without_its_first_label(text: str) -> None:
    try:
        name = dns.name.from_text(text)
    except (dns.exception.DNSException, ValueError):
        return
    assert wire.parent(name.to_wire()) == name.parent().to_wire()


@pytest.mark.parametrize(
    "text", ["a..b", ".a", "a..", "x" * 64, f"a.{'x' * 64}.b", ".".join(["x" * 63] * 4), "ä" * 32]
)
def test_text_that_is_no_name_is_an_error(text: str) -> None:
    with pytest.raises(wire.BadNameError):
        wire.encode_name(text)


def test_the_longest_name() -> None:
    text = ".".join(["x" * 63] * 3 + ["y" * 61])
    assert len(wire.encode_name(text)) == 255
    with pytest.raises(wire.BadNameError):
        wire.encode_name(text + "y")


def test_only_ascii_letters_have_case() -> None:
    assert wire.fold(b"\x06\xc3\x84\xc3\xa4Zz\x00") == b"\x06\xc3\x84\xc3\xa4zz\x00"


SKIPPED = [
    # octets from the start of a name, and how many of them it takes
    ("00", 1),
    ("0161 00 ff", 3),
    ("c00c ff", 2),
    ("0161 c00c", 4),
    ("3f" + "61" * 63 + "00", 65),
    ("", -1),
    ("0161", -1),
    ("0261 61", -1),
    ("c0", -1),
    ("0161 c0", -1),
    ("41 61 00", -1),
    ("80 00", -1),
    ("0161" * 127 + "00", 255),
    ("0161" * 127 + "c000", 256),
    ("0161" * 128 + "00", -1),
]


@pytest.mark.parametrize(("octets", "size"), SKIPPED)
@pytest.mark.parametrize("before", [0, 12])
def test_a_name_is_skipped_without_following_pointers(octets: str, size: int, before: int) -> None:
    packet = b"\0" * before + bytes.fromhex(octets)
    assert wire.skip_name(packet, before) == (before + size if size > 0 else -1)


@pytest.mark.parametrize(
    ("address", "kind"), [("10.96.0.1", "A"), ("fd00::1", "AAAA"), ("::ffff:10.0.0.1", "AAAA")]
)
def test_addresses(address: str, kind: str) -> None:
    number, rdata = wire.address_rdata(address)
    assert number == dns.rdatatype.from_text(kind)
    assert rdata == dns.rdata.from_text("IN", kind, address).to_wire()


@pytest.mark.parametrize("texts", [("a=b",), ("a=b", "c d", ""), ("ü",)])
def test_texts(texts: tuple[str, ...]) -> None:
    rdata = dns.rdata.from_wire("IN", "TXT", wire.txt_rdata(texts), 0, len(wire.txt_rdata(texts)))
    assert tuple(string.decode() for string in rdata.strings) == texts


def test_no_text_is_one_empty_string() -> None:
    assert wire.txt_rdata(()) == b"\0"


def test_a_text_is_cut_at_255_octets_and_never_within_a_character() -> None:
    rdata = wire.txt_rdata(("x" * 254 + "ü" + "y",))
    assert rdata == bytes([254]) + b"x" * 254


def test_soa_srv_and_records() -> None:
    ns, mail = wire.encode_name("ns.rpc.test"), wire.encode_name("hostmaster.rpc.test")
    rdata = wire.soa_rdata(ns, mail, (1 << 32) + 7, (10, 5, 86400, 5))
    parsed = dns.rdata.from_wire("IN", "SOA", rdata, 0, len(rdata))
    assert parsed.to_text() == "ns.rpc.test. hostmaster.rpc.test. 7 10 5 86400 5", "serials count modulo 2^32"
    rdata = wire.srv_rdata(1, 2, 20880, ns)
    assert dns.rdata.from_wire("IN", "SRV", rdata, 0, len(rdata)).to_text() == "1 2 20880 ns.rpc.test."
    assert wire.rr(wire.pointer(12), wire.A, 30, b"\x0a\0\0\1") == bytes.fromhex(
        "c00c 0001 0001 0000001e 0004 0a000001"
    )


def test_the_names_of_the_apex_follow_it_to_where_it_is() -> None:
    ns, mail = wire.apex_names(wire.encode_name("rpc.test"))
    assert ns == wire.encode_name(f"{naming.NAME_SERVER}.rpc.test")
    assert mail == wire.encode_name("hostmaster.rpc.test")
    rdata = wire.soa_rdata(*wire.apex_names(wire.pointer(0)), 7, (10, 5, 86400, 5))
    packet = b"\4rpc1\3rpc\4test\0" + wire.soa_at(wire.rr(b"", wire.SOA, 5, rdata), 5)
    owner, size = dns.name.from_wire(packet, 15)
    assert (owner.to_text(), size) == ("rpc.test.", 2)
    soa = dns.rdata.from_wire("IN", "SOA", packet, 27, len(packet) - 27)
    assert soa.to_text() == "ns.rpc.test. hostmaster.rpc.test. 7 10 5 86400 5"
