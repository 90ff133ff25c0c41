"""A secondary of dnspython's asks for zones over real sockets: who may, what it gets, and what it is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone
import pytest

from soadns.addresses import print_address
from soadns.figures import Figures, TransferFigures
from soadns.logs import Log
from soadns.model import Records, ServedPort
from soadns.nameserver import wire
from soadns.nameserver.table import LOADING, READY
from soadns.nameserver.zone import ZoneData
from soadns.settings import renewed
from soadns.transfer import questions, records
from soadns.transfer.notices import Notifier
from soadns.transfer.primary import Access
from soadns.transfer.server import TransferServer
from soadns.transfer.settings import Key, KeyFile, TransferSettings
from tests.ports import free_port
from tests.unit.mounted import Mounted
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

ORIGIN = dns.name.from_text("rpc.test")
SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
HOME = (ip_network("127.0.0.1/32"),)


class Running:
    """Zones that somebody else changes, by a clock that stands still until it is told."""

    def __init__(self) -> None:
        self.clock = int(time.time()) + 0.9
        self.zone = ZoneData("rpc.test")
        self.zone.serial = int(self.clock) - 10
        self.zone.start(("192.0.2.53",))
        self.zone.set_state(READY)

    @property
    def zones(self) -> Mapping[str, ZoneData]:
        return {"rpc.test": self.zone}

    def now(self) -> float:
        return self.clock

    def second(self) -> None:
        """The next one begins."""
        self.clock += 1.0

    def change(self, **records: Records | None) -> None:
        self.zone.apply(
            {name.replace("_", "."): one for name, one in records.items()},
            serial=max(self.zone.serial, int(self.clock)),
        )


class Primary:
    """A server, and what a client asks of it."""

    def __init__(self, server: TransferServer, port: int, running: Running) -> None:
        self.server, self.port, self.running = server, port, running
        self.figures = TransferFigures()
        self.zone = dns.zone.Zone(ORIGIN)

    async def transfers(self, *, key: dns.tsig.Key | None = None) -> str:
        """Bring the client's zone up to date; the way it came: ``axfr``, ``ixfr`` or ``current``."""
        before = dict(self.figures.transfers)
        query, _ = dns.xfr.make_query(self.zone, keyring=key)
        await dns.asyncquery.inbound_xfr("127.0.0.1", self.zone, query, port=self.port, lifetime=10.0)
        [(_, outcome)] = [one for one, n in self.figures.transfers.items() if n > before.get(one, 0)]
        return outcome

    async def asks(self, kind: str, *, udp: bool = False, zone: str = "rpc.test") -> dns.message.Message:
        query = dns.message.make_query(zone, kind)
        ask = dns.asyncquery.udp if udp else dns.asyncquery.tcp
        return await ask(query, "127.0.0.1", port=self.port, timeout=10.0)

    def lines(self) -> list[str]:
        """What the client holds but SOA and NS."""
        rows = self.zone.to_text(relativize=True, want_origin=False).splitlines()
        return sorted(row for row in rows if " SOA " not in row and " NS " not in row and row[:3] != "ns ")


@contextlib.asynccontextmanager
async def primary(
    *,
    keys: tuple[KeyFile, ...] = (),
    allow: tuple[object, ...] = HOME,
    notify: tuple[tuple[str, int], ...] = (),
) -> AsyncIterator[Primary]:
    running, port, figures = Running(), free_port(), Figures()
    settings = TransferSettings((("127.0.0.1", port),), allow, keys, notify, 1_000)  # type: ignore[arg-type]
    server = TransferServer(running, settings, figures, log=lambda *_, **__: None)
    await server.start()
    try:
        found = Primary(server, port, running)
        found.figures = figures.transfer
        yield found
    finally:
        await server.stop()


async def test_first_the_whole_zone_then_what_changed() -> None:
    async with primary() as server:
        server.running.change(a_B=Records(("10.96.0.1",)), c_D=Records(("10.96.0.2",)))
        server.running.second()
        assert await server.transfers() == "axfr"
        assert server.lines() == ["a.B 30 IN A 10.96.0.1", "c.D 30 IN A 10.96.0.2"]
        assert await server.transfers() == "current"
        server.running.second()
        server.running.change(a_B=None, e_F=Records(("10.96.0.3",), ports=(ServedPort("dubbo", 20880),)))
        server.running.second()
        assert await server.transfers() == "ixfr"
        assert server.lines() == [
            "_dubbo._tcp.e.F 30 IN SRV 0 100 20880 e.F",
            "c.D 30 IN A 10.96.0.2",
            "e.F 30 IN A 10.96.0.3",
        ]


