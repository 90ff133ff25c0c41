"""The client programs themselves: each calls its provider by the registry, and by a direct URL."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.driving import INTERFACES, SCRIPTS, USER, Consumer, Provider
from tests.ports import free_port
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.riders import CONNECTIONS_EACH
from tests.scenarios.stage.zookeeper import ZooKeeper

DUBBO = [
    ("dubbo-2.6.12", "dubbo"), ("dubbo-2.7.23", "dubbo"), ("dubbo-3.2.16", "dubbo"), ("dubbo-3.2.16", "tri"),
    ("dubbo-3.3.5", "dubbo"), ("dubbo-3.3.5", "tri"),
]  # fmt: skip
SOFARPC = ["sofarpc-5.6.0", "sofarpc-5.12.0"]
NODE = "sofa-rpc-node-2.10.0"
INNER = "com.example.shop.Outer$InnerService"
ONCE_ONLY, BY_DEFAULT = "com.example.dubbo.ByTwoUrls", "com.example.dubbo.ByTwoNames"


class Shop:
    """Programs of one test, in folders of their own; they are gone afterwards.

    Each test has a part of the registry for itself, since those that were killed stand there until their sessions end.
    """

    def __init__(self, registry: str, folder: Path, ending: ExitStack) -> None:
        self._registry = registry
        self._root = f"shop-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._ending = ending
        self._numbers = itertools.count(1)
        self.port = free_port()

    def provider(self, program: str, *more: str, interfaces: Sequence[str] = INTERFACES) -> Provider:
        provider = Provider(
            program, "p1", registry=self._registry_of(program), bind="127.0.0.1", port=self.port,
            folder=self._folder / "provider", interfaces=interfaces, more=more, java=self._java(),
        )  # fmt: skip
        self._ending.callback(provider.kill)
        provider.ready()
        return provider

    def consumer(self, program: str, *, java: Sequence[str] = ()) -> Consumer:
        consumer = Consumer(
            program, registry=self._registry_of(program), folder=self._folder / f"consumer-{next(self._numbers)}",
            java=[*self._java(), *java],
        )  # fmt: skip
        self._ending.callback(consumer.kill)
        return consumer

    def _registry_of(self, program: str) -> str:
        if program in SCRIPTS:
            return "none"
        if program in SOFARPC:
            return f"{self._registry}/{self._root}"
        # Java puts `sofa-rpc` behind a path, and Node does not.
        return f"{self._registry}/{self._root}/sofa-rpc" if program == NODE else self._registry

    def _java(self) -> list[str]:
        return [f"-Ddubbo.registry.group={self._root}"]


@pytest.fixture
def shop(server: ZooKeeper, tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as ending:
        yield Shop(server.hosts, tmp_path, ending)


def assert_connected(consumer: Consumer, port: int, expected: int) -> None:
    """So many connections, and calls are right over each of them."""
    found = eventually(lambda: consumer.connections(port), within=10.0, until=lambda count: count == expected)
    assert found == expected
    for _ in range(2 * CONNECTIONS_EACH):
        assert_serves(consumer, INNER)
    assert consumer.connections(port) == expected


def assert_serves(consumer: Consumer, interface: str) -> None:
    answer = consumer.call(interface)
    assert answer["ok"], answer
    assert answer["answer"] == "p1"


@pytest.mark.parametrize(("program", "protocol"), DUBBO)
def test_dubbo_calls_by_the_registry_and_by_a_direct_url(program: str, protocol: str, shop: Shop) -> None:
    shop.provider(program, "--protocol", protocol)
    registered = shop.consumer(program)
    url = f"{protocol}://127.0.0.1:{shop.port}"
    direct = shop.consumer(
        program, java=[f"-D{USER}={url}", f"-D{INNER}={url}?connections={CONNECTIONS_EACH}"]
    )
    for interface in (USER, INNER):
        assert registered.refer(interface)["ok"], registered.tail()
        assert_serves(registered, interface)
    assert direct.refer(USER)["ok"], direct.tail()
    assert_serves(direct, USER)
    one = direct.connections(shop.port)
    assert one == 1
    assert direct.refer(INNER)["ok"], direct.tail()
    # tri does not know of it, and calls over the one that is there.
    assert_connected(direct, shop.port, one if protocol == "tri" else one + CONNECTIONS_EACH)
    generic = direct.ask("generic", interface=USER, method="slow", argument=10)
    assert generic["ok"], generic
    assert generic["answer"] == "p1"


@pytest.mark.parametrize("program", SOFARPC)
def test_sofarpc_calls_by_the_registry_and_by_a_direct_url(program: str, shop: Shop) -> None:
    shop.provider(program)
    consumer = shop.consumer(program)
    assert consumer.refer(USER)["ok"], consumer.tail()
    several = f"bolt://127.0.0.1:{shop.port}?_CONNECTIONNUM={CONNECTIONS_EACH}"
    assert consumer.refer(INNER, directUrl=several)["ok"], consumer.tail()
    for interface in (USER, INNER):
        assert_serves(consumer, interface)
    assert_connected(consumer, shop.port, 1)
    assert consumer.ask("generic", interface=USER, method="slow", argument=10)["answer"] == "p1"


@pytest.mark.parametrize(
    ("providing", "calling"), [("sofarpc-5.12.0", NODE), (NODE, NODE), (NODE, "sofarpc-5.6.0")]
)
def test_node_and_java_call_each_other_by_the_registry_and_by_a_direct_url(
    providing: str, calling: str, shop: Shop
) -> None:
    shop.provider(providing)
    consumer = shop.consumer(calling)
    direct = {"serverHost": f"127.0.0.1:{shop.port}"}
    if calling != NODE:
        direct = {"directUrl": f"bolt://127.0.0.1:{shop.port}"}
    assert consumer.refer(USER)["ok"], consumer.tail()
    assert consumer.refer(INNER, **direct)["ok"], consumer.tail()
    for interface in (USER, INNER):
        assert_serves(consumer, interface)
    assert consumer.call(USER, "slow", 10)["answer"] == "p1"


@pytest.mark.parametrize(("program", "scheme"), [("rest", "http"), ("private-tcp", "tcp")])
def test_programs_without_a_registry_call_by_url(program: str, scheme: str, shop: Shop) -> None:
    shop.provider(program)
    consumer = shop.consumer(program)
    for interface in INTERFACES:
        consumer.refer(interface, url=f"{scheme}://127.0.0.1:{shop.port}")
        assert_serves(consumer, interface)


@pytest.mark.parametrize("program", ["dubbo-3.3.5", "rest"])
def test_steady_calls_are_counted_by_who_answered_and_by_what_failed(program: str, shop: Shop) -> None:
    provider = shop.provider(program)
    consumer = shop.consumer(program)
    scheme = "http" if program in SCRIPTS else "dubbo"
    consumer.refer(USER, url=f"{scheme}://127.0.0.1:{shop.port}")
    consumer.ask("steady", interface=USER, every_ms=5, threads=2)
    served = eventually(lambda: consumer.ask("tally"), within=10.0, until=lambda tally: tally["calls"] > 0)
    assert served["failed"] == 0
    assert served["by"] == {"p1": served["calls"]}
    provider.kill()
    failing = eventually(lambda: consumer.ask("tally"), within=10.0, until=lambda tally: tally["failed"] > 0)
    assert sum(failing["errors"].values()) == failing["failed"]
    assert consumer.ask("stop")["ok"]
    consumer.ask("tally")
    assert consumer.ask("tally")["calls"] == 0


@pytest.mark.parametrize("program", ["dubbo-2.6.12", "private-tcp"])
def test_attempts_are_counted_at_the_provider(program: str, shop: Shop) -> None:
    shop.provider(program)
    consumer = shop.consumer(program)
    if program not in SCRIPTS:
        consumer.refer(USER, timeout=300, retries=2)
        assert consumer.call(USER, "attempts", ["key", 2])["answer"] == 3
    else:
        consumer.refer(USER, url=f"tcp://127.0.0.1:{shop.port}", timeout=300)
        assert not consumer.call(USER, "attempts", ["key", 1])["ok"]
        assert consumer.call(USER, "attempts", ["key", 1])["answer"] == 2


@pytest.mark.parametrize(
    ("program", "tried"),
    [
        ("dubbo-2.6.12", [1, 1, 1, 5, 1, 3]),
        ("dubbo-2.7.23", [1, 1, 1, 5, 1, 3]),
        ("dubbo-3.2.16", [3, 5, 3, 5, 1, 3]),
        ("dubbo-3.3.5", [3, 5, 3, 5, 1, 3]),
    ],
)
def test_what_dubbo_takes_from_the_query_of_a_direct_url(program: str, tried: list[int], shop: Shop) -> None:
    *by_cluster, lazy = INTERFACES
    by_cluster += [ONCE_ONLY, BY_DEFAULT]
    shop.provider(program, interfaces=[*INTERFACES, ONCE_ONLY, BY_DEFAULT])
    url = f"dubbo://127.0.0.1:{shop.port}?timeout=250"
    failover = f"{url}&cluster=failover"
    twice = [";".join([each] * 2) for each in (f"{failover}&retries=4", f"{failover}&retries=0", failover)]
    urls = dict(
        zip(by_cluster, (url, f"{url}&retries=4", f"{url}&cluster=failfast", *twice), strict=True)
    )  # fmt: skip
    urls[lazy] = f"dubbo://127.0.0.1:{free_port()}?lazy=true"  # nobody listens there
    consumer = shop.consumer(program, java=[f"-D{interface}={each}" for interface, each in urls.items()])
    found = []
    for interface in by_cluster:
        assert consumer.refer(interface)["ok"], consumer.tail()
        assert not consumer.call(interface, "attempts", [interface, 99])["ok"]
        found.append(consumer.call(interface, "attempts", [interface, 0])["answer"] - 1)
    assert found == tried
    assert consumer.refer(lazy)["ok"], consumer.tail()
    assert not consumer.call(lazy)["ok"]


@pytest.mark.parametrize(("program", "obeyed"), [("sofarpc-5.6.0", False), ("sofarpc-5.12.0", True)])
def test_a_timeout_of_a_direct_url_is_obeyed_by_late_versions_of_sofarpc(
    program: str, obeyed: bool, shop: Shop
) -> None:
    shop.provider(program)
    consumer = shop.consumer(program)
    assert consumer.refer(USER, directUrl=f"bolt://127.0.0.1:{shop.port}?timeout=1000")["ok"]
    # The first call of a JVM may take longer than that.
    assert eventually(lambda: consumer.call(USER), within=20.0, until=lambda answer: bool(answer["ok"]))["ok"]
    assert consumer.call(USER, "slow", 1500)["ok"] is not obeyed
