"""One zone as DNS sees it: owner names with their RRsets, what exists, and the compiled answers.

Control side, pure. Takes ``Records`` per owner name and gives ``Delta``s of the table; work is
proportional to the owner names given. Existence includes empty non-terminals (RFC 4592 2.2.2), counted
so that the last name below an ancestor takes it along. SRV records at ``_<protocol>._tcp.<owner>`` are among what
the owner has. The SOA is kept apart from the names: a new serial changes the apex and one entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from struct import pack
from typing import Protocol

from soadns.model import Records, RRset
from soadns.nameserver import presentation, wire
from soadns.nameserver.rrsets import TCP, TYPED, UNSAID, Answer, RRsets, Wheel, targeted
from soadns.nameserver.table import LOADING, MAX_ZONES, OTHERS, PARTLY, READY, Delta, ZoneEntry

APEX_TTL = 3600
REFRESH, RETRY, EXPIRE = 10, 5, 86_400
"""Short refresh: secondaries behind a Service hear no NOTIFY (dns practice for hidden primaries)."""
ALIKE = 4_096
"""What so many records were compiled to is remembered, at most."""

_KINDS = {kind: place for place, kind in enumerate(presentation.TYPES)}
_HERE = wire.pointer(12)
"""Every answer's owner is the question's name, in the asker's own spelling."""


class Witness(Protocol):
    """Who is told what becomes of a zone's names, before it does."""

    def passing(self) -> None:
        """The content is the last one of the present serial; another serial is about to begin."""

    def changed(self, owner: bytes, held: RRsets | None) -> None:
        """What a name, spelled so, has had (None: nothing) is replaced."""


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
        self.witnesses: list[Witness] = []
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
        self._owners: dict[bytes, tuple[bytes, RRsets]] = {}
        """Folded owner → the owner as it is spelled, and what it has. Replaced as a whole, never changed."""
        self._alike: dict[Records, RRsets] = {}
        """What was compiled lately: the interfaces of a Service have the same records."""

    # ------------------------------------------------------------------ changes

    def start(self, addresses: tuple[str, ...] = ()) -> Delta:
        """The apex: SOA, NS and the addresses of the NS name (this server's own)."""
        delta = Delta()
        self._count(self._wire, 1, delta)
        for cut in self._nested:
            self._count(wire.parent(cut), 1, delta)
        self._put(self._ns, self._rrsets(self._addresses(addresses, APEX_TTL, rotate=False)), delta)
        self._soa(delta)
        return delta

    def apply(self, changes: Mapping[str, Records | None], *, serial: int) -> Delta:
        """Replace the records of some owner names (relative to the origin), in order; None removes one."""
        delta = Delta()
        if serial != self.serial:
            for witness in self.witnesses:
                witness.passing()
        for owner, records in changes.items():
            (self._unsaid.add if records is not None and records.unsaid else self._unsaid.discard)(
                owner.lower()
            )
            name = wire.encode_name(f"{owner}.{self.origin}")
            folded = wire.fold(name)
            if folded == wire.fold(self._ns) or self._is_cut_off(folded):
                continue
            self._put(name, self._compile(records) if records is not None else None, delta)
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
        return _in_order([(self._wire, self._apex(self._ns, self._mail)), *self._owners.values()])

    def owners(self) -> list[tuple[bytes, RRsets]]:
        """Every owner name but the apex as it is spelled, and what it has: a copy of now."""
        return list(self._owners.values())

    def owner(self, folded: bytes) -> tuple[bytes, RRsets | None]:
        """The same of one name: as it is spelled; None where it has nothing."""
        return self._owners.get(folded, (folded, None))

    def existing(self) -> list[bytes]:
        """Every name that exists, folded, also those that only lead to others or to a zone below: a copy of now."""
        return list(self._below)

    @property
    def origin_wire(self) -> bytes:
        """The folded origin in wire form."""
        return self._wire

    @property
    def nested_wire(self) -> frozenset[bytes]:
        """Those of other zones below this one."""
        return self._nested

    @property
    def tells_all(self) -> bool:
        """Whether there is no name of which nothing may be said."""
        return not self._unsaid

    def is_server(self, folded: bytes) -> bool:
        """Whether a name is that of the name server itself (``start``)."""
        return folded == wire.fold(self._ns)

    def exists(self, folded: bytes) -> bool:
        """Whether a name does; names of services, which are among what their owner has, are not asked for."""
        return folded in self._below

    def apex(self, serial: int) -> tuple[bytes, RRsets]:
        """The origin with SOA and NS as they are under some serial, every name in full."""
        return self._wire, self._apex(self._ns, self._mail, serial)

    # ------------------------------------------------------------------ compiling

    def _rrsets(
        self, answers: Mapping[int, Answer], services: Mapping[bytes, Answer] | None = None
    ) -> RRsets:
        typed = {pack("!HH", kind, wire.IN): answer for kind, answer in answers.items()}
        return RRsets(self._wire, self.number, typed | dict(services or {}))

    def _soa_rdata(self, name_server: bytes, mail: bytes, serial: int | None = None) -> bytes:
        times = (REFRESH, RETRY, EXPIRE, self.negative_ttl)
        return wire.soa_rdata(name_server, mail, self.serial if serial is None else serial, times)

    def _apex(self, name_server: bytes, mail: bytes, serial: int | None = None) -> RRsets:
        """SOA and NS, with these names in their records."""
        soa = self._soa_rdata(name_server, mail, serial)
        records = {wire.SOA: soa, wire.NS: name_server}
        return self._rrsets(
            {kind: _counts(1) + wire.rr(_HERE, kind, APEX_TTL, rdata) for kind, rdata in records.items()}
        )

    def _soa(self, delta: Delta) -> None:
        names = wire.apex_names(_HERE)
        delta.owners[self._wire] = self._apex(*names)
        negative = wire.rr(b"", wire.SOA, self.negative_ttl, self._soa_rdata(*names))
        state = PARTLY if self.state == READY and self._unsaid else self.state
        label = self.origin if self.number < MAX_ZONES else OTHERS
        delta.zones[self._wire] = ZoneEntry(state, negative, self.serial, label, self.number)

    def _compile(self, records: Records) -> RRsets:
        """What an owner name with these records has."""
        found = self._alike.get(records)
        if found is None:
            if len(self._alike) >= ALIKE:
                self._alike.clear()
            found = self._alike[records] = self._compiled(records)
        return found

    def _compiled(self, records: Records) -> RRsets:
        if records.unsaid:
            return RRsets(self._wire, self.number, {UNSAID: b""})
        data = self._addresses(records.addresses, records.ttl, rotate=records.rotate)
        if records.texts:
            data[wire.TXT] = _counts(1) + wire.rr(_HERE, wire.TXT, records.ttl, wire.txt_rdata(records.texts))
        by_protocol: dict[str, dict[int, None]] = {}
        for protocol, port in records.ports:
            by_protocol.setdefault(protocol.lower(), {})[port] = None  # a set of records holds none twice
        services: dict[bytes, Answer] = {}
        for protocol, ports in by_protocol.items() if records.addresses else ():
            label = f"_{protocol}".encode("ascii", "ignore")[:63]
            labels = bytes([len(label)]) + label + TCP
            services[labels] = _srv(len(labels), ports, records)
        return self._rrsets(data, services)

    @staticmethod
    def _addresses(addresses: tuple[str, ...], ttl: int, *, rotate: bool) -> dict[int, Answer]:
        by_type: dict[int, list[bytes]] = {}
        for address in addresses:
            kind, rdata = wire.address_rdata(address)
            by_type.setdefault(kind, []).append(wire.rr(_HERE, kind, ttl, rdata))
        found: dict[int, Answer] = {}
        for kind, records in by_type.items():
            counts, body = _counts(len(records)), b"".join(records)
            rotates = rotate and len(records) > 1
            found[kind] = Wheel(counts + body + body, len(records[0])) if rotates else counts + body
        return found

    # ------------------------------------------------------------------ existence

    def _put(self, owner: bytes, fresh: RRsets | None, delta: Delta) -> None:
        folded = wire.fold(owner)
        spelled, held = self._owners.pop(folded, (owner, None))
        if fresh is not held or spelled != owner:
            for witness in self.witnesses:
                witness.changed(spelled, held)
        if fresh is not None:
            self._owners[folded] = (owner, fresh)
        if fresh is not held and fresh != held:
            delta.owners[folded] = fresh
        if (fresh is None) != (held is None):
            self._count(folded, 1 if held is None else -1, delta)

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


