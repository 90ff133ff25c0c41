"""A name that was denied is denied anew each time, by whatever the table is then."""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.model import Records, ServedPort
from soadns.nameserver import denials
from soadns.nameserver.responder import Responder
from soadns.nameserver.table import LOADING, READY, Delta, Table
from soadns.nameserver.wire import encode_name
from soadns.nameserver.zone import ZoneData

NAME = "com.acme.Late"


class Server:
    """Zones and a responder."""

    def __init__(self) -> None:
        self.table = Table()
        self.responder = Responder(self.table)
        self.generation = 0

    def zone(self, origin: str, *, number: int = 0, nested: tuple[str, ...] = ()) -> ZoneData:
        zone = ZoneData(origin, number=number, nested=nested)
        self.apply(zone.start())
        self.apply(zone.set_state(READY))
        return zone

    def apply(self, delta: Delta) -> None:
        self.generation += 1
        self.table.apply(delta, self.generation)

    def ask(self, name: str, kind: str = "A") -> str:
        """RCODE, and the SOA of a denial."""
        reply = self.responder.respond(dns.message.make_query(name, kind).to_wire())
        assert reply is not None
        message = dns.message.from_wire(reply)
        soa = [f"{rrset.name} {rrset[0].serial}" for rrset in message.authority]
        return " ".join([dns.rcode.to_text(message.rcode()), *soa])


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_until_it_exists(server: Server, kind: str) -> None:
    zone = server.zone("rpc.test")
    for _ in range(2):
        assert server.ask(f"{NAME}.rpc.test", kind) == "NXDOMAIN rpc.test. 0"
        assert server.ask(f"x.{NAME}.rpc.test", kind) == "NXDOMAIN rpc.test. 0"
    server.apply(zone.apply({f"x.{NAME}": Records(("10.96.0.1",))}, serial=1))
    assert server.ask(f"{NAME}.rpc.test", kind) == "NOERROR rpc.test. 1", "something is below it"
    assert server.ask(f"x.{NAME}.rpc.test", "A") == "NOERROR"
    server.apply(zone.apply({f"x.{NAME}": None}, serial=2))
    assert server.ask(f"{NAME}.rpc.test", kind) == "NXDOMAIN rpc.test. 2"
    assert server.ask(f"x.{NAME}.rpc.test", kind) == "NXDOMAIN rpc.test. 2"


def test_until_the_zone_can_not_say(server: Server) -> None:
    zone = server.zone("rpc.test")
    assert server.ask(f"{NAME}.rpc.test") == "NXDOMAIN rpc.test. 0"
    server.apply(zone.set_state(LOADING))
    assert server.ask(f"{NAME}.rpc.test") == "SERVFAIL"
    server.apply(zone.set_state(READY))
    server.apply(zone.apply({NAME: Records(unsaid=True)}, serial=1))
    assert server.ask(f"x.{NAME}.rpc.test") == "SERVFAIL"
    assert server.ask("other.rpc.test") == "NXDOMAIN rpc.test. 1"


def test_by_the_closest_zone(server: Server) -> None:
    server.zone("test")
    assert server.ask(f"{NAME}.rpc.test") == "NXDOMAIN test. 0"
    server.zone("rpc.test", number=1)
    assert server.ask(f"{NAME}.rpc.test") == "NXDOMAIN rpc.test. 0"
    assert {zone for zone, _, _ in server.responder.counts()} == {"test", "rpc.test"}
    server.apply(Delta(zones={encode_name("rpc.test"): None}))
    assert server.ask(f"{NAME}.rpc.test") == "NXDOMAIN test. 0"
    server.apply(Delta(zones={encode_name("test"): None}))
    assert server.ask(f"{NAME}.rpc.test") == "REFUSED"


@pytest.mark.parametrize("origins", [("test", "rpc.test"), ("rpc.test", "test")])
def test_names_of_equal_form_in_a_zone_and_in_one_inside_it_by_turns(
    server: Server, origins: tuple[str, ...]
) -> None:
    for number, origin in enumerate(origins):
        server.zone(origin, number=number)
    for _ in range(3):
        for name in (f"{NAME}.rpc", f"{NAME}.abc", f"{NAME}.rpc", "rpc"):
            zone = "rpc.test." if name.endswith("rpc") else "test."
            assert server.ask(f"x.{name}.test", "AAAA") == f"NXDOMAIN {zone} 0"
            assert server.ask(f"y.{name}.test") == f"NXDOMAIN {zone} 0"
    server.apply(Delta(zones={encode_name("rpc.test"): None}))
    for name in (f"{NAME}.rpc", f"{NAME}.abc"):
        assert server.ask(f"x.{name}.test") == "NXDOMAIN test. 0"
    assert server.table.denials.last is server.table.denials.zones[encode_name("test")], (
        "no other is inside it"
    )


