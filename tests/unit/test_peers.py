"""A replica without a snapshot asks the others: whose it takes, and what it does not believe."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from types import SimpleNamespace

import pytest

from soadns.binding.estate import Estate
from soadns.figures import Figures
from soadns.persistence import peers as peers_module
from soadns.persistence import snapshotfile
from soadns.persistence.believing import Own
from soadns.persistence.changes import Changes
from soadns.persistence.peers import Peers, is_own
from soadns.persistence.snapshot import SavedSource, SavedZone, Snapshot, Touched
from soadns.settings.peertls import PeerTls
from soadns.settings.stateconfig import PeersConfig, PeersTlsConfig
from soadns.web import snapshots as giving
from soadns.web.api import listen
from soadns.web.snapshots import Snapshots
from tests.unit.notation import NOON
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

ZONE, ZK, KUBE = "rpc.test", "zookeeper/main/dubbo", "kube/home"
FED = {ZONE: "fed-1"}
PLAIN = PeersTlsConfig()
IDENTITIES = {ZK: "zk1:2181", KUBE: "uid-1"}


def of(
    name: str,
    *,
    saved: float = 0.0,
    lost: float | None = None,
    ready: bool = True,
    zone: str = ZONE,
    fed: str = "fed-1",
    uid: str = "uid-1",
) -> Snapshot:
    """A replica's, saved so many seconds before noon, which had lost ZooKeeper so many seconds before noon."""
    sources = [
        SavedSource(ZK, "zk1:2181", paused_at=None if lost is None else NOON - lost),
        SavedSource(KUBE, uid),
    ]
    serial = int.from_bytes(name.encode())
    return Snapshot(
        NOON - saved, sources, [SavedZone(zone, serial=serial, complete=True, fed=fed)], ready=ready
    )