def _counts(answers: int, additional: int = 0) -> bytes:
    return pack("!HHH", answers, 0, additional)


def _srv(prefix: int, ports: Iterable[int], records: Records) -> bytes:
    """SRV records without target at a name of so many octets before that (``rrsets``)."""
    # The target in additional records is the tail of the question's own name.
    tail = wire.pointer(12 + prefix)
    answers = [wire.rr(_HERE, wire.SRV, records.ttl, wire.srv_rdata(0, 100, port, b"")) for port in ports]
    extra = [wire.rr(tail, *_typed(a, records.ttl)) for a in records.addresses]
    return _counts(len(answers), len(extra)) + b"".join(answers) + b"".join(extra)


def _in_order(held: list[tuple[bytes, RRsets]]) -> Iterator[RRset]:
    names = [(owner, kind, octets) for owner, rrsets in held for owner, kind, octets in named(owner, rrsets)]
    for name, kind, octets in sorted(names, key=lambda one: (_canonical(one[0]), _KINDS[one[1]])):
        yield presentation.rrset(name, kind, octets)


def named(owner: bytes, rrsets: RRsets) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, type and answer of everything that an owner has, services included."""
    for key, answer in rrsets.data.items():
        octets = answer if isinstance(answer, bytes) else answer.octets
        if len(key) > TYPED:
            if len(key) + len(owner) <= wire.MAX_WIRE_NAME:
                yield key + owner, wire.SRV, targeted(octets, owner)
        elif key != UNSAID:
            yield owner, int.from_bytes(key[:2]), octets


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
