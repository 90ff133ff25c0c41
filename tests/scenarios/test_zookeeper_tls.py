"""A ZooKeeper that speaks TLS and wants a client certificate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.scenarios.stage.certificates import Authority
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper, close
from tests.unit.mounted import Mounted

USER = "com.alipay.user.UserService"


class Secured:
    """The server with its certificates; applications still come in over the plain port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.authority = Authority(folder / "authority")
        self.stranger = Authority(folder / "stranger")
        key, certificate = self.authority.sign("server")
        store = folder / "server.pem"
        store.write_text(key.read_text() + certificate.read_text())
        self.key, self.certificate = self.authority.sign("client", password="open-sesame")
        self.password, self.wrong_password = folder / "password", folder / "wrong-password"
        self.password.write_text("open-sesame\n")
        self.wrong_password.write_text("close-sesame\n")
        self.server = ZooKeeper(
            folder / "zookeeper",
            f"secureClientPort={self.port}",
            "secureClientPortAddress=127.0.0.1",
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
            f"ssl.keyStore.location={store}",
            "ssl.keyStore.type=PEM",
            "ssl.trustStore.type=PEM",
            f"ssl.trustStore.location={self.authority.certificate}",
        )

    def settings(self, *, host: str = "localhost", **tls: Any) -> dict[str, Any]:
        """An ensemble entry that works, with some keys of its tls section changed."""
        section = {
            "enabled": True,
            "ca": str(self.authority.certificate),
            "cert": str(self.certificate),
            "key": str(self.key),
            "keyPasswordFile": str(self.password),
        }
        entry = {"hosts": f"{host}:{self.port}", "tls": section | tls, "sessionTimeout": "2s"}
        return {"zookeeper": [entry]}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    found = Secured(tmp_path_factory.mktemp("tls"))
    try:
        found.server.start()
        client = found.server.client()
        url = "dubbo%3A%2F%2F10.9.0.1%3A20880%2Fcom.alipay.user.UserService"
        client.create(f"/dubbo/{USER}/providers/{url}", makepath=True)
        close(client)
        yield found
    finally:
        found.server.stop()


def test_names_of_a_registry_behind_tls_are_answered(secured: Secured, tmp_path: Path) -> None:
    soadns = Soadns(tmp_path / "soadns", secured.settings())
    try:
        soadns.start()
        soadns.answers(USER, "10.9.0.1")
        assert "open-sesame" not in soadns.process.log.read_text()
    finally:
        soadns.stop()


def test_a_renewed_key_with_another_password_holds_for_the_next_connection(
    secured: Secured, tmp_path: Path
) -> None:
    def files(name: str, password: str) -> dict[str, str]:
        key, certificate = secured.authority.sign(name, password=password)
        return {"key": key.read_text(), "cert": certificate.read_text(), "keyPasswordFile": password}

    secret = Mounted(tmp_path / "secret", **files("before", "first"))
    tls = {name: secret[name] for name in ("key", "cert", "keyPasswordFile")}
    soadns = Soadns(tmp_path / "soadns", secured.settings(**tls))
    try:
        soadns.start()
        soadns.answers(USER, "10.9.0.1")
        secret.put(**files("after", "second"))
        assert eventually(lambda: soadns.logged("credentials-renewed", "what=zookeeper/main"), within=10.0)
        assert not soadns.logged("source-trouble", "connection lost"), "what is encrypted already stays so"
        secured.server.stop()
        assert eventually(lambda: soadns.logged("source-trouble", "connection lost"), within=30.0)
        secured.server.start()
        assert eventually(
            lambda: soadns.metric('soadns_source_in_sync{source="zookeeper/main/dubbo"}') == 1, within=60.0
        )
        soadns.answers(USER, "10.9.0.1")
    finally:
        soadns.stop()


WRONG = """
host      | changed                             | soadns check says
localhost | {}                                  | ok
127.0.0.1 | {"checkHostname": false}            | ok
127.0.0.1 | {}                                  | the certificate of 127.0.0.1:@PORT is refused: IP address mismatch
localhost | {"ca": "@STRANGER"}                  | the certificate of localhost:@PORT is refused: unable to get local issuer certificate
localhost | {"cert": "", "key": "", "keyPasswordFile": ""} | localhost:@PORT refuses: SSLV3_ALERT_BAD_CERTIFICATE
localhost | {"ca": "/nowhere"}                  | zookeeper[0].tls.ca: /nowhere: No such file or directory
localhost | {"ca": "@PASSWORD"}                  | zookeeper[0].tls.ca: @PASSWORD: holds no PEM certificate
localhost | {"keyPasswordFile": ""}             | zookeeper[0].tls.key: @KEY: is not the PEM key of @CERT, or wants another password
localhost | {"keyPasswordFile": "@WRONG"}        | zookeeper[0].tls.key: @KEY: is not the PEM key of @CERT, or wants another password
localhost | {"keyPasswordFile": "/dev/null"}    | zookeeper[0].tls.keyPasswordFile: /dev/null: is empty
localhost | {"cert": "@STRANGER"}                | zookeeper[0].tls.key: @KEY: is not the PEM key of @STRANGER
"""  # noqa: E501 - one row, one line


@pytest.mark.parametrize("row", WRONG.strip().splitlines()[1:])
def test_what_is_wrong_with_tls_is_said(secured: Secured, tmp_path: Path, row: str) -> None:
    words = {
        "PORT": secured.port, "STRANGER": secured.stranger.certificate, "WRONG": secured.wrong_password,
        "PASSWORD": secured.password, "KEY": secured.key, "CERT": secured.certificate,
    }  # fmt: skip
    host, changed, expected = (cell.strip() for cell in row.split("|"))
    for word, meant in words.items():
        changed, expected = (text.replace(f"@{word}", str(meant)) for text in (changed, expected))
    soadns = Soadns(tmp_path / "soadns", secured.settings(host=host, **json.loads(changed)))
    status, text = soadns.cli("check")
    assert status == (0 if expected == "ok" else 2 if expected.startswith("zookeeper[0]") else 1), text
    assert expected in text
