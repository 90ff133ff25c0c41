"""Any sequence of changes: workers that answer meanwhile, and remember what they are asked, answer as the oracle does.

A worker's table follows the frames of control's; its responders stay the same through all changes, and are asked
everything twice after each, the usual way and the careful one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soadns.model import Records, ServedPort
from soadns.nameserver import frames
from soadns.nameserver.follower import Follower
from soadns.nameserver.responder import Responder
from soadns.nameserver.table import LOADING, READY, Delta, Names, Table
from soadns.nameserver.zone import ZoneData
from tests.unit.oracle import Closest, Oracle, compare

pytestmark = pytest.mark.long

ORIGINS = ("test", "rpc.test", "in.rpc.test", "other")
KINDS = ("A", "AAAA", "SRV", "TXT", "ANY", "HTTPS")
CONFIGURED = (ORIGINS[:1], ORIGINS[1:2], ORIGINS[:2], ORIGINS[1:], ORIGINS, ORIGINS[::2], ORIGINS[::-1])

LONG = ".".join(("c" * 45, "d" * 63, "e" * 63, "f" * 62))
"""With ``rpc.test`` a name of 247 octets, whose services are some of them too long."""
CURIOUS = (
    f"a A B.a _tri._tcp.a _Tri._tcp.a _tcp._tcp.a _tcp.a x._tcp.a a--v-1 B.a--v-1 {LONG} {'g' * 57}.a ns"
)
INSIDE = "in a.in rpc a.rpc a.in.rpc _tri._tcp.a.rpc"
names = st.sampled_from((*CURIOUS.split(), *INSIDE.split()))
records = st.builds(
    Records,
    addresses=st.sampled_from(
        ((), ("192.0.2.1",), ("192.0.2.1", "192.0.2.2", "fd00::1"), tuple(f"192.0.2.{i}" for i in range(1, 60)))
    ),
    ttl=st.sampled_from((5, 30)),
    ports=st.lists(
        st.builds(ServedPort, st.sampled_from(("tri", "dubbo", "tcp")), st.sampled_from((1, 20880))), max_size=2
    ).map(tuple),
    texts=st.sampled_from(((), ("host=a",))),
    rotate=st.booleans(),
)  # fmt: skip
held = st.none() | records | records | records | st.just(Records(unsaid=True))
origins = st.sampled_from(ORIGINS)
Step = tuple[str, dict[str, Records | None] | int | tuple[str, ...]]
"""A zone, and records of some of its names, or its state; or other zones, each as it was when it was there last."""
alike = st.fixed_dictionaries(
    {"a": held, "_tri._tcp.a": held}, optional={"_tcp._tcp.a": held, "_tcp.a": held}
)
"""One interface, and others that are called as its services are."""
changes: st.SearchStrategy[Step] = (
    st.tuples(origins, st.dictionaries(names, held, min_size=1, max_size=3) | alike)
    | st.tuples(origins, st.sampled_from((READY, LOADING)))
    | st.tuples(st.just(""), st.sampled_from(CONFIGURED))
)


@dataclass
class Site:
    """Control's side, and what it has said."""

    content: dict[str, dict[str, Records]] = field(default_factory=lambda: {origin: {} for origin in ORIGINS})
    state: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ORIGINS, READY))
    serial: int = 1
    table: Table = field(default_factory=Table)
    zones: dict[str, ZoneData] = field(default_factory=dict)
    follower: Follower = field(default_factory=lambda: Follower(Table(Names())))

    def configure(self, configured: tuple[str, ...]) -> None:
        """Begin anew with these zones: workers get the whole table."""
        self.table = Table()
        self.zones = {}
        for number, origin in enumerate(configured):
            nested = tuple(other for other in configured if other.endswith(f".{origin}"))
            zone = self.zones[origin] = ZoneData(origin, number=number, nested=nested)
            self.table.apply(zone.start(), 1)
            self.table.apply(zone.apply(self.content[origin], serial=self.serial), 2)
            self.table.apply(zone.set_state(self.state[origin]), 3)
        for octets in frames.full(self.table):
            self.follower.take(frames.decode(octets))
        assert self.follower.settle()

    def change(self, origin: str, what: dict[str, Records | None] | int) -> None:
        """Change a zone; one that is not configured has it when it comes back."""
        zone = self.zones.get(origin)
        if isinstance(what, int):
            self.state[origin] = what
        for name, one in what.items() if isinstance(what, dict) else ():
            self.content[origin] = {
                other: found for other, found in self.content[origin].items() if other.lower() != name.lower()
            } | ({} if one is None else {name: one})
        if zone is not None:
            self.serial += 1
            for each in self.zones.values():
                self._tell(
                    each.apply(what if each is zone and isinstance(what, dict) else {}, serial=self.serial)
                )
            self._tell(zone.set_state(self.state[origin]))

    def _tell(self, delta: Delta) -> None:
        generation = self.table.generation + 1
        self.table.apply(delta, generation)
        for octets in frames.delta(delta, generation):
            self.follower.take(frames.decode(octets))

    def oracle(self) -> Closest:
        """What is to be answered now."""
        found = []
        for origin, zone in self.zones.items():
            nested = tuple(dns.name.from_text(o) for o in self.zones if o.endswith(f".{origin}"))
            loading = self.state[origin] == LOADING
            one = Oracle(dns.name.from_text(origin), nested, serial=zone.serial, loading=loading)
            for name, has in self.content[origin].items():
                one.publish(name, has)
            found.append(one)
        return Closest(found)


def asked(steps: list[Step]) -> list[dns.name.Name]:
    """Names that the steps are about, what lies above and below them, and what is never there."""
    found = {dns.name.from_text(text) for text in (*ORIGINS, "nobody.rpc.test", "x.in.rpc.test", "org")}
    for origin, what in steps:
        for name in what if isinstance(what, dict) else ():
            for text in ("{}", "_tri._tcp.{}", "_tcp.{}", "_tcp._tcp.{}", "y.{}"):
                with suppress(dns.name.NameTooLong):
                    found.add(dns.name.from_text(text.format(name), dns.name.from_text(origin)))
    return sorted(found)


@settings(max_examples=max(60, settings().max_examples))
@given(st.lists(changes, min_size=2, max_size=4))
def test_every_answer_is_that_of_the_oracle_after_every_change(steps: list[Step]) -> None:
    site = Site()
    site.configure(ORIGINS[:3])
    ways = [Responder(site.follower.table, stream=stream) for stream in (False, True)]
    questions = []
    for number, name in enumerate(asked(steps)):
        payload = (None, 512, 4096)[number // 2 % 3]
        for kind in (KINDS[number % len(KINDS)], "A", "SRV"):
            query = dns.message.make_query(name, kind, use_edns=payload is not None, payload=payload or 0)
            questions.append((query, query.to_wire(), ways[number % 2]))
    for turn, (origin, what) in enumerate(steps):
        if isinstance(what, tuple):
            site.configure(what)
        else:
            site.change(origin, what)
        oracle = site.oracle()
        for number, (query, packet, way) in enumerate(questions):
            replies = [respond(packet) for respond in (way._unusual, way.respond, way.respond)]
            try:
                assert None not in replies
                if replies[0][2] & dns.flags.TC >> 8:
                    assert len({len(reply) for reply in replies}) == 1
                else:
                    assert sorted(replies[0]) == sorted(replies[1]) == sorted(replies[2]), "but for the order"
                if (number + turn) % 9 == 0:
                    compare(query, replies[2], oracle, tcp=way.stream)
            except AssertionError as error:
                error.add_note(f"{query.question[0]} after step {turn}: {replies}")
                raise
