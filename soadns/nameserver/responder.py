"""Packet in, reply out: the whole behaviour of the server towards a client, without a socket.

Pure; standard library only; the only code on the packet path. A usual packet (one question, no OPT or a
plain one) for a name in the table costs one dictionary look-up and a concatenation; ``_deny`` answers those
that ask for what is not there at little more. Everything else takes ``_unusual``, which follows RFC 1035 4.1.1
and 4.3.2, 2308, 2181 9, 4592, 6891, 8482, 8906, 8914 and 9619.
Bytes of strangers never raise: ``respond`` returns a reply, or None for what must be dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, pack

from soadns.nameserver import wire
from soadns.nameserver.edns import DO, OPT, OPT_HEAD, Edns, read_edns
from soadns.nameserver.table import LOADING, PARTLY, UNSAID, Table, Wheel, ZoneEntry

_COUNTS_PLAIN = b"\0\x01\0\0\0\0\0\0"
_COUNTS_EDNS = b"\0\x01\0\0\0\0\0\x01"
_IN = b"\0\x01"
_H = Struct("!H")
_HHH = Struct("!HHH")
_A = b"\0\x01"
_USUAL = {pack("!H", kind): kind for kind in wire.COUNTED_TYPES - {wire.OPT, wire.AXFR, wire.ANY}}
"""Types that are nothing but types."""
_NODATA, _NXDOMAIN = (bytes((rcode, 0, 1, 0, 0, 0, 1, 0)) for rcode in (wire.NOERROR, wire.NXDOMAIN))
"""RCODE and counts of a denial, but for the last octet: one question, no answer, the SOA record."""
MIN_UDP = 512
MAX_TCP = 65_535
MAX_NSID = 200
"""Octets of the identity that go into a reply: beside the longest question there is still room in 512."""

QR, AA, TC, RD = 0x80, 0x04, 0x02, 0x01
_UNSAID = pack("!H", UNSAID)
_CHAOS_NAMES = (b"\x07version\x04bind\0", b"\x07version\x06server\0")
_CHAOS_IDS = (b"\x08hostname\x04bind\0", b"\x02id\x06server\0")


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server says of itself when asked (RFC 4892, 5001); empty means REFUSED or nothing."""

    version: str = ""
    name: str = ""