async def test_a_serial_that_was_given_by_somebody_else_gets_the_whole_zone() -> None:
    async with primary() as server:
        server.running.change(a_B=Records(("10.96.0.1",)))
        server.running.second()
        assert await server.transfers() == "axfr"
        async with primary() as other:
            other.running.zone.serial, other.running.clock = server.running.zone.serial, server.running.clock
            other.running.change(c_D=Records(("10.96.0.2",)))
            other.running.second()
            other.zone = server.zone
            assert await other.transfers() == "axfr"
            assert other.lines() == ["c.D 30 IN A 10.96.0.2"]


async def test_a_transfer_never_holds_half_a_second() -> None:
    """What one second brings has one serial: who asks amid it waits for its end."""
    async with primary() as server:
        server.running.change(a_B=Records(("10.96.0.1",)))
        asking = asyncio.create_task(server.transfers())
        await asyncio.sleep(0.1)
        assert not asking.done()
        server.running.change(a_B=Records(("10.96.0.9",)))
        server.running.second()
        assert await asking == "axfr"
        assert server.lines() == ["a.B 30 IN A 10.96.0.9"]


async def test_who_has_waited_in_vain_is_remembered_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soadns.transfer.server.WAIT_S", 0.05)
    async with primary() as server:
        [versions] = server.server._zones.values()
        server.running.zone.set_state(LOADING)
        for _ in range(3):
            assert (await server.asks("SOA")).rcode() == dns.rcode.SERVFAIL
        assert not versions._waiting
        assert server.figures.transfers == {("rpc.test", "unready"): 3}


KEY = Key("soadns-transfer", "hmac-sha256", SECRET)


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    """Where its secret stands."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return KeyFile(KEY.name, KEY.algorithm, str(path))


@pytest.mark.parametrize(
    ("signed_by", "expected"),
    [
        (dns.tsig.Key("soadns-transfer", SECRET, "hmac-sha256"), "axfr"),
        (dns.tsig.Key("soadns-transfer", OTHER, "hmac-sha256"), dns.tsig.PeerBadSignature),
        (dns.tsig.Key("soadns-transfer", SECRET, "hmac-sha512"), dns.tsig.PeerBadKey),
        (dns.tsig.Key("somebody", SECRET, "hmac-sha256"), dns.tsig.PeerBadKey),
        (None, dns.xfr.TransferError),
    ],
    ids=["signed", "another secret", "another algorithm", "another name", "unsigned"],
)
async def test_with_keys_only_who_signs_gets_a_zone(
    signed_by: dns.tsig.Key | None, expected: str | type[Exception], key_file: KeyFile
) -> None:
    async with primary(keys=(key_file,), allow=()) as server:
        server.running.change(**{f"a_N{n}": Records(("10.96.0.1",)) for n in range(2_000)})
        server.running.second()
        if isinstance(expected, str):
            assert await server.transfers(key=signed_by) == expected
            assert len(server.lines()) == 2_000, "several messages, each signed"
        else:
            with pytest.raises(expected):
                await server.transfers(key=signed_by)
            assert server.figures.transfers.total() == 1


async def test_a_secret_that_is_renewed_holds_from_then_on_and_a_damaged_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewed, "LOOK_S", 0.0)
    old, new = (dns.tsig.Key(KEY.name, secret, KEY.algorithm) for secret in (SECRET, OTHER))
    secret = Mounted(tmp_path / "transfer", key=SECRET)
    async with primary(keys=(KeyFile(KEY.name, KEY.algorithm, secret["key"]),), allow=()) as server:
        server.running.second()
        secret.put(key="no base64")
        assert await server.transfers(key=old) == "axfr"
        secret.put(key=OTHER)
        with pytest.raises(dns.tsig.PeerBadSignature):
            await server.transfers(key=old)
        assert await server.transfers(key=new) == "current"


async def test_whose_clock_is_off_is_told_the_time_by_who_knows_the_key(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8945 5.2.3: signed with the key, for the asker's time, and the server's in Other Data."""
    key = dns.tsig.Key("soadns-transfer", SECRET, "hmac-sha256")
    query = dns.message.make_query("rpc.test", "SOA")
    query.use_tsig(key)
    before = int(time.time())
    with monkeypatch.context() as late:
        late.setattr("time.time", lambda: before - 1_000.0)
        packet = query.to_wire()
    async with primary(keys=(key_file,), allow=()) as server:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", server.port))
            await asyncio.get_running_loop().sock_sendall(sock, packet)
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 4_096), 10.0)
    with pytest.raises(dns.tsig.PeerBadTime):
        dns.message.from_wire(data, keyring=key, request_mac=query.mac)
    reply = dns.message.from_wire(data, keyring=lambda _message, _name: False)
    told = reply.tsig[0]
    assert (reply.rcode(), told.error, told.time_signed) == (
        dns.rcode.NOTAUTH,
        dns.rcode.BADTIME,
        before - 1_000,
    )
    assert len(told.other) == 6
    assert before <= int.from_bytes(told.other) <= time.time()
    bare = len(data) - len(key.name.to_wire()) - 10 - len(told.to_wire())
    unsigned = data[:10] + b"\0\0" + data[12:bare]
    again, _ = dns.tsig.sign(unsigned, key, told, told.time_signed, query.mac)
    assert again.mac == told.mac, "by the key, and for this question"


