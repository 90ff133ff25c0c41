"""TLS between replicas, from files that may be renewed: one side's certificate, and the other's CA."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from soadns.figures import CredentialFigures
from soadns.logs import Log
from soadns.settings.renewed import Renewed
from soadns.settings.stateconfig import PeersTlsConfig

LOOK_S = 5.0
"""How often files are looked at though nobody asks: what can not be used is to be known before it is needed."""


class PeerTls:
    """What one replica serves and asks with; ``asking`` and ``serving`` are None where that goes without TLS."""

    def __init__(self, settings: PeersTlsConfig, figures: CredentialFigures, *, log: Log) -> None:
        self._settings = settings
        self._asking: Renewed[ssl.SSLContext | None] | None = None
        self._shown: Renewed[ssl.SSLContext | None] | None = None
        self.serving: ssl.SSLContext | None = None
        if settings.ca:
            self._asking = Renewed(
                "state.peers.tls.ca", [settings.ca], self._authority, None, figures, log=log
            )
        if settings.cert:
            files = [settings.cert, settings.key]
            self._shown = Renewed("state.peers.tls.cert", files, self._pair, None, figures, log=log)
            self.serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.serving.minimum_version = ssl.TLSVersion.TLSv1_2
            self.serving.sni_callback = self._choose

    @property
    def wanted(self) -> bool:
        """Whether others are asked by TLS."""
        return self._asking is not None

    def asking(self) -> ssl.SSLContext | None:
        """What others are asked with now. Raises OSError while its CA can not be used."""
        if self._asking is None:
            return None
        context = self._asking()
        if context is None:
            raise OSError(f"{self._settings.ca} can not be used")
        return context

    async def look(self) -> None:
        """Look at the files now and then, until cancelled."""
        values: list[Callable[[], object]] = [
            each for each in (self._asking, self._shown) if each is not None
        ]
        while values:
            await asyncio.sleep(LOOK_S)
            for value in values:
                value()

    def _authority(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.ca)

    def _pair(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325
        # An empty password keeps OpenSSL from asking for one at the terminal.
        context.load_cert_chain(self._settings.cert, self._settings.key, password="")
        return context

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        """At each handshake, whether the client names a host or not: it goes on with the certificate of now."""
        assert self._shown is not None
        context = self._shown()
        if context is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        handshake.context = context
        return None
