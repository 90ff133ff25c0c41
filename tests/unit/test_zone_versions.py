"""Versions of a zone: whoever follows them holds, under each serial, what the zone held when its second was over."""

from __future__ import annotations

from dataclasses import dataclass, field

import dns.message
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from soadns.model import Records, ServedPort
from soadns.nameserver import wire
from soadns.nameserver.table import LOADING, READY
from soadns.nameserver.zone import ZoneData
from soadns.transfer import records
from soadns.transfer.records import SIZE, Record
from soadns.transfer.versions import Version, Versions

pytestmark = pytest.mark.long

ORIGIN = "rpc.test"
QUESTION = wire.question(wire.encode_name(ORIGIN), wire.AXFR)
POOL = (
    None,
    Records(("10.96.0.1",)),
    Records(("10.96.0.2",), ports=(ServedPort("dubbo", 20880),)),
    Records(
        ("10.96.0.2", "10.96.0.3", "fd00::1"), ports=(ServedPort("dubbo", 20880), ServedPort("tri", 50051))
    ),
    Records(("192.0.2.1", "192.0.2.2"), ttl=5, rotate=True, texts=("host=a.b", "x")),
    Records(unsaid=True),
)
NAMES = ("a.B", "A.b", "a.b.C", "d.E", "d.Outer$Inner")


def zone_at(serial: int = 100, *, most: int = 1_000) -> tuple[ZoneData, Versions]:
    zone = ZoneData(ORIGIN)
    zone.serial = serial
    zone.start(("192.0.2.53",))
    versions = Versions(zone, most)
    zone.witnesses.append(versions)
    zone.set_state(READY)
    return zone, versions


def texts(zone: ZoneData) -> set[str]:
    """What a zone holds but its SOA, as lines."""
    return {
        f"{rrset.owner.lower()} {rrset.ttl} {rrset.type} {data.lower() if rrset.type == 'SRV' else data}"
        for rrset in zone.rrsets()
        for data in rrset.data
        if rrset.type != "SOA"
    }


@dataclass
class Secondary:
    """One that takes what it is told, by the letter: what is removed must be there, what is added must not."""

    serial: int = 0
    held: set[str] = field(default_factory=set)

    def takes(self, stream: list[Record]) -> None:
        lines = [
            line for message in records.messages(b"\0\1\x84\0", QUESTION, stream) for line in parsed(message)
        ]
        first = lines[0]
        assert first.startswith("SOA ")
        assert lines[-1] == first
        if len(lines) > 1 and lines[1].startswith("SOA "):
            removing, body = True, lines[2:-1]
            assert lines[1] == f"SOA {self.serial}"
            for line in body:
                if line.startswith("SOA "):
                    assert line == first
                    removing = False
                elif removing:
                    self.held.remove(line)
                else:
                    assert line not in self.held, line
                    self.held.add(line)
            assert not removing
        else:
            self.held = set(lines[1:-1])
            assert len(self.held) == len(lines) - 2, "no record twice"
        self.serial = int(first.split()[1])


