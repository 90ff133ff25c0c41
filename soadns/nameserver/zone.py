"""One zone as DNS sees it: owner names with their RRsets, what exists, and the compiled answers.

Control side, pure. Takes ``Records`` per owner name and gives ``Delta``s of the table; work is
proportional to the owner names given. Existence includes empty non-terminals (RFC 4592 2.2.2), counted
so that the last name below an ancestor takes it along. SRV owners ``_<protocol>._tcp.<owner>`` are made
here. The SOA is kept apart from the answers: a new serial changes one entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from struct import pack

from soadns.model import Records, RRset
from soadns.nameserver import presentation, wire
from soadns.nameserver.table import (
    LOADING,
    MAX_ZONES,
    OTHERS,
    PARTLY,
    READY,
    UNSAID,
    Answer,
    Delta,
    Wheel,
    ZoneEntry,
)  # fmt: skip

APEX_TTL = 3600
REFRESH, RETRY, EXPIRE = 10, 5, 86_400
"""Short refresh: secondaries behind a Service hear no NOTIFY (dns practice for hidden primaries)."""
Compiled = dict[bytes, dict[int, Answer]]
"""What one owner name brings: folded names (itself, its SRV owners) → type → answer."""

_HERE = wire.pointer(12)
"""Every answer's owner is the question's name, in the asker's own spelling."""


