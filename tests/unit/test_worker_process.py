"""A real worker process, fed by the control process's own end of the channel, asked over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import dns.message
import dns.query
import dns.rcode
import pytest

from soadns.model import Records
from soadns.nameserver import frames
from soadns.nameserver.feed import Feed, Publisher
from soadns.nameserver.table import READY, Delta
from soadns.nameserver.zone import ZoneData
from tests.unit.waiting import soon

NAME = "com.alipay.user.UserService"


def bound(host: str, kind: int, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def ask_udp(sock: socket.socket, name: str = f"{NAME}.rpc.test", kind: str = "A", number: int = 1) -> None:
    sock.send(dns.message.make_query(name, kind, id=number).to_wire())


def received(sock: socket.socket, timeout: float = 2.0) -> dns.message.Message | None:
    """The next reply, or None when none comes in time."""
    sock.settimeout(timeout)
    try:
        return dns.message.from_wire(sock.recv(4096))
    except TimeoutError:
        return None


@dataclass
class Workshop:
    """The sockets that the supervisor would hold, and the control process's publisher."""

    host: str = "127.0.0.1"
    udp: socket.socket = field(init=False)
    tcp: socket.socket = field(init=False)
    publisher: Publisher = field(init=False)
    zone: ZoneData = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.tcp = bound(self.host, socket.SOCK_STREAM)
        self.tcp.listen(16)
        self.udp = bound(self.host, socket.SOCK_DGRAM, self.port)
        self.probe = bound("127.0.0.1", socket.SOCK_DGRAM)
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lifeline, self.alive = os.pipe()
        self.control()

    @property
    def port(self) -> int:
        """Of UDP and TCP."""
        return int(self.tcp.getsockname()[1])

    def control(self, *, names: int = 1, address: str = "10.96.0.10") -> None:
        """A control process's beginning: an own table, nothing sent."""
        self.publisher = Publisher()
        self.publisher.table.generation = time.time_ns() // 1_000_000
        self.zone = ZoneData("rpc.test")
        delta = self.zone.start()
        content = {NAME: Records(addresses=(address,))}
        content |= {f"com.alipay.n{i}.Service": Records(addresses=("10.96.0.1",)) for i in range(1, names)}
        delta.merge(self.zone.apply(content, serial=1))
        delta.merge(self.zone.set_state(READY))
        self.publisher.publish(delta)

    def feed(self, *, complete: bool = True) -> Feed:
        """Begin to feed the worker."""
        feed = Feed(socket.socket(fileno=os.dup(self.ours.fileno())), self.publisher)
        self.publisher.feeds = [feed]
        self.publisher.complete = complete
        feed.start()
        return feed

    def unfeed(self) -> None:
        """The control process is gone: nobody reads or writes the channel."""
        for feed in self.publisher.feeds:
            feed.stop()
            feed._sock.close()
        self.publisher.feeds = []

    def change(self, address: str) -> None:
        """The Service got another ClusterIP."""
        changes = {NAME: Records(addresses=(address,))}
        self.publisher.publish(self.zone.apply(changes, serial=self.zone.serial + 1))

    def start(self, *options: str) -> None:
        """Start the worker."""
        descriptors = {"udp": self.udp, "tcp": self.tcp, "probe": self.probe, "channel": self.theirs}
        command = [
            sys.executable,
            "-m",
            "soadns.nameserver.worker",
            "--lifeline",
            str(self.lifeline),
            *options,
        ]
        for option, sock in descriptors.items():
            command += [f"--{option}", str(sock.fileno())]
        inherited = [self.lifeline, *(sock.fileno() for sock in descriptors.values())]
        self.process = subprocess.Popen(command, pass_fds=inherited)

    def kill(self) -> None:
        """End the worker without warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @contextlib.contextmanager
    def client(self, host: str | None = None) -> Iterator[socket.socket]:
        """A UDP client."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((host or self.host, self.port))
            yield sock

    async def addresses(self) -> list[str]:
        """What the name answers now, over UDP."""
        query = dns.message.make_query(f"{NAME}.rpc.test", "A")
        reply = await asyncio.to_thread(dns.query.udp, query, self.host, 3, self.port)
        return [str(item) for rrset in reply.answer for item in rrset]

    async def until(self, address: str) -> None:
        """Wait until the name answers this address."""
        async with asyncio.timeout(3):
            while True:
                if await self.addresses() == [address]:
                    return
                await asyncio.sleep(0.01)

    def close(self) -> None:
        """End everything."""
        self.unfeed()
        self.kill()
        for sock in (self.udp, self.tcp, self.probe, self.ours, self.theirs):
            sock.close()
        for descriptor in (self.lifeline, self.alive):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    found = Workshop()
    yield found
    found.close()


