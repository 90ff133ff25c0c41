"""What the server says to a client, as ``dig`` prints it. dnspython reads every reply.

A case of ``test_responder_replies.txt`` is a sentence, the question as a ``dig`` command, and the reply.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from soadns.model import Records, ServedPort
from soadns.nameserver import wire
from soadns.nameserver.responder import Identity, Responder
from soadns.nameserver.rrsets import Turns, Wheel
from soadns.nameserver.table import MAX_ZONES, OTHERS, READY, Table
from soadns.nameserver.zone import ZoneData
from tests.packets import octets
from tests.unit.dig import IDENTITY, Case, cases, lines, query, table
from tests.unit.holdings import questions

CASES = (Path(__file__).parent / "test_responder_replies.txt").read_text()


@pytest.mark.parametrize("case", list(cases(CASES)), ids=lambda case: case.name)
def test_reply(case: Case) -> None:
    packet, tcp = query(case.question)
    reply = Responder(table(), stream=tcp, identity=IDENTITY).respond(packet)
    assert reply is not None
    assert lines(reply) == list(case.reply)
    assert reply[:2] == packet[:2]
    if reply[4:6] == b"\0\1":
        end = packet.index(b"\0", 12) + 5
        assert reply[12:end] == packet[12:end], "the question comes back octet by octet"
    else:
        assert case.reply[0].startswith("NOTIMP")


OPTION = "fde9 0000"
RECORD = "00 0001 0001 00000000 0000"
OPT = "00 0029 04d0 00000000 "
QUESTION = "06 'v6only' 04 'test' 00 001c 0001"
UNUSUAL = [
    # what is wrong              header: flags, counts            the rest                         reply
    ("a reply",                  "8000 0001 0000 0000 0000",      QUESTION,                        "dropped"),
    ("a reply with opcode 5",    "a800 0001 0000 0000 0000",      QUESTION,                        "dropped"),
    ("no question",              "0100 0000 0000 0000 0000",      "",                              "FORMERR qr rd"),
    ("two questions",            "0000 0002 0000 0000 0000",      QUESTION + QUESTION,             "FORMERR qr"),
    ("a question that is cut",   "0000 0001 0000 0000 0000",      "06 'v6only' 04 'te'",           "FORMERR qr"),
    ("a name without its end",   "0000 0001 0000 0000 0000",      "06 'v6only' 04 'test'",         "FORMERR qr"),
    ("no type",                  "0000 0001 0000 0000 0000",      "04 'test' 00",                  "FORMERR qr"),
    ("half a class",             "0000 0001 0000 0000 0000",      "04 'test' 00 0001 00",          "FORMERR qr"),
    ("a pointer to itself",      "0000 0001 0000 0000 0000",      "c00c 0001 0001",                "FORMERR qr"),
    ("a pointer forward",        "0000 0001 0000 0000 0000",      "01 'a' c010 00 0001 0001",      "FORMERR qr"),
    ("a pointer to the header",  "0000 0001 0000 0000 0000",      "01 'a' c004 0001 0001",         "FORMERR qr"),
    ("a label of type 0x40",     "0000 0001 0000 0000 0000",      "41 'a' 00 0001 0001",           "FORMERR qr"),
    ("a label of type 0x80",     "0000 0001 0000 0000 0000",      "81 'a' 00 0001 0001",           "FORMERR qr"),
    ("a name of 256 octets",     "0000 0001 0000 0000 0000",      "01 'a' " * 127 + "01 00 0001 0001 00", "FORMERR qr"),
    ("an OPT that is not there", "0000 0001 0000 0000 0001",      QUESTION,                        "FORMERR qr"),
    ("an OPT that is cut",       "0000 0001 0000 0000 0001",      QUESTION + "00 0029 04d0 0000",  "FORMERR qr"),
    ("options that are cut",     "0000 0001 0000 0000 0001",      QUESTION + OPT + "0004 0003", "FORMERR qr"),
    ("an option that is cut",    "0000 0001 0000 0000 0001",      QUESTION + OPT + "0004 0003 0001", "FORMERR qr"),
    ("an option without length", "0000 0001 0000 0000 0001",      QUESTION + OPT + "0003 0003 00", "FORMERR qr"),
    ("two OPTs",                 "0000 0001 0000 0000 0002",      QUESTION + (OPT + "0000") * 2, "FORMERR qr"),
    ("an OPT with an owner",     "0000 0001 0000 0000 0001",      QUESTION + "01 'a' " + OPT + "0000", "FORMERR qr"),
    ("an OPT as an answer",      "0000 0001 0001 0000 0000",      QUESTION + OPT + "0000", "FORMERR qr"),
    ("17 records",               "0000 0001 0000 0000 0011",      QUESTION + RECORD * 17, "FORMERR qr"),
    ("16 records",               "0000 0001 0004 0004 0008",      QUESTION + RECORD * 16, "REFUSED qr"),
    ("33 options",               "0000 0001 0000 0000 0001",      QUESTION + OPT + "0084" + OPTION * 33, "FORMERR qr"),
    ("opcode 9, no question",    "4900 0000 0000 0000 0000",      "",                              "NOTIMP qr rd"),
    ("trailing octets",          "0000 0001 0000 0000 0000",      QUESTION + "dead",               "REFUSED qr"),
    ("an rcode in the question", "000f 0001 0000 0000 0000",      QUESTION,                        "REFUSED qr"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "rest", "expected"), [row[1:] for row in UNUSUAL], ids=[r[0] for r in UNUSUAL]
)
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_unusual_packet(header: str, rest: str, expected: str, tcp: bool) -> None:
    packet = octets("beef" + header + rest)
    reply = Responder(table(), stream=tcp).respond(packet)
    if expected == "dropped":
        assert reply is None
        return
    assert reply is not None
    assert lines(reply) == [expected]
    assert reply[:2] == b"\xbe\xef"
    assert len(reply) == 12 or not expected.startswith(("FORMERR", "NOTIMP")), (
        "errors of form are a header only"
    )


def test_options_of_a_later_version_are_not_judged() -> None:
    """RFC 6891 6.1.3: whatever else is in it, whoever asks by another version hears of ours."""
    packet = octets("beef 0000 0001 0000 0000 0001" + QUESTION + "00 0029 04d0 00 01 0000 0003 0003 00")
    reply = Responder(table()).respond(packet)
    assert reply is not None
    assert lines(reply) == ["BADVERS qr", "EDNS version 0, udp 1232"]


@pytest.mark.parametrize("size", range(12))
def test_packets_shorter_than_a_header_are_dropped(size: int) -> None:
    responder = Responder(table())
    assert responder.respond(bytes(size)) is None
    assert responder.dropped == 1


def ask(responder: Responder, command: str) -> dns.message.Message:
    packet, tcp = query(command)
    assert tcp == responder.stream, "a transport that this responder is not for"
    reply = responder.respond(packet)
    assert reply is not None
    return dns.message.from_wire(reply, one_rr_per_rrset=True)


@pytest.mark.parametrize(("switches", "limit"), [
    ("", 512),
    ("+bufsize=0", 512),
    ("+bufsize=300", 512),
    ("+bufsize=700", 700),
    ("+bufsize=1232", 1232),
    ("+bufsize=65535", 1232),
    ("+nsid +bufsize=513", 513),
])  # fmt: skip
def test_a_long_answer_is_cut_behind_the_last_record_that_fits(switches: str, limit: int) -> None:
    packet, _ = query(f"{switches} many.Pods.rpc.test A")
    reply = Responder(table(), identity=IDENTITY).respond(packet)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.flags & dns.flags.TC
    assert limit - 16 < len(reply) <= limit
    records = [str(item) for rrset in message.answer for item in rrset]
    assert records == [f"192.0.2.{i}" for i in range(1, len(records) + 1)]
    assert (message.edns == 0) == bool(switches), "there is always room for OPT"


def test_additional_records_that_do_not_fit_are_no_truncation() -> None:
    message = ask(Responder(table()), "_bolt._tcp.many.Pods.rpc.test SRV")
    assert not message.flags & dns.flags.TC
    assert len(message.answer) == 1
    assert 20 < len(message.additional) < 120


def test_over_tcp_everything_fits() -> None:
    message = ask(Responder(table(), stream=True), "+tcp many.Pods.rpc.test A")
    assert not message.flags & dns.flags.TC
    assert len(message.answer) == 120


def test_what_no_message_can_hold_is_cut_over_tcp_too() -> None:
    pods = tuple(f"10.{a}.{b}.{c}" for a, b, c in itertools.product(range(2), range(10), range(1, 251)))
    crowd = table(content={"big.Crowd": Records(addresses=pods)})
    for switches in ("+tcp", "+tcp +edns", "+tcp +nsid"):
        packet, _ = query(f"{switches} big.Crowd.rpc.test A")
        reply = Responder(crowd, stream=True, identity=IDENTITY).respond(packet)
        assert reply is not None
        assert 65_535 - 16 < len(reply) <= 65_535
        assert reply[2] & 0x02, "TC"
    assert len(dns.message.from_wire(reply).answer[0]) > 4_000


@pytest.mark.parametrize("switches", ["", "+edns", "+ednsopt=10:0102030405060708", "+tcp"])
def test_providers_take_turns_whatever_the_client_sends_along(switches: str) -> None:
    responder = Responder(table(), stream="+tcp" in switches)
    firsts = [str(ask(responder, f"{switches} old.World.rpc.test A").answer[0][0]) for _ in range(6)]
    turns = ["192.0.2.1", "192.0.2.2", "192.0.2.3"] * 3
    assert any(firsts == turns[begun : begun + 6] for begun in range(3))


def test_names_that_share_their_providers_take_turns_each_for_itself() -> None:
    """Whatever the rhythm in which a client asks for them."""
    names = [f"com.acme.N{number}" for number in range(100)]
    shared = Records(addresses=("192.0.2.1", "192.0.2.2", "192.0.2.3", "fd00::1", "fd00::2"), rotate=True)
    crowd = table(content=dict.fromkeys(names, shared))
    ways = [Responder(crowd), Responder(crowd, stream=True)]
    firsts: dict[tuple[str, str], list[str]] = {}
    for number in range(6):
        for name in (*names[:2], *names[:1]):
            for kind in ("A", "AAAA"):
                tcp = number % 2
                reply = ask(ways[tcp], f"{'+tcp' if tcp else '+edns'} {name}.rpc.test {kind}")
                firsts.setdefault((name, kind), []).append(str(reply.answer[0][0]))
    for (_, kind), found in firsts.items():
        several = 3 if kind == "A" else 2
        assert all(len(set(found[at : at + several])) == several for at in range(len(found) - several))
    begun = Counter(str(ask(ways[0], f"{name}.rpc.test A").answer[0][0]) for name in names)
    assert len(begun) == 3, "who asks for many names is not sent to the same provider by all of them"
    assert max(begun.values()) < 80


def test_a_crowd_takes_turns_to_the_end() -> None:
    wheel = Wheel((65_535).to_bytes(2) + bytes(4) + bytes(16 * 2 * 65_535), 16)
    turns = Turns()
    taken = [turns.take(b"a", wheel) for _ in range(65_537)]
    assert taken == [(taken[0] + number) % 65_535 for number in range(65_537)]


def test_nothing_leads_to_a_service_whose_name_would_be_too_long() -> None:
    owner = ".".join(["a" * 63] * 3 + ["b" * (238 - 3 * 64)])
    content = {owner: Records(("192.0.2.1",), ports=(ServedPort("tri", 1),))}
    responder = Responder(table(content=content))
    assert ask(responder, f"+edns {owner}.rpc.test A").answer
    assert ask(responder, f"+edns _tcp.{owner}.rpc.test A").rcode() == dns.rcode.NXDOMAIN


def test_a_name_like_a_service_hides_none() -> None:
    """An interface may be called as the service of another one is."""
    ports = (ServedPort("tri", 1), ServedPort("tcp", 2))
    named = {"a.B": Records(("192.0.2.1",), ports=ports), "_tri._tcp.a.B": Records(("192.0.2.2",))}
    responder = Responder(table(content=named))
    for service, port in (("_tri._tcp", 1), ("_tcp._tcp", 2)):
        reply = ask(responder, f"{service}.a.B.rpc.test SRV")
        assert [item.port for item in reply.answer[0]] == [port]
    assert ask(responder, "_tri._tcp.a.B.rpc.test TXT").rcode() == dns.rcode.NOERROR
    assert ask(responder, "_tcp._tcp.a.B.rpc.test TXT").rcode() == dns.rcode.NOERROR, "what has SRV exists"


def test_a_cut_answer_takes_turns_too() -> None:
    pods = tuple(f"192.0.2.{i}" for i in range(1, 65))
    responder = Responder(table(content={"a.B": Records(addresses=pods, rotate=True)}))
    firsts = {str(ask(responder, "a.B.rpc.test A").answer[0][0]) for _ in range(8)}
    assert len(firsts) == 8


def test_the_longest_name_there_can_be() -> None:
    owner = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * (253 - 3 * 64 - len(".rpc.test"))])
    assert len(f"{owner}.rpc.test") == 253
    content = {owner: Records(addresses=("10.96.0.1",), ports=(ServedPort("dubbo", 20880),))}
    responder = Responder(table(content=content))
    reply = ask(responder, f"+edns {owner}.rpc.test A")
    assert [rrset.to_text() for rrset in reply.answer] == [f"{owner}.rpc.test. 30 IN A 10.96.0.1"]
    denied = ask(responder, f"x{owner[1:]}.rpc.test A")
    assert denied.rcode() == dns.rcode.NXDOMAIN
    assert len(denied.authority) == 1, "and there is no SRV name, for it would be longer still"


@pytest.mark.parametrize("switches", ["+nsid", "+nsid +bufsize=512", "+nsid +ednsversion=1"])
def test_the_longest_identity_leaves_room_for_the_longest_question(switches: str) -> None:
    responder = Responder(table(), identity=Identity("", "p" * 253))
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    packet, _ = query(f"{switches} {name} A")
    reply = responder.respond(packet)
    assert reply is not None
    assert len(reply) <= 512
    assert lines(reply)[1].startswith("EDNS version 0, udp 1232, NSID p")


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    "switches",
    ["", "+edns", "+norec", "+bufsize=600", "+norec +bufsize=0 +dnssec", "+adflag", "+ednsflags=0xffff"],
)
def test_the_short_way_says_what_the_long_way_says(switches: str, tcp: bool) -> None:
    short, long = Responder(table(), stream=tcp), Responder(table(), stream=tcp)
    for key in sorted(questions(short.table)):
        name, kind = dns.name.from_wire(key, 0)[0].to_text(), int.from_bytes(key[-4:-2])
        packet, _ = query(f"{switches} {name.upper()} TYPE{kind}")
        assert short.respond(packet) == long._unusual(packet)
    assert short.counts() == long.counts()
    assert len({kind for _, kind, _ in short.counts()} - {0}) == 6, "A, AAAA, SRV, TXT, SOA, NS"


@pytest.mark.parametrize("switches", ["", "+edns", "+norec", "+bufsize=0 +dnssec", "+nsid", "+ednsopt=10:00"])
def test_the_short_way_denies_what_the_long_way_denies(switches: str) -> None:
    """Names that exist, names below and beside them, of every zone and of none; and it counts them alike."""
    short, long = Responder(table()), Responder(table())
    held = {dns.name.from_wire(key, 0)[0].to_text() for key in questions(short.table)}
    below = {f"no.{name}" for name in held}
    odd = {
        "rpc.test.",
        "no.rpc.test.",
        "norpc.test.",
        r"no\003rpc.test.",
        "rpc.test.no.",
        "test.",
        f"{'no.' * 80}rpc.test.",
    }
    for name in sorted(held | below | odd):
        for kind in ("A", "AAAA", "HTTPS", "MX", "TYPE65280", "ANY", "AXFR"):
            packet, _ = query(f"{switches} {name} {kind}")
            assert short.respond(packet) == long._unusual(packet), f"{name} {kind}"
    assert short.counts() == long.counts()


@pytest.mark.parametrize("command", [
    "rpc.test SOA",
    "rpc.test NS",
    "rpc.test MX",
    "Nobody.RPC.test A",
    "+edns x.com.alipay.user.UserService.rpc.test A",
    "deep.rpc.test A",
    "com.alipay.user.UserService.rpc.test A",
    "many.Pods.rpc.test A +tcp",
    "_tri._tcp.com.alipay.user.UserService.rpc.test SRV",
])  # fmt: skip
def test_names_are_compressed_wherever_they_may_be(command: str) -> None:
    packet, tcp = query(command)
    reply = Responder(table(), stream=tcp).respond(packet)
    assert reply is not None
    # dnspython writes everything once more and compresses what a server may compress (never SRV targets).
    assert len(reply) <= len(dns.message.from_wire(reply).to_wire(max_size=65_535))


def test_a_target_is_never_compressed() -> None:
    command = "_tri._tcp.com.alipay.user.UserService.rpc.test SRV"
    packet, _ = query(command)
    reply = Responder(table()).respond(packet)
    assert reply is not None
    assert reply.count(wire.encode_name("com.alipay.user.UserService.rpc.test")) == 2  # RFC 2782


def test_a_zone_at_the_root_denies_with_a_soa_of_the_root() -> None:
    zone = ZoneData("")
    found = Table()
    delta = zone.start(("192.0.2.53",))
    delta.merge(zone.set_state(READY))
    found.apply(delta, 1)
    reply = ask(Responder(found), "no.Such A")
    assert [rrset.to_text() for rrset in reply.authority] == [". 5 IN SOA ns. hostmaster. 0 10 5 86400 5"]


def test_without_identity_nothing_is_said() -> None:
    responder = Responder(table())
    for command in ("version.bind TXT CH", "hostname.bind TXT CH", "id.server ANY CH"):
        assert ask(responder, command).rcode() == dns.rcode.REFUSED
    assert ask(responder, "+nsid rpc.test SOA").options == ()


def test_each_client_gets_what_its_own_opt_record_asks_for_however_many_there_were() -> None:
    responder = Responder(table())
    for size in (*range(400, 1400, 7), 700, 1232):
        reply = responder.respond(query(f"+bufsize={size} many.Pods.rpc.test A")[0])
        assert reply is not None
        assert max(size, 512) - 16 < len(reply) <= max(size, 512) or size >= 1232


def many_zones(count: int) -> Table:
    """So many zones, the last one's name with a length octet that is a digit, and a name that looks to be below it."""
    found, last = Table(), f"{'x' * 48}.p.example"
    origins = [f"z{number}.example" for number in range(count - 2)] + ["p.example", last]
    for number, origin in enumerate(origins):
        zone = ZoneData(origin, number=number, nested=(last,) if origin == "p.example" else ())
        delta = zone.start()
        names = ("a.B", f"ab0{'x' * 48}") if origin == "p.example" else ("a.B",)
        delta.merge(zone.apply(dict.fromkeys(names, Records(addresses=("10.96.0.1",))), serial=1))
        delta.merge(zone.set_state(READY))
        found.apply(delta, found.generation + 1)
    return found


