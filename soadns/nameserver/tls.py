"""DNS over TLS (RFC 7858): the certificate, and a TCP connection behind a handshake.

What a peer may cost is bounded as over TCP, from its first packet on: a handshake counts among the connections, and
as a message that was begun. A certificate that was renewed holds for handshakes from then on, without a signal; one
that can not be used leaves the one before in force, and a worker that begins then does without TLS for so long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from asyncio.sslproto import SSLProtocol
from typing import cast

from soadns.logs import log
from soadns.nameserver.responder import Responder
from soadns.nameserver.tcp import READ, TcpConnection, TcpServer, let_go

ALPN = "dot"
"""RFC 7858 as IANA has registered it; clients need not name it."""
SETTING = "nameserver.tls"
ALERT, PROTOCOL, UNFINISHED = "alert", "protocol", "unfinished"
"""How a handshake fails: its client says so (mostly that it does not trust the certificate); what it sent is not TLS,
or none that is spoken here; or it left, or took too long, as port scanners and checks by TCP do.
"""

# Each connection keeps so much to read into for as long as it lasts: asyncio's own quarter of a MiB would make a GiB of
# four thousand. A record of TLS may be longer, and is then read in two pieces.
SSLProtocol.max_size = READ


class Certificate:
    """A certificate chain and its key, in PEM files that may change at any time."""

    def __init__(self, chain: str, key: str) -> None:
        """Load them, if they can be used now."""
        self._chain = chain
        self._key = key
        self.refused = False
        """Whether what the files hold now can not be used."""
        self._seen: tuple[tuple[int, int, int] | None, ...] = ()
        self.context: ssl.SSLContext | None = None
        """For handshakes from now on; None before there was a certificate that can be used."""
        self.refresh()

    def connection(self, server: TcpServer, responder: Responder) -> TlsConnection:
        """A connection of a server that is about to shake hands, for which there has to be a ``context``."""
        assert self.context is not None
        return TlsConnection(server, responder, self.context)

    def refresh(self) -> None:
        """Load the files anew when they changed and belong together."""
        seen, before = self._look(), self._seen
        if seen == before:
            return
        self._seen = seen
        fresh, files = _context(), f"{self._chain} {self._key}"
        try:
            fresh.load_cert_chain(self._chain, self._key, password="")
        except OSError as error:
            reason = error.strerror or "they can not be used"
            log("credentials-refused", level="error", what=SETTING, files=files, reason=reason)
            self.refused = True
        else:
            self.refused = False
            if before:
                log("credentials-renewed", what=SETTING, files=files)
            # Those that are there keep theirs; one that is in use is not changed, for that may fail half way.
            self.context = fresh

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_identity(path) for path in (self._chain, self._key))


def _identity(path: str) -> tuple[int, int, int] | None:
    """What changes with a file: a renewed one is another file, or written later."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _why(error: BaseException) -> str:
    """Who ended a handshake, and how: the word by which failures are counted."""
    if not isinstance(error, ssl.SSLError):
        return UNFINISHED
    return ALERT if "ALERT" in (error.reason or "") else PROTOCOL


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325
    context.set_alpn_protocols([ALPN])
    return context


class TlsConnection(TcpConnection):
    """One client's stream behind a handshake."""

    __slots__ = ("_context", "_early", "_handshake", "_plain")

    def __init__(self, server: TcpServer, responder: Responder, context: ssl.SSLContext) -> None:
        super().__init__(server, responder)
        self._context = context
        self._early: bytes | None = b""
        """What came with the end of the handshake; None once it is over."""
        self._handshake: asyncio.Task[None] | None = None
        self._plain: asyncio.BaseTransport | None = None
        """What TLS is spoken over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection and begin the handshake, or close it when there are too many."""
        super().connection_made(transport)
        self._plain = transport
        if not self._ending:
            plain = cast("asyncio.Transport", transport)
            plain.pause_reading()
            self._handshake = asyncio.get_running_loop().create_task(self._shake(plain))

    async def _shake(self, plain: asyncio.Transport) -> None:
        loop, limit = asyncio.get_running_loop(), self._server.limits.message_s
        secure, failed = None, UNFINISHED
        try:
            secure = await loop.start_tls(
                plain, self, self._context, server_side=True,
                ssl_handshake_timeout=limit, ssl_shutdown_timeout=limit,
            )  # fmt: skip
        except (OSError, asyncio.CancelledError) as error:
            # Strangers send anything; whatever becomes of it is counted, and logged nowhere.
            error.__traceback__ = None  # which would hold what holds the error
            failed = _why(error)
        if secure is None:  # without an error, too, where ``check`` was quicker than this timeout
            self._server.handshakes[failed] += 1
        early, self._early = self._early, None
        if secure is None or self._transport is None:
            plain.abort()
            self.connection_lost(None)
            return
        self._transport = secure
        secure.set_write_buffer_limits(high=self._server.limits.unread)
        self._since = loop.time()
        if early:
            self._take(early)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        plain, self._plain = self._plain, None
        if plain is not None:
            let_go(plain)

    def buffer_updated(self, nbytes: int) -> None:
        """As over TCP, once the handshake is over."""
        if self._early is not None:
            self._early += self._server.space[:nbytes]
        else:
            super().buffer_updated(nbytes)

    def _cork(self) -> None:
        """Not here: before FIN, the peer has to say that it has seen close_notify."""

    def finish(self) -> None:
        """End our side by close_notify and FIN after what is queued; a handshake is given up."""
        if self._early is not None:
            self.abort()
        elif self._transport is not None and not self._ending and not self._transport.is_closing():
            self._ending = True
            self._since = asyncio.get_running_loop().time()
            self._transport.close()