async def test_a_fed_worker_answers_over_udp_and_tcp(workshop: Workshop) -> None:
    workshop.feed()
    workshop.start()
    assert await workshop.addresses() == ["10.96.0.10"]
    query = dns.message.make_query(f"{NAME}.rpc.test", "A")
    reply = await asyncio.to_thread(dns.query.tcp, query, workshop.host, 3, workshop.port)
    assert [str(item) for rrset in reply.answer for item in rrset] == ["10.96.0.10"]


async def test_a_change_is_answered_and_confirmed(workshop: Workshop) -> None:
    feed = workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.change("10.96.0.11")
    await workshop.until("10.96.0.11")
    await soon(lambda: feed.applied == workshop.publisher.table.generation)


async def test_a_worker_reads_no_packet_before_it_is_loaded(workshop: Workshop) -> None:
    workshop.start()
    with workshop.client() as client:
        ask_udp(client)
        assert await asyncio.to_thread(received, client, 0.25) is None
        workshop.feed()
        reply = await asyncio.to_thread(received, client)
        assert reply is not None, "the question waited in the socket"
        assert reply.rcode() == dns.rcode.NOERROR


async def test_a_replaced_worker_answers_what_was_asked_in_between(workshop: Workshop) -> None:
    workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.kill()
    with workshop.client() as client:
        for number in range(100):
            ask_udp(client, number=number)
        workshop.start()
        replies = [await asyncio.to_thread(received, client) for _ in range(100)]
        assert [reply.id for reply in replies if reply is not None] == list(range(100))


async def test_without_control_a_worker_answers_on_and_a_successor_takes_it_over(workshop: Workshop) -> None:
    workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.unfeed()
    assert await workshop.addresses() == ["10.96.0.10"]
    workshop.control(address="10.96.0.99")
    workshop.feed(complete=False)
    await asyncio.sleep(0.1)
    assert await workshop.addresses() == ["10.96.0.10"], "what is not complete replaces nothing"
    workshop.publisher.set_complete()
    await workshop.until("10.96.0.99")
    workshop.change("10.96.0.100")
    await workshop.until("10.96.0.100")


async def test_a_control_process_that_hangs_holds_nothing_up(workshop: Workshop) -> None:
    """Nobody reads the channel; reports fill it."""
    workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.unfeed()
    # As full as it can be.
    workshop.theirs.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            workshop.theirs.send(b"x" * 4096)
    await asyncio.sleep(0.6)  # a report is due
    assert await workshop.addresses() == ["10.96.0.10"]


async def test_a_missed_generation_is_logged_and_made_up_for(
    workshop: Workshop, capfd: pytest.CaptureFixture[str]
) -> None:
    workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    feeds, workshop.publisher.feeds = workshop.publisher.feeds, []
    workshop.change("10.96.0.11")
    workshop.publisher.feeds = feeds
    workshop.publisher.publish(workshop.zone.apply({"other.Name": Records()}, serial=9))
    await workshop.until("10.96.0.11")
    assert "level=warning event=frame-lost" in capfd.readouterr().err


async def test_a_damaged_frame_is_logged_and_made_up_for(
    workshop: Workshop, capfd: pytest.CaptureFixture[str]
) -> None:
    workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.publisher.table.apply(
        workshop.zone.apply({NAME: Records(addresses=("10.96.0.11",))}, serial=2),
        workshop.publisher.table.generation + 1,
    )
    workshop.ours.send(b"no frame at all, but long enough for one")
    await workshop.until("10.96.0.11")
    assert "level=warning event=frame-lost" in capfd.readouterr().err


async def test_a_load_that_its_control_process_did_not_end_is_asked_for_again(workshop: Workshop) -> None:
    whole = workshop.publisher.full()
    workshop.ours.send(whole[0])
    workshop.start()
    await asyncio.sleep(0.15)
    workshop.feed(complete=False)
    await workshop.until("10.96.0.10")


async def test_a_table_of_20000_names_is_loaded_at_once(workshop: Workshop) -> None:
    workshop.control(names=20_000)
    feed = workshop.feed()
    workshop.start()
    begun = time.monotonic()
    await workshop.until("10.96.0.10")
    assert time.monotonic() - begun < 2
    await soon(lambda: feed.applied == workshop.publisher.table.generation)
    assert not feed.behind


