"""DNS over TLS: asked by dig, kdig and CoreDNS; certificates that change; peers that do not keep to it."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differences.asking import wire_name
from tests.ports import free_port
from tests.scenarios.stage.nameservers import CoreDns
from tests.scenarios.stage.process import eventually, printed
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import ZONE, Soadns

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
    soadns.write_config(nameserver=soadns.settings["nameserver"] | {"workers": 1, "tls": tls})
    try:
        yield soadns.start(), port
    finally:
        soadns.stop()


def run(part: str, *arguments: str) -> str:
    done = printed(part, *arguments, within=20)
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


def authority(soadns: Soadns) -> Path:
    return Path(soadns.settings["nameserver"]["tls"]["cert"])


def test_dig_and_kdig_ask_by_tls(secured: tuple[Soadns, int]) -> None:
    soadns, port = secured
    asked = ["@127.0.0.1", "-p", str(port), "+tls", "+short", NAME]
    assert run("dig", *asked) == "10.96.1.7\n"
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
        eventually(lambda: soadns.logged("certificate-refused"), within=5.0)
        assert soadns.logged("certificate-refused", "tls.crt")
        (tmp_path / "first.crt").write_bytes(before["tls.crt"])
        assert serves(tmp_path / "first.crt")
        (files / "tls.key").write_bytes((tmp_path / "fresh" / "tls.key").read_bytes())
        assert eventually(lambda: serves(tmp_path / "fresh" / "tls.crt"), within=5.0)
        assert not serves(tmp_path / "first.crt")
        assert exchange(old)[:2] == QUESTION[:2], "connections that are there go on"
    finally:
        old.close()
        for name, octets in before.items():
            (files / name).write_bytes(octets)
    assert eventually(lambda: serves(files / "tls.crt"), within=5.0)


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
        began = time.monotonic()
        with connect(port, authority(soadns)) as sock:
            assert exchange(sock)[3] & 0xF == 0
        assert time.monotonic() - began < 2.0
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
