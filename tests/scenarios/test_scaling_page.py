"""``docs/scaling.md`` from top to bottom: each command is typed, each configuration is used as it is shown, with real
Knot, BIND, CoreDNS and etcd. Only addresses, ports and paths are those of here.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dns.tsig
import pytest
import yaml

from tests.ports import free_port
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.kubernetes import Etcd
from tests.scenarios.stage.pages import DOCS, block
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.programs import of_parts
from tests.scenarios.stage.secondaries import KEY_NAME, CoreDnsSecondary, KnotSecondary, Named, content
from tests.scenarios.stage.skydns import CoreDnsOfEtcd, keys_below, token_of
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import Stage

PAGE = (DOCS / "scaling.md").read_text(encoding="utf-8")
USER = "com.alipay.user.UserService"
NAME = f"{USER}.{ZONE}."
BLOCKS = re.findall(r"^```(.*?)\n(.*?)^```$", PAGE, re.M | re.S)
WAYS = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml config"]
"""The configurations: zone transfer, etcd."""
COMMANDS = [
    line.partition("    #")[0]
    for language, text in BLOCKS
    if language in ("", "sh")
    for line in text.splitlines()
]
ADMINISTRATOR = "root:root"


class Shell:
    """Where the page's commands are typed, from the first to the last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._left = list(COMMANDS)
        self._places: dict[str, str] = {}
        programs = folder / "bin"
        of_parts(programs, "openssl", "dig", "etcdctl")
        self._env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "ETCDCTL_API": "3"}

    def here(self, **variables: str) -> None:
        """Environment variables of what is typed from now on."""
        self._env |= variables

    def instead(self, shown: str, real: object) -> None:
        """What stands on the page is this here."""
        self._places[shown] = str(real)

    def type(self, begin: str, *, by: Soadns | None = None) -> str:
        """The next command, which begins so; what it prints."""
        line = self._left.pop(0)
        assert line.startswith(begin), f"the page goes on with {line}"
        if by is not None:
            status, text = by.cli(*shlex.split(line)[1:])
            assert status == 0, text
            return text
        for shown, real in self._places.items():
            line = line.replace(shown, real)
        done = subprocess.run(
            line, shell=True, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def ended(self) -> bool:
        """Whether the page has no further command."""
        return not self._left


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_the_page_holds_from_top_to_bottom(registry_stage: Stage, tmp_path: Path, servers: ExitStack) -> None:
    shell = Shell(tmp_path / "shell")
    machine = registry_stage.machine()
    machine.registers(USER)

    # Secondaries.
    shell.type("openssl rand")
    secret = (shell.folder / "transfer.key").read_text(encoding="utf-8").strip()
    primaries, told = [free_port(), free_port()], [free_port(), free_port()]
    replicas = [_replica(registry_stage, shell, primary, told) for primary in primaries]
    for replica in replicas:
        replica.start()
    followers = [
        KnotSecondary(tmp_path / "knot", ZONE, primaries, port=told[0], secret=secret),
        Named(tmp_path / "named", ZONE, primaries, port=told[1], secret=secret),
        CoreDnsSecondary(tmp_path / "coredns", ZONE, primaries),
    ]
    for server in followers:
        servers.callback(server.stop)
        server.start()
    for server in followers:
        asked = eventually(lambda at=server.port: dig(at, NAME, "A").data, within=60.0)
        assert asked == (machine.host,), server.name

    shell.instead("-p 1054", f"-p {primaries[0]}")
    [key] = re.findall(r"^key .*?^};\n", block("scaling.md", "named.conf"), re.M | re.S)
    (shell.folder / "transfer.conf").write_text(key.replace("SECRET", secret), encoding="utf-8")
    serial = int(shell.type("dig @127.0.0.1 -p 1054 rpc.cluster.local SOA").split()[2])
    transferred = shell.type("dig @127.0.0.1 -p 1054 -k transfer.conf")
    assert re.search(rf"^{re.escape(NAME)}\s+\d+\s+IN\s+A\s+{machine.host}$", transferred, re.M), transferred
    given = [content(each, ZONE, key=dns.tsig.Key(KEY_NAME, secret, "hmac-sha256")) for each in primaries]
    assert serial == given[0][0]
    assert content(followers[0].port, ZONE) in given

    # etcd.
    etcd = Etcd(tmp_path / "etcd")
    servers.callback(etcd.process.stop)
    etcd.start()
    password = tmp_path / "etcd-password"
    password.write_text("s3cret\n", encoding="utf-8")
    shell.here(ETCDCTL_ENDPOINTS=etcd.url)
    shell.instead(WAYS[1]["skydns"]["passwordFile"], password)
    for begin in (
        "etcdctl role add",
        "etcdctl role grant-permission",
        "etcdctl user add",
        "etcdctl user grant-role",
    ):
        shell.type(begin)
    name, _, word = ADMINISTRATOR.partition(":")
    etcd.post("/v3/auth/user/add", {"name": name, "password": word})
    etcd.post("/v3/auth/role/add", {"name": "root"})
    etcd.post("/v3/auth/user/grant", {"user": name, "role": "root"})
    etcd.post("/v3/auth/enable", {})
    writer = registry_stage.soadns_not_started(skydns=_publishing(etcd, password))
    status, text = writer.cli("check")
    assert status == 0, text
    writer.start()
    resolver = CoreDnsOfEtcd(
        tmp_path / "resolver", ZONE, etcd, cached=True, credentials="credentials root root"
    )
    servers.callback(resolver.stop)
    resolver.start()
    found = eventually(lambda: dig(resolver.port, NAME, "A", patience_s=6).data, within=60.0)
    assert found == (machine.host,), resolver.process.tail()

    assert "no removal is pending" in shell.type("soadns release", by=writer)
    shell.here(ETCDCTL_USER=ADMINISTRATOR)
    keys = shell.type("etcdctl get --prefix").splitlines()[::2]
    assert f"/skydns/local/cluster/rpc/userservice/user/alipay/com/A{machine.host}" in keys
    assert shell.ended
    writer.write_config(skydns=_publishing(etcd, password) | {"mode": "clear"})
    status, text = writer.cli("reload")
    assert status == 0, text
    assert eventually(lambda: writer.logged("skydns-cleared"), within=30.0)
    assert keys_below(etcd, token=token_of(etcd, name, word)) == {}


def _replica(stage: Stage, shell: Shell, port: int, told: list[int]) -> Soadns:
    """With the page's section ``transfer``."""
    transfer: dict[str, Any] = WAYS[0]["transfer"]
    [key] = transfer["keys"]
    assert len(transfer["notify"]) == len(told)
    changes = {
        "listen": [f"127.0.0.1:{port}"],
        "keys": [key | {"secretFile": str(shell.folder / "transfer.key")}],
        "allow": ["127.0.0.1/32"],
        "notify": [f"127.0.0.1:{each}" for each in told],
    }
    assert changes.keys() == transfer.keys()
    return stage.soadns_not_started(transfer=transfer | changes)


def _publishing(etcd: Etcd, password: Path) -> dict[str, Any]:
    """The page's section ``skydns``, at an etcd without TLS."""
    section = {key: value for key, value in WAYS[1]["skydns"].items() if key != "tls"}
    return section | {"endpoints": [etcd.url], "passwordFile": str(password)}