async def test_sigterm_ends_connections_by_fin_and_leaves_the_queue_to_the_successor(
    workshop: Workshop,
) -> None:
    workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    reader, writer = await asyncio.open_connection(workshop.host, workshop.port)
    assert workshop.process is not None
    workshop.process.send_signal(signal.SIGTERM)
    assert await reader.read() == b""
    writer.close()
    assert await asyncio.to_thread(workshop.process.wait, 3) == 0
    with workshop.client() as client:
        ask_udp(client, number=77)
        workshop.start()
        reply = await asyncio.to_thread(received, client)
        assert reply is not None
        assert reply.id == 77


async def test_in_lameduck_a_worker_answers_on(workshop: Workshop) -> None:
    workshop.feed()
    workshop.start("--lameduck", "0.3")
    await workshop.until("10.96.0.10")
    assert workshop.process is not None
    workshop.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.1)
    assert await workshop.addresses() == ["10.96.0.10"]
    assert await asyncio.to_thread(workshop.process.wait, 3) == 0


async def test_a_worker_ends_when_its_supervisor_is_gone(workshop: Workshop) -> None:
    workshop.feed()
    workshop.start("--lameduck", "0.3")
    await workshop.until("10.96.0.10")
    os.close(workshop.alive)
    assert workshop.process is not None
    _, status, usage = await asyncio.to_thread(os.wait4, workshop.process.pid, 0)
    workshop.process.returncode = status
    assert status == 0
    assert usage.ru_utime < 0.3, "it does not spin on the closed pipe"


async def test_replies_leave_from_the_address_that_was_asked() -> None:
    workshop = Workshop(host="0.0.0.0")
    try:
        workshop.feed()
        workshop.start()
        for address in ("127.0.0.1", "127.0.0.2", "127.1.2.3"):
            # A connected socket takes replies from the address it asked only.
            with workshop.client(address) as client:
                ask_udp(client)
                assert await asyncio.to_thread(received, client) is not None, address
    finally:
        workshop.close()


async def test_counts_reach_the_control_process_without_the_probes(workshop: Workshop) -> None:
    feed = workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as prober:
        prober.connect(workshop.probe.getsockname())
        for _ in range(3):
            prober.send(dns.message.make_query("soadns.probe", "TXT", "CH").to_wire())
            assert await asyncio.to_thread(received, prober) is not None
    with workshop.client() as client:
        ask_udp(client, "example.org")
        await asyncio.to_thread(received, client)
        client.send(b"short")
    await soon(lambda: feed.figures.dropped)
    figures = feed.figures
    assert figures.replies == {("", 1, 5): 1}
    assert figures.hits[1] == figures.queries["udp"] - 2
    assert workshop.process is not None
    assert feed.pid == workshop.process.pid


async def test_a_worker_that_waited_long_is_loaded_once(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second of waiting has put another request into the channel."""
    for _ in range(30):
        workshop.theirs.send(frames.encode(frames.NEED, 0))
    made = 0
    full = workshop.publisher.full

    def counted() -> list[bytes]:
        nonlocal made
        made += 1
        return full()

    monkeypatch.setattr(workshop.publisher, "full", counted)
    workshop.feed(complete=False)
    workshop.start()
    await workshop.until("10.96.0.10")
    assert made <= 2


async def test_a_worker_that_does_not_read_costs_control_a_bounded_queue(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soadns.nameserver.feed.MAX_QUEUED", 300_000)
    feed = workshop.feed()
    workshop.start()
    await workshop.until("10.96.0.10")
    assert workshop.process is not None
    workshop.process.send_signal(signal.SIGSTOP)
    records = Records(texts=tuple("x" * 250 for _ in range(40)))
    for number in range(100):
        workshop.publisher.publish(workshop.zone.apply({f"n.N{number}": records}, serial=number))
    assert feed.behind
    assert not feed._queue
    workshop.change("10.96.0.11")
    workshop.process.send_signal(signal.SIGCONT)
    await workshop.until("10.96.0.11")
    assert not feed.behind


def test_a_worker_imports_nothing_but_the_data_plane() -> None:
    listing = "import sys, soadns.nameserver.worker; print(*sorted(sys.modules), sep='\\n')"
    found = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True).stdout
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules, sep='\\n')"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    loaded = set(found.split()) - set(bare.split())
    assert {name for name in loaded if name.startswith("soadns")} == {
        "soadns",
        "soadns.logs",
        "soadns.nameserver",
        *(
            f"soadns.nameserver.{part}"
            for part in ("follower", "frames", "responder", "server", "table", "wire", "worker")
        ),
    }
    others = {name.partition(".")[0] for name in loaded} - {"soadns"}
    assert others <= sys.stdlib_module_names


async def test_a_delta_that_says_nothing_is_not_sent(workshop: Workshop) -> None:
    generation = workshop.publisher.table.generation
    assert workshop.publisher.publish(Delta()) == generation
