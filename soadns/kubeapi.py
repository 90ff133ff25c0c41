"""The Kubernetes API server as raw bytes, by ``kubernetes.aio``, which ``kubeconfig`` tells where and as whom.

Owns connection, authentication and TLS, paged lists, watches as lines, and the
translation of everything that can go wrong into :class:`ApiError` or :class:`KubeConfigError`. It decodes nothing
but error bodies and never touches the client's models: decoding is for callers. Small on purpose, so that plain
aiohttp could take its place in a day.

Credentials rotate: the kubeconfig or service account is loaded again every few minutes and after each 401 (token
files, exec plugins, certificates alike); requests in flight keep the client they began with. However many wait for new
ones, they are asked for once, and all hear what came of it.

Invariant: no method retries; one place per task decides that, and it is not here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from kubernetes.aio.client.exceptions import OpenApiException

from soadns import __version__, kubeconfig
from soadns.kubeconfig import KubeConfigError as KubeConfigError

PAGE_LIMIT = 500
"""Objects per page of a list, as client-go and kubectl ask: bounds the memory of one answer."""

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one watch event. etcd refuses objects beyond 1.5 MiB (``--max-request-bytes``)."""

RELOAD_S = 300.0
"""Age at which credentials are loaded again. Projected service account tokens are renewed by the kubelet at
80 % of their life (at least 8 minutes of the minimal 10)."""

CONNECT_S = 5.0
ANSWER_S = 30.0
"""Seconds until an ordinary request must be answered in full, and a watch by its headers."""
RETRY_AFTER_S = 30.0
"""The longest wait that a server may ask for (``Retry-After``): what stands in between may ask for a day."""


