"""The certificates of the ADS server, read again when their files change.

As with DNS over TLS, one that was renewed holds for connections from then on, without a signal, and one that can not
be used leaves the one before in force; so it is with the CA of those who connect.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Any

import grpc

from soadns.figures import CredentialFigures
from soadns.logs import log
from soadns.settings.renewed import Renewed
from soadns.settings.sidecarconfig import AdsTlsConfig

LOOK_S = 5.0
"""How often files are looked at though nobody connects: what can not be used is to be known before it is needed."""


class Certificates:
    """PEM files of a chain, its key and the CA of clients, which may change at any time."""

    def __init__(self, settings: AdsTlsConfig, figures: CredentialFigures) -> None:
        """Read them. Raises OSError (of which ssl.SSLError is one)."""
        self._settings = settings
        self._paths = (settings.cert, settings.key, settings.ca)
        first = self._read()
        self._now = Renewed("sidecar.ads.tls", self._paths, self._read, first, figures, log=log)
        self._given = first
        """What gRPC has."""
        self._lock = threading.Lock()

    def credentials(self) -> Any:
        """What gRPC's server takes: it asks at every handshake, in a thread of its own."""
        return grpc.dynamic_ssl_server_credentials(
            self._given, self._refreshed, require_client_authentication=bool(self._settings.ca)
        )

    async def look(self) -> None:
        """Look at the files now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            with self._lock:
                self._now()

    def _refreshed(self) -> Any:
        """What gRPC is to have from now on; None: what it has."""
        with self._lock:
            found = self._now()
            if found is self._given:
                return None
            self._given = found
            return found

    def _read(self) -> Any:
        """Raises OSError where a file can not be read, or they do not belong together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._settings.cert, self._settings.key, password="")
        roots = None
        if self._settings.ca:
            context.load_verify_locations(self._settings.ca)
            roots = Path(self._settings.ca).read_bytes()
        chain, key = (Path(path).read_bytes() for path in self._paths[:2])
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots)
