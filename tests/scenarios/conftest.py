"""The stage of each scenario. ZooKeeper and the API server are shared by all of them and restarted where a story
kills them; each story has a chroot and a namespace for itself."""

from __future__ import annotations

import random
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.scenarios.stage.kubernetes import ApiServer, Etcd
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Stage, story
from tests.scenarios.stage.zookeeper import ZooKeeper, close

HERE = Path(__file__).parent
SHARED = HERE / "mesh"
"""The stories here share a town, and take longest: begun late, they would leave other workers without work at the end.
All other files take some minutes at most."""
APART = SHARED / "test_writer.py"
"""But this one, which has a town of its own."""
assert APART.exists()


class Stories(LoadScopeScheduling):
    """What stays whole and in order when several stories are told at a time: a file, or all that share a town."""

    def _split_scope(self, nodeid: str) -> str:
        return _whole(self.config.rootpath / nodeid.partition("::")[0])


def _whole(file: Path) -> str:
    return str(SHARED if file.parent == SHARED and file != APART else file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Stories:
    return Stories(config, log)


def pytest_configure() -> None:
    """Who ends a run by SIGTERM is answered as by Ctrl-C: every server of a story is ended with it. What runs here is
    asked past proxies."""
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell without job control makes what it runs in the background deaf to Ctrl-C, and all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories are handed out in this order."""
    items.sort(key=lambda item: _whole(item.path) != str(SHARED))


@pytest.fixture(scope="session")
def zookeeper_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    server = ZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(zookeeper_server: ZooKeeper) -> Iterator[ZooKeeper]:
    """The ZooKeeper, for tests that have no stage; it runs again afterwards, whatever they did to it."""
    zookeeper_server.start()
    yield zookeeper_server
    zookeeper_server.start()


@pytest.fixture
def chroot(server: ZooKeeper, request: pytest.FixtureRequest) -> str:
    return f"/{request.node.name.replace('/', '-')[:60]}-{random.getrandbits(32):x}"


@pytest.fixture
def registry(server: ZooKeeper, chroot: str) -> Iterator[KazooClient]:
    """A client that writes, below a chroot of the test's own, with an empty /dubbo."""
    client = server.client(timeout=10.0)
    client.ensure_path(f"{chroot}/dubbo")
    client.chroot = chroot
    yield client
    close(client)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    etcd = Etcd(tmp_path_factory.mktemp("etcd"))
    server = ApiServer(tmp_path_factory.mktemp("kube-apiserver"), etcd)
    try:
        server.start()
        yield server
    finally:
        server.kill()  # its graceful end waits for watches; the data goes with the folder
        etcd.process.kill()


@pytest.fixture
def stage(zookeeper_server: ZooKeeper, api_server: ApiServer, tmp_path: Path) -> Iterator[Stage]:
    """ZooKeeper and Kubernetes."""
    with story(tmp_path, zookeeper=zookeeper_server, api=api_server) as told:
        yield told


@pytest.fixture
def registry_stage(zookeeper_server: ZooKeeper, tmp_path: Path) -> Iterator[Stage]:
    """ZooKeeper alone."""
    with story(tmp_path, zookeeper=zookeeper_server, api=None) as told:
        yield told


@pytest.fixture
def cluster_stage(api_server: ApiServer, tmp_path: Path) -> Iterator[Stage]:
    """Kubernetes alone."""
    with story(tmp_path, zookeeper=None, api=api_server) as told:
        yield told


@pytest.fixture(scope="session")
def showcased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soadns]:
    """soadns over the example files and some long answers; its zone never changes."""
    soadns = showcase(tmp_path_factory.mktemp("showcase"))
    try:
        yield soadns.start()
    finally:
        soadns.stop()
