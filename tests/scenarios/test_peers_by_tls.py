"""Replicas that give each other their snapshots by TLS: whom they trust, and that renewed files hold at once."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from soadns.settings import renewed
from soadns.settings.stateconfig import PeersTlsConfig
from tests.scenarios.stage.certificates import Authority
from tests.unit.mounted import Mounted
from tests.unit.test_peers import Street, file_of


@pytest.fixture
async def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    monkeypatch.setattr(renewed, "LOOK_S", 0.0)
    found = Street(tmp_path)
    yield found
    await found.close()


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    """Ours, and a stranger's."""
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder / "ours"), Authority(folder / "stranger")


def shown(authority: Authority, name: str) -> PeersTlsConfig:
    key, cert = authority.sign(name)
    return PeersTlsConfig(cert=str(cert), key=str(key))


def texts(authority: Authority, name: str) -> dict[str, str]:
    key, cert = authority.sign(name)
    return {"tls.crt": cert.read_text(), "tls.key": key.read_text()}


async def test_only_who_shows_a_certificate_of_the_ca_for_its_name_is_believed(
    street: Street, authorities: tuple[Authority, Authority]
) -> None:
    ours, stranger = authorities
    street.ca = str(ours.certificate)
    await street.replica(file_of("right"), tls=shown(ours, "right"), host="localhost")
    assert await street.find() == "right"
    assert street.given[0].snapshots_given == {"given": 1}
    street.hosts.clear()
    await street.replica(file_of("other"), tls=shown(stranger, "other"), host="localhost")
    assert await street.find() == ""
    await street.replica(file_of("away"), tls=shown(ours, "elsewhere"), host="127.0.0.1")
    assert await street.find() == ""
    await street.replica(file_of("plain"), host="localhost")
    assert await street.find() == ""
    asked = street.figures.snapshots_asked
    assert (asked["untrusted"], asked["silent"], asked["taken"]) == (5, 1, 1)
    assert any("not for 127.0.0.1" in line for line in street.log.lines), street.log.lines


async def test_who_asks_without_tls_gets_nothing(
    street: Street, authorities: tuple[Authority, Authority]
) -> None:
    await street.replica(file_of("right"), tls=shown(authorities[0], "only-tls"), host="localhost")
    assert await street.find() == ""
    assert street.given[0].snapshots_given == {}


async def test_renewed_files_hold_at_the_next_handshake_and_damaged_ones_do_not(
    street: Street, authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    ours, stranger = authorities
    secret = Mounted(tmp_path / "secret", **texts(ours, "first"))
    trusted = Mounted(tmp_path / "trusted", ca=ours.certificate.read_text())
    street.ca = trusted["ca"]
    await street.replica(
        file_of("right"),
        tls=PeersTlsConfig(cert=secret["tls.crt"], key=secret["tls.key"]),
        host="localhost",
    )
    served = street.given[0].credentials
    assert await street.find() == "right"
    secret.put(**texts(ours, "mixed") | {"tls.key": "no key"})
    assert await street.find() == "right"
    assert served.refused == {"state.peers.tls.cert": True}
    secret.put(**texts(stranger, "second"))
    assert await street.find() == ""
    assert served.refused == {"state.peers.tls.cert": False}
    trusted.put(ca="no certificate")
    assert await street.find() == ""
    assert street.figures.credentials.refused == {"state.peers.tls.ca": True}
    trusted.put(ca=stranger.certificate.read_text())
    assert await street.find() == "right"
    assert street.figures.snapshots_asked["untrusted"] == 2


async def test_whoever_names_no_host_is_shown_a_certificate_all_the_same(
    street: Street, authorities: tuple[Authority, Authority]
) -> None:
    await street.replica(file_of("right"), tls=shown(authorities[0], "unnamed"))
    host, _, port = street.hosts[0].rpartition(":")

    def shake() -> str:
        context = ssl.create_default_context(cafile=authorities[0].certificate)
        context.check_hostname = False
        with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain) as secure:
            return secure.version() or ""

    assert await asyncio.to_thread(shake) == "TLSv1.3"
