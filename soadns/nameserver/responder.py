"""Packet in, reply out: the whole behaviour of the server towards a client, without a socket.

Pure; standard library only; the only code on the packet path. ``answer`` makes of usual packets (one question, no OPT
or a plain one) replies where they lie in memory: to one for the addresses of a name, or for what it does not have, by
a dictionary look-up, to one for a name that is not there by another one; ``_other`` finds what else names have at
little more. Everything else takes ``_unusual``, which follows RFC 1035 4.1.1 and 4.3.2, 2308, 2181 9, 4592, 6891,
8482, 8906, 8914 and 9619.
Bytes of strangers never raise: ``respond`` returns a reply, or None for what must be dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct, pack

from soadns.nameserver import wire
from soadns.nameserver.batch import Batch
from soadns.nameserver.denials import FORM
from soadns.nameserver.edns import DO, OPT, OPT_HEAD, OPT_SIZE, Edns, read_edns
from soadns.nameserver.heads import AA, QR, RD, TC, USUAL, WITH_OPT, replies
from soadns.nameserver.rrsets import COUNTS, QUESTIONS, TYPED, RRsets, Wheel
from soadns.nameserver.table import LOADING, MAX_ZONES, PARTLY, SEEN, SHARDS, Table, ZoneEntry

_H = Struct("!H")
_HHH = Struct("!HHH")
MIN_UDP = 512
MAX_TCP = 65_535
TOGETHER = 8
"""Packets that can be answered together: replies of 64 KiB have to be held until they are sent."""
MAX_NSID = 200
"""Octets of the identity that go into a reply: beside the longest question there is still room in 512."""
MAX_OPTS = 64
"""OPT records that are known by their octets, at most: few differ, unless somebody makes them up."""

_CHAOS_NAMES = (b"\x07version\x04bind\0", b"\x07version\x06server\0")
_CHAOS_IDS = (b"\x08hostname\x04bind\0", b"\x02id\x06server\0")

_ONE_SOA = pack("!HHH", 0, 1, 0)
_NODATA, _NXDOMAIN = replies(_ONE_SOA), replies(_ONE_SOA, wire.NXDOMAIN)
_MASK, _SEEN_MASK = SHARDS - 1, SEEN - 1
_KIND = 3
"""Octets from the lower one of its type to the end of a question."""
_CAREFUL: tuple[bytes, bytes, list[int]] = (b"", b"", [])
"""Instead of a header, records and counters: this packet goes the careful way."""


def _rows() -> tuple[list[int], ...]:
    """Counters: number of a zone -> one slot for each QTYPE below 256."""
    return tuple([0] * 256 for _ in range(MAX_ZONES + 1))


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server says of itself when asked (RFC 4892, 5001); empty means REFUSED or nothing."""

    version: str = ""
    name: str = ""