def parsed(message: bytes) -> list[str]:
    """The answer section of a message, in order, as dnspython reads it."""
    assert len(message) <= SIZE
    found = dns.message.from_wire(message, one_rr_per_rrset=True, xfr=True)
    lines = []
    for rrset in found.answer:
        kind, name, data = dns.rdatatype.to_text(rrset.rdtype), rrset.name.to_text().lower(), rrset[0]
        if isinstance(data, dns.rdtypes.ANY.SOA.SOA):
            lines.append(f"SOA {data.serial}")
        else:
            said = data.to_text()
            lines.append(f"{name} {rrset.ttl} {kind} {said.lower() if kind == 'SRV' else said}")
    return lines


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["change", "change", "change", "second", "ask", "ask", "lose", "find"]),
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(POOL)), max_size=4),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.sampled_from([0, 3, 1_000]))
def test_who_follows_by_differences_holds_what_the_zone_held_under_that_serial(
    steps: list[tuple[str, list[tuple[str, Records | None]]]], most: int
) -> None:
    zone, versions = zone_at(most=most)
    now, secondary, sealed = 100.0, Secondary(), dict[int, set[str]]()
    waiting: list[Version] = []
    for what, changes in steps:
        if what == "second":
            sealed[zone.serial] = texts(zone)
            now += 1.0
            versions.look(now)
        elif what == "change":
            # As control does it: in a new second the first change has a new serial.
            if int(now) > zone.serial:
                sealed[zone.serial] = texts(zone)
            zone.apply(dict(changes), serial=max(zone.serial, int(now)))
        elif what == "lose":
            zone.set_state(LOADING)
        elif what == "find":
            zone.set_state(READY)
        else:
            serial = versions.sealed(now)
            if serial is None:
                versions.when_sealed(waiting.append)
            elif serial != secondary.serial:
                if (difference := versions.difference(secondary.serial, now)) is not None:
                    secondary.takes(list(records.ixfr(zone, difference)))
                elif versions.settled(now):
                    secondary.takes(list(records.axfr(zone, versions.present())))
                else:
                    versions.when_sealed(waiting.append)
        while waiting:
            secondary.takes(list(records.axfr(zone, waiting.pop())))
        if secondary.serial:
            assert secondary.held == sealed.get(secondary.serial, texts(zone)), secondary.serial


def test_a_difference_has_only_what_is_different() -> None:
    zone, versions = zone_at()
    zone.apply({"a.B": POOL[1], "d.E": POOL[1]}, serial=101)
    zone.apply({"a.B": POOL[3]}, serial=105)
    zone.apply({"a.B": POOL[2]}, serial=106)
    difference = versions.difference(101, 107.0)
    assert difference is not None
    [message] = records.messages(b"\0\1\x84\0", QUESTION, records.ixfr(zone, difference))
    assert parsed(message) == [
        "SOA 106",
        "SOA 101",
        "a.b.rpc.test. 30 A 10.96.0.1",
        "SOA 106",
        "a.b.rpc.test. 30 A 10.96.0.2",
        "_dubbo._tcp.a.b.rpc.test. 30 SRV 0 100 20880 a.b.rpc.test.",
        "SOA 106",
    ]


def test_the_present_second_is_nobodys_until_it_is_over() -> None:
    zone, versions = zone_at()
    zone.apply({"a.B": POOL[1]}, serial=101)
    zone.apply({"a.B": POOL[2]}, serial=102)
    assert versions.sealed(102.9) == 101, "more may come under 102"
    assert not versions.settled(102.9)
    got: list[Version] = []
    versions.when_sealed(got.append)
    zone.apply({"d.E": POOL[1]}, serial=102)
    versions.look(102.99)
    assert not got
    zone.apply({"d.E": None}, serial=103)
    [version] = got
    assert (version.serial, len(version.owners)) == (102, 3), "ns, a.B and d.E, as they were when 102 ended"


def test_what_is_remembered_is_bounded_by_changed_names() -> None:
    zone, versions = zone_at(most=10)
    for serial in range(101, 131):
        zone.apply({f"n.N{serial}": POOL[1], "a.B": POOL[1 + serial % 2]}, serial=serial)
    assert list(versions.remembered()) == [125, 126, 127, 128, 129]
    assert versions.difference(124, 131.0) is None
    assert versions.difference(125, 131.0) is not None


def test_a_long_version_is_many_messages_whose_names_are_short() -> None:
    zone, versions = zone_at()
    zone.apply({f"com.acme.Service{n}": POOL[2] for n in range(2_000)}, serial=101)
    stream = list(records.axfr(zone, versions.present()))
    packed = list(records.messages(b"\0\1\x84\0", QUESTION, stream, room=300))
    assert all(len(message) <= SIZE - 300 for message in packed)
    assert sum(map(len, packed)) < sum(len(name) + len(data) for name, data in stream) * 0.9
    secondary = Secondary()
    secondary.takes(stream)
    assert secondary.held == texts(zone)