class ApiError(Exception):
    """A request failed.

    ``status`` is the HTTP status, 0 when there was no answer. ``message`` is one sentence, from the server where it
    said something. ``retry_after`` is what the server asks for, in seconds up to ``RETRY_AFTER_S``. ``broken``:
    the answer had begun well, and its connection broke.
    """

    def __init__(self, status: int, message: str, *, retry_after: float = 0.0, broken: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self.broken = broken


class Resource(NamedTuple):
    """A kind of object as the API server addresses it."""

    kind: str
    plural: str
    group: str = ""
    """``''`` is the core group."""
    version: str = "v1"
    namespaced: bool = True

    def path(self, namespace: str = "") -> str:
        """Path of its collection, in one namespace or in all (``''``)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


class KubeApi:
    """One API server, seen with one identity.

    :param kubeconfig: path of a kubeconfig file; ``''`` takes the pod's service account.
    :param context: context of the kubeconfig; ``''`` takes its current one.
    :param clock: monotonic seconds, for the age of credentials.
    """

    def __init__(
        self, *, kubeconfig: str = "", context: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._clock = clock
        self._client: _Client | None = None
        self._loading: asyncio.Task[None] | None = None

    async def list_page(
        self, resource: Resource, *, namespace: str = "", selector: str = "", more: str = ""
    ) -> bytes:
        """One page of a list, as of now; ``more`` is the token of the page before.

        :raises ApiError: 410 when the token is too old: the list must start again.
        """
        query = {"limit": str(PAGE_LIMIT), "labelSelector": selector, "continue": more}
        return await self.get(resource.path(namespace), query)

    async def watch(
        self,
        resource: Resource,
        *,
        version: str,
        namespace: str = "",
        selector: str = "",
        timeout_s: int,
        idle_s: float,
    ) -> AsyncGenerator[bytes, None]:
        """Lines of one watch from ``version`` on, until the server ends it after about ``timeout_s``.

        The first item is empty: the server has accepted the watch.

        :param idle_s: seconds without a byte after which the connection is given up.
        :raises ApiError: also in the middle; 410 when the version is too old.
        """
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_s),
            "labelSelector": selector,
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=idle_s)
        async with self._request("GET", resource.path(namespace), query, timeout=timeout) as response:
            yield b""
            async for line in _lines(response.content):
                yield line

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, within: float = ANSWER_S
    ) -> bytes:
        """The body of one GET.

        :param within: seconds until it must be answered.
        :raises ApiError: when it fails.
        """
        async with self._request("GET", path, query or {}, within=within) as response:
            return await response.read()

    async def post(self, path: str, body: Mapping[str, object], *, within: float = ANSWER_S) -> bytes:
        """The body of the answer to one POST of JSON: what creates an object, with 409 when it exists.

        :param within: seconds until it must be answered.
        :raises ApiError: when it fails.
        """
        async with self._request("POST", path, {}, body=dict(body), within=within) as response:
            return await response.read()

    async def put(self, path: str, body: Mapping[str, object], *, within: float = ANSWER_S) -> bytes:
        """The body of the answer to one PUT of JSON: what replaces an object.

        With a ``resourceVersion`` in its metadata only that version of it is replaced.

        :param within: seconds until it must be answered.
        :raises ApiError: 409 when the object is another version by now.
        """
        async with self._request("PUT", path, {}, body=dict(body), within=within) as response:
            return await response.read()

    async def apply(
        self, path: str, body: Mapping[str, object], *, manager: str, dry_run: bool = False
    ) -> bytes:
        """The body of the answer to one server-side apply: the object as it is then.

        :param manager: owner of the fields; what others own is taken over.
        :param dry_run: have it checked by everything on its way, and not kept.
        :raises ApiError: when it fails; 409 when ``resourceVersion`` is given and is not the object's.
        """
        query = {"fieldManager": manager, "force": "true", "dryRun": "All" if dry_run else ""}
        kind = "application/apply-patch+yaml"  # of which JSON is a part
        async with self._request("PATCH", path, query, body=dict(body), kind=kind) as response:
            return await response.read()

    async def delete(self, path: str, *, uid: str) -> None:
        """Delete one object, if it is still the one with that UID.

        :raises ApiError: 404 when it is gone, 409 when it is another one.
        """
        options: dict[str, object] = {
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}
        }  # fmt: skip
        async with self._request("DELETE", path, {}, body=options) as response:
            await response.read()

    async def close(self) -> None:
        """Close the connections. Requests in flight fail."""
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.cancel()
            await asyncio.wait({loading})
        client, self._client = self._client, None
        if client is not None:
            await client.api.close()

    # ------------------------------------------------------------------ requests

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: dict[str, object] | None = None,
        kind: str = "application/json",
        within: float = ANSWER_S,
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109 - handed to aiohttp
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answered request with status below 300; everything else, in the body too, is an ApiError.

        The headers must come ``within`` these seconds, and the body as well, unless ``timeout`` says otherwise.
        """
        timeout = timeout or aiohttp.ClientTimeout(total=within, sock_connect=min(within, CONNECT_S))
        client = await self._acquire(within)
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(within):
                response = await client.send(method, path, query, body, kind, timeout)
                if response.status >= 300:
                    raise _refusal(response, await response.read())
            yield response
        except ApiError as error:
            if error.status == 401:
                client.stale = True
            raise
        except (aiohttp.ClientError, OpenApiException, OSError, ValueError) as error:
            # TimeoutError is an OSError; ValueError covers what aiohttp and yarl say of unusable URLs.
            broken = response is not None and not isinstance(error, TimeoutError)
            raise ApiError(0, _transport(error), broken=broken) from error
        finally:
            if response is not None:
                response.close()
            await client.release()

    async def _acquire(self, within: float) -> _Client:
        """The current client, loaded again when its credentials are old or were refused.

        :raises KubeConfigError: also where they do not come ``within`` these seconds.
        """
        while (client := self._client) is None or self._is_old(client):
            await self._loaded(within)
        client.users += 1
        return client

    def _is_old(self, client: _Client) -> bool:
        return client.stale or self._clock() - client.loaded >= RELOAD_S

    async def _loaded(self, within: float) -> None:
        """Wait for new credentials, as everybody else does: one that waits no longer changes nothing for others."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(self._has_loaded)
        loading = self._loading
        done, _ = await asyncio.wait({loading}, timeout=within if within < kubeconfig.CREDENTIALS_S else None)
        if not done:
            where = self._kubeconfig or "in-cluster configuration"
            raise KubeConfigError(f"{where}: no credentials within {within:g} s")
        if loading.cancelled():
            raise ApiError(0, "the connections were closed")
        loading.result()

    async def _load(self) -> None:
        fresh = _Client(await kubeconfig.load(self._kubeconfig, self._context), self._clock())
        client, self._client = self._client, fresh
        if client is not None:
            await client.retire()

    def _has_loaded(self, loading: asyncio.Task[None]) -> None:
        if self._loading is loading:
            self._loading = None
        if not loading.cancelled():
            loading.exception()  # which nobody may be waiting for any more


class _Client:
    """An API client with the credentials of one moment, closed when replaced and no longer used."""

    def __init__(self, api: Any, loaded: float) -> None:
        self.api = api
        self.loaded = loaded
        self.users = 0
        self.stale = False
        self._retired = False
        api.user_agent = f"soadns/{__version__}"

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: dict[str, object] | None,
        kind: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - handed to aiohttp
    ) -> aiohttp.ClientResponse:
        _, url, headers, content, _ = await self.api.param_serialize(
            method,
            path,
            query_params=[(name, value) for name, value in query.items() if value],
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self.api.call_api(method, url, headers, content, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        return response

    async def release(self) -> None:
        self.users -= 1
        if self._retired and not self.users:
            await self.api.close()

    async def retire(self) -> None:
        self._retired = True
        if not self.users:
            await self.api.close()


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Non-empty lines, however the chunks are cut. Linear in the bytes read.

    :raises ApiError: on a line longer than ``MAX_LINE``.
    """
    parts: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line = b"".join((*parts, end))
            parts, size = [], 0
            if line.strip():
                yield line
        if rest:
            parts.append(rest)
            size += len(rest)
        if size > MAX_LINE:
            raise ApiError(0, f"a watch event is longer than {MAX_LINE >> 20} MiB")


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> ApiError:
    """The server's own words where the body is a Status (meta/v1), else the reason phrase."""
    message = ""
    try:
        status = json.loads(body)
        if isinstance(status, dict):
            message = str(status.get("message") or "")
    except (ValueError, RecursionError):
        pass
    try:
        asked = float(response.headers.get("Retry-After", 0))
        retry_after = min(asked, RETRY_AFTER_S) if asked > 0 else 0.0  # 0 for NaN, too
    except ValueError:  # the date form of RFC 9110 10.2.3; the API server sends seconds
        retry_after = 1.0
    text = " ".join((message or response.reason or "no reason given").split())
    return ApiError(response.status, text[:300], retry_after=retry_after)


def _transport(error: Exception) -> str:
    """One sentence for a request that got no answer."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300]
