"""The door to ZooKeeper: the only importer of ``kazoo``. It never writes.

Builds clients (retry, TLS, auth), names what can go wrong, and tries an ensemble once for ``soadns check``.
What is read, and when, is ``soadns.sources.zookeeper``'s.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NoAuthError,
    NoNodeError,
    SessionExpiredError,
)
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.hosts import collect_hosts
from kazoo.protocol.states import KeeperState

from soadns.sources.zksettings import ZooKeeperSettings

__all__ = [
    "CONNECTION_ERRORS",
    "AuthFailedError",
    "KazooException",
    "KazooState",
    "KeeperState",
    "NoAuthError",
    "NoNodeError",
    "build",
    "children",
    "children_of_many",
    "close",
    "probe",
    "renew_key",
]

CONNECTION_ERRORS = (ConnectionLoss, ConnectionClosedError, SessionExpiredError)
"""What a request ends with because of the connection, not because of what was asked."""

BACKOFF_S = (0.1, 5.0)
"""First and longest delay between attempts to connect; kazoo's own default grows to an hour."""

PROBE_S = 8.0
"""How long ``probe`` waits for each answer."""

ASKED_S = 3.0
"""How long somebody who asked is kept waiting for an answer of ZooKeeper."""

logging.getLogger("kazoo").setLevel(logging.ERROR)
# What kazoo would say (connection dropped, session expired) the source says itself, once.


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, with a cheaper wait.

    Its own makes an epoll object for each of the five waits of a request, which is nearly half of what reading a
    large registry costs.
    """

    def select(
        self, rlist: Sequence[Any], wlist: Sequence[Any], xlist: Sequence[Any], timeout: float | None = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """As ``select.select`` without its limit of 1,024 descriptors; errors count as readable and writable."""
        del xlist  # the connection asks for none
        wanted: dict[int, int] = {}
        for sock in rlist:
            if isinstance(sock, ssl.SSLSocket) and sock.pending():
                return [sock], [], []  # decrypted already: the kernel has nothing to say of it
            wanted[sock.fileno()] = select.POLLIN
        for sock in wlist:
            wanted[sock.fileno()] = wanted.get(sock.fileno(), 0) | select.POLLOUT
        waits = select.poll()
        for descriptor, events in wanted.items():
            waits.register(descriptor, events)
        ready = dict(waits.poll(None if timeout is None else timeout * 1000))
        if not ready:
            return [], [], []
        readable = [s for s in rlist if ready.get(s.fileno(), 0) & ~select.POLLOUT]
        return readable, [s for s in wlist if ready.get(s.fileno(), 0) & ~select.POLLIN], []


def build(settings: ZooKeeperSettings) -> Any:
    """A client that is not started. It connects for ever, never slower than every five seconds."""
    tls = settings.tls
    retry = {"max_tries": -1, "delay": BACKOFF_S[0], "max_delay": BACKOFF_S[1], "backoff": 2}
    extra: dict[str, Any] = {}
    if tls is not None:
        extra = {
            "use_ssl": True,
            "verify_certs": True,
            "check_hostname": tls.check_hostname,
            "ca": tls.ca or None,
            "certfile": tls.cert or None,
            "keyfile": tls.key or None,
            "keyfile_password": tls.key_password,  # empty: OpenSSL does not ask at the terminal
        }
    return KazooClient(
        hosts=settings.hosts,
        handler=_Handler(),
        timeout=settings.session_timeout,
        read_only=settings.read_only,
        auth_data=[settings.auth] if settings.auth is not None else None,
        connection_retry=dict(retry),
        command_retry=dict(retry),
        **extra,
    )


def renew_key(client: Any, settings: ZooKeeperSettings) -> None:
    """Have connections from now on read the client's key with another password; all files are read each time."""
    if settings.tls is not None:
        client.keyfile_password = settings.tls.key_password


def children(client: Any, path: str) -> list[str]:
    """The children of a znode now, sorted; [] when it can not be read. Blocks."""
    try:
        return sorted(client.get_children_async(path).get(timeout=5))
    except (KazooException, TimeoutError, client.handler.timeout_exception):
        return []