@pytest.mark.parametrize("count", [3, MAX_ZONES, MAX_ZONES + 1, MAX_ZONES + 2, 300])
def test_however_many_zones_there_are_they_are_told_apart_and_counters_stay_few(count: int) -> None:
    served = many_zones(count)
    short, long = Responder(served), Responder(served)
    for origin in (zone.partition(".example")[0] for zone in ("z0.example", "p.example")):
        for name in ("a.B", "no.B", f"ab0{'x' * 48}"):
            for kind in ("A", "AAAA", "ANY", "MX"):
                packet, _ = query(f"{name}.{origin}.example {kind}")
                assert short.respond(packet) == long._unusual(packet), f"{name}.{origin}.example {kind}"
    for zone in served.zones:
        packet, _ = query(f"no.{dns.name.from_wire(zone, 0)[0].to_text()} A")
        assert short.respond(packet) == long._unusual(packet)
    assert short.counts() == long.counts()
    labels = {zone for zone, _, _ in short.counts()}
    assert len(labels) <= MAX_ZONES + 1
    assert (OTHERS in labels) == (count > MAX_ZONES)


def test_malformed_is_whatever_gets_formerr() -> None:
    responder = Responder(table())
    for command, malformed in (
        ("+opcode=5 rpc.test SOA", 0),
        ("rpc.test TYPE41", 1),
        ("rpc.test TYPE250", 1),
    ):
        before = responder.malformed
        ask(responder, command)
        assert responder.malformed - before == malformed, command


