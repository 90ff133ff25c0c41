"""etcd by the JSON of its gRPC gateway (``/v3``, since etcd 3.4): ranges, transactions, leases, tokens.

Owns connections, TLS and authentication, whose files may be renewed; goes from one endpoint to the next where one does
not answer; and translates everything that can go wrong into ``EtcdError``. Keys and values are base64 there, and 64-bit
numbers are text.

A request that is sent again after a connection broke may have been done already. So transactions must compare what
they stand on, as all of ours do: the second time they fail. A lease that nobody knows of ends by itself.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from soadns.figures import CredentialFigures
from soadns.logs import Log
from soadns.settings import credentials
from soadns.settings.renewed import Renewed
from soadns.skydns.settings import EtcdSettings

CONNECT_S = 2.0
ANSWER_S = 5.0
"""Seconds until one endpoint must have answered."""
MOST_OPERATIONS = 128
"""Of a transaction, by default (``--max-txn-ops``): so many comparisons, and so many operations of each branch."""
_INVALID, _COMPACTED, _UNAVAILABLE, _UNAUTHENTICATED = 3, 11, 14, 16
"""Codes of gRPC."""
_OLD_TOKEN = "revision of auth store is old"  # noqa: S105
"""Said with ``_INVALID`` of a token from before a change of users or roles."""


class EtcdError(Exception):
    """A request failed; the message says why. ``code`` is gRPC's, 0 where nobody answered."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code

    @property
    def compacted(self) -> bool:
        """Whether a revision is too old to be read."""
        return self.code == _COMPACTED


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it is."""

    key: str
    value: str
    created: int
    """Revision by which it came to be; 0 of none."""
    revision: int
    """Of its last change."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a range holds, or the beginning of it."""

    found: list[KeyValue]
    revision: int
    """Of the whole store, when it was read."""
    more: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition: the ``target`` (``MOD`` or ``CREATE``) revision of a key is this."""

    key: str
    target: str
    revision: int

    def plain(self) -> dict[str, Any]:
        """As the gateway wants it."""
        field = "mod_revision" if self.target == "MOD" else "create_revision"
        return {"key": _packed(self.key), "target": self.target, "result": "EQUAL", field: str(self.revision)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a transaction: whether all conditions held, and what its ranges found."""

    succeeded: bool
    revision: int
    pages: list[Page]


def put(key: str, value: str, lease: int = 0) -> dict[str, Any]:
    """An operation that writes a key."""
    return {"request_put": {"key": _packed(key), "value": _packed(value), "lease": str(lease)}}


def delete(key: str) -> dict[str, Any]:
    """One that deletes it."""
    return {"request_delete_range": {"key": _packed(key)}}


def read(key: str, end: str = "") -> dict[str, Any]:
    """One that reads a key, or from it to (without) an end."""
    return {"request_range": _range(key, end)}


@dataclass(slots=True)
class _Connections:
    """Those that shake hands with certificates of one time."""

    tls: ssl.SSLContext
    session: aiohttp.ClientSession
    requests: int = 0
    """Under way."""


