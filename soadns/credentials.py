"""What stands in files or the environment instead of the configuration, read and tried before anything starts."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from soadns.config import AuthConfig, Config, TlsConfig
from soadns.schema import Problem


class CredentialError(Exception):
    """A secret that can not be used; the message says why, without it."""


def read(path: str) -> str:
    """The text of a secret's file. Raises CredentialError."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise CredentialError(f"{path}: {reason}") from None
    if not text:
        raise CredentialError(f"{path}: is empty")
    return text


def of_auth(auth: AuthConfig) -> str:
    """The credentials of an ensemble; empty where none are configured. Raises CredentialError."""
    if auth.credentials_file:
        where, text = auth.credentials_file, read(auth.credentials_file)
    elif auth.credentials_env:
        where, text = auth.credentials_env, os.environ.get(auth.credentials_env, "").strip()
        if not text:
            raise CredentialError(f"{where}: is empty")
    else:
        return ""
    user, colon, password = text.partition(":")
    if auth.scheme == "digest" and not (user and colon and password):
        raise CredentialError(f"{where}: is no user:password")
    return text


def of_key(tls: TlsConfig) -> str:
    """The password of a client's key; empty where none is configured. Raises CredentialError."""
    return read(tls.key_password_file) if tls.key_password_file else ""


def problems(config: Config) -> Iterator[Problem]:
    """Everything that can not be used."""
    for index, ensemble in enumerate(config.zookeeper):
        path = f"zookeeper[{index}]"
        try:
            of_auth(ensemble.auth)
        except CredentialError as error:
            key = "credentialsFile" if ensemble.auth.credentials_file else "credentialsEnv"
            yield Problem(f"{path}.auth.{key}", str(error))
        if ensemble.tls.enabled:
            yield from _tls(f"{path}.tls", ensemble.tls)
    served = config.nameserver.tls
    if served.listen:
        yield from _readable("nameserver.tls", cert=served.cert, key=served.key) or _pair(
            "nameserver.tls", served.cert, served.key, "", "is encrypted"
        )
    if config.http.token_file:
        try:
            read(config.http.token_file)
        except CredentialError as error:
            yield Problem("http.tokenFile", str(error))


def _tls(path: str, tls: TlsConfig) -> Iterator[Problem]:
    missing = _readable(path, ca=tls.ca, cert=tls.cert, key=tls.key)
    yield from missing
    try:
        password = of_key(tls)
    except CredentialError as error:
        yield Problem(f"{path}.keyPasswordFile", str(error))
        return
    if missing:
        return
    try:
        if tls.ca:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(tls.ca)
    except ssl.SSLError:
        yield Problem(f"{path}.ca", f"{tls.ca}: holds no PEM certificate")
    if tls.cert and tls.key:
        yield from _pair(path, tls.cert, tls.key, password, "wants another password (keyPasswordFile)")


def _readable(path: str, **files: str) -> list[Problem]:
    found = []
    for key, file in files.items():
        try:
            if file:
                Path(file).read_bytes()
        except OSError as error:
            found.append(Problem(f"{path}.{key}", f"{file}: {error.strerror}"))
    return found


def _pair(path: str, cert: str, key: str, password: str, otherwise: str) -> Iterator[Problem]:
    """Whether a key belongs to a certificate and can be read."""
    try:
        # An empty password keeps OpenSSL from asking for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=password)
    except ssl.SSLError:
        yield Problem(f"{path}.key", f"{key}: is not the PEM key of {cert}, or {otherwise}")
