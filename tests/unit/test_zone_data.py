"""A zone's deltas: whatever the order of changes, the table is that of the zone built at once."""

from __future__ import annotations

from dataclasses import replace

import dns.message
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns import naming
from soadns.model import InterfaceId, Records, ServedPort
from soadns.nameserver import wire
from soadns.nameserver.responder import Responder
from soadns.nameserver.rrsets import COUNTS
from soadns.nameserver.table import LOADING, READY, Delta, Table
from soadns.nameserver.zone import ZoneData
from tests.unit.holdings import questions

ORIGIN = "rpc.test"
OWNERS = [
    "B",
    "a.B",
    "b.a.B",
    "c.a.B",
    "d.C",
    "e.d.C",
    "E.D.c",
    "_dubbo._tcp.B",
    "ns",
    "x.ns",
    "in.nested",
    "way.of.nested",
]
NESTED = ("of.nested.rpc.test",)

records = st.builds(
    Records,
    addresses=st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]), unique=True).map(
        tuple
    ),
    ttl=st.sampled_from([5, 30]),
    ports=st.lists(
        st.builds(ServedPort, st.sampled_from(["dubbo", "tri", "Tri"]), st.sampled_from([20880, 50051])),
        max_size=3,
    ).map(tuple),
    texts=st.lists(st.sampled_from(["host=a", "evidence=endpoint"]), max_size=2).map(tuple),
    rotate=st.booleans(),
)
changes = st.lists(
    st.dictionaries(st.sampled_from(OWNERS), st.none() | records, min_size=1, max_size=5), max_size=8
)


def new() -> ZoneData:
    return ZoneData(ORIGIN, nested=NESTED)


def started(zone: ZoneData) -> Table:
    table = Table()
    table.apply(zone.start(("192.0.2.53",)), 1)
    table.apply(zone.set_state(READY), 2)
    return table


def content(table: Table) -> tuple[object, ...]:
    return table.owners, table.names, table.zones


def last_words(steps: list[dict[str, Records | None]]) -> dict[str, Records]:
    """What is left in the end, by folded owner; the last change of a name counts, whatever its spelling."""
    found: dict[str, tuple[str, Records | None]] = {}
    for step in steps:
        for owner, record in step.items():
            found[owner.lower()] = (owner, record)
    return {owner: record for owner, record in found.values() if record is not None}


@given(changes)
def test_deltas_in_any_order_give_the_zone_that_is_built_at_once(
    steps: list[dict[str, Records | None]],
) -> None:
    zone = new()
    table = started(zone)
    for generation, step in enumerate(steps, 3):
        table.apply(zone.apply(step, serial=1), generation)
    table.apply(zone.apply({}, serial=9), 99)
    whole = new()
    expected = started(whole)
    expected.apply(whole.apply(last_words(steps), serial=9), 3)
    assert content(table) == content(expected)


@given(changes)
def test_merged_deltas_say_what_the_single_ones_say(steps: list[dict[str, Records | None]]) -> None:
    zone = new()
    one, other, merged = started(zone), started(new()), Delta()
    for generation, step in enumerate(steps, 3):
        delta = zone.apply(step, serial=generation)
        one.apply(delta, generation)
        merged.merge(delta)
    other.apply(merged, 99)
    assert content(one) == content(other)


@given(changes)
def test_a_name_exists_if_it_or_something_below_it_has_records(
    steps: list[dict[str, Records | None]],
) -> None:
    zone = new()
    table = started(zone)
    for generation, step in enumerate(steps, 3):
        table.apply(zone.apply(step, serial=1), generation)
    origin = dns.name.from_text(ORIGIN)
    owners = [origin, dns.name.from_text("ns", origin), dns.name.from_text("nested", origin)]
    services = []
    for owner, record in last_words(steps).items():
        name = dns.name.from_text(owner.lower(), origin)
        if owner == "ns" or name.is_subdomain(dns.name.from_text(NESTED[0])):
            continue
        owners.append(name)
        if record.addresses:
            services += [dns.name.from_text(f"_{port.protocol.lower()}._tcp", name) for port in record.ports]
    expected = set()
    for name in owners:
        while name.is_subdomain(origin):
            expected.add(name.to_wire())
            name = name.parent()
    assert table.names == expected
    for name in services:
        assert table.exists(name.to_wire())
        assert table.exists(name.parent().to_wire())
        assert table.find(name.to_wire(), wire.SRV) is not None
    for owner in OWNERS:
        for below in ("_dubbo._tcp", "_tcp", "_tri._tcp", "_tri._udp", "x._tcp"):
            name = dns.name.from_text(f"{below}.{owner.lower()}", origin)
            known = any(service.is_subdomain(name) for service in services)
            assert table.exists(name.to_wire()) == (known or name.to_wire() in expected)


@given(st.dictionaries(st.sampled_from(OWNERS), records, max_size=6))
def test_everything_can_be_taken_back(step: dict[str, Records]) -> None:
    zone = new()
    table = started(zone)
    before = (dict(table.owners), set(table.names), dict(table.zones))
    table.apply(zone.apply(dict(step), serial=0), 3)
    table.apply(zone.apply(dict.fromkeys(step), serial=0), 4)
    assert content(table) == before


