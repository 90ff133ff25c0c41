"""What kazoo's connection thread waits with: as ``select.select``, for any descriptor and for TLS."""

from __future__ import annotations

import resource
import socket
import ssl
import threading
from collections.abc import Iterator
from fcntl import F_DUPFD, fcntl
from typing import Any

import pytest

from soadns.composition import zookeeper_settings
from soadns.settings.config import ZooKeeperConfig
from soadns.sources.zkclient import build, probe

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def handler() -> Any:
    return build(zookeeper_settings(ZooKeeperConfig(hosts="127.0.0.1:1"))).handler


def test_what_can_be_read_or_written_is_told(handler: Any, pair: Pair) -> None:
    ours, theirs = pair
    assert handler.select([ours], [], [], 0) == ([], [], [])
    assert handler.select([ours], [ours], [], 1) == ([], [ours], [])
    theirs.send(b"x")
    assert handler.select([ours, theirs], [ours], [], 1) == ([ours], [ours], [])


def test_a_peer_that_is_gone_can_be_read(handler: Any, pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert handler.select([ours], [], [], 5) == ([ours], [], [])


def test_descriptors_have_no_limit(handler: Any, pair: Pair) -> None:
    ours, theirs = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_048), hard))
    try:
        with socket.socket(fileno=fcntl(ours.fileno(), F_DUPFD, 1_500)) as high:
            theirs.send(b"x")
            assert handler.select([high], [], [], 1) == ([high], [], [])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_octets_that_tls_has_decrypted_already_are_not_waited_for(handler: Any, pair: Pair) -> None:
    """Two replies in one TLS record: the kernel has nothing left, and the second must not wait for a third."""
    ends: list[ssl.SSLSocket] = []
    shaking = threading.Thread(target=lambda: ends.append(_anonymous(pair[1], server=True)))
    shaking.start()
    ours = _anonymous(pair[0], server=False)
    shaking.join(5)
    (theirs,) = ends
    theirs.send(b"one, two")
    assert handler.select([ours], [], [], 5) == ([ours], [], [])
    assert ours.recv(4) == b"one,"
    assert handler.select([ours], [], [], 0) == ([ours], [], [])
    assert ours.recv(16) == b" two"
    assert handler.select([ours], [], [], 0) == ([], [], [])
    ours.close()
    theirs.close()


def _anonymous(sock: socket.socket, *, server: bool) -> ssl.SSLSocket:
    """TLS without certificates, which no default allows: a key in the repository would be one too many."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return context.wrap_socket(sock, server_side=server)


async def test_a_host_without_an_address_is_told_at_once() -> None:
    [(what, problem)] = await probe(
        zookeeper_settings(ZooKeeperConfig(hosts="zk1.invalid:2181,zk2.invalid:2181/apps"))
    )
    assert what == "connect to zk1.invalid:2181,zk2.invalid:2181/apps"
    assert problem.startswith("no address is known of zk1.invalid, zk2.invalid: check zookeeper[].hosts")
