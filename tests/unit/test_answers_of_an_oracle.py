"""Any zone, any question: what the server says is what RFC 1034 4.3.2 says (``oracle``)."""

from __future__ import annotations

import dns.message
import dns.name
from hypothesis import given
from hypothesis import strategies as st

from soadns.model import Records, ServedPort
from soadns.nameserver.responder import Responder
from soadns.nameserver.table import LOADING, READY, Table
from soadns.nameserver.zone import ZoneData
from tests.unit.oracle import Oracle, compare

ORIGIN = dns.name.from_text("rpc.test")
NESTED = dns.name.from_text("in.rpc.test")
KINDS = ("A", "AAAA", "SRV", "TXT", "SOA", "NS", "ANY", "MX", "HTTPS", "TYPE999")

# --------------------------------------------------------------------------- zones and questions

labels = st.sampled_from(["a", "B", "c", "Cc", "ns", "_tcp", "_tri", "in"])
owners = st.lists(labels, min_size=1, max_size=4).map(".".join)
addresses = [f"192.0.2.{i}" for i in range(1, 81)] + ["fd00::1", "fd00::2"]
records = st.builds(
    Records,
    addresses=st.lists(st.sampled_from(addresses[-4:]), unique=True).map(tuple) | st.just(tuple(addresses)),
    ttl=st.sampled_from([5, 30]),
    ports=st.lists(
        st.builds(ServedPort, st.sampled_from(["tri", "Tri", "dubbo"]), st.sampled_from([1, 20880, 65_535])),
        max_size=3,
    ).map(tuple),
    texts=st.lists(st.sampled_from(["host=a", "x" * 200]), max_size=4).map(tuple),
    rotate=st.booleans(),
)
zones = st.dictionaries(owners, st.none() | records, max_size=6)


def served(content: dict[str, Records | None], *, loading: bool) -> tuple[Oracle, dict[bool, Responder]]:
    """The same content as the oracle sees it, and behind the server, where some of it came later than the rest."""
    oracle, zone, table = (
        Oracle(ORIGIN, (NESTED,), loading=loading),
        ZoneData("rpc.test", nested=("in.rpc.test",)),
        Table(),
    )
    oracle.add(oracle.under("ns"), 3600, "A", "192.0.2.53")
    table.apply(zone.start(("192.0.2.53",)), 1)
    for generation, (name, held) in enumerate(content.items(), 2):
        table.apply(
            zone.apply({name: Records(("192.0.2.9",), ports=(ServedPort("old", 1),))}, serial=1), generation
        )
        table.apply(zone.apply({name: held}, serial=1), generation)
    last = {name.lower(): held for name, held in content.items()}
    for name, held in last.items():
        if held is not None:
            oracle.publish(name, held)
    table.apply(zone.apply({}, serial=1), 98)
    table.apply(zone.set_state(LOADING if loading else READY), 99)
    return oracle, {stream: Responder(table, stream=stream) for stream in (False, True)}


def asked(content: dict[str, Records | None]) -> list[dns.name.Name]:
    """Names of the zone, what lies above, below and beside them, and what is not there at all."""
    names = {dns.name.from_text(name, ORIGIN) for name in (*content, "ns", "nobody", "x.ns", "in", "y.in")}
    for name in list(names):
        names |= {
            name.parent(),
            dns.name.from_text("_tri._tcp", name),
            dns.name.from_text("_Dubbo._tcp", name),
        }
        names |= {dns.name.from_text("x", name), dns.name.from_text("_tcp", name)}
    names |= {dns.name.from_text(text) for text in ("test", ".", "xrpc.test", "rpc.test.org", "A.RPC.test")}
    return sorted(name for name in names if not name.is_subdomain(NESTED))


WAYS = ((None, False), (512, False), (900, False), (4096, False), (None, True), (1232, True))
"""The size the client takes by EDNS, if it says one, and whether it asks by TCP."""


@given(zones, st.booleans(), st.integers(0, len(KINDS) - 1))
def test_every_answer_is_that_of_the_oracle(
    content: dict[str, Records | None], loading: bool, first: int
) -> None:
    oracle, responders = served(content, loading=loading)
    for number, name in enumerate(asked(content), first):
        payload, tcp = WAYS[number % len(WAYS)]
        for kind in (KINDS[number % len(KINDS)], ("A", "SRV")[number % 2]):
            asking = dns.name.Name(label.swapcase() for label in name.labels) if number % 3 == 0 else name
            query = dns.message.make_query(asking, kind, use_edns=payload is not None, payload=payload or 0)
            packet = responders[tcp].respond(query.to_wire())
            try:
                compare(query, packet, oracle, tcp=tcp)
            except AssertionError as error:
                error.add_note(f"{asking} {kind} by {'TCP' if tcp else 'UDP'}, EDNS {payload}: {packet!r}")
                raise
