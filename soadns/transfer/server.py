"""Answers secondaries: SOA over UDP and TCP, AXFR and IXFR over TCP, in the control process's loop.

A transfer is written message by message, each when the one before has left, and between two of them everything else
of the process has its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

from soadns import faults
from soadns.addresses import print_address
from soadns.figures import Figures
from soadns.logs import Log
from soadns.nameserver import wire
from soadns.nameserver.zone import ZoneData
from soadns.settings import credentials
from soadns.settings.renewed import Renewed
from soadns.transfer import questions, records
from soadns.transfer.notices import Notifier
from soadns.transfer.primary import Access, Client, Given, is_newer, zone_of
from soadns.transfer.questions import Question, Unanswerable
from soadns.transfer.records import Record
from soadns.transfer.settings import Key, KeyFile, TransferSettings
from soadns.transfer.versions import Version, Versions

CONNECTIONS = 128
"""At once, of all secondaries together; further ones are closed."""
IDLE_S = 30.0
"""How long a connection may say nothing, or a secondary take nothing of what it asked for."""
WAIT_S = 5.0
"""How long a question waits for a version to end, before it is told to come again (SERVFAIL)."""
SHORT_S = 0.02
"""How long after the end of a second one looks whether anything changed in it."""


class Zones(Protocol):
    """What is transferred: the zones of the control process, by name."""

    @property
    def zones(self) -> Mapping[str, ZoneData]: ...  # noqa: D102

    def now(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of TSIG as their files have them."""

    first: Key | None = None
    """Signs what secondaries are told."""
    ring: questions.Keyring = field(default_factory=dict)


def _keys(files: Sequence[KeyFile]) -> Keys:
    """Read them. Raises CredentialError."""
    keys = tuple(Key(each.name, each.algorithm, credentials.of_tsig(each.secret_file)) for each in files)
    return Keys(next(iter(keys), None), questions.keyring(keys))


