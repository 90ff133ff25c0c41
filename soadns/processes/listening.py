"""Listening sockets: opened so that nobody else can have them, and errors that say what to do.

Standard library only.
"""

from __future__ import annotations

import errno
import socket

from soadns.addresses import print_address

ROOM = 4 << 20
"""Octets asked for the queue of a UDP socket: 10,000 questions as the kernel counts. Where it grants 208 KiB, 500."""


class ListenError(Exception):
    """An address can not be listened on; the message names the setting and what to do."""


def check_free(host: str, port: int, *, setting: str = "nameserver.listen", tcp_only: bool = False) -> None:
    """Raise ListenError when somebody holds the port: SO_REUSEPORT alone would share it silently."""
    if not port:
        return
    for kind in (socket.SOCK_STREAM,) if tcp_only else (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # As the socket itself will be: IPv4 on the same port is another one's, perhaps our own.
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise _listen_error(host, port, kind, error, setting) from None


def _listen_error(host: str, port: int, kind: int, error: OSError, setting: str) -> ListenError:
    name = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    where = (
        f"can not listen on {name} {print_address(host, port)}: {error.strerror}. Set {setting} to another "
    )
    if error.errno == errno.EADDRINUSE:
        return ListenError(
            f"{where}address, or find who holds it: ss -l{name[0].lower()}np 'sport = :{port}'"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ListenError(
            f"{where}port: those below net.ipv4.ip_unprivileged_port_start want CAP_NET_BIND_SERVICE"
        )
    return ListenError(f"{where}address, one of this host's: ip -brief address")


def bound(host: str, port: int, kind: int, *, setting: str = "nameserver.listen") -> socket.socket:
    """A socket at an address; a UDP one shares it with those of other workers. Raises ListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    elif port:
        # Not SO_REUSEADDR, which would let any user's process bind over ours.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # A burst that arrives while a worker is being replaced waits here.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _listen_error(host, port, kind, error, setting) from None
    return sock


def listening(host: str, port: int, backlog: int, *, setting: str = "nameserver.listen") -> socket.socket:
    """A TCP socket that listens, shared with nobody's. Raises ListenError."""
    sock = bound(host, port, socket.SOCK_STREAM, setting=setting)
    try:
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise _listen_error(host, port, socket.SOCK_STREAM, error, setting) from None
    return sock