async def test_who_has_another_secret_is_told_so_whatever_its_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = dns.message.make_query("rpc.test", "SOA")
    query.use_tsig(dns.tsig.Key("soadns-transfer", OTHER, "hmac-sha256"))
    late = time.time() - 1_000
    with monkeypatch.context() as clock:
        clock.setattr("time.time", lambda: late)
        packet = query.to_wire()
    with pytest.raises(questions.Unanswerable) as refused:
        questions.read(packet, questions.keyring((KEY,)))
    reply = dns.message.from_wire(refused.value.reply, keyring=lambda _message, _name: False)
    assert (reply.tsig[0].error, reply.tsig[0].mac, reply.tsig[0].other) == (dns.rcode.BADSIG, b"", b"")


async def test_addresses_outside_the_networks_get_nothing() -> None:
    async with primary(allow=(ip_network("10.0.0.0/8"),)) as server:
        for kind, udp in (("SOA", True), ("SOA", False), ("AXFR", False)):
            assert (await server.asks(kind, udp=udp)).rcode() == dns.rcode.REFUSED
        assert server.figures.transfers == {("rpc.test", "refused"): 3}


async def test_what_else_can_be_asked() -> None:
    async with primary() as server:
        serial = server.running.zone.serial
        assert (await server.asks("SOA", udp=True)).answer[0][0].serial == serial
        assert (await server.asks("IXFR")).rcode() == dns.rcode.FORMERR, "without a serial"
        assert (await server.asks("AXFR", udp=True)).rcode() == dns.rcode.NOTIMP
        assert (await server.asks("A", udp=True)).rcode() == dns.rcode.REFUSED
        assert (await server.asks("SOA", udp=True, zone="other.test")).rcode() == dns.rcode.NOTAUTH
        query, _ = dns.xfr.make_query(dns.zone.from_text(f"@ 5 SOA a b {serial - 5} 1 1 1 1\n@ NS a", ORIGIN))
        reply = await dns.asyncquery.udp(query, "127.0.0.1", port=server.port, timeout=10.0)
        assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.SOA], "the way to TCP (RFC 1995 2)"


async def test_a_zone_that_is_not_whole_is_given_to_nobody() -> None:
    async with primary() as server:
        server.running.zone.set_state(LOADING)
        assert (await server.asks("SOA", udp=True)).rcode() == dns.rcode.SERVFAIL
        asking = asyncio.create_task(server.transfers())
        await asyncio.sleep(0.2)
        server.running.change(a_B=Records(("10.96.0.1",)))
        server.running.zone.set_state(READY)
        server.running.second()
        assert await asking == "axfr"
        assert server.lines() == ["a.B 30 IN A 10.96.0.1"]