RECORDS = Records(("10.0.0.1", "fd00::1"), ports=(ServedPort("dubbo", 20880),), texts=("a=b",))


def test_a_delta_is_as_small_as_the_change() -> None:
    zone = new()
    started(zone)
    zone.apply({f"com.acme.Service{i}": RECORDS for i in range(100)}, serial=1)
    again = zone.apply({"com.acme.Service7": RECORDS}, serial=2)
    assert list(again.owners) == [wire.encode_name(ORIGIN)], "the apex with its serial, nothing else"
    assert not again.names
    moved = zone.apply({"com.acme.Service7": Records(("10.0.0.2", "fd00::1"), texts=("a=b",))}, serial=3)
    name = wire.fold(wire.encode_name(f"com.acme.Service7.{ORIGIN}"))
    assert sorted(moved.owners) == sorted([wire.encode_name(ORIGIN), name])
    assert not moved.names, "services below are not names of their own"
    fresh = moved.owners[name]
    assert fresh is not None
    assert not fresh.services(name)


def test_interfaces_of_one_service_share_what_they_have() -> None:
    owners = [f"com.acme.Service{i}" for i in range(3)]
    delta = new().apply({owner: replace(RECORDS) for owner in owners}, serial=1)
    held = {id(delta.owners[wire.fold(wire.encode_name(f"{owner}.{ORIGIN}"))]) for owner in owners}
    assert len(held) == 1


def test_a_removal_of_one_spelling_and_a_record_at_another_count_in_order() -> None:
    zone = new()
    table = started(zone)
    table.apply(zone.apply({"a.Foo": RECORDS}, serial=1), 3)
    table.apply(zone.apply({"a.Foo": None, "a.foo": RECORDS}, serial=2), 4)
    assert wire.encode_name(f"a.foo.{ORIGIN}") in table.names
    table.apply(zone.apply({"a.foo": RECORDS, "a.Foo": None}, serial=3), 5)
    assert wire.encode_name(f"a.foo.{ORIGIN}") not in table.names


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 15, 16, 17, 100])
def test_every_address_is_first_in_its_turn_and_all_are_there(count: int) -> None:
    addresses = tuple(f"192.0.2.{i}" for i in range(1, count + 1))
    zone = new()
    delta = zone.apply({"a.B": Records(addresses, rotate=True)}, serial=1)
    table = started(new())
    table.apply(delta, 3)
    responder = Responder(table, stream=True)
    packet = dns.message.make_query(f"a.B.{ORIGIN}", "A").to_wire()
    begun = None
    for turn in range(2 * count):
        reply = responder.respond(packet)
        assert reply is not None
        found = [str(a) for a in dns.message.from_wire(reply).answer[0]]
        begun = addresses.index(found[0]) if begun is None else begun
        at = (begun + turn) % count
        assert found == [*addresses[at:], *addresses[:at]]


def test_one_protocol_at_several_ports_is_one_rrset_whatever_its_case() -> None:
    zone = new()
    table = started(zone)
    ports = (ServedPort("dubbo", 20880), ServedPort("Dubbo", 20881), ServedPort("tri", 50051))
    table.apply(zone.apply({"a.B": Records(("10.0.0.1",), ports=ports)}, serial=1), 3)
    packet = dns.message.make_query(f"_dubbo._tcp.a.B.{ORIGIN}", "SRV").to_wire()
    reply = Responder(table).respond(packet)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert sorted(item.port for item in message.answer[0]) == [20880, 20881]
    assert [str(item) for item in message.additional[0]] == ["10.0.0.1"]


def test_states_change_the_entry_of_the_zone_only() -> None:
    zone = new()
    table = started(zone)
    before = dict(table.owners)
    table.apply(zone.set_state(LOADING), 3)
    assert table.owners == before
    assert table.zones[wire.encode_name(ORIGIN)].state == LOADING


LETTERS = st.text("aB1_$-.", max_size=300)


@given(
    LETTERS,
    st.text("a.-é", max_size=12),
    st.text("1.-", max_size=12),
    st.sampled_from(["rpc.test", "z" * 60]),
)
def test_every_interface_that_may_have_a_name_can_be_published(
    name: str, group: str, version: str, zone: str
) -> None:
    interface = InterfaceId(name, group, version)
    owners = [naming.owner_name(interface), naming.alias(interface)]
    if naming.problem(interface, zone) is None:
        changes = {owner: RECORDS for owner in owners if owner is not None}
        assert len(ZoneData(zone).apply(changes, serial=1).owners) > len(changes), "they and the apex"


def test_every_answer_parses_at_its_own_question() -> None:
    zone = new()
    table = started(zone)
    owners = [f"{'x' * size}.{'Y' * 63}.z" for size in (1, 40, 63)]
    table.apply(zone.apply(dict.fromkeys(owners, RECORDS), serial=1), 3)
    for question in questions(table):
        answer = table.find(question[:-4], int.from_bytes(question[-4:-2]))
        assert isinstance(answer, bytes)
        message = dns.message.from_wire(b"\0\1\x84\0\0\1" + answer[:COUNTS] + question + answer[COUNTS:])
        assert message.answer
        for rrset in message.answer:
            assert rrset.name.to_wire() == question[:-4]