class Responder:
    """Answers packets from a table. ``counts`` collects replies by (zone, type, rcode)."""

    def __init__(self, table: Table, *, udp_size: int = 1232, identity: Identity | None = None) -> None:
        self.table = table
        self.udp_size = max(MIN_UDP, udp_size)
        self.identity = identity or Identity()
        self.counts: dict[tuple[str, int, int], int] = {}
        self.dropped = 0
        self.malformed = 0
        self.hits: dict[bytes, int] = {}
        """Fast-path answers by QTYPE octets."""
        self._opt = OPT_HEAD + OPT.pack(self.udp_size, 0, 0, 0, 0)
        self._opt_do = OPT_HEAD + OPT.pack(self.udp_size, 0, 0, DO, 0)

    def respond(self, packet: bytes, *, tcp: bool = False) -> bytes | None:
        """The reply to one packet, or None to drop it."""
        counts = packet[4:12]
        # QR, opcode and TC are zero; AA and RD may be anything.
        edns = counts == _COUNTS_EDNS
        if (edns or counts == _COUNTS_PLAIN) and not packet[2] & 0xFA:
            end = packet.find(b"\0", 12) + 1
            stop = end + 4
            kind = packet[end : end + 2]
            name = packet[12:end].lower()
            answer = self.table.answers.get(name + kind)
            if packet[end + 2 : stop] != _IN:
                pass
            elif answer is None:
                reply = self._deny(packet, name, kind, stop, edns=edns)
                if reply is not None:
                    return reply
            elif answer:
                turns = None
                if isinstance(answer, Wheel):
                    turns, answer = answer, answer.current()
                size = len(answer) + stop - 6
                hits = self.hits
                if not edns:
                    if len(packet) == stop and (size <= MIN_UDP or (tcp and size <= MAX_TCP)):
                        try:
                            hits[kind] += 1
                        except KeyError:
                            hits[kind] = 1
                        if turns is not None:
                            turns.turn()
                        return b"".join(
                            (
                                packet[:2],
                                b"\x85\0\0\x01" if packet[2] & 1 else b"\x84\0\0\x01",
                                answer[:6],
                                packet[12:stop],
                                answer[6:],
                            )
                        )
                elif len(packet) == stop + 11 and packet[stop : stop + 3] == OPT_HEAD:
                    sender, _, version, flags, options = OPT.unpack_from(packet, stop + 3)
                    # What fits 512 fits everybody; the limit matters for what does not.
                    size += 11
                    if (
                        not version
                        and not options
                        and (size <= MIN_UDP or size <= (MAX_TCP if tcp else min(sender, self.udp_size)))
                    ):
                        try:
                            hits[kind] += 1
                        except KeyError:
                            hits[kind] = 1
                        if turns is not None:
                            turns.turn()
                        return b"".join(
                            (
                                packet[:2],
                                b"\x85\0\0\x01" if packet[2] & 1 else b"\x84\0\0\x01",
                                answer[:4],
                                _H.pack((answer[4] << 8 | answer[5]) + 1),
                                packet[12:stop],
                                answer[6:],
                                self._opt_do if flags & DO else self._opt,
                            )
                        )
        return self._unusual(packet, tcp=tcp)

    def _deny(self, packet: bytes, name: bytes, kind: bytes, stop: int, *, edns: bool) -> bytes | None:
        """The reply to a usual packet that has no answer: every other packet that a stub resolver sends.

        None for one that must go the careful way. ``stop`` is where the question ends; whatever the length of its
        name, the reply fits 512 octets.
        """
        opt = b""
        if edns and len(packet) == stop + 11 and packet[stop : stop + 3] == OPT_HEAD:
            _, _, version, flags, options = OPT.unpack_from(packet, stop + 3)
            if version or options:
                return None
            opt = self._opt_do if flags & DO else self._opt
        elif edns or len(packet) != stop:
            return None
        number, table = _USUAL.get(kind), self.table
        if number is None or len(name) > wire.MAX_WIRE_NAME:
            return None
        for origin in table.zones:  # zones inside others come before them
            below = len(name) - len(origin)
            if name.endswith(origin) and _is_cut(name, below):
                break
        else:
            return None
        zone = table.zones[origin]
        exists = name + _A in table.answers or name in table.names
        if self._may_not_deny(name, origin, zone.state, exists=exists):
            return None
        key = (zone.label, number, wire.NOERROR if exists else wire.NXDOMAIN)
        self.counts[key] = self.counts.get(key, 0) + 1
        return b"".join(
            (
                packet[:2],
                b"\x85" if packet[2] & 1 else b"\x84",
                _NODATA if exists else _NXDOMAIN,
                b"\x01" if edns else b"\0",
                packet[12:stop],
                wire.soa_at(zone.soa, 12 + below),
                opt,
            )
        )

    # ------------------------------------------------------------------ everything unusual

    def _unusual(self, packet: bytes, *, tcp: bool) -> bytes | None:
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
            return self._reply(packet, question, edns, tcp=tcp, rcode=wire.BADVERS, aa=False)
        kind, klass = _H.unpack_from(packet, end - 4)[0], _H.unpack_from(packet, end - 2)[0]
        if kind in (wire.OPT, wire.TSIG, wire.TKEY):
            return self._reply(packet, question, edns, tcp=tcp, rcode=wire.FORMERR, aa=False)
        if klass == wire.CH:
            return self._chaos(packet, question, edns, kind, tcp=tcp)
        if klass != wire.IN or kind in (wire.AXFR, wire.IXFR):
            return self._reply(packet, question, edns, tcp=tcp, rcode=wire.REFUSED, aa=False)
        return self._lookup(packet, question, edns, kind, tcp=tcp)

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

    def _lookup(self, packet: bytes, question: bytes, edns: Edns | None, kind: int, *, tcp: bool) -> bytes:
        table = self.table
        name = question[:-4].lower()
        origin = table.zone_of(name)
        if origin is None:
            return self._reply(
                packet, question, edns, tcp=tcp, rcode=wire.REFUSED, aa=False, ede=wire.EDE_NOT_AUTHORITATIVE
            )
        zone = table.zones[origin]
        answer = self._find(name, kind)
        if answer:
            return self._reply(packet, question, edns, tcp=tcp, answer=answer, zone=zone)
        exists = name in table.names
        if self._may_not_deny(name, origin, zone.state, exists=exists):
            return self._reply(
                packet, question, edns, tcp=tcp, rcode=wire.SERVFAIL, aa=False,
                ede=wire.EDE_NOT_READY, zone=zone,
            )  # fmt: skip
        rcode = wire.NOERROR if exists else wire.NXDOMAIN
        negative = b"\0\0\0\x01\0\0" + wire.soa_at(zone.soa, 12 + len(name) - len(origin))
        return self._reply(packet, question, edns, tcp=tcp, rcode=rcode, answer=negative, zone=zone)

    def _may_not_deny(self, name: bytes, origin: bytes, state: int, *, exists: bool) -> bool:
        """Whether there may be data that this server does not know."""
        if state == PARTLY and not exists:
            return self._belongs_to_unsaid(name, origin)
        return name + _UNSAID in self.table.answers if exists else state == LOADING

    def _belongs_to_unsaid(self, name: bytes, origin: bytes) -> bool:
        """Whether a name is a variant (``Service--v-1-0-0``) of one of which nothing may be said, or below it."""
        labels, index, end = [], 0, len(name) - len(origin)
        while index < end:
            labels.append(name[index : index + 1 + name[index]])
            index += 1 + name[index]
        plain = labels[-1][1:].partition(b"--")[0]
        labels[-1] = bytes([len(plain)]) + plain
        answers = self.table.answers
        return any(b"".join(labels[at:]) + origin + _UNSAID in answers for at in range(len(labels)))

    def _find(self, name: bytes, kind: int) -> bytes | None:
        """The answer to a question; ANY gets the first RRset there is (RFC 8482 4.1)."""
        kinds = (kind,) if kind != wire.ANY else (wire.A, wire.AAAA, wire.SRV, wire.SOA, wire.NS, wire.TXT)
        for one in kinds:
            answer = self.table.answers.get(name + _H.pack(one))
            if isinstance(answer, Wheel):
                octets = answer.current()
                answer.turn()
                return octets
            if answer is not None:
                return answer
        return None

    def _chaos(self, packet: bytes, question: bytes, edns: Edns | None, kind: int, *, tcp: bool) -> bytes:
        name = question[:-4].lower()
        text = ""
        if name in _CHAOS_NAMES:
            text = self.identity.version
        elif name in _CHAOS_IDS:
            text = self.identity.name
        if not text or kind not in (wire.TXT, wire.ANY):
            return self._reply(packet, question, edns, tcp=tcp, rcode=wire.REFUSED, aa=False)
        rdata = wire.txt_rdata((text,))
        record = wire.pointer(12) + pack("!HHIH", wire.TXT, wire.CH, 0, len(rdata)) + rdata
        return self._reply(packet, question, edns, tcp=tcp, answer=b"\0\x01\0\0\0\0" + record)

    # ------------------------------------------------------------------ building

    def _header_only(self, packet: bytes, rcode: int) -> bytes:
        self.malformed += 1
        self._tally("", 0, rcode)
        return packet[:2] + bytes((QR | (packet[2] & (0x78 | RD)), rcode)) + b"\0" * 8

    def _tally(self, zone: str, kind: int, rcode: int) -> None:
        key = (zone, kind if kind in wire.COUNTED_TYPES else 0, rcode)
        self.counts[key] = self.counts.get(key, 0) + 1

    def _reply(
        self,
        packet: bytes,
        question: bytes,
        edns: Edns | None,
        *,
        tcp: bool,
        rcode: int = wire.NOERROR,
        aa: bool = True,
        answer: bytes = b"\0\0\0\0\0\0",
        ede: int | None = None,
        zone: ZoneEntry | None = None,
    ) -> bytes:
        opt = b"" if edns is None else self._opt_record(edns, rcode, ede)
        limit = MAX_TCP if tcp else MIN_UDP
        if edns is not None and not tcp:
            limit = min(max(edns.size, MIN_UDP), self.udp_size)
        counts, body, cut = _fit(answer, limit - 12 - len(question) - len(opt))
        an, ns, ar = counts
        flags = bytes((QR | (AA if aa else 0) | (TC if cut else 0) | (packet[2] & RD), rcode & 0xF))
        self._tally(zone.label if zone is not None else "", _H.unpack(question[-4:-2])[0], rcode)
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


def _is_cut(name: bytes, at: int) -> bool:
    """Whether a label begins at an index, and all labels before are what labels may be."""
    index = 0
    while index < at:
        length = name[index]
        if length >= 0x40:
            return False
        index += length + 1
    return index == at


def _fit(answer: bytes, room: int) -> tuple[tuple[int, int, int], bytes, bool]:
    """As many whole records as fit, and whether required ones were left out (RFC 2181 9)."""
    an, ns, ar = _HHH.unpack_from(answer)
    body = answer[6:]
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
