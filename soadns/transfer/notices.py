"""Tells secondaries that a zone has changed (NOTIFY, RFC 1996), until they say that they heard it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable

from soadns.addresses import print_address
from soadns.figures import TransferFigures
from soadns.logs import Log
from soadns.transfer import questions
from soadns.transfer.settings import Key

TRIES = 6
FIRST_S = 1.0
"""How long to wait for an answer to the first try; twice as long after each further one (RFC 1996 3.6)."""
SILENT_S = FIRST_S * (2**TRIES - 1)
"""How long all tries take; who says nothing for as long is told of as silent."""


class Notifier:
    """One conversation for each secondary and zone; a newer serial takes the place of an older one.

    Whoever has not answered meanwhile is still silent: that is told as soon as it was for as long as the tries take.
    ``secondaries`` are IP addresses, each with a port; ``key`` tells what is signed by now.
    """

    def __init__(
        self,
        secondaries: tuple[tuple[str, int], ...],
        key: Callable[[], Key | None],
        figures: TransferFigures,
        *,
        log: Log,
    ) -> None:
        self._secondaries = secondaries
        self._key = key
        self._figures = figures
        self._log = log
        self._talks: dict[tuple[tuple[str, int], bytes], tuple[asyncio.Task[None], float]] = {}
        """Each with since when the secondary has not answered, by the clock of the loop."""

    def tell(self, zone: bytes, name: str, soa: bytes) -> None:
        """Tell every secondary of a zone's new SOA; ``soa`` is the record behind its owner name."""
        now = asyncio.get_running_loop().time()
        for secondary in self._secondaries:
            since, before = now, self._talks.get((secondary, zone))
            if before is not None and before[0].cancel():
                since = before[1]
                if now - since >= SILENT_S:
                    self._end(secondary, name, heard=None)
                    since = now
            talk = asyncio.create_task(self._talk(secondary, zone, name, soa))
            self._talks[secondary, zone] = (talk, since)

    def stop(self) -> None:
        """End all conversations."""
        for talk, _ in self._talks.values():
            talk.cancel()
        self._talks.clear()

    async def _talk(self, secondary: tuple[str, int], zone: bytes, name: str, soa: bytes) -> None:
        self._end(secondary, name, heard=await self._heard(secondary, zone, soa))

    def _end(self, secondary: tuple[str, int], name: str, *, heard: bool | None) -> None:
        where = print_address(*secondary)
        outcome = {True: "heard", False: "refused", None: "silent"}[heard]
        self._figures.notices[where, outcome] += 1
        if not heard:
            self._log(
                "secondary-not-told", level="warning", zone=name, secondary=where,
                reason="it refuses NOTIFY of this address" if heard is False else f"no answer to {TRIES} tries",
            )  # fmt: skip

    async def _heard(self, secondary: tuple[str, int], zone: bytes, soa: bytes) -> bool | None:
        loop = asyncio.get_running_loop()
        try:
            # A numeric address is read, not looked up: in a thread it would wait for its turn.
            [(family, kind, _, _, address), *_] = socket.getaddrinfo(
                *secondary, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
            )
            sock = socket.socket(family, kind)
        except OSError:
            return None
        with contextlib.closing(sock):
            sock.setblocking(False)
            try:
                sock.connect(address)
            except OSError:
                return None
            for attempt in range(TRIES):
                ident = secrets.randbelow(1 << 16)
                key = self._key()
                signer = questions.signer_of(key) if key is not None else None
                try:
                    async with asyncio.timeout(FIRST_S * 2**attempt):
                        await loop.sock_sendall(sock, questions.notify(ident, zone, soa, signer))
                        while True:
                            packet = await loop.sock_recv(sock, 4_096)
                            if (heard := questions.is_acknowledged(packet, ident)) is not None:
                                return heard
                except TimeoutError:
                    continue
                except OSError:  # nobody listens there now
                    await asyncio.sleep(FIRST_S * 2**attempt)
        return None
