"""Any zone, any question: what the server says is what RFC 1034 4.3.2 says, worked out with dnspython from the records.

The oracle knows owner names and their RRsets and looks each question up anew; it shares nothing with the server but
the input. Truncation is checked by what must hold of it: TC, whole records, as many as fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from soadns.model import Records, ServedPort
from soadns.nameserver.responder import Responder
from soadns.nameserver.table import LOADING, READY, Table
from soadns.nameserver.zone import ZoneData

ORIGIN = dns.name.from_text("rpc.test")
NESTED = dns.name.from_text("in.rpc.test")
Set = dns.rrset.RRset
KINDS = ("A", "AAAA", "SRV", "TXT", "SOA", "NS", "ANY", "MX", "HTTPS", "TYPE999")
CAP = 1232


@dataclass
class Oracle:
    """What exists, and what a question about it gets."""

    rrsets: dict[tuple[dns.name.Name, str], dns.rrset.RRset] = field(default_factory=dict)
    owners: set[dns.name.Name] = field(default_factory=lambda: {NESTED})
    """Published names, also one that has no records at the moment; and what leads to the zone below."""
    serial: int = 1
    negative_ttl: int = 5
    loading: bool = False

    def add(self, owner: dns.name.Name, ttl: int, kind: str, *data: str) -> None:
        self.owners.add(owner)
        if data:
            self.rrsets[owner, kind] = dns.rrset.from_text(owner, ttl, "IN", kind, *data)

    def publish(self, name: str, records: Records) -> None:
        owner = dns.name.from_text(name, ORIGIN)
        for kind in ("A", "AAAA"):
            data = [a for a in records.addresses if (":" in a) == (kind == "AAAA")]
            self.add(owner, records.ttl, kind, *data)
        if records.texts:
            self.add(owner, records.ttl, "TXT", " ".join(f'"{text}"' for text in records.texts))
        for protocol in {port.protocol.lower() for port in records.ports if records.addresses}:
            ports = {port.port for port in records.ports if port.protocol.lower() == protocol}
            service = dns.name.from_text(f"_{protocol}._tcp", owner)
            self.add(service, records.ttl, "SRV", *(f"0 100 {port} {owner}" for port in ports))

    def exists(self, name: dns.name.Name) -> bool:
        return any(owner.is_subdomain(name) for owner in self.owners)

    def soa(self, ttl: int) -> dns.rrset.RRset:
        numbers = f"{self.serial} 10 5 86400 {self.negative_ttl}"
        return dns.rrset.from_text(ORIGIN, ttl, "IN", "SOA", f"ns.{ORIGIN} hostmaster.{ORIGIN} {numbers}")

    def ask(self, name: dns.name.Name, kind: str) -> tuple[str, list[Set], set[str], list[Set]]:
        """Status, answer, authority (as texts) and additional."""
        if not name.is_subdomain(ORIGIN):
            return "REFUSED", [], set(), []
        kinds = ("A", "AAAA", "SRV", "SOA", "NS", "TXT") if kind == "ANY" else (kind,)
        found = [self.rrsets[name, each] for each in kinds if (name, each) in self.rrsets][:1]
        if found:
            targets = {item.target for item in found[0]} if found[0].rdtype == dns.rdatatype.SRV else set()
            keys = [(target, each) for target in targets for each in ("A", "AAAA")]
            return "NOERROR", found, set(), [self.rrsets[key] for key in keys if key in self.rrsets]
        if self.exists(name):
            return "NOERROR", [], texts(self.soa(self.negative_ttl)), []
        if self.loading:
            return "SERVFAIL", [], set(), []
        return "NXDOMAIN", [], texts(self.soa(self.negative_ttl)), []


def texts(*rrsets: Set) -> set[str]:
    """Every record as a text, owner and names without case."""
    return {
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {item}".lower()
        for rrset in rrsets
        for item in rrset
    }


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
    oracle, zone, table = Oracle(loading=loading), ZoneData("rpc.test", nested=("in.rpc.test",)), Table()
    oracle.rrsets[ORIGIN, "SOA"] = oracle.soa(3600)
    oracle.add(ORIGIN, 3600, "NS", f"ns.{ORIGIN}")
    oracle.add(dns.name.from_text("ns", ORIGIN), 3600, "A", "192.0.2.53")
    table.apply(zone.start(("192.0.2.53",)), 1)
    for generation, (name, held) in enumerate(content.items(), 2):
        table.apply(
            zone.apply({name: Records(("192.0.2.9",), ports=(ServedPort("old", 1),))}, serial=1), generation
        )
        table.apply(zone.apply({name: held}, serial=1), generation)
    last = {name.lower(): held for name, held in content.items()}
    for name, held in last.items():
        owner = dns.name.from_text(name, ORIGIN)
        if held is not None and name != "ns" and not owner.is_subdomain(NESTED):
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


def compare(query: dns.message.Message, packet: bytes | None, oracle: Oracle, *, tcp: bool) -> None:
    """Hold a reply against the oracle; what does not fit may be missing, as RFC 2181 9 has it."""
    question = query.question[0]
    status, answer, authority, additional = oracle.ask(question.name, dns.rdatatype.to_text(question.rdtype))
    assert packet is not None
    limit = 65_535 if tcp else min(max(query.payload, 512), CAP) if query.edns >= 0 else 512
    assert len(packet) <= limit
    reply = dns.message.from_wire(packet)
    assert query.is_response(reply)
    assert reply.question[0].name.labels == question.name.labels, "the spelling comes back"
    assert (reply.edns >= 0) == (query.edns >= 0)
    assert dns.rcode.to_text(reply.rcode()) == status
    assert bool(reply.flags & dns.flags.AA) == (status in ("NOERROR", "NXDOMAIN"))
    got = [texts(*section) for section in reply.sections[1:]]
    assert got[1] == authority
    if reply.flags & dns.flags.TC:
        assert got[0] < texts(*answer)
        smallest = min(12 + len(item.to_wire()) for rrset in answer for item in rrset)
        assert len(packet) + smallest > limit, "one more would fit"
        assert not got[2], "nothing is added to what is cut"
    else:
        assert got[0] == texts(*answer)
        extra = texts(*additional)
        assert got[2] <= extra
        missing = [rrset for rrset in additional if not texts(rrset) <= got[2]]
        assert (
            not missing
            or len(packet) + min(16 if r.rdtype == dns.rdatatype.A else 28 for r in missing) > limit
        )