def test_labels_that_contain_zero_octets_meet_no_other_name() -> None:
    # The names "v6\000\001\000\001...": a zero octet inside a label must not end the name.
    responder = Responder(table())
    inside = octets("0b 'v6' 00 0001 0001 00000000 04 'Only' 03 'rpc' 04 'test' 00 001c 0001")
    reply = responder.respond(octets("beef 0100 0001 0000 0000 0000") + inside)
    assert reply is not None
    assert lines(reply)[0] == "NXDOMAIN qr aa rd"
    # A length octet that only looks like one without its case ('F' is 0x46, 'f' 0x66).
    reply = responder.respond(octets("beef 0100 0001 0000 0000 0000 42 'v6' 04 'only' 00 001c 0001"))
    assert reply is not None
    assert lines(reply) == ["FORMERR qr rd"]


def test_counters_do_not_grow_with_what_strangers_ask() -> None:
    responder = Responder(table())
    for kind in range(1, 2000):
        question = octets("04 'only' 03 'rpc' 04 'test' 00") + kind.to_bytes(2) + b"\0\1"
        responder.respond(octets("beef 0000 0001 0000 0000 0000") + question)
    assert len(responder.counts()) < 40


def test_replies_are_counted_by_zone_type_and_code() -> None:
    responder = Responder(table())
    for command in (
        "v6.Only.rpc.test AAAA",
        "v6.Only.rpc.test A",
        "no.Such.rpc.test A",
        "no.Such.rpc.test TYPE999",
        "x.loading.test AAAA",
        "example.org A",
        "+opcode=2 rpc.test SOA",
    ):
        ask(responder, command)
    assert responder.counts() == {
        ("rpc.test", dns.rdatatype.AAAA, dns.rcode.NOERROR): 1,
        ("rpc.test", dns.rdatatype.A, dns.rcode.NOERROR): 1,
        ("rpc.test", dns.rdatatype.A, dns.rcode.NXDOMAIN): 1,
        ("rpc.test", 0, dns.rcode.NXDOMAIN): 1,
        ("loading.test", dns.rdatatype.AAAA, dns.rcode.SERVFAIL): 1,
        ("", dns.rdatatype.A, dns.rcode.REFUSED): 1,
        ("", 0, dns.rcode.NOTIMP): 1,
    }