class TransferServer:
    """Sockets of ``settings.listen``, and who is told of changes. Secrets that are renewed hold from then on."""

    def __init__(
        self,
        running: Zones,
        settings: TransferSettings,
        figures: Figures,
        *,
        log: Log,
    ) -> None:
        self._running = running
        self._settings = settings
        self._figures = figures.transfer
        self._faults = figures.faults
        self._log = log
        files = [key.secret_file for key in settings.keys]
        self._keys: Renewed[Keys] = Renewed(
            "transfer.keys", files, partial(_keys, settings.keys), Keys(), figures.credentials, log=log
        )
        self._access = Access(settings.allow)
        self._given = Given()
        self._zones: dict[bytes, Versions] = {}
        self._names: dict[bytes, str] = {}
        for name, data in running.zones.items():
            folded = wire.fold(wire.encode_name(name))
            self._zones[folded] = versions = Versions(data, settings.history)
            data.witnesses.append(versions)
            self._names[folded] = name
        self._notifier = Notifier(settings.notify, lambda: self._keys().first, figures.transfer, log=log)
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._connections: set[asyncio.Task[Any]] = set()
        self._told: dict[bytes, int] = {}
        """Serial by zone that secondaries were told of."""
        self._watch: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Listen. Raises OSError, and has nothing open then."""
        try:
            for host, port in self._settings.listen:
                await self._listen(host, port)
        except BaseException:
            self._close()
            raise
        addresses = " ".join(print_address(*address) for address in self._settings.listen)
        self._log("transfer-listening", addresses=addresses)
        self._watch = asyncio.create_task(faults.anew("transfer", self._tell, self._faults, self._log))

    async def stop(self) -> None:
        """End every transfer and close."""
        self._close()
        tasks = [*self._connections, *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._notifier.stop()

    async def _listen(self, host: str, port: int) -> None:
        server = await asyncio.start_server(self._connected, host, port, reuse_address=True)
        self._servers.append(server)
        bound = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(host, bound))
        self._datagrams.append(transport)

    def _close(self) -> None:
        for transport in self._datagrams:
            transport.close()
        for server in self._servers:
            server.close()
        self._datagrams, self._servers = [], []

    # ------------------------------------------------------------------ telling

    async def _tell(self) -> None:
        """Once a second, when the last one's versions have ended: tell secondaries of those that are new."""
        while True:
            now = self._running.now()
            await asyncio.sleep(int(now) + 1 - now + SHORT_S)
            self._keys()  # a secret that can not be used is told of though nobody asks
            now = self._running.now()
            for zone, versions in self._zones.items():
                versions.look(now)
                serial = versions.sealed(now)
                if serial is None or self._told.get(zone) == serial:
                    continue
                self._told[zone] = serial
                self._figures.serials[self._names[zone]] = serial
                self._notifier.tell(zone, self._names[zone], records.soa(versions.zone, serial)[1])

    # ------------------------------------------------------------------ questions

    def over_udp(self, packet: bytes, peer: tuple[Any, ...]) -> bytes:
        """The reply to a datagram; empty where none is due."""
        try:
            return self._reply(packet, peer)
        except Exception as error:
            faults.note("transfer", error, self._faults, self._log)
            return questions.failed(packet)

    def _reply(self, packet: bytes, peer: tuple[Any, ...]) -> bytes:
        """The same. IXFR gets the SOA alone (RFC 1995 2)."""
        question = self._question(packet, peer)
        if not isinstance(question, Question):
            return question
        client = Client(peer[0], question.key)
        versions = zone_of(question, self._zones)
        if refusal := self._access.refusal(client):
            return self._refuse(question, wire.REFUSED, client, refusal)
        if isinstance(versions, int):
            return self._refuse(question, versions, client, "no zone of ours, or no question of a secondary")
        if question.kind == wire.AXFR:
            return question.refused(wire.NOTIMP)
        serial = versions.sealed(self._running.now())
        if serial is None:
            return question.refused(wire.SERVFAIL)
        [reply] = self._messages(question, [records.soa(versions.zone, serial)])
        return reply

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        peer = writer.get_extra_info("peername")
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2))
                    packet = await reader.readexactly(length)
                await self._answer(packet, peer, writer)
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            pass
        except Exception as error:  # half of an answer may be there: whoever asked turns to another replica
            faults.note("transfer", error, self._faults, self._log)
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, packet: bytes, peer: tuple[Any, ...], writer: asyncio.StreamWriter) -> None:
        question = self._question(packet, peer)
        if not isinstance(question, Question):
            if not question:
                raise OSError("not a DNS client")
            await _write(writer, question)
            return
        client = Client(peer[0], question.key)
        versions = zone_of(question, self._zones)
        if refusal := self._access.refusal(client):
            await _write(writer, self._refuse(question, wire.REFUSED, client, refusal))
        elif isinstance(versions, int):
            reason = "no zone of ours, or no question of a secondary"
            await _write(writer, self._refuse(question, versions, client, reason))
        else:
            await self._transfer(question, client, versions, writer)

    async def _transfer(
        self, question: Question, client: Client, versions: Versions, writer: asyncio.StreamWriter
    ) -> None:
        zone, began = self._names[question.zone], time.monotonic()
        now = self._running.now()
        serial = versions.sealed(now)
        kind, stream = "axfr", None
        if serial is not None and question.kind == wire.SOA:
            kind, stream = "soa", iter([records.soa(versions.zone, serial)])
        elif serial is not None and question.kind == wire.IXFR and question.serial is not None:
            if not is_newer(serial, than=question.serial):
                kind, stream = "current", iter([records.soa(versions.zone, serial)])
            elif self._given.has(client, question.zone, question.serial):
                difference = versions.difference(question.serial, now)
                if difference is not None:
                    kind, stream = "ixfr", records.ixfr(versions.zone, difference)
        if stream is None:
            try:
                version = await self._sealed(versions)
            except TimeoutError:
                self._figures.transfers[zone, "unready"] += 1
                await _write(writer, question.refused(wire.SERVFAIL))
                return
            serial = version.serial
            stream = records.axfr(versions.zone, version)
            if question.kind == wire.SOA:
                kind, stream = "soa", iter([records.soa(versions.zone, serial)])
        try:
            count = await self._send(writer, question, stream)
        except Exception:
            self._figures.transfers[zone, "broken"] += 1
            raise
        if kind == "soa":
            return
        assert serial is not None
        self._figures.transfers[zone, kind] += 1
        if kind != "current":
            self._given.note(client, question.zone, serial)
            self._log(
                "zone-transferred", level="debug" if kind == "ixfr" else "info", zone=zone, kind=kind,
                to=client.address, key=client.key or None, serial=serial, octets=count,
                seconds=f"{time.monotonic() - began:.3f}",
            )  # fmt: skip

    async def _sealed(self, versions: Versions) -> Version:
        """The present version, or the one that ends next. Raises TimeoutError."""
        if versions.settled(self._running.now()):
            return versions.present()
        waiting: asyncio.Future[Version] = asyncio.get_running_loop().create_future()

        def take(version: Version) -> None:
            if not waiting.done():
                waiting.set_result(version)

        versions.when_sealed(take)
        try:
            async with asyncio.timeout(WAIT_S):
                return await waiting
        finally:
            versions.wait_no_more(take)

    async def _send(self, writer: asyncio.StreamWriter, question: Question, stream: Iterable[Record]) -> int:
        count = 0
        for message in self._messages(question, stream):
            await _write(writer, message)
            await asyncio.sleep(0)
            count += len(message)
        return count

    def _messages(self, question: Question, stream: Iterable[Record]) -> Iterable[bytes]:
        room = questions.SIGNED_ROOM if question.signer is not None else 0
        sign: Callable[[bytes], bytes] = question.signer.sign if question.signer is not None else bytes
        return map(sign, records.messages(question.head(), question.raw, stream, room=room))

    def _question(self, packet: bytes, peer: tuple[Any, ...]) -> Question | bytes:
        try:
            return questions.read(packet, self._keys().ring)
        except Unanswerable as error:
            self._figures.transfers["", "refused"] += 1
            self._log("transfer-question-bad", level="warning", peer=peer[0], reason=str(error))
            return error.reply

    def _refuse(self, question: Question, rcode: int, client: Client, reason: str) -> bytes:
        zone = self._names.get(question.zone, "")
        self._figures.transfers[zone, "refused"] += 1
        self._log("transfer-refused", level="warning", zone=zone or None, peer=client.address, reason=reason)
        return question.refused(rcode)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: TransferServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        reply = self._server.over_udp(data, addr)
        if reply and self._transport is not None:
            self._transport.sendto(reply, addr)


async def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Raises TimeoutError when the other side takes nothing for too long."""
    writer.write(len(message).to_bytes(2) + message)
    async with asyncio.timeout(IDLE_S):
        await writer.drain()