def children_of_many(
    client: Any, paths: Iterable[str], *, in_flight: int
) -> Iterator[tuple[str, list[str], str]]:
    """The children of many znodes now: path, children, and why they could not be read. Blocks.

    A znode that is missing has none. So many questions are under way at once, and answers come in their order. When
    one does not come in time, the rest is not waited for.

    They are asked in portions, and it is the last answer of a portion that is waited for: to be woken for each of
    them costs this thread and kazoo's as much as the answer does.
    """
    coming = iter(paths)
    size = max(1, in_flight // 2)
    waiting: deque[list[tuple[str, Any]]] = deque()
    silent = ""
    while True:
        while size * (len(waiting) + 1) <= in_flight and (portion := list(islice(coming, size))):
            waiting.append([(path, None if silent else client.get_children_async(path)) for path in portion])
        if not waiting:
            return
        asked = waiting.popleft()
        if not silent:
            asked[-1][1].wait(ASKED_S)
        for path, result in asked:
            names, trouble = ([], silent) if silent else _children(client, result)
            silent = silent or (trouble if trouble == _NO_ANSWER else "")
            yield path, names, trouble


_NO_ANSWER = f"no answer within {ASKED_S:g} s"


def _children(client: Any, result: Any) -> tuple[list[str], str]:
    """What one question has ended with by now: children, and why there are none to show."""
    try:
        return list(result.get(block=False)), ""
    except NoNodeError:
        return [], ""
    except NoAuthError:
        return [], "no permission to read it (zookeeper[].auth)"
    except (TimeoutError, client.handler.timeout_exception):
        return [], _NO_ANSWER
    except KazooException as error:
        return [], f"can not be read: {type(error).__name__}"


def close(client: Any) -> None:
    """Stop a client and free what it holds. Blocks."""
    try:
        client.stop()
        client.close()
    except Exception:  # noqa: S110 - closing a broken connection may raise anything; it is over
        pass


async def probe(settings: ZooKeeperSettings) -> list[tuple[str, str]]:
    """Try an ensemble once: (what, problem or '') for the connection and every root."""
    client = build(settings)
    try:
        return await asyncio.to_thread(_probe, client, settings)
    finally:
        await asyncio.to_thread(close, client)


def _probe(client: Any, settings: ZooKeeperSettings) -> list[tuple[str, str]]:
    if unknown := _name_trouble(settings):
        return [(f"connect to {settings.hosts}", unknown)]
    connected = client.start_async()
    connected.wait(PROBE_S)
    if not client.connected:
        if client.client_state == KeeperState.AUTH_FAILED:
            return [(f"connect to {settings.hosts}", "the credentials were refused (zookeeper[].auth)")]
        reason = _tls_trouble(settings) or f"no server answered within {PROBE_S:g} s"
        return [(f"connect to {settings.hosts}", reason)]
    found = [(f"connect to {settings.hosts}", "")]
    for root in settings.roots:
        what = f"read {root.path}"
        try:
            client.get_children_async(root.path).get(timeout=PROBE_S)
        except NoNodeError:
            found.append((what, "it does not exist: check zookeeper[].roots and the chroot in hosts"))
        except NoAuthError:
            found.append((what, "no permission: set zookeeper[].auth to a user who may read it"))
        except (KazooException, client.handler.timeout_exception) as error:
            found.append((what, f"{type(error).__name__}: {error}"))
        else:
            found.append((what, ""))
    return found


def _name_trouble(settings: ZooKeeperSettings) -> str:
    """The hosts that have no address, where that is true of all of them."""
    unknown = []
    for host, port in collect_hosts(settings.hosts)[0]:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            unknown.append(host)
        else:
            return ""
    return f"no address is known of {', '.join(unknown)}: check zookeeper[].hosts and this machine's DNS"


def _tls_trouble(settings: ZooKeeperSettings) -> str:
    """Why TLS with a server fails, which kazoo keeps to itself; empty where that is not the trouble."""
    tls = settings.tls
    if tls is None:
        return ""
    context = ssl.create_default_context(cafile=tls.ca or None)
    context.check_hostname = tls.check_hostname
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key, password=tls.key_password)
    for host, port in collect_hosts(settings.hosts)[0]:
        try:
            with (
                socket.create_connection((host, port), timeout=2.0) as plain,
                context.wrap_socket(plain, server_hostname=host) as sock,
            ):
                sock.recv(1)  # with TLS 1.3 the server judges our certificate after the handshake
        except ssl.SSLCertVerificationError as error:
            return (
                f"TLS: the certificate of {host}:{port} is refused: {error.verify_message} (zookeeper[].tls)"
            )
        except ssl.SSLError as error:
            return f"TLS: {host}:{port} refuses: {error.reason} (zookeeper[].tls.cert)"
        except OSError:
            continue
    return ""
