"""A running soadns, asked over its HTTP API: what the command line's verbs stand on. Standard library only.

Whatever goes wrong becomes a :class:`ClientError` that says where was asked, what came back and what to do.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

TIMEOUT_S = 10.0
SILENCE_S = 50.0
"""Streams break their silence every fifteen seconds."""
PAGE = 1_000
PIECE = 1 << 16
NAMES = 4_000
"""Octets of names in one request line; the server takes 8190 of it."""
IN_FORCE_S = 120.0
"""How long a control process may take to follow another one (it reads the snapshot before)."""
AGAIN_S = 0.1
_BROKEN = (OSError, ValueError, http.client.HTTPException)
"""What urllib and http.client raise where nobody answers, or something else than HTTP, or half of it."""


class StreamEvent(NamedTuple):
    """One event of a stream."""

    name: str
    id: str
    data: dict[str, Any]


class ClientError(Exception):
    """No usable answer. ``unreachable`` tells "nobody runs there" from a refusal, ``usage`` that nobody was asked."""

    def __init__(self, message: str, *, unreachable: bool = False, usage: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Client:
    """The API at ``url``, e.g. ``http://127.0.0.1:8053``; ``token_file`` holds the bearer token, if any."""

    url: str
    token_file: str = ""
    _open: urllib.request.OpenerDirector = field(
        # A proxy of the environment is meant for the world outside, not for a probe of this host.
        default_factory=lambda: urllib.request.build_opener(urllib.request.ProxyHandler({})),
        repr=False,
    )

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON of one GET, also that of a 404 (an unknown name is an answer). Raises ClientError."""
        return self._ask(_with(path, query), None)

    def stream(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """The octets of one GET, in pieces, as they come. Raises ClientError, also when they end too soon."""
        request = self._request(_with(path, query), None)
        begun = False
        try:
            with self._open.open(request, timeout=TIMEOUT_S) as response:
                begun = True
                while piece := response.read(PIECE):
                    yield piece
                if response.length:  # of which this kind of reading says nothing
                    raise http.client.IncompleteRead(b"", response.length)
        except urllib.error.HTTPError as error:
            raise ClientError(self._refusal(error.code, self._rest(error))) from None
        except _BROKEN as error:
            if begun:
                raise ClientError(f"{self.url} stopped in the middle: what came is not all of it") from None
            raise self._silent(error) from None

    def events(self, path: str, query: Mapping[str, str], *, last: str = "") -> Iterator[StreamEvent]:
        """Server-sent events as they come, until the stream ends; ``last`` is the id of the last one that is known.

        Raises ClientError, also when the stream is silent for longer than it may be.
        """
        request = self._request(_with(path, query), None)
        if last:
            request.add_header("Last-Event-ID", last)
        begun = False
        try:
            with self._open.open(request, timeout=SILENCE_S) as response:
                begun = True
                fields: dict[str, str] = {}
                for line in response:
                    name, _, value = line.decode().rstrip("\r\n").partition(": ")
                    if name:
                        fields[name] = value
                    elif "data" in fields:
                        data = self._decode(fields["data"].encode())
                        yield StreamEvent(fields.get("event", ""), fields.get("id", ""), data)
                        fields = {}
        except urllib.error.HTTPError as error:
            raise ClientError(self._refusal(error.code, self._rest(error))) from None
        except _BROKEN as error:
            if begun:
                raise ClientError(f"{self.url} stopped in the middle of a stream: {_reason(error)}") from None
            raise self._silent(error) from None

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The JSON of the answer to one POST. Raises ClientError."""
        return self._ask(path, json.dumps(body).encode())

    def interfaces(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``/v1/interfaces``, its pages put together: ``items`` and ``waiting``. Raises ClientError."""
        items: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get("/v1/interfaces", {**query, "limit": str(PAGE), "after": after})
            items += page["items"]
            after = page["next"] or ""
            if not after:
                return {"items": items, "waiting": page["waiting"]}

    def direct_urls(
        self, query: Mapping[str, str], also: Collection[str], progress: Callable[[int, int], None]
    ) -> dict[str, Any]:
        """``/v1/directurls``, its pages put together. Raises ClientError.

        ``also`` are interfaces that are looked at whoever calls them, beside those that the query asks for;
        ``progress`` is told how many names of the others were looked at, of how many.
        """
        pages: list[dict[str, Any]] = []
        if any(query.get(key) for key in ("application", "everyone", "interface")) or not also:
            looked = 0
            for page in self._pages("/v1/directurls", query):
                pages.append(page)
                looked += page["looked"]
                progress(looked, page["names"])
        found = {row["key"] for page in pages for row in page["items"]}
        pages += self.standing(query, [name for name in also if name not in found])
        return _together(pages)

    def standing(self, query: Mapping[str, str], names: Sequence[str]) -> list[dict[str, Any]]:
        """Pages of ``/v1/directurls`` with ``names``: these alone, in as many requests as they take."""
        lists = _lists(names)
        return [page for each in lists for page in self._pages("/v1/directurls", {**query, "names": each})]

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            page = self.get(path, {**query, "limit": str(PAGE), "after": after})
            if "error" in page:  # no such zone
                raise ClientError(f"{self.url}: {page['error']}")
            yield page
            after = page["next"] or ""
            if not after:
                return

    def survey(self, query: Mapping[str, str], progress: Callable[[int, int], None]) -> dict[str, Any]:
        """``/v1/survey``, its pages put together. Raises ClientError.

        ``progress`` is told how many names were looked at, of how many.
        """
        whole: dict[str, Any] = {"items": [], "unread": [], "callersUnread": 0}
        outside: dict[tuple[str, str], dict[str, Any]] = {}
        ruled: dict[str, dict[str, Any]] = {}
        looked = 0
        for page in self._pages("/v1/survey", query):
            for key in whole:
                whole[key] += page[key]
            outside |= {(row["application"] or "", row["address"]): row for row in page["outside"]}
            ruled |= {row["application"]: row for row in page["ruled"]}
            looked += page["looked"]
            progress(looked, page["names"])
        whole["ruled"] = [ruled[name] for name in sorted(ruled)]
        rows = [outside[caller] for caller in sorted(outside)]
        return {"zone": page["zone"], "callersRead": page["callersRead"], **whole, "outside": rows}

    def envoy_filters(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``/v1/envoyfilters``, its pages put together. Raises ClientError."""
        pages = list(self._pages("/v1/envoyfilters", query))
        return {**pages[-1], "items": [item for page in pages for item in page["items"]]}

    def reload(self, *, accept_removals: bool) -> dict[str, Any]:
        """What became of a reload, once the new configuration is in force. Raises ClientError."""
        done = self.post("/v1/reload", {"acceptRemovals": accept_removals})
        deadline = time.monotonic() + IN_FORCE_S
        while time.monotonic() < deadline:
            try:
                # Whoever asks between two control processes waits for the next.
                if self.get("/v1/reload") != {"since": done["since"]}:
                    return done
            except ClientError as error:
                if not error.unreachable:
                    raise
            time.sleep(AGAIN_S)
        raise ClientError(
            f"{self.url}: the configuration was taken, but is not in force after {IN_FORCE_S:g} s. The log of "
            "soadns says what keeps it; answers go on as before meanwhile"
        )

    def _request(self, path: str, body: bytes | None) -> urllib.request.Request:
        if not self.url.startswith(("http://", "https://")) or not _host(self.url):
            raise ClientError(f"{self.url}: expected http://ADDRESS:PORT (--url, SOADNS_URL)", usage=True)
        request = urllib.request.Request(f"{self.url}{path}", body)  # noqa: S310 - checked above
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self.token_file:
            request.add_header("Authorization", f"Bearer {self._token()}")
        return request

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        request = self._request(path, body)
        try:
            with self._open.open(request, timeout=TIMEOUT_S) as response:
                return self._decode(response.read())
        except urllib.error.HTTPError as error:
            said = self._rest(error)
            if error.code == 404 and request.get_method() == "GET" and not _says_no_path(said):
                return self._decode(said)
            raise ClientError(self._refusal(error.code, said)) from None
        except _BROKEN as error:
            raise self._silent(error) from None

    def _rest(self, error: urllib.error.HTTPError) -> bytes:
        """What an error says. Raises ClientError where that is cut."""
        try:
            with error:
                return error.read()
        except _BROKEN as broken:
            raise self._silent(broken) from None

    def _silent(self, error: Exception) -> ClientError:
        return ClientError(f"no soadns answers at {self.url}: {_reason(error)}", unreachable=True)

    def _token(self) -> str:
        try:
            token = Path(self.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            text = f"the token file {self.token_file} can not be read: {reason}"
            raise ClientError(text, usage=True) from None
        if any(character < " " or character == "\x7f" for character in token):
            # What http.client would say of it has the token in it.
            text = f"the token file {self.token_file} is more than one line, or has control characters"
            raise ClientError(text, usage=True)
        return token

    def _decode(self, body: bytes) -> dict[str, Any]:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise ClientError(f"{self.url} answers, but it is no soadns: no JSON came back", unreachable=True)
        return data

    def _refusal(self, status: int, body: bytes) -> str:
        try:
            said = str(json.loads(body)["error"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return f"{self.url} answers HTTP {status}, which is no answer of soadns"
        if status == 401:
            return f"{self.url} refused: {said}\nGive it with --token-file FILE, or SOADNS_TOKEN_FILE"
        return f"{self.url}: {said}" if status == 404 else said


def _together(pages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pages of direct URLs as one: by interface, then by group; each caller once."""
    items = {row["key"]: row for page in pages for row in page["items"]}
    outside = {(row["address"], row["application"]): row for page in pages for row in page["outside"]}
    return {
        "zone": pages[-1]["zone"],
        "callersRead": all(page["callersRead"] for page in pages),
        "roots": pages[-1]["roots"],
        "items": [items[key] for key in sorted(items, key=lambda key: key.rpartition("/")[::-2])],
        "outside": [outside[caller] for caller in sorted(outside, key=str)],
        "unread": list(dict.fromkeys(text for page in pages for text in page["unread"])),
    }


def _lists(names: Sequence[str]) -> list[str]:
    """Comma lists of the names, none of them longer than ``NAMES`` in a URL unless it is a single name."""
    found: list[list[str]] = []
    room = 0
    for name in names:
        size = len(urllib.parse.quote_plus(f"{name},"))
        if not found or size > room:
            found.append([])
            room = NAMES
        found[-1].append(name)
        room -= size
    return [",".join(each) for each in found]


def _reason(error: Exception) -> str:
    """What went wrong, in the operating system's words and without its number."""
    if isinstance(error, http.client.IncompleteRead):
        return "the answer ended too soon"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return "what answers there does not speak HTTP"
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner)


def _with(path: str, query: Mapping[str, str] | None) -> str:
    parameters = {name: value for name, value in (query or {}).items() if value}
    return f"{path}?{urllib.parse.urlencode(parameters)}" if parameters else path


def _host(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.hostname or "" if parts.port != 0 else ""
    except ValueError:  # a port or a bracket that is none
        return ""


def _says_no_path(body: bytes) -> bool:
    return b'"no such path' in body
