"""DNS over TLS (RFC 7858): the certificate, and a TCP connection behind a handshake.

What a peer may cost is bounded as over TCP, from its first packet on: a handshake counts among the connections, and
as a message that was begun. A certificate that was renewed holds for handshakes from then on, without a signal; one
that can not be used leaves the one before in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import cast

from soadns.logs import log
from soadns.nameserver.responder import Responder
from soadns.nameserver.tcp import TcpConnection, TcpServer

ALPN = "dot"
"""RFC 7858 as IANA has registered it; clients need not name it."""


class Certificate:
    """A certificate chain and its key, in PEM files that may change at any time."""

    def __init__(self, chain: str, key: str) -> None:
        """Load them. Raises OSError (of which ssl.SSLError is one)."""
        self._chain = chain
        self._key = key
        self._seen = self._look()
        self.context = _context()
        self.context.load_cert_chain(chain, key, password="")

    def connection(self, server: TcpServer, responder: Responder) -> TlsConnection:
        """A connection of a server that is about to shake hands."""
        return TlsConnection(server, responder, self.context)

    def refresh(self) -> None:
        """Load the files anew when they changed and belong together."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            # Tried aside first: a chain whose key does not fit would spoil the context that is in use.
            _context().load_cert_chain(self._chain, self._key, password="")
            self.context.load_cert_chain(self._chain, self._key, password="")
        except OSError as error:
            reason = error.strerror or "they can not be used"
            log("certificate-refused", level="error", cert=self._chain, key=self._key, reason=reason)
        else:
            log("certificate-loaded", cert=self._chain)

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_identity(path) for path in (self._chain, self._key))


def _identity(path: str) -> tuple[int, int, int] | None:
    """What changes with a file: a renewed one is another file, or written later."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325
    context.set_alpn_protocols([ALPN])
    return context


class TlsConnection(TcpConnection):
    """One client's stream behind a handshake."""

    __slots__ = ("_context", "_early", "_handshake")

    def __init__(self, server: TcpServer, responder: Responder, context: ssl.SSLContext) -> None:
        super().__init__(server, responder)
        self._context = context
        self._early: bytes | None = b""
        """What came with the end of the handshake; None once it is over."""
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection and begin the handshake, or close it when there are too many."""
        super().connection_made(transport)
        if not self._ending:
            plain = cast("asyncio.Transport", transport)
            plain.pause_reading()
            self._handshake = asyncio.get_running_loop().create_task(self._shake(plain))

    async def _shake(self, plain: asyncio.Transport) -> None:
        loop, limit = asyncio.get_running_loop(), self._server.limits.message_s
        secure = None
        # Strangers send anything; whatever becomes of it, nobody but us is told.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            secure = await loop.start_tls(
                plain, self, self._context, server_side=True,
                ssl_handshake_timeout=limit, ssl_shutdown_timeout=limit,
            )  # fmt: skip
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

    def _take(self, data: bytes) -> None:
        """As over TCP, once the handshake is over."""
        if self._early is not None:
            self._early += data
        else:
            super()._take(data)

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
