"""What a supervisor and a control process hold, beside a real worker process that a test starts and kills."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import dns.query

from soadns.model import Records
from soadns.nameserver.feed import Feed, Publisher
from soadns.nameserver.journal import Journal
from soadns.nameserver.table import READY
from soadns.nameserver.zone import ZoneData
from tests.unit.journals import Files

NAME = "com.alipay.user.UserService"


def bound(host: str, kind: int, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def ask_udp(sock: socket.socket, name: str = f"{NAME}.rpc.test", kind: str = "A", number: int = 1) -> None:
    sock.send(dns.message.make_query(name, kind, id=number).to_wire())


def received(sock: socket.socket, timeout: float = 30.0) -> dns.message.Message | None:
    """The next reply, or None when none comes in time."""
    sock.settimeout(timeout)
    try:
        return dns.message.from_wire(sock.recv(4096))
    except TimeoutError:
        return None


@dataclass
class Workshop:
    """The sockets and the journal that the supervisor would hold, and the control process's publisher."""

    host: str = "127.0.0.1"
    udp: socket.socket = field(init=False)
    tcp: socket.socket = field(init=False)
    publisher: Publisher = field(init=False)
    zone: ZoneData = field(init=False)
    feed: Feed | None = None
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.tcp = bound(self.host, socket.SOCK_STREAM)
        self.tcp.listen(16)
        self.udp = bound(self.host, socket.SOCK_DGRAM, self.port)
        self.probe = bound("127.0.0.1", socket.SOCK_DGRAM)
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lifeline, self.alive = os.pipe()
        self.journal = Files()

    @property
    def port(self) -> int:
        """Of UDP and TCP."""
        return int(self.tcp.getsockname()[1])

    def control(self, *, names: int = 1, address: str = "10.96.0.10", complete: bool = True) -> Feed:
        """A control process begins, and knows everything or not yet."""
        begun = time.time_ns()
        self.publisher = Publisher(Journal(self.journal, begun))
        self.publisher.table.generation = begun // 1_000_000
        self.zone = ZoneData("rpc.test")
        delta = self.zone.start()
        content = {NAME: Records(addresses=(address,))}
        content |= {f"com.alipay.n{i}.Service": Records(addresses=("10.96.0.1",)) for i in range(1, names)}
        delta.merge(self.zone.apply(content, serial=1))
        delta.merge(self.zone.set_state(READY))
        self.feed = Feed([socket.socket(fileno=os.dup(self.ours.fileno()))], self.publisher)
        self.publisher.feeds = [self.feed]
        self.feed.start()
        self.publisher.publish(delta)
        if complete:
            self.publisher.set_complete()
        return self.feed

    def no_control(self) -> None:
        """The control process is gone: nobody reads or writes the channel."""
        if self.feed is not None:
            self.feed.stop()
            for channel in self.feed._channels:
                channel.close()
        self.feed = None

    def change(self, address: str) -> None:
        """The Service got another ClusterIP."""
        changes = {NAME: Records(addresses=(address,))}
        self.publisher.publish(self.zone.apply(changes, serial=self.zone.serial + 1))

    def start(self, *options: str, inherit: tuple[int, ...] = ()) -> None:
        """Start the worker, with these descriptors beside the usual ones."""
        descriptors = {"udp": self.udp, "tcp": self.tcp, "probe": self.probe, "channel": self.theirs}
        command = [
            sys.executable,
            "-m",
            "soadns.nameserver.worker",
            "--lifeline",
            str(self.lifeline),
            "--journal",
            *map(str, self.journal),
            *options,
        ]
        for option, sock in descriptors.items():
            command += [f"--{option}", str(sock.fileno())]
        inherited = [
            self.lifeline,
            *inherit,
            *self.journal,
            *(sock.fileno() for sock in descriptors.values()),
        ]
        self.process = subprocess.Popen(command, pass_fds=inherited)

    def kill(self) -> None:
        """End the worker without warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def worked_s(self) -> float:
        """The seconds of a processor that the worker took, however busy that is."""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return sum(map(int, stat.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    @contextlib.contextmanager
    def client(self, host: str | None = None) -> Iterator[socket.socket]:
        """A UDP client."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((host or self.host, self.port))
            yield sock

    async def addresses(self) -> list[str]:
        """What the name answers now, over UDP."""
        query = dns.message.make_query(f"{NAME}.rpc.test", "A")
        reply = await asyncio.to_thread(dns.query.udp, query, self.host, 30, self.port)
        return [str(item) for rrset in reply.answer for item in rrset]

    async def until(self, address: str) -> None:
        """Wait until the name answers this address."""
        async with asyncio.timeout(60):
            while True:
                if await self.addresses() == [address]:
                    return
                await asyncio.sleep(0.01)

    def close(self) -> None:
        """End everything."""
        self.no_control()
        self.kill()
        for sock in (self.udp, self.tcp, self.probe, self.ours, self.theirs):
            sock.close()
        for descriptor in (self.lifeline, self.alive):
            with contextlib.suppress(OSError):
                os.close(descriptor)
