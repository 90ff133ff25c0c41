"""The certificates of the ADS server, read again when their files change.

As with DNS over TLS, one that was renewed holds for connections from then on, without a signal, and one that can not
be used leaves the one before in force; so it is with the CA of those who connect.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from pathlib import Path
from typing import Any

import grpc

from soadns.logs import log
from soadns.sidecarconfig import AdsTlsConfig


class Certificates:
    """PEM files of a chain, its key and the CA of clients, which may change at any time."""

    def __init__(self, settings: AdsTlsConfig) -> None:
        """Read them. Raises OSError (of which ssl.SSLError is one)."""
        self._settings = settings
        self._paths = (settings.cert, settings.key, settings.ca)
        self._seen = self._look()
        self._read_all()

    def credentials(self) -> Any:
        """What gRPC's server takes: it asks at every handshake, in a thread of its own."""
        first = self._read_all()
        return grpc.dynamic_ssl_server_credentials(
            first, self._refreshed, require_client_authentication=bool(self._settings.ca)
        )

    def _refreshed(self) -> Any:
        """The files' content where they changed and can be used; None: what was."""
        seen = self._look()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            found = self._read_all()
        except OSError as error:
            reason = error.strerror or "they can not be used"
            log("certificate-refused", level="error", cert=self._settings.cert, reason=reason)
            return None
        log("certificate-loaded", cert=self._settings.cert)
        return found

    def _read_all(self) -> Any:
        """Raises OSError where a file can not be read, or they do not belong together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._settings.cert, self._settings.key, password="")
        roots = None
        if self._settings.ca:
            context.load_verify_locations(self._settings.ca)
            roots = Path(self._settings.ca).read_bytes()
        chain, key = (Path(path).read_bytes() for path in self._paths[:2])
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots)

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_identity(path) for path in self._paths if path)


def _identity(path: str) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None