Reply = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""What a stranger sends, and whether it stays on the line afterwards."""


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)

    def __call__(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.lines.append(" ".join([event, level, *(f"{name}={value}" for name, value in fields.items())]))


@dataclass
class Street:
    """Replicas that listen, each at a port of its own, and the one that asks them."""

    folder: Path
    hosts: list[str] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    log: Log = field(default_factory=Log)
    given: list[Figures] = field(default_factory=list)
    ca: str = ""
    """The file by which it knows them; empty: without TLS."""
    _tls: PeerTls | None = None
    _last: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def replica(
        self,
        data: bytes | None,
        *,
        ready: bool = True,
        token: str = "right",
        tls: PeersTlsConfig = PLAIN,
        host: str = "127.0.0.1",
    ) -> None:
        """One as it is served; ``host`` is the name that it is asked by."""
        number = len(self.hosts)
        (self.folder / f"token-{number}").write_text(f"{token}\n")
        path = self.folder / f"snapshot-{number}"
        if data is not None:
            path.write_bytes(data)
        running = SimpleNamespace(figures=Figures(), ready=ready, now=lambda: NOON, estate=Estate([]))
        try:
            knows = snapshotfile.decode(data or b"")
        except snapshotfile.SnapshotError:
            knows = of("")  # the disk is damaged, and not the replica
        running.figures.snapshot_at = knows.saved
        for source in knows.sources:
            state = running.estate.observations.source(source.name)
            state.restored, state.paused_at = True, source.paused_at
        self.given.append(running.figures)
        app = Snapshots(running, path, str(self.folder / f"token-{number}")).application()
        sock = socket.create_server(("127.0.0.1", 0))
        served = PeerTls(tls, running.figures.credentials, log=self.log).serving
        runner = await listen(app, sock, served)
        self._last.push_async_callback(runner.cleanup)
        self.hosts.append(f"{host}:{sock.getsockname()[1]}")

    async def stranger(self, reply: Reply) -> None:
        """Something else that listens there."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.readuntil(b"\r\n\r\n")
                if await reply(writer):
                    await reader.read()  # until it is given up
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        self._last.callback(server.close)
        self.hosts.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")

    def peers(self, *, listening: str = "", token: str = "right") -> Peers:
        (self.folder / "token").write_text(token)
        settings = PeersConfig(tuple(self.hosts), listening, str(self.folder / "token"))
        own = Own(FED, IDENTITIES, 600.0)
        return Peers(settings, self.tls, own, self.figures, log=self.log, now=lambda: NOON)

    @property
    def tls(self) -> PeerTls:
        """What it asks with."""
        if self._tls is None:
            self._tls = PeerTls(PeersTlsConfig(ca=self.ca), self.figures.credentials, log=self.log)
        return self._tls

    async def find(self) -> str:
        """Whose snapshot it takes; ``''``: nobody's."""
        found = await self.peers().find()
        if found is None:
            return ""
        assert not found.ready, "this replica has not found it to be whole"
        serial = found.zones[0].serial
        return serial.to_bytes(serial.bit_length() // 8 + 1).lstrip(b"\0").decode()

    async def close(self) -> None:
        await self._last.aclose()


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    found = Street(tmp_path)
    yield found
    await found.close()


def file_of(*arguments: str, **changes: object) -> bytes:
    return snapshotfile.encode(of(*arguments, **changes))  # type: ignore[arg-type]


async def test_the_replica_that_knows_most_gives_it_whenever_it_saved_that(street: Street) -> None:
    await street.replica(file_of("a", saved=1, lost=300))
    await street.replica(file_of("b", saved=40, lost=200))
    await street.replica(file_of("c", saved=2, lost=250))
    assert await street.find() == "b"
    assert street.figures.snapshots_asked == {"taken": 1}
    assert street.log.lines[-1].startswith(f"snapshot-taken info peer={street.hosts[1]} names=0 age_s=40.0")


@pytest.mark.parametrize("names", ["old new", "new old"])
async def test_a_replica_that_can_not_save_knows_no_more_than_its_file(street: Street, names: str) -> None:
    """What is given is the file: that its replica hears its sources still helps nobody."""
    files = {"old": file_of("old", saved=590), "new": file_of("new", saved=0, lost=1)}
    for name in names.split():
        await street.replica(files[name])
    assert await street.find() == "new"
    assert street.figures.snapshots_asked == {"taken": 1}


@pytest.mark.parametrize("saved", ["", f"Soadns-Saved: {NOON - 590!r}\r\n"])
async def test_what_an_older_version_says_it_heard_is_no_newer_than_its_file(
    street: Street, saved: str
) -> None:
    """It says what its process heard; and before that version, nothing of when it saved."""
    data = file_of("old", saved=590)

    async def send(writer: asyncio.StreamWriter) -> bool:
        head = f"HTTP/1.1 200 OK\r\nSoadns-Heard: {2 * NOON!r}\r\n{saved}Content-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        return False

    await street.stranger(send)
    assert await street.find() == "old"
    await street.replica(file_of("new", saved=2, lost=300))
    assert await street.find() == "new"


async def test_how_old_it_is_is_said_by_what_changed_last(street: Street) -> None:
    change = snapshotfile.encode_changes(Changes(Touched(), of("b", saved=7)))
    await street.replica(file_of("a", saved=601) + change)
    street.given[0].snapshot_at = 0.0
    assert await street.find() == "", "the first line says nothing of what comes behind"
    street.given[0].snapshot_at = NOON - 7
    assert await street.find() == "b"
    assert street.figures.snapshots_asked == {"old": 1, "taken": 1}


async def test_what_comes_behind_it_while_it_is_given_is_not_given(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving, "PIECE", 64)
    await street.replica(file_of("a"))
    [path] = street.folder.glob("snapshot-*")
    size, change = path.stat().st_size, snapshotfile.encode_changes(Changes(Touched(), of("b")))

    class Growing:
        """It is longer as soon as somebody has looked how long it is."""

        def fstat(self, descriptor: int) -> os.stat_result:
            found = os.fstat(descriptor)
            path.write_bytes(path.read_bytes() + change)
            return found

    monkeypatch.setattr(giving, "os", Growing())
    assert await street.find() == "a"
    assert f"octets={size}" in street.log.lines[-1]


BELIEVED = """
damaged      | damaged   | its checksum is wrong
another      | damaged   | it is no soadns snapshot
newer format | damaged   | it has format 99, this soadns reads format 3
no line      | damaged   | it does not begin with a snapshot header
html         | damaged   | it does not begin with a snapshot header
nested       | damaged   | it does not begin with a snapshot header
too late     | damaged   | its header does not say when it was saved
no moment    | damaged   | its header does not say when it was saved
no text      | damaged   | its content does not fit
twice        | damaged   | its content does not fit
not whole    | unready   | it was saved before everything was known
incomplete   | unready   | zone rpc.test was not complete when it was saved
zone         | foreign   | it has no zone rpc.test, but other.test
fed          | foreign   | zone rpc.test is fed from other sources there
cluster      | foreign   | source kube/home is uid-2 there, and uid-1 here
old          | old       | it is 601 s old, and state.peers.oldest is 600 s
future       | old       | it was saved 61 s from now: clocks differ
unready      | unready   | HTTP 503 {"error": "this replica does not know everything itself"}
none         | unready   | there is no snapshot: No such file or directory
denied       | denied    | HTTP 401 {"error": "needs the bearer token of state.peers.tokenFile"}
gone         | silent    | Connect call failed
mute         | silent    | no answer within 3 s
stuck        | silent    | not all of it came within 1 s
cut          | silent    | it ended too soon
elsewhere    | silent    | HTTP 302
claims       | oversized | it has 1073741825 octets
floods       | oversized | it has more than 100000 octets
"""


async def stands(street: Street, what: str) -> None:
    """One more replica, of this kind."""
    good = file_of("z")
    head, _, body = good.partition(b"\n")

    def sends(*pieces: bytes, stays: bool = False) -> Reply:
        async def send(writer: asyncio.StreamWriter) -> bool:
            for piece in pieces:
                writer.write(piece)
            await writer.drain()
            return stays

        return send

    ok = b"HTTP/1.1 200 OK\r\nSoadns-Heard: 9e9\r\nContent-Length: %d\r\n\r\n"
    match what:
        case "damaged":
            await street.replica(good[:-1] + bytes([good[-1] ^ 1]))
        case "another":
            await street.replica(b'{"magic": "else"}\n' + body)
        case "newer format":
            await street.replica(json.dumps(json.loads(head) | {"format": 99}).encode() + b"\n" + body)
        case "no line":
            await street.replica(os.urandom(300_000).replace(b"\n", b""))
        case "html":
            await street.stranger(sends(ok % 21, b"<html>\nhello\n</html>\n"))
        case "nested":
            await street.stranger(sends(ok % 60_001, b"[" * 60_000 + b"\n"))
        case "too late":
            await street.replica(json.dumps(json.loads(head) | {"saved": 10**400}).encode() + b"\n" + body)
        case "no moment":
            await street.replica(json.dumps(json.loads(head) | {"saved": nan}).encode() + b"\n" + body)
        case "no text":
            spoilt = body.replace(b"zk1", b"zk\xff")
            right = json.loads(head) | {"sha256": hashlib.sha256(spoilt).hexdigest()}
            await street.replica(json.dumps(right).encode() + b"\n" + spoilt)
        case "twice":
            found = of("z")
            twice = replace(found, sources=[*found.sources, *found.sources])
            await street.replica(good + snapshotfile.encode_changes(Changes(Touched(), twice)))
        case "not whole":
            await street.replica(file_of("z", ready=False))
        case "incomplete":
            found = of("z")
            await street.replica(
                snapshotfile.encode(replace(found, zones=[replace(found.zones[0], complete=False)]))
            )
        case "zone":
            await street.replica(file_of("z", zone="other.test"))
        case "fed":
            await street.replica(file_of("z", fed="fed-2"))
        case "cluster":
            await street.replica(file_of("z", uid="uid-2"))
        case "old":
            await street.replica(file_of("z", saved=601))
        case "future":
            await street.replica(file_of("z", saved=-61))
        case "unready":
            await street.replica(good, ready=False)
        case "none":
            await street.replica(None)
        case "denied":
            await street.replica(good, token="wrong")
        case "gone":
            with socket.create_server(("127.0.0.1", 0)) as sock:
                street.hosts.append(f"127.0.0.1:{sock.getsockname()[1]}")
        case "mute":
            await street.stranger(sends(stays=True))
        case "stuck":
            await street.stranger(sends(ok % len(good), good[:-1], stays=True))
        case "cut":
            await street.stranger(sends(ok % len(good), good[:-1]))
        case "elsewhere":
            location = b"HTTP/1.1 302 Found\r\nLocation: http://%s/v1/snapshot\r\nContent-Length: 0\r\n\r\n"
            await street.stranger(sends(location % street.hosts[0].encode()))
        case "claims":
            await street.stranger(sends(ok % ((1 << 30) + 1), good))
        case "floods":
            await street.stranger(
                sends(b"HTTP/1.1 200 OK\r\nSoadns-Heard: 9e9\r\n\r\n", good, bytes(200_000))
            )
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize("row", BELIEVED.strip().splitlines())
async def test_what_can_not_be_believed_is_said_counted_and_passed_over(
    street: Street, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    """It would be the newest of all; the older one is taken."""
    what, word, text = (cell.strip() for cell in row.split("|"))
    if what == "stuck":
        monkeypatch.setattr(peers_module, "BODY_S", 1.0)
    if what == "floods":
        monkeypatch.setattr(peers_module, "MOST_OCTETS", 100_000)
    await street.replica(file_of("older", saved=100, lost=500))
    await stands(street, what)
    assert await street.find() == "older"
    assert street.figures.snapshots_asked == {"taken": 1, word: 1}
    [said] = [line for line in street.log.lines if line.startswith("snapshot-not-taken")]
    assert f"peer={street.hosts[1]} reason=" in said
    assert text in said
    assert said.split()[1] == ("info" if word in ("unready", "silent") else "warning")


async def test_where_nobody_has_one_it_begins_without_and_soon(street: Street) -> None:
    """A first installation: the others are no better off, and the name may have no address yet."""
    await street.replica(None, ready=False)
    street.hosts.append("nobody.invalid:8056")
    async with asyncio.timeout(5.0):
        assert await street.find() == ""
    assert any("peer=nobody.invalid" in line for line in street.log.lines)
    assert await street.peers(token="").find() is None


@pytest.mark.parametrize("token", ["right\nright", "right\0"])
async def test_a_token_that_no_header_may_hold_is_said_and_it_begins_without(
    street: Street, token: str
) -> None:
    """It was rotated since it was checked."""
    await street.replica(file_of("a"))
    assert await street.peers(token=token).find() is None
    assert [line for line in street.log.lines if f"peer={street.folder}/token reason=" in line]
    assert street.figures.snapshots_asked == {"denied": 1}
    assert "right" not in "".join(street.log.lines)


async def test_a_name_that_dns_can_not_hold_is_said_and_the_others_are_asked(street: Street) -> None:
    street.hosts += ["soadns-0..svc:8056", f"{'a' * 64}.svc:8056"]
    await street.replica(file_of("a"))
    assert await street.find() == "a"
    assert any("peer=soadns-0..svc reason=" in line for line in street.log.lines)


async def test_it_is_no_peer_of_its_own(street: Street) -> None:
    """Its own socket is there before anybody accepts from it: whoever asked would wait in vain."""
    await street.replica(file_of("self"))
    assert await street.peers(listening=street.hosts[0]).find() is None
    assert not street.figures.snapshots_asked
    port = int(street.hosts[0].rpartition(":")[2])
    assert is_own(("127.0.0.1", port), ("0.0.0.0", port))
    assert is_own(("::1", port), ("::", port))
    assert not is_own(("192.0.2.1", port), ("0.0.0.0", port))
    assert not is_own(("127.0.0.1", port + 1), ("0.0.0.0", port))
    assert not is_own(("127.0.0.2", port), ("127.0.0.1", port))


async def test_it_asks_again_until_somebody_can_help_and_says_each_thing_once(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_module, "AGAIN_S", 0.05)
    await street.replica(None)
    taken: list[Snapshot] = []

    def take(found: Snapshot) -> bool:
        taken.append(found)
        return len(taken) > 1  # the disk was full

    following = asyncio.create_task(street.peers().follow(lambda: True, take))
    await soon(lambda: street.figures.snapshots_asked["unready"] > 2)
    assert len([line for line in street.log.lines if line.startswith("snapshot-not-taken")]) == 1
    (street.folder / "snapshot-0").write_bytes(file_of("late"))
    await asyncio.wait_for(following, 5.0)
    assert [found.zones[0].serial for found in taken] == [of("late").zones[0].serial] * 2


async def test_it_asks_nobody_once_it_knows_everything(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_module, "AGAIN_S", 0.05)
    await street.replica(file_of("a"))
    looks = itertools.chain([True], itertools.repeat(False))
    await asyncio.wait_for(street.peers().follow(lambda: next(looks), lambda _: True), 5.0)
    assert not street.figures.snapshots_asked


# --------------------------------------------------------------------------- who gives


async def test_only_so_many_are_given_one_at_once(
    street: Street, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(giving, "AT_ONCE", 1)
    await street.replica(snapshotfile.encode(of("a")) + bytes(1 << 24))  # more than sockets hold
    host, _, port = street.hosts[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
    writer.write(request % b"right")
    assert b" 200 " in await reader.readline()
    other, more = await asyncio.open_connection(host, int(port))
    more.write(request % b"right")
    assert b" 503 " in await other.readline()
    more.write(request % b"righ")
    await soon(lambda: street.given[0].snapshots_given["denied"] == 1)
    writer.transport.abort()  # it goes away amid
    await soon(lambda: street.given[0].snapshots_given["broken"] == 1)
    more.close()
    assert await street.find() == "a"  # what is behind it is no change of it, and never was
    assert street.figures.snapshots_asked == {"taken": 1}
    assert street.given[0].snapshots_given == {"busy": 1, "denied": 1, "broken": 1, "given": 1}
    # Who chooses another replica's breaks off, which is no error of this one.
    assert [record.getMessage() for record in caplog.records] == ["snapshot-denied"]


async def test_nothing_else_is_served_there(street: Street) -> None:
    await street.replica(file_of("a"))
    host, _, port = street.hosts[0].rpartition(":")
    for line in ("GET /v1/interfaces", "POST /v1/reload", "GET /metrics", "HEAD /v1/snapshot"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer right\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] in (b"404", b"405")
        writer.close()
