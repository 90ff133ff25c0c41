"""What a server must say by RFC 1034 4.3.2, worked out with dnspython from the records, and replies held against it.

The oracle knows owner names and their RRsets and looks each question up anew; it shares nothing with the server but
the input. Truncation is checked by what must hold of it: TC, whole records, as many as fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from soadns.model import Records

Set = dns.rrset.RRset
CAP = 1232


@dataclass
class Oracle:
    """A zone: what exists, and what a question about it gets."""

    origin: dns.name.Name
    nested: tuple[dns.name.Name, ...] = ()
    """Zones below it: what leads to them exists."""
    rrsets: dict[tuple[dns.name.Name, str], dns.rrset.RRset] = field(default_factory=dict)
    owners: set[dns.name.Name] = field(default_factory=set)
    """Published names, also one that has no records at the moment; and what leads to zones below."""
    unsaid: set[dns.name.Name] = field(default_factory=set)
    """Names of which nothing may be said but what is answered."""
    serial: int = 1
    negative_ttl: int = 5
    loading: bool = False

    def __post_init__(self) -> None:
        self.owners |= {self.origin, *(name.parent() for name in self.nested)}
        self.rrsets[self.origin, "SOA"] = self.soa(3600)
        self.add(self.origin, 3600, "NS", f"ns.{self.origin}")
        self.owners.add(self.under("ns"))

    def under(self, name: str) -> dns.name.Name:
        """An owner name, which is told relative to the origin."""
        return dns.name.from_text(name, self.origin)

    def add(self, owner: dns.name.Name, ttl: int, kind: str, *data: str) -> None:
        """These records are at that owner."""
        self.owners.add(owner)
        if data:
            self.rrsets[owner, kind] = dns.rrset.from_text(owner, ttl, "IN", kind, *data)

    def publish(self, name: str, records: Records) -> None:
        """A name has these records, unless it is another zone's or the name server's."""
        owner = self.under(name)
        if owner == self.under("ns") or any(owner.is_subdomain(cut) for cut in self.nested):
            return
        if records.unsaid:
            self.owners.add(owner)
            self.unsaid.add(owner)
            return
        for kind in ("A", "AAAA"):
            data = [a for a in records.addresses if (":" in a) == (kind == "AAAA")]
            self.add(owner, records.ttl, kind, *data)
        if records.texts:
            self.add(owner, records.ttl, "TXT", " ".join(f'"{text}"' for text in records.texts))
        for protocol in {port.protocol.lower() for port in records.ports if records.addresses}:
            ports = {port.port for port in records.ports if port.protocol.lower() == protocol}
            with suppress(dns.name.NameTooLong):
                service = dns.name.from_text(f"_{protocol}._tcp", owner)
                self.add(service, records.ttl, "SRV", *(f"0 100 {port} {owner}" for port in ports))

    def exists(self, name: dns.name.Name) -> bool:
        """Whether there is something at a name or below it (RFC 4592 2.2.2)."""
        return any(owner.is_subdomain(name) for owner in self.owners)

    def soa(self, ttl: int) -> Set:
        """The SOA record, with this TTL."""
        numbers = f"{self.serial} 10 5 86400 {self.negative_ttl}"
        names = f"ns.{self.origin} hostmaster.{self.origin}"
        return dns.rrset.from_text(self.origin, ttl, "IN", "SOA", f"{names} {numbers}")

    def secret(self, name: dns.name.Name) -> bool:
        """Whether a name that does not exist is a variant of one of which nothing may be said, or below that."""
        labels = name.relativize(self.origin).labels
        plain = dns.name.Name((*labels[:-1], labels[-1].partition(b"--")[0] or b"-"))
        return any(plain.is_subdomain(unsaid.relativize(self.origin)) for unsaid in self.unsaid)

    def ask(self, name: dns.name.Name, kind: str) -> tuple[str, list[Set], set[str], list[Set]]:
        """Status, answer, authority (as texts) and additional."""
        if not name.is_subdomain(self.origin):
            return "REFUSED", [], set(), []
        kinds = ("A", "AAAA", "SRV", "SOA", "NS", "TXT") if kind == "ANY" else (kind,)
        found = [self.rrsets[name, each] for each in kinds if (name, each) in self.rrsets][:1]
        if found:
            targets = {item.target for item in found[0]} if found[0].rdtype == dns.rdatatype.SRV else set()
            keys = [(target, each) for target in targets for each in ("A", "AAAA")]
            return "NOERROR", found, set(), [self.rrsets[key] for key in keys if key in self.rrsets]
        exists = self.exists(name)
        if name in self.unsaid if exists else self.loading or self.secret(name):
            return "SERVFAIL", [], set(), []
        return "NOERROR" if exists else "NXDOMAIN", [], texts(self.soa(self.negative_ttl)), []


@dataclass
class Closest:
    """Several zones: the one that a name is in and no other one inside that."""

    zones: Iterable[Oracle]

    def ask(self, name: dns.name.Name, kind: str) -> tuple[str, list[Set], set[str], list[Set]]:
        """As of an oracle."""
        inside = [zone for zone in self.zones if name.is_subdomain(zone.origin)]
        if not inside:
            return "REFUSED", [], set(), []
        return max(inside, key=lambda zone: len(zone.origin)).ask(name, kind)


def texts(*rrsets: Set) -> set[str]:
    """Every record as a text, owner and names without case."""
    return {
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {item}".lower()
        for rrset in rrsets
        for item in rrset
    }


def compare(query: dns.message.Message, packet: bytes | None, oracle: Oracle | Closest, *, tcp: bool) -> None:
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