@pytest.mark.parametrize(
    "packet",
    [
        b"", b"\0" * 11, b"\0\1\x80\0" + b"\0" * 8, b"\0\1\0\0\0\1\0\0\0\0\0\0",
        b"\0\1\0\0\0\1\0\0\0\0\0\0\xc0\x0c\0\6\0\1",
        b"\0\1\0\0\0\2\0\0\0\0\0\0\0\0\6\0\1\0\0\6\0\1", b"\0\1\x28\0\0\1\0\0\0\0\0\0\0\0\6\0\1", b"\xff" * 600,
        b"\0\1\0\0\0\1\0\0\0\0\0\1\0\0\6\0\1\1a\0\0\xfa\0\xff\0\0\0\0\0\0",
    ],
)  # fmt: skip
async def test_damaged_packets_harm_nobody(packet: bytes) -> None:
    async with primary() as server:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.sendto(packet, ("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(struct.pack("!H", len(packet)) + packet)
        writer.write_eof()
        reply = await asyncio.wait_for(reader.read(), 10.0)
        writer.close()
        if reply:
            assert dns.message.from_wire(reply[2:], ignore_trailing=True).rcode() != dns.rcode.NOERROR
        assert await server.transfers() == "axfr"


async def test_a_fault_of_ours_is_noted_and_the_secondary_asks_somebody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By UDP it is told SERVFAIL; its connection ends."""
    unnoted: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoted.append(context))
    async with primary() as server:
        counts = server.server._faults
        with monkeypatch.context() as patched:
            patched.setattr(Access, "refusal", lambda *_: 1 // 0)
            reply = await server.asks("SOA", udp=True)
            assert reply.rcode() == dns.rcode.SERVFAIL
            with pytest.raises(EOFError):
                await server.asks("SOA")
        assert counts == {"transfer": 2}
        with monkeypatch.context() as patched:
            messages = records.messages

            def begun(*arguments: Any, **options: Any) -> Iterator[bytes]:
                yield next(iter(messages(*arguments, **options)))
                raise ZeroDivisionError

            patched.setattr(records, "messages", begun)
            server.running.change(**{f"a_N{n}": Records(("10.96.0.1",)) for n in range(2_000)})
            server.running.second()
            with pytest.raises(EOFError):
                await server.transfers()
        assert counts == {"transfer": 3}
        assert server.figures.transfers == {("rpc.test", "broken"): 1}
        assert await server.transfers() == "axfr"
        assert not unnoted


async def test_secondaries_are_told_until_they_hear_it(key_file: KeyFile) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as secondary:
        secondary.bind(("127.0.0.1", 0))
        secondary.setblocking(False)
        async with primary(keys=(key_file,), allow=(), notify=(secondary.getsockname(),)) as server:
            keyring = {dns.name.from_text(KEY.name): dns.tsig.Key(KEY.name, SECRET, "hmac-sha256")}
            heard = []
            for _ in range(2):  # the first one is lost
                packet, peer = await asyncio.wait_for(loop.sock_recvfrom(secondary, 4_096), 10.0)
                heard.append(dns.message.from_wire(packet, keyring=keyring))
            assert {message.opcode() for message in heard} == {dns.opcode.NOTIFY}
            assert heard[-1].answer[0][0].serial == server.running.zone.serial
            reply = dns.message.make_response(heard[-1])
            await loop.sock_sendto(secondary, reply.to_wire(), peer)
            await soon(lambda: server.figures.notices.total() == 1)
            assert list(server.figures.notices) == [(print_address(*secondary.getsockname()), "heard")]


def kept(lines: list[str]) -> Log:
    """A log that is a list."""

    def log(event: str, **_: object) -> None:
        lines.append(event)

    return log


async def test_a_secondary_that_never_answers_is_told_of_however_often_the_zone_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each serial is sent at once; that nobody answers is told once in the time that the tries of one take."""
    monkeypatch.setattr("soadns.transfer.notices.SILENT_S", 0.63)
    figures, lines, serials = TransferFigures(), list[str](), list[int]()
    zone = ZoneData("rpc.test")
    zone.start(("192.0.2.53",))
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as secondary:
        secondary.bind(("127.0.0.1", 0))
        secondary.setblocking(False)
        notifier = Notifier((secondary.getsockname(),), lambda: None, figures, log=kept(lines))
        owner, began = wire.encode_name("rpc.test"), time.monotonic()
        for serial in range(100, 130):
            notifier.tell(owner, "rpc.test", records.soa(zone, serial)[1])
            await asyncio.sleep(0.05)
            while True:
                try:
                    serials.append(dns.message.from_wire(secondary.recv(4_096)).answer[0][0].serial)
                except BlockingIOError:
                    break
        notifier.stop()
        took = time.monotonic() - began
        assert sorted(set(serials)) == list(range(100, 130)), "each serial is sent"
        assert serials == sorted(serials)
        where = print_address(*secondary.getsockname())
    assert set(figures.notices) == {(where, "silent")}
    assert 1 <= figures.notices[where, "silent"] <= took / 0.63 + 1, "once in 0.63 s, not with each change"
    assert lines == ["secondary-not-told"] * figures.notices[where, "silent"]


async def test_a_secondary_that_answers_is_heard_each_time() -> None:
    figures, lines = TransferFigures(), list[str]()
    zone = ZoneData("rpc.test")
    zone.start(("192.0.2.53",))
    loop = asyncio.get_running_loop()
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as secondary:
        secondary.bind(("127.0.0.1", 0))
        secondary.setblocking(False)
        notifier = Notifier((secondary.getsockname(),), lambda: None, figures, log=kept(lines))
        for serial in range(100, 103):
            notifier.tell(wire.encode_name("rpc.test"), "rpc.test", records.soa(zone, serial)[1])
            packet, peer = await asyncio.wait_for(loop.sock_recvfrom(secondary, 4_096), 10.0)
            message = dns.message.from_wire(packet)
            assert message.answer[0][0].serial == serial
            await loop.sock_sendto(secondary, dns.message.make_response(message).to_wire(), peer)
            told = serial - 99
            await soon(lambda: figures.notices.total() == told)  # noqa: B023
        notifier.stop()
    assert {outcome for _, outcome in figures.notices} == {"heard"}
    assert not lines