class Etcd:
    """One client; to be closed. Renewed certificates hold for requests from then on, a password for tokens."""

    def __init__(self, settings: EtcdSettings, figures: CredentialFigures, *, log: Log) -> None:
        self._settings = settings
        self._endpoints = [endpoint.rstrip("/") for endpoint in settings.endpoints]
        file, tls = settings.password_file, (settings.ca, settings.cert, settings.key)
        self._password: Renewed[str] = Renewed(
            "skydns.passwordFile",
            [file],
            lambda: credentials.read(file) if file else "",
            "",
            figures,
            log=log,
        )
        self._tls: Renewed[ssl.SSLContext | None] = Renewed(
            "skydns.tls", tls, self._read_tls, None, figures, log=log
        )
        self._token = ""
        self._opened: _Connections | None = None

    async def close(self) -> None:
        """Close the connections."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.session.close()

    # ------------------------------------------------------------------ keys

    async def range(
        self, key: str, end: str = "", *, limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Page:
        """A key, or those from it to (without) an end, as of a revision (0: now), at most ``limit`` (0: all).

        :raises EtcdError: ``compacted`` where the revision is forgotten.
        """
        asked = {"limit": str(limit), "revision": str(revision), "keys_only": keys_only}
        return _page(await self._ask("/v3/kv/range", _range(key, end) | asked))

    async def transact(
        self,
        conditions: Iterable[Compare],
        then: Sequence[dict[str, Any]],
        otherwise: Sequence[dict[str, Any]] = (),
    ) -> Outcome:
        """All of ``then`` if all conditions hold, else all of ``otherwise``. Raises EtcdError."""
        compare = [each.plain() for each in conditions]
        body = {"compare": compare, "success": list(then), "failure": list(otherwise)}
        answer = await self._ask("/v3/kv/txn", body)
        try:
            replies = answer.get("responses", [])
            pages = [_page(each["response_range"]) for each in replies if "response_range" in each]
            return Outcome(bool(answer.get("succeeded")), int(answer["header"]["revision"]), pages)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise EtcdError("an answer that is none of etcd's") from None

    # ------------------------------------------------------------------ leases

    async def grant(self, seconds: int) -> int:
        """A lease that ends after so long without a sign of life; returns its number. Raises EtcdError."""
        return _number(await self._ask("/v3/lease/grant", {"TTL": str(seconds)}), "ID")

    async def keep_alive(self, lease: int) -> int:
        """For how many seconds a lease holds from now; 0: it is over. Raises EtcdError."""
        answer = await self._ask("/v3/lease/keepalive", {"ID": str(lease)})
        return _number(answer.get("result"), "TTL")

    async def revoke(self, lease: int) -> None:
        """End a lease, and delete its keys. Raises EtcdError."""
        await self._ask("/v3/lease/revoke", {"ID": str(lease)})

    # ------------------------------------------------------------------ requests

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._authorized(path, body)
        except EtcdError as error:
            old = error.code == _INVALID and _OLD_TOKEN in str(error)
            if not self._settings.username or not (old or error.code == _UNAUTHENTICATED):
                raise
            self._token = ""  # they end after some minutes, and with a restart
            return await self._authorized(path, body)

    async def _authorized(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self._settings.username and not self._token:
            asked = {"name": self._settings.username, "password": self._password()}
            self._token = str((await self._anywhere("/v3/auth/authenticate", asked)).get("token", ""))
        return await self._anywhere(path, body)

    async def _anywhere(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer of the first endpoint that gives one; the others are asked first no more."""
        for left in reversed(range(len(self._endpoints))):
            endpoint = self._endpoints[0]
            try:
                return await self._at(endpoint, path, body)
            except EtcdError as error:
                if error.code not in (0, _UNAVAILABLE):
                    raise
                self._endpoints.append(self._endpoints.pop(0))
                if not left:
                    raise EtcdError(f"{endpoint}: {error}", error.code) from None
        raise EtcdError("no endpoint")

    async def _at(self, endpoint: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": self._token} if self._token else {}
        try:
            async with (
                self._connections() as session,
                session.post(f"{endpoint}{path}", json=body, headers=headers) as response,
            ):
                answer = json.loads(await response.read())
                status = response.status
        except (
            aiohttp.ClientError,
            OSError,
            ValueError,
            RecursionError,
        ) as error:  # TimeoutError is an OSError
            raise EtcdError(_said(error)) from None
        if not isinstance(answer, dict):
            raise EtcdError("an answer that is none of etcd's")
        if status >= 300 or "error" in answer:
            raise _refusal(status, answer)
        return answer

    @contextlib.asynccontextmanager
    async def _connections(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Those to ask by. Those from before a change are closed when nobody waits for an answer there."""
        tls = self._tls()
        if tls is None:
            raise EtcdError("the files of skydns.tls can not be used")
        before = self._opened
        if before is None or before.tls is not tls:
            timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
            connector = aiohttp.TCPConnector(ssl=tls)
            self._opened = _Connections(tls, aiohttp.ClientSession(connector=connector, timeout=timeout))
            if before is not None and not before.requests:
                await before.session.close()
        opened = self._opened
        assert opened is not None
        opened.requests += 1
        try:
            yield opened.session
        finally:
            opened.requests -= 1
            if opened is not self._opened and not opened.requests:
                await opened.session.close()

    def _read_tls(self) -> ssl.SSLContext:
        """Raises OSError (also of OpenSSL) for files that can not be used."""
        context = ssl.create_default_context(cafile=self._settings.ca or None)
        if self._settings.cert:
            # An empty password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(self._settings.cert, self._settings.key, password="")
        return context


async def probe(settings: EtcdSettings, prefix: str, leader_key: str) -> list[tuple[str, str]]:
    """What was tried, and what is wrong with it (``''``: nothing); nothing is changed."""
    etcd, found = Etcd(settings, CredentialFigures(), log=lambda *_, **__: None), []
    try:
        for what, trial in (
            (f"read keys below {prefix}", etcd.range(f"{prefix}/", f"{prefix}0", limit=1, keys_only=True)),
            # etcd asks for the permissions of both branches, whatever the conditions say; no key is of revision -1.
            (f"write keys below {prefix}",
             etcd.transact([Compare(leader_key, "MOD", -1)], [put(leader_key, "")])),
        ):  # fmt: skip
            try:
                await trial
                found.append((what, ""))
            except EtcdError as error:
                found.append((what, str(error)))
    finally:
        await etcd.close()
    return found


def _refusal(status: int, answer: dict[str, Any]) -> EtcdError:
    """The gateway's words; those of a stream (``keepalive``) are one level deeper."""
    said = answer.get("error")
    told = said if isinstance(said, dict) else answer
    text = told.get("message") or (said if isinstance(said, str) else "") or f"HTTP {status}"
    code = told.get("code", told.get("grpc_code", 0))
    return EtcdError(str(text)[:300], code if isinstance(code, int) else 0)


def _number(answer: object, field: str) -> int:
    """A number of an answer, in which zero is left out."""
    try:
        return int(answer.get(field, 0))  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        raise EtcdError("an answer that is none of etcd's") from None


def _range(key: str, end: str) -> dict[str, Any]:
    return {"key": _packed(key)} | ({"range_end": _packed(end)} if end else {})


def _page(answer: dict[str, Any]) -> Page:
    try:
        found = [
            KeyValue(
                _unpacked(each["key"]),
                _unpacked(each.get("value", "")),
                int(each.get("create_revision", 0)),
                int(each.get("mod_revision", 0)),
            )
            for each in answer.get("kvs", [])
        ]
        return Page(found, int(answer["header"]["revision"]), bool(answer.get("more")))
    except (LookupError, TypeError, ValueError, AttributeError):
        raise EtcdError("an answer that is none of etcd's") from None


def _packed(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _unpacked(text: str) -> str:
    """Keys and values of others may be any octets."""
    return base64.b64decode(text).decode("utf-8", "surrogateescape")


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