class Responder:
    """Answers packets from a table, for one transport: ``stream`` is TCP, where replies may be long."""

    def __init__(
        self, table: Table, *, stream: bool = False, udp_size: int = 1232, identity: Identity | None = None
    ) -> None:
        self.table = table
        self.stream = stream
        self.udp_size = max(MIN_UDP, udp_size)
        self.identity = identity or Identity()
        self.dropped = 0
        self.malformed = 0
        self._counts: dict[tuple[str, int, int], int] = {}
        self._answered = _rows()
        self._nodata = _rows()
        self._nxdomain = _rows()
        self._limit = MAX_TCP if stream else MIN_UDP
        self._opts: dict[bytes, tuple[bytes, int]] = {}
        self._batch = Batch(TOGETHER, MAX_TCP)

    def respond(self, packet: bytes) -> bytes | None:
        """The reply to one packet, or None to drop it."""
        return self.respond_all([packet])[0]

    def respond_all(self, packets: Sequence[bytes]) -> list[bytes | None]:
        """The same for some packets, ``TOGETHER`` at most, which costs less."""
        batch = self._batch
        memory, sizes = batch.memory, batch.sizes
        for packet, begin in zip(packets, batch.begins):  # noqa: B905 - a keyword costs as much as a look-up
            memory[begin : begin + len(packet)] = packet
        self.answer(batch, [len(packet) for packet in packets])
        replies: list[bytes | None] = [
            memory[begin : begin + size]
            for _, begin, size in zip(packets, batch.begins, sizes)  # noqa: B905
        ]
        for number in batch.silent:
            replies[number] = None
        batch.silent.clear()
        return replies

    def answer(self, batch: Batch, lengths: Sequence[int]) -> None:
        """Answer the first messages of a batch, which are so long."""
        memory, sizes, table = batch.memory, batch.sizes, self.table
        shards, seen, denials = table.owners.shards, table.seen, table.denials
        answered, nodata, nxdomain = self._answered, self._nodata, self._nxdomain
        usual, plain, addresses, questions = USUAL.get, (b"", self._limit), wire.A, QUESTIONS
        for (number, begin, head, start), length in zip(batch.places, lengths):  # noqa: B905 - a keyword costs as much as a look-up
            end = begin + length
            form = usual(memory[head])
            if form is None:
                batch.reply(number, self._unusual(memory[begin:end]))
                continue
            if form < WITH_OPT:
                opt, limit = plain
            else:
                octets = memory[end - OPT_SIZE : end]
                opt, limit = self._opts.get(octets) or self._learn(octets)
                end -= OPT_SIZE
            # What a name has is found by the question for its addresses. To fold class and type does no harm: none of
            # those in the table, and none else, becomes one of them.
            kind, tail = memory[end - _KIND], b""
            if kind == addresses:
                key = memory[start:end].lower()
            else:
                memory[end - _KIND] = addresses
                key = memory[start:end].lower()
                memory[end - _KIND] = kind
            place = hash(key) & _SEEN_MASK
            found = shards[place & _MASK].get(key)
            if found is None:
                denial = denials.last
                if denial is None or key[denial.cut] != denial.ending:
                    denial = denials.closest(key)
                if denial is not None and (key.translate(FORM) in denial.forms or denial.deniable(key)):
                    if seen[place] and key[:-TYPED] in table.names:
                        flags, row, sure = _NODATA[form], nodata[denial.number], True
                    else:
                        flags, row, sure = _NXDOMAIN[form], nxdomain[denial.number], denial.ready
                    if sure and kind in questions:
                        tail = denial.tails[len(key)] or denial.tail(len(key))
            elif kind == addresses and found.records:
                flags, tail, row = found.heads[form], found.records, answered[found.number]
            elif kind in found.absent and (denial := denials.zones.get(found.origin)) is not None:
                flags, row = _NODATA[form], nodata[denial.number]
                tail = denial.tails[len(key)] or denial.tail(len(key))
            else:
                flags, tail, row = self._other(key, kind, form, found)
            if opt and tail:
                tail += opt
            size = end - begin + len(tail)
            if not tail or size > limit:
                batch.reply(number, self._unusual(memory[begin : begin + length]))
                continue
            memory[head] = flags
            memory[end : begin + size] = tail
            sizes[number] = size
            row[kind] += 1

    def _learn(self, octets: bytes) -> tuple[bytes, int]:
        """What an OPT record without options asks for: the one of the reply, and octets of the reply at most.

        None at most for what is no such record.
        """
        if len(octets) < OPT_SIZE or not octets.startswith(OPT_HEAD):
            return b"", 0
        size, _, version, flags, options = OPT.unpack_from(octets, len(OPT_HEAD))
        if version or options:
            return b"", 0
        limit = MAX_TCP if self.stream else min(max(size, MIN_UDP), self.udp_size)
        found = OPT_HEAD + OPT.pack(self.udp_size, 0, 0, flags & DO, 0), limit
        if len(self._opts) >= MAX_OPTS:
            self._opts.clear()
        self._opts[octets] = found
        return found

    def _other(self, key: bytes, kind: int, form: int, found: RRsets) -> tuple[bytes, bytes, list[int]]:
        """What a name has of a type that is asked for seldom, or has by turns: header, records and counters."""
        typed = pack("!HH", kind, wire.IN)
        answer = found.data.get(typed)
        if answer is None or kind not in QUESTIONS:
            return _CAREFUL
        if isinstance(answer, Wheel):
            answer = answer.order(self.table.turns.take(key[:-TYPED] + typed, answer))
        return replies(answer[:COUNTS])[form], answer[COUNTS:], self._answered[found.number]

    def counts(self) -> Mapping[tuple[str, int, int], int]:
        """Replies since the beginning, by zone, QTYPE (0 for rare ones) and RCODE."""
        labels = {zone.number: zone.label for zone in self.table.zones.values()}
        for rows, rcode in (
            (self._answered, wire.NOERROR), (self._nodata, wire.NOERROR), (self._nxdomain, wire.NXDOMAIN),
        ):  # fmt: skip
            for number, row in enumerate(rows):
                for kind in QUESTIONS:
                    if count := row[kind]:
                        self._count(labels.get(number, ""), kind, rcode, count)
                        row[kind] = 0
        return self._counts

    def zone_of(self, packet: bytes) -> str:
        """The label of the zone that a packet asks in; empty for none, and for what is no question."""
        end = self._question_end(packet)
        origin = self.table.zone_of(packet[12 : end - 4].lower()) if end > 0 else None
        return "" if origin is None else self.table.zones[origin].label

    # ------------------------------------------------------------------ everything unusual

    def _unusual(self, packet: bytes) -> bytes | None:
        if len(packet) < 12 or packet[2] & QR:
            self.dropped += 1
            return None
        if packet[2] & 0x78:
            return self._header_only(packet, wire.NOTIMP)
        qdcount, ancount, nscount = _HHH.unpack_from(packet, 4)
        if qdcount != 1:
            return self._header_only(packet, wire.FORMERR)
        end = self._question_end(packet)
        if end < 0:
            return self._header_only(packet, wire.FORMERR)
        edns, sound = read_edns(packet, end, ancount + nscount)
        question = packet[12:end]
        if not sound:
            return self._header_only(packet, wire.FORMERR)
        if edns is not None and edns.version:
            return self._reply(packet, question, edns, rcode=wire.BADVERS, aa=False)
        kind, klass = _H.unpack_from(packet, end - 4)[0], _H.unpack_from(packet, end - 2)[0]
        if kind in (wire.OPT, wire.TSIG, wire.TKEY):
            return self._reply(packet, question, edns, rcode=wire.FORMERR, aa=False)
        if klass == wire.CH:
            return self._chaos(packet, question, edns, kind)
        if klass != wire.IN or kind in (wire.AXFR, wire.IXFR):
            return self._reply(packet, question, edns, rcode=wire.REFUSED, aa=False)
        return self._lookup(packet, question, edns, kind)

    @staticmethod
    def _question_end(packet: bytes) -> int:
        """Index behind the question; -1 when malformed. Pointers have nowhere to point to yet."""
        index, size = 12, min(len(packet) - 4, 12 + wire.MAX_WIRE_NAME)
        while index < size:
            length = packet[index]
            if length >= 0x40:
                return -1
            index += length + 1
            if not length:
                return index + 4
        return -1

    def _lookup(self, packet: bytes, question: bytes, edns: Edns | None, kind: int) -> bytes:
        table = self.table
        name = question[:-4].lower()
        origin = table.zone_of(name)
        if origin is None:
            return self._reply(
                packet, question, edns, rcode=wire.REFUSED, aa=False, ede=wire.EDE_NOT_AUTHORITATIVE
            )
        zone = table.zones[origin]
        answer = self._find(question[:-4], kind)
        if answer:
            return self._reply(packet, question, edns, answer=answer, zone=zone)
        exists = table.exists(name)
        if self._may_not_deny(name, origin, zone.state, exists=exists):
            return self._reply(
                packet, question, edns, rcode=wire.SERVFAIL, aa=False,
                ede=wire.EDE_NOT_READY, zone=zone,
            )  # fmt: skip
        rcode = wire.NOERROR if exists else wire.NXDOMAIN
        negative = b"\0\0\0\x01\0\0" + wire.soa_at(zone.soa, 12 + len(name) - len(origin))
        return self._reply(packet, question, edns, rcode=rcode, answer=negative, zone=zone)

    def _may_not_deny(self, name: bytes, origin: bytes, state: int, *, exists: bool) -> bool:
        """Whether there may be data that this server does not know."""
        if state == PARTLY and not exists:
            return self._belongs_to_unsaid(name, origin)
        return self.table.unsaid(name) if exists else state == LOADING

    def _belongs_to_unsaid(self, name: bytes, origin: bytes) -> bool:
        """Whether a name is a variant (``Service--v-1-0-0``) of one of which nothing may be said, or below it."""
        labels, index, end = [], 0, len(name) - len(origin)
        while index < end:
            labels.append(name[index : index + 1 + name[index]])
            index += 1 + name[index]
        plain = labels[-1][1:].partition(b"--")[0]
        labels[-1] = bytes([len(plain)]) + plain
        return any(self.table.unsaid(b"".join(labels[at:]) + origin) for at in range(len(labels)))

    def _find(self, name: bytes, kind: int) -> bytes | None:
        """The answer to a question in its asker's spelling; ANY gets the first RRset there is (RFC 8482 4.1)."""
        kinds = (kind,) if kind != wire.ANY else (wire.A, wire.AAAA, wire.SRV, wire.SOA, wire.NS, wire.TXT)
        for one in kinds:
            answer = self.table.find(name, one)
            if isinstance(answer, Wheel):
                return answer.order(self.table.turns.take(wire.question(name.lower(), one), answer))
            if answer is not None:
                return answer
        return None

    def _chaos(self, packet: bytes, question: bytes, edns: Edns | None, kind: int) -> bytes:
        name = question[:-4].lower()
        text = ""
        if name in _CHAOS_NAMES:
            text = self.identity.version
        elif name in _CHAOS_IDS:
            text = self.identity.name
        if not text or kind not in (wire.TXT, wire.ANY):
            return self._reply(packet, question, edns, rcode=wire.REFUSED, aa=False)
        rdata = wire.txt_rdata((text,))
        record = wire.pointer(12) + pack("!HHIH", wire.TXT, wire.CH, 0, len(rdata)) + rdata
        return self._reply(packet, question, edns, answer=b"\0\x01\0\0\0\0" + record)

    # ------------------------------------------------------------------ building

    def _header_only(self, packet: bytes, rcode: int) -> bytes:
        self._count("", 0, rcode)
        return packet[:2] + bytes((QR | (packet[2] & (0x78 | RD)), rcode)) + b"\0" * 8

    def _count(self, zone: str, kind: int, rcode: int, count: int = 1) -> None:
        key = (zone, kind if kind in wire.COUNTED_TYPES else 0, rcode)
        self._counts[key] = self._counts.get(key, 0) + count
        if rcode == wire.FORMERR:
            self.malformed += count

    def _reply(
        self,
        packet: bytes,
        question: bytes,
        edns: Edns | None,
        *,
        rcode: int = wire.NOERROR,
        aa: bool = True,
        answer: bytes = bytes(COUNTS),
        ede: int | None = None,
        zone: ZoneEntry | None = None,
    ) -> bytes:
        opt = b"" if edns is None else self._opt_record(edns, rcode, ede)
        limit = self._limit
        if edns is not None and not self.stream:
            limit = min(max(edns.size, MIN_UDP), self.udp_size)
        counts, body, cut = _fit(answer, limit - 12 - len(question) - len(opt))
        an, ns, ar = counts
        flags = bytes((QR | (AA if aa else 0) | (TC if cut else 0) | (packet[2] & RD), rcode & 0xF))
        self._count(zone.label if zone is not None else "", _H.unpack(question[-4:-2])[0], rcode)
        head = packet[:2] + flags + b"\0\x01" + _HHH.pack(an, ns, ar + (edns is not None))
        return head + question + body + opt

    def _opt_record(self, edns: Edns, rcode: int, ede: int | None) -> bytes:
        options = b""
        if edns.wants_nsid and self.identity.name:
            name = self.identity.name.encode()[:MAX_NSID]
            options += pack("!HH", wire.OPTION_NSID, len(name)) + name
        if ede is not None:
            options += pack("!HHH", wire.OPTION_EDE, 2, ede)
        return OPT_HEAD + OPT.pack(self.udp_size, rcode >> 4, 0, edns.flags, len(options)) + options


def _fit(answer: bytes, room: int) -> tuple[tuple[int, int, int], bytes, bool]:
    """As many whole records as fit, and whether required ones were left out (RFC 2181 9)."""
    an, ns, ar = _HHH.unpack_from(answer)
    body = answer[COUNTS:]
    if len(body) <= room:
        return (an, ns, ar), body, False
    index, kept = 0, 0
    while kept < an + ns + ar:
        end = wire.skip_name(body, index)
        end += 10 + _H.unpack_from(body, end + 8)[0]
        if end > room:
            break
        index, kept = end, kept + 1
    answers = min(kept, an)
    authority = min(kept - answers, ns)
    return (answers, authority, kept - answers - authority), body[:index], kept < an + ns
