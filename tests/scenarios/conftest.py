"""The stage of each scenario. ZooKeeper and the API server are shared by all of them and restarted where a story
kills them; each story has a chroot and a namespace for itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.scenarios.stage.kubernetes import ApiServer, Etcd
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import ZooKeeper


def pytest_configure() -> None:
    """Who ends a run by SIGTERM is answered as by Ctrl-C: every server of a story is ended with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell without job control makes what it runs in the background deaf to Ctrl-C, and all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@contextmanager
def story(folder: Path, *, zookeeper: ZooKeeper | None, api: ApiServer | None) -> Iterator[Stage]:
    """A stage over servers that run at its beginning and again at its end, whatever the story did to them."""
    servers = [server for server in (zookeeper, api) if server is not None]
    for server in servers:
        server.start()
    stage = Stage(folder, zookeeper=zookeeper, api=api)
    with ExitStack() as last_to_first:
        last_to_first.callback(stage.end)
        for server in servers:
            last_to_first.callback(server.start)
        yield stage


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
