"""What stands in files or the environment instead of the configuration, read and tried before anything starts."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from soadns.settings.config import AuthConfig, Config, TlsConfig
from soadns.settings.configfile import ConfigError
from soadns.settings.schema import Problem
from soadns.settings.skydnsconfig import SkydnsConfig


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


def of_bearer(path: str) -> str:
    """The token of a file, which fits into a header of HTTP (RFC 6750). Raises CredentialError."""
    text = read(path)
    if any(character < " " or character == "\x7f" for character in text):
        raise CredentialError(
            f"{path}: is more than one line, or has control characters; to make a token: openssl rand -hex 32"
        )
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


def of_tsig(path: str) -> str:
    """The shared secret of a key of TSIG, in base64. Raises CredentialError."""
    text = read(path)
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise CredentialError(f"{path}: is no base64; to make one: openssl rand -base64 32") from None
    return text


def of_skydns(skydns: SkydnsConfig) -> str:
    """The password of the user of etcd; empty where none is configured. Raises CredentialError."""
    return read(skydns.password_file) if skydns.password_file else ""


def check(config: Config, *, where: str) -> None:
    """Read every secret once. Raises ConfigError with all that can not be used; ``where`` is the file."""
    if found := list(problems(config)):
        raise ConfigError(where, found)


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
    for index, shared in enumerate(config.transfer.keys):
        try:
            of_tsig(shared.secret_file)
        except CredentialError as error:
            yield Problem(f"transfer.keys[{index}].secretFile", str(error))
    yield from _skydns(config.skydns)
    between = config.state.peers.tls
    yield from _files("state.peers.tls", between.ca, between.cert, between.key)
    tokens = {
        "http.tokenFile": config.http.token_file,
        "state.peers.tokenFile": config.state.peers.token_file,
    }
    for key, file in tokens.items():
        try:
            if file:
                of_bearer(file)
        except CredentialError as error:
            yield Problem(key, str(error))


def _skydns(skydns: SkydnsConfig) -> Iterator[Problem]:
    try:
        of_skydns(skydns)
    except CredentialError as error:
        yield Problem("skydns.passwordFile", str(error))
    yield from _files("skydns.tls", skydns.tls.ca, skydns.tls.cert, skydns.tls.key)


def _files(path: str, ca: str, cert: str, key: str) -> Iterator[Problem]:
    """What is wrong with a CA, and with a certificate whose key has no password; each may be ``''``."""
    missing = _readable(path, ca=ca, cert=cert, key=key)
    yield from missing
    if not missing:
        yield from _authority(path, ca)
        if cert:
            yield from _pair(path, cert, key, "", "is encrypted")


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
    yield from _authority(path, tls.ca)
    if tls.cert and tls.key:
        yield from _pair(path, tls.cert, tls.key, password, "wants another password (keyPasswordFile)")


def _authority(path: str, ca: str) -> Iterator[Problem]:
    """Whether a file holds certificates."""
    try:
        if ca:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
    except ssl.SSLError:
        yield Problem(f"{path}.ca", f"{ca}: holds no PEM certificate")


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
