"""DNS over TLS: asked by dig, kdig and CoreDNS; certificates that change; peers that do not keep to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from soadns.nameserver.responder import Responder
from soadns.nameserver.table import Table
from soadns.nameserver.tcp import TcpServer
from soadns.nameserver.tls import Certificate
from tests.differences.asking import wire_name
from tests.ports import free_port
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.process import eventually, printed
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.unit.leavings import left
from tests.unit.waiting import soon

NAME = f"com.alipay.user.UserService.{ZONE}"
QUESTION = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + wire_name(NAME) + b"\0\1\0\1"


def certificate(folder: Path, name: str) -> None:
    """A key and a certificate for this host name, signed by itself."""
    folder.mkdir(exist_ok=True)
    printed(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
        "-keyout", folder / "tls.key", "-out", folder / "tls.crt", env={"OPENSSL_CONF": "/dev/null"},
    ).check_returncode()  # fmt: skip


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Soadns, int]]:
    """soadns that speaks TLS as ``soadns.test``, and the port."""
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder / "secret", "soadns.test")
    soadns = showcase(folder)
    port = free_port()
    files = {"cert": str(folder / "secret" / "tls.crt"), "key": str(folder / "secret" / "tls.key")}
    tls = {"listen": [f"127.0.0.1:{port}"], **files}
    settings = {"workers": 1, "tls": tls, "identity": "--one"}  # which looks like an option of a worker's
    soadns.write_config(nameserver=soadns.settings["nameserver"] | settings)
    try:
        yield soadns.start(), port
    finally:
        soadns.stop()


def run(part: str, *arguments: str) -> str:
    done = printed(part, *arguments, within=60)
    return done.stdout + done.stderr


def connect(port: int, authority: Path, name: str = "soadns.test") -> ssl.SSLSocket:
    """A connection whose certificate was verified."""
    context = ssl.create_default_context(cafile=str(authority))
    sock = socket.create_connection(("127.0.0.1", port), timeout=10.0)
    return context.wrap_socket(sock, server_hostname=name)


def exchange(sock: ssl.SSLSocket, question: bytes = QUESTION) -> bytes:
    sock.sendall(struct.pack("!H", len(question)) + question)
    length = struct.unpack("!H", receive(sock, 2))[0]
    return receive(sock, length)


def receive(sock: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, "closed"
        data += piece
    return data


def ended(sock: socket.socket) -> bool:
    """Whether the other side has closed the connection."""
    sock.setblocking(False)
    with suppress(BlockingIOError):
        return not sock.recv(1, socket.MSG_PEEK)
    return False


def authority(soadns: Soadns) -> Path:
    return Path(soadns.settings["nameserver"]["tls"]["cert"])


def test_dig_and_kdig_ask_by_tls(secured: tuple[Soadns, int]) -> None:
    soadns, port = secured
    asked = ["@127.0.0.1", "-p", str(port), "+tls", "+short", NAME]
    assert run("dig", *asked) == "10.96.1.7\n"
    assert run("dig", *asked[:-1], "id.server", "TXT", "CH") == '"--one"\n'
    ca = f"+tls-ca={authority(soadns)}"
    verified = run("kdig", "@127.0.0.1", "-p", str(port), ca, "+tls-hostname=soadns.test", NAME)
    assert "status: NOERROR" in verified
    assert re.search(r"^;; TLS session \(TLS1\.3\)", verified, re.M), verified
    refused = run("kdig", "@127.0.0.1", "-p", str(port), ca, "+tls-hostname=other.test", "+retry=0", NAME)
    assert "status: NOERROR" not in refused


def test_many_questions_on_one_connection_and_a_long_answer(secured: tuple[Soadns, int]) -> None:
    soadns, port = secured
    wide = b"\x56\x78\0\0\0\1\0\0\0\0\0\0" + wire_name(f"_tcp._tcp.com.acme.Wide.{ZONE}") + b"\0\x21\0\1"
    with connect(port, authority(soadns)) as sock:
        assert sock.selected_alpn_protocol() is None
        framed = b"".join(struct.pack("!H", len(q)) + q for q in [QUESTION, wide] * 50)
        sock.sendall(framed)
        sizes = []
        for _ in range(100):
            length = struct.unpack("!H", receive(sock, 2))[0]
            sizes.append(len(receive(sock, length)))
    assert set(sizes[::2]) == {len(QUESTION) + 16}
    assert min(sizes[1::2]) > 1500


def test_coredns_forwards_by_tls(secured: tuple[Soadns, int], tmp_path: Path) -> None:
    soadns, port = secured
    corefile = (
        f"{ZONE}:{{port}} {{\n bind 127.0.0.1\n forward . tls://127.0.0.1:{port} {{\n"
        f"  tls {authority(soadns)}\n  tls_servername soadns.test\n }}\n}}\n"
    )
    server = CoreDns(tmp_path / "coredns", ZONE, corefile)
    try:
        server.start()
        for _ in range(3):
            assert run("dig", "@127.0.0.1", "-p", str(server.port), "+short", NAME) == "10.96.1.7\n"
    finally:
        server.stop()


def test_who_does_not_trust_the_certificate_and_who_does_not_speak_tls_are_counted_apart(
    secured: tuple[Soadns, int], tmp_path: Path
) -> None:
    soadns, port = secured

    def failures() -> tuple[float, ...]:
        family = "soadns_dns_tls_handshake_failures_total"
        return tuple(soadns.metric(f'{family}{{reason="{why}"}}') for why in ("alert", "protocol"))

    def after_distrust() -> tuple[float, ...]:
        before, _ = failures()
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, tmp_path / "another" / "tls.crt")
        return eventually(failures, within=10.0, until=lambda found: found[0] > before)

    certificate(tmp_path / "another", "soadns.test")
    alerts, others = after_distrust()  # what others left is counted with it
    assert after_distrust() == (alerts + 1, others)
    alerts += 1
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as plain:
        plain.sendall(struct.pack("!H", len(QUESTION)) + QUESTION)
        while plain.recv(4096):
            pass
    told = eventually(failures, within=10.0, until=lambda found: found[1] > others)
    assert told == (alerts, others + 1)


def test_a_renewed_certificate_holds_for_new_connections_and_a_bad_one_never(
    secured: tuple[Soadns, int], tmp_path: Path
) -> None:
    soadns, port = secured
    files = authority(soadns).parent
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    old = connect(port, authority(soadns))
    certificate(tmp_path / "fresh", "soadns.test")

    def serves(path: Path) -> bool:
        try:
            with connect(port, path) as sock:
                return bool(exchange(sock)[:2] == QUESTION[:2])
        except ssl.SSLError:
            return False

    try:
        # Half of a renewal is none: the key does not fit.
        (files / "tls.crt").write_bytes((tmp_path / "fresh" / "tls.crt").read_bytes())
        eventually(lambda: soadns.logged("credentials-refused"), within=20.0)
        assert soadns.logged("credentials-refused", "what=nameserver.tls", "tls.crt")
        refused = 'soadns_credentials_refused{setting="nameserver.tls"}'
        assert eventually(lambda: soadns.metric(refused) == 1, within=10.0)
        (tmp_path / "first.crt").write_bytes(before["tls.crt"])
        assert serves(tmp_path / "first.crt")
        (files / "tls.key").write_bytes((tmp_path / "fresh" / "tls.key").read_bytes())
        assert eventually(lambda: serves(tmp_path / "fresh" / "tls.crt"), within=20.0)
        assert not serves(tmp_path / "first.crt")
        assert exchange(old)[:2] == QUESTION[:2], "connections that are there go on"
        assert eventually(lambda: soadns.metric(refused) == 0, within=10.0)
    finally:
        old.close()
        for name, octets in before.items():
            (files / name).write_bytes(octets)
    assert eventually(lambda: serves(files / "tls.crt"), within=20.0)


def test_a_worker_that_begins_amid_a_bad_renewal_answers_and_speaks_tls_after_it(
    secured: tuple[Soadns, int],
) -> None:
    soadns, port = secured
    chain = authority(soadns)
    good = chain.read_bytes()
    chain.write_bytes(good[:200])
    try:
        before = soadns.child("nameserver.worker")
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda: soadns.child("nameserver.worker") != before, within=5.0)
        soadns.answers("com.alipay.user.UserService", "10.96.1.7")
    finally:
        chain.write_bytes(good)

    def speaks() -> bool:
        with contextlib.suppress(OSError), connect(port, chain) as sock:
            return bool(exchange(sock)[:2] == QUESTION[:2])
        return False

    assert eventually(speaks, within=5.0)


def test_a_connection_costs_a_worker_little_memory(secured: tuple[Soadns, int]) -> None:
    soadns, port = secured
    memory, open_now = 'soadns_worker_memory_bytes{worker="0"}', 'soadns_dns_tcp_connections{worker="0"}'
    assert eventually(lambda: soadns.metric(open_now) == 0, within=20.0)
    before, held = soadns.metric(memory), []
    try:
        for _ in range(200):
            held.append(connect(port, authority(soadns)))
            exchange(held[-1])
        assert eventually(lambda: soadns.metric(open_now) == 200, within=10.0)
        assert (soadns.metric(memory) - before) / 200 < 64 * 1024
    finally:
        for sock in held:
            sock.close()


@pytest.mark.parametrize("ends", ["close_notify", "fin", "rst", "short"])
async def test_a_connection_that_has_ended_leaves_nothing_for_the_collector(
    secured: tuple[Soadns, int], ends: str
) -> None:
    soadns, _ = secured
    settings = soadns.settings["nameserver"]["tls"]
    held, server = Certificate(settings["cert"], settings["key"]), TcpServer()
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await server.start(sock, Responder(Table(), stream=True), held.connection)

    def ask() -> None:
        with connect(port, authority(soadns)) as client:
            assert exchange(client)[3] & 0xF == 5, "refused: there is no zone"
            if ends == "close_notify":
                client.unwrap()
            elif ends == "rst":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif ends == "short":
                client.sendall(b"\0\0")
                assert client.recv(10) == b""

    await asyncio.to_thread(ask)
    await soon(lambda: not server.connections)
    with left() as found:
        for _ in range(2):
            await asyncio.to_thread(ask)
        await soon(lambda: not server.connections)
        await asyncio.sleep(0.05)
    await server.drain(0.0)
    # The peer is in this process, too: its certificates are read into cycles of their own.
    assert not set(found) & {
        "_SelectorSocketTransport",
        "SSLProtocol",
        "TlsConnection",
        "Task",
        "Future",
        "SSLObject",
    }


def test_who_does_not_speak_tls_is_closed_and_holds_nobody_up(secured: tuple[Soadns, int]) -> None:
    soadns, port = secured
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10.0) as plain:
            plain.sendall(struct.pack("!H", len(QUESTION)) + QUESTION)
            told = plain.recv(4096)
            assert QUESTION[12:20] not in told, "nothing is answered in the clear"
            while told:
                told = plain.recv(4096)
        with connect(port, authority(soadns)) as sock:
            assert exchange(sock)[3] & 0xF == 0
        assert not any(map(ended, silent)), "who is answered has waited for nobody to be given up"
        connections = 'soadns_dns_tcp_connections{worker="0"}'
        assert eventually(lambda: soadns.metric(connections) >= 20, within=5.0), "handshakes count"
    finally:
        for sock in silent:
            sock.close()


def test_the_end_is_orderly(secured: tuple[Soadns, int]) -> None:
    soadns, port = secured
    with connect(port, authority(soadns)) as sock:
        assert exchange(sock)[:2] == QUESTION[:2]
        sock.sendall(b"\0\0")  # ends the connection
        assert sock.recv(10) == b"", "close_notify, not a reset"