def test_what_a_name_has_is_not_denied_when_its_zone_is_gone(server: Server) -> None:
    zone = server.zone("rpc.test")
    server.apply(zone.apply({NAME: Records(("10.96.0.1",))}, serial=1))
    assert server.ask(f"{NAME}.rpc.test", "AAAA") == "NOERROR rpc.test. 1"
    server.apply(Delta(zones={encode_name("rpc.test"): None}))
    assert server.ask(f"{NAME}.rpc.test", "AAAA") == "REFUSED"


LABELS = st.lists(st.integers(0, 70), max_size=6)


@given(
    st.lists(st.tuples(LABELS, st.sampled_from([b"a", b"0", b"-", b"_", b"\0", b"\x03", b"/"])), max_size=30)
)
def test_forms_are_no_short_cut_for_what_is_no_name(asked: list[tuple[list[int], bytes]]) -> None:
    """Lengths that are letters elsewhere, letters that are lengths elsewhere, and all of it at the end of a zone."""
    server = Server()
    server.zone("rpc.test")
    careful = Responder(server.table)
    for lengths, filling in asked:
        name = b"".join(bytes([length]) + filling * max(0, length - 1) for length in lengths)
        for end in (b"\x03rpc\x04test\0", b"rpc\x04test\0", b"x\x03rpc\x04test\0"):
            packet = b"\0\7\1\0\0\1\0\0\0\0\0\0" + name + end + b"\0\1\0\1"
            assert server.responder.respond(packet) == careful._unusual(packet)


def test_services_come_and_go_with_their_owner(server: Server) -> None:
    zone = server.zone("rpc.test")
    service = f"_dubbo._tcp.{NAME}.rpc.test"
    assert server.ask(service, "SRV") == "NXDOMAIN rpc.test. 0"
    server.apply(zone.apply({NAME: Records(("10.96.0.1",), ports=(ServedPort("dubbo", 20880),))}, serial=1))
    assert server.ask(service, "SRV") == "NOERROR"
    assert server.ask(service, "A") == "NOERROR rpc.test. 1"
    assert server.ask(f"_tcp.{NAME}.rpc.test", "A") == "NOERROR rpc.test. 1"
    assert server.ask(f"_tri._tcp.{NAME}.rpc.test", "SRV") == "NXDOMAIN rpc.test. 1"
    assert server.ask(f"_dubbo._udp.{NAME}.rpc.test", "SRV") == "NXDOMAIN rpc.test. 1"
    server.apply(zone.apply({NAME: Records(("10.96.0.1",))}, serial=2))
    assert server.ask(service, "SRV") == "NXDOMAIN rpc.test. 2"
    assert server.ask(f"_tcp.{NAME}.rpc.test", "A") == "NXDOMAIN rpc.test. 2"


def test_whoever_asks_for_names_of_ever_new_forms_takes_no_more_than_so_much(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "MOST", 10)
    server.zone("rpc.test")
    for number in range(1_000):
        assert (
            server.ask(f"{'n' * (number % 40 + 1)}.{'n' * (number // 40 + 1)}.rpc.test")
            == "NXDOMAIN rpc.test. 0"
        )
    (held,) = server.table.denials.zones.values()
    assert 0 < len(held.forms) <= 10


def test_many_zones_remember_no_more_forms_than_one_may(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "MOST_IN_ALL", 40)
    for number in range(8):
        server.zone(f"z{number}.test", number=number)
    for number in range(8):
        for octets in range(1, 30):
            assert server.ask(f"{'n' * octets}.z{number}.test") == f"NXDOMAIN z{number}.test. 0"
    assert all(0 < len(held.forms) <= 5 for held in server.table.denials.zones.values())


def test_zones_whose_names_are_as_long_and_zones_that_go(server: Server) -> None:
    for origin in ("a.test", "b.test", "long.b.test", "test"):
        server.zone(origin)
    asked = {"x.a.test": "a.test.", "x.b.test": "b.test.", "y.long.b.test": "long.b.test.", "c.test": "test."}
    for name, zone in asked.items():
        assert server.ask(name) == f"NXDOMAIN {zone} 0"
    for origin, heirs in (("a.test", {"x.a.test": "test."}), ("long.b.test", {"y.long.b.test": "b.test."})):
        for _ in range(2):  # one that is not there does no harm
            server.apply(Delta(zones={encode_name(origin): None}))
        asked |= heirs
        for name, zone in asked.items():
            assert server.ask(name) == f"NXDOMAIN {zone} 0"