class ZoneData:
    """The content of one zone and its compiled form.

    ``nested`` are origins of other zones below this one: names at or below them are theirs, and what
    leads to them exists here.
    """

    def __init__(
        self,
        origin: str,
        *,
        number: int = 0,
        negative_ttl: int = 5,
        nested: tuple[str, ...] = (),
    ) -> None:
        self.origin = origin
        self.number = min(number, MAX_ZONES)
        """Which zone it is, in answers (see ``table``)."""
        self.negative_ttl = negative_ttl
        self.serial = 0
        self.state = LOADING
        self._wire = wire.fold(wire.encode_name(origin))
        self._ns, self._mail = wire.apex_names(wire.encode_name(origin))
        self._nested = frozenset(wire.fold(wire.encode_name(zone)) for zone in nested)
        self._unsaid: set[str] = set()
        """Owner names of which nothing may be said."""
        self._below: dict[bytes, int] = {}
        """Folded name → how many reasons it has to exist: data of its own, and each name right below it."""
        self._owners: dict[bytes, tuple[bytes, Compiled]] = {}
        """Folded owner → the owner as it is spelled, and what it brings. Replaced as a whole, never changed."""

    # ------------------------------------------------------------------ changes

    def start(self, addresses: tuple[str, ...] = ()) -> Delta:
        """The apex: SOA, NS and the addresses of the NS name (this server's own)."""
        delta = Delta()
        self._count(self._wire, 1, delta)
        for cut in self._nested:
            self._count(wire.parent(cut), 1, delta)
        ns_data = self._address_answers(addresses, APEX_TTL, rotate=False)
        self._put(self._ns, {wire.fold(self._ns): ns_data}, delta)
        delta.answers[wire.question(self._wire, wire.NS)] = self._apex(wire.NS, wire.apex_names(_HERE)[0])
        self._soa(delta)
        return delta

    def apply(self, changes: Mapping[str, Records | None], *, serial: int) -> Delta:
        """Replace the records of some owner names (relative to the origin), in order; None removes one."""
        delta = Delta()
        for owner, records in changes.items():
            (self._unsaid.add if records is not None and records.unsaid else self._unsaid.discard)(
                owner.lower()
            )
            name = wire.encode_name(f"{owner}.{self.origin}")
            folded = wire.fold(name)
            if folded == wire.fold(self._ns) or self._is_cut_off(folded):
                continue
            self._put(name, self._compile(name, records) if records is not None else {}, delta)
        self.serial = serial
        self._soa(delta)
        return delta

    def set_state(self, state: int) -> Delta:
        """Say whether names that are not here are known not to exist."""
        self.state = state
        delta = Delta()
        self._soa(delta)
        return delta

    # ------------------------------------------------------------------ what it holds

    def rrsets(self) -> Iterator[RRset]:
        """Everything the zone holds now, the apex first, names in canonical order (RFC 4034 6.1).

        Later changes do not show, so it may be read slowly, and by another thread.
        """
        apex: dict[int, Answer] = {wire.SOA: self._apex(wire.SOA, self._soa_rdata(self._ns, self._mail))}
        apex[wire.NS] = self._apex(wire.NS, self._ns)
        return _in_order([(self._wire, {self._wire: apex}), *self._owners.values()])

    # ------------------------------------------------------------------ compiling

    def _head(self, answers: int, additional: int = 0) -> bytes:
        return pack("!BHHH", self.number, answers, 0, additional)

    def _soa_rdata(self, name_server: bytes, mail: bytes) -> bytes:
        times = (REFRESH, RETRY, EXPIRE, self.negative_ttl)
        return wire.soa_rdata(name_server, mail, self.serial, times)

    def _apex(self, kind: int, rdata: bytes) -> bytes:
        return self._head(1) + wire.rr(_HERE, kind, APEX_TTL, rdata)

    def _soa(self, delta: Delta) -> None:
        rdata = self._soa_rdata(*wire.apex_names(_HERE))
        delta.answers[wire.question(self._wire, wire.SOA)] = self._apex(wire.SOA, rdata)
        negative = wire.rr(b"", wire.SOA, self.negative_ttl, rdata)
        state = PARTLY if self.state == READY and self._unsaid else self.state
        label = self.origin if self.number < MAX_ZONES else OTHERS
        delta.zones[self._wire] = ZoneEntry(state, negative, self.serial, label, self.number)

    def _compile(self, name: bytes, records: Records) -> Compiled:
        """Everything one owner name brings, itself and its SRV owners."""
        folded = wire.fold(name)
        if records.unsaid:
            return {folded: {UNSAID: b""}}
        data = self._address_answers(records.addresses, records.ttl, rotate=records.rotate)
        if records.texts:
            body = wire.rr(_HERE, wire.TXT, records.ttl, wire.txt_rdata(records.texts))
            data[wire.TXT] = self._head(1) + body
        found = {folded: data}
        by_protocol: dict[str, dict[int, None]] = {}
        for protocol, port in records.ports:
            by_protocol.setdefault(protocol.lower(), {})[port] = None  # a set of records holds none twice
        for protocol, ports in by_protocol.items() if records.addresses else ():
            service = f"_{protocol}".encode("ascii", "ignore")[:63]
            owner = bytes([len(service)]) + service + b"\x04_tcp" + name
            if len(owner) <= wire.MAX_WIRE_NAME:
                found[wire.fold(owner)] = {wire.SRV: self._srv(name, len(service) + 6, ports, records)}
        return found

    def _srv(self, target: bytes, prefix: int, ports: Iterable[int], records: Records) -> bytes:
        # The target in additional records is the tail of the question's own name.
        tail = wire.pointer(12 + prefix)
        answers = [
            wire.rr(_HERE, wire.SRV, records.ttl, wire.srv_rdata(0, 100, port, target)) for port in ports
        ]
        extra = [wire.rr(tail, *_typed(a, records.ttl)) for a in records.addresses]
        return self._head(len(answers), len(extra)) + b"".join(answers) + b"".join(extra)

    def _address_answers(self, addresses: tuple[str, ...], ttl: int, *, rotate: bool) -> dict[int, Answer]:
        by_type: dict[int, list[bytes]] = {}
        for address in addresses:
            kind, rdata = wire.address_rdata(address)
            by_type.setdefault(kind, []).append(wire.rr(_HERE, kind, ttl, rdata))
        found: dict[int, Answer] = {}
        for kind, records in by_type.items():
            head = self._head(len(records))
            body = b"".join(records)
            rotates = rotate and len(records) > 1
            found[kind] = Wheel(head + body + body, len(records[0])) if rotates else head + body
        return found

    # ------------------------------------------------------------------ existence

    def _put(self, owner: bytes, fresh: Compiled, delta: Delta) -> None:
        folded = wire.fold(owner)
        _, held = self._owners.pop(folded, (owner, {}))
        for name in fresh.keys() - held.keys():
            self._count(name, 1, delta)
        for name, data in fresh.items():
            before = held.get(name, {})
            for kind, answer in data.items():
                if before.get(kind) != answer:
                    delta.answers[wire.question(name, kind)] = answer
            for kind in before.keys() - data.keys():
                delta.answers[wire.question(name, kind)] = None
        for name in held.keys() - fresh.keys():
            for kind in held[name]:
                delta.answers[wire.question(name, kind)] = None
            self._count(name, -1, delta)
        if fresh:
            self._owners[folded] = (owner, fresh)

    def _is_cut_off(self, name: bytes) -> bool:
        while self._nested and name != self._wire:
            if name in self._nested:
                return True
            name = wire.parent(name)
        return False

    def _count(self, name: bytes, by: int, delta: Delta) -> None:
        """Count what is at a name or right below it; one that begins or ends to exist counts at its parent as well."""
        while True:
            total = self._below.get(name, 0) + by
            if total:
                self._below[name] = total
            else:
                del self._below[name]
            if total != (1 if by > 0 else 0):
                return
            delta.names[name] = total > 0
            if name == self._wire:
                return
            name = wire.parent(name)


def _in_order(held: list[tuple[bytes, Compiled]]) -> Iterator[RRset]:
    names = [
        (folded[: len(folded) - len(owner)] + owner, data)
        for owner, found in held
        for folded, data in found.items()
    ]
    for name, data in sorted(names, key=lambda one: _canonical(one[0])):
        for kind in presentation.TYPES:
            if (answer := data.get(kind)) is not None:
                octets = answer if isinstance(answer, bytes) else answer.octets
                yield presentation.rrset(name, kind, octets)


def _canonical(name: bytes) -> bytes:
    """Sorts as RFC 4034 6.1 wants it: by labels from the root on, whatever their case."""
    labels = []
    while length := name[0]:
        labels.append(name[1 : length + 1].lower())
        name = name[length + 1 :]
    return b"\0".join(reversed(labels))


def _typed(address: str, ttl: int) -> tuple[int, int, bytes]:
    kind, rdata = wire.address_rdata(address)
    return kind, ttl, rdata
