"""Passwords for ZooKeeper that are renewed while soadns runs: they hold without a reload, and no name goes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from tests.scenarios.reading import CONFIGURATORS, PROVIDERS, USER, leaf
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Callers, Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper
from tests.unit.mounted import Mounted

REFUSED = 'soadns_credentials_refused{setting="zookeeper/main"}'
SYNCED = 'soadns_source_in_sync{source="zookeeper/main/dubbo"}'
ONE, TWO, WRONG = "reader:one\n", "reader:two\n", "reader:three\n"


class Guarded:
    """A registry that nobody reads but ``reader``, and soadns with its password from a Secret."""

    def __init__(self, folder: Path, server: ZooKeeper, chroot: str, registry: KazooClient) -> None:
        self._registry = registry
        self._owner = make_digest_acl("owner", "secret", all=True)
        registry.add_auth("digest", "owner:secret")
        self._paths = ("/dubbo", f"/dubbo/{USER}", PROVIDERS, CONFIGURATORS)
        registry.ensure_path(PROVIDERS)
        registry.ensure_path(CONFIGURATORS)
        self.secret = Mounted(folder / "secret", credentials=ONE)
        auth = {"credentialsFile": self.secret["credentials"]}
        ensemble = {"hosts": f"{server.hosts}{chroot}", "auth": auth, "sessionTimeout": "4s"}
        self.soadns = Soadns(folder / "soadns", {"zookeeper": [ensemble]})

    def lets_in(self, credentials: str) -> None:
        """Only with these the registry can be read from now on."""
        reader = make_digest_acl(*credentials.strip().split(":"), read=True)
        for path in self._paths:
            self._registry.set_acls(path, [self._owner, reader])

    def registers(self, host: str) -> None:
        self._registry.create(f"{PROVIDERS}/{leaf(host)}", ephemeral=True)

    def renew(self, credentials: str) -> None:
        self.secret.put(credentials=credentials)

    @property
    def sessions(self) -> int:
        """How often soadns had trouble with the registry, as it has between two sessions."""
        return self.soadns.process.log.read_text().count("event=source-trouble")


@pytest.fixture
def guarded(tmp_path: Path, server: ZooKeeper, chroot: str, registry: KazooClient) -> Iterator[Guarded]:
    found = Guarded(tmp_path, server, chroot, registry)
    found.lets_in(ONE)
    found.registers("10.0.0.1")
    try:
        found.soadns.start()
        found.soadns.answers(USER, "10.0.0.1")
        yield found
    finally:
        found.soadns.stop()


def test_a_renewed_password_holds_at_once(guarded: Guarded) -> None:
    soadns = guarded.soadns
    with Callers(soadns, USER) as callers:
        guarded.lets_in(TWO)
        guarded.renew(TWO)
        assert eventually(lambda: soadns.logged("credentials-renewed", "what=zookeeper/main"), within=10.0)
        guarded.registers("10.0.0.2")
        soadns.answers(USER, "10.0.0.1", "10.0.0.2")
        assert eventually(lambda: soadns.metric(SYNCED) == 1, within=10.0)
    assert not callers.unharmed
    assert soadns.metric('soadns_credentials_reads_total{outcome="renewed",setting="zookeeper/main"}') == 1
    assert "reader:" not in soadns.process.log.read_text()


def test_what_is_no_password_leaves_the_old_one_in_force(guarded: Guarded) -> None:
    soadns, before = guarded.soadns, guarded.sessions
    guarded.renew("reader\n")
    assert eventually(lambda: soadns.metric(REFUSED) == 1, within=10.0)
    assert soadns.logged("credentials-refused", "what=zookeeper/main", "is no user:password")
    guarded.registers("10.0.0.2")
    soadns.answers(USER, "10.0.0.1", "10.0.0.2")
    guarded.renew(ONE)
    assert eventually(lambda: soadns.metric(REFUSED) == 0, within=10.0)
    guarded.registers("10.0.0.3")
    soadns.answers(USER, "10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert guarded.sessions == before, "the same password needs no other session"


def test_a_control_process_begins_without_one_and_connects_as_soon_as_it_is_there(guarded: Guarded) -> None:
    """Names are answered, and everything else of soadns works meanwhile; ``check`` and a reload refuse it."""
    soadns = guarded.soadns
    with Callers(soadns, USER) as callers:
        guarded.renew("\n")
        assert eventually(lambda: soadns.metric(REFUSED) == 1, within=10.0)
        before = soadns.child("_control")
        os.kill(before, signal.SIGKILL)
        assert eventually(
            lambda: soadns.logged("source-trouble", "credentials: is empty", "mend it"), within=30.0
        )
        assert eventually(lambda: soadns.metric(REFUSED) == 1, within=10.0)
        status, said = soadns.cli("reload")
        assert (bool(status), "credentials: is empty" in said) == (True, True)
        guarded.registers("10.0.0.2")
        soadns.keeps_answering(USER, "10.0.0.1", seconds=2.0)
        guarded.renew(ONE)
        soadns.answers(USER, "10.0.0.1", "10.0.0.2")
        assert eventually(lambda: soadns.metric(SYNCED) == 1 and soadns.metric(REFUSED) == 0, within=10.0)
    assert not callers.unharmed


def test_a_wrong_password_takes_no_name_and_the_right_one_holds_at_once(guarded: Guarded) -> None:
    soadns = guarded.soadns
    with Callers(soadns, USER) as callers:
        guarded.renew(WRONG)
        assert eventually(lambda: soadns.logged("source-trouble", "no permission to read it"), within=20.0)
        soadns.keeps_answering(USER, "10.0.0.1", seconds=2.0)
        guarded.renew(ONE)
        guarded.registers("10.0.0.2")
        soadns.answers(USER, "10.0.0.1", "10.0.0.2")
    assert not callers.unharmed
