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
from tests.scenarios.stage.riders import CONNECTIONS_EACH, PATIENCE_S
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
    found = eventually(lambda: consumer.connections(port), within=30.0, until=lambda count: count == expected)
    assert found == expected
    # One that takes too long on a machine that does much else says nothing of its connection: then all are made again.
    calls = eventually(
        lambda: [consumer.call(INNER) for _ in range(2 * CONNECTIONS_EACH)], within=20.0,
        until=lambda answers: all(answer["ok"] for answer in answers),
    )  # fmt: skip
    assert [answer.get("answer") for answer in calls] == ["p1"] * len(calls), calls
    assert consumer.connections(port) == expected


def assert_waits_as_its_framework_does(consumer: Consumer, interface: str, family: str) -> None:
    """Nobody says how long: no call is answered that takes longer than that.

    But on a machine that stands still just then, which may come to the answer first.
    """
    patience_ms = PATIENCE_S[family] * 1000
    late = eventually(
        lambda: consumer.call(interface, "slow", int(patience_ms * 1.3)), within=20.0,
        until=lambda answer: not answer["ok"],
    )  # fmt: skip
    assert not late["ok"], late
    assert late["ms"] >= patience_ms - 20, late


def assert_serves(consumer: Consumer, interface: str) -> None:
    """Before long: the first call of a program may take longer than its framework waits, for it loads classes."""
    answer = eventually(lambda: consumer.call(interface), within=30.0, until=lambda it: bool(it["ok"]))
    assert answer["ok"], answer
    assert answer["answer"] == "p1"


def assert_serves_generic_calls(consumer: Consumer) -> None:
    """The same of these."""
    answer = eventually(
        lambda: consumer.ask("generic", interface=USER, method="slow", argument=10), within=30.0,
        until=lambda it: bool(it["ok"]),
    )  # fmt: skip
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
    assert_serves_generic_calls(direct)
    if protocol == "dubbo":  # tri waits for longer
        for consumer in (registered, direct):
            assert_waits_as_its_framework_does(consumer, USER, protocol)


@pytest.mark.parametrize("program", [program for program, protocol in DUBBO if protocol == "dubbo"])
def test_what_a_provider_says_for_all_gives_way_to_what_a_consumer_says_for_all(
    program: str, shop: Shop
) -> None:
    shop.provider(program)
    url = f"dubbo://127.0.0.1:{shop.port}"
    taught = shop.consumer(
        program,
        java=[
            "-Ddubbo.consumer.timeout=9000",
            f"-D{USER}={url}?default.timeout=300",
            f"-D{INNER}={url}?timeout=300",
        ],
    )
    plain = shop.consumer(program, java=[f"-D{USER}={url}?default.timeout=9000"])
    for consumer, interface in ((taught, USER), (taught, INNER), (plain, USER)):
        assert consumer.refer(interface)["ok"], consumer.tail()
        assert_serves(consumer, interface)
    assert taught.call(USER, "slow", 1500)["ok"]
    assert plain.call(USER, "slow", 1500)["ok"]
    # As one that is the interface's own it would have been the end of the call, with 2.6.
    assert taught.call(INNER, "slow", 1500)["ok"] == (program != "dubbo-2.6.12")


@pytest.mark.parametrize("program", [program for program, protocol in DUBBO if protocol == "dubbo"])
def test_who_asks_for_any_version_is_refused_by_a_direct_url(program: str, shop: Shop) -> None:
    shop.provider(program, "--version", "1.0.0")
    registered = shop.consumer(program)
    direct = shop.consumer(program, java=[f"-D{USER}=dubbo://127.0.0.1:{shop.port}"])
    said = {"interface": USER, "version": "*"}
    for consumer, served in ((registered, True), (direct, False)):
        assert consumer.ask("refer", **said, options={})["ok"], consumer.tail()
        answer = consumer.ask("call", **said, method="whoami", argument="hello")
        assert answer["ok"] == served, answer


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
    assert_serves_generic_calls(consumer)
    for interface in (USER, INNER):  # by the registry, and by a direct URL
        assert_waits_as_its_framework_does(consumer, interface, "bolt")


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
    assert_waits_as_its_framework_does(consumer, INNER, "bolt")
    # What its code says is another matter.
    assert consumer.refer(INNER, timeout=9000, **direct)["ok"], consumer.tail()
    assert consumer.call(INNER, "slow", 4000)["ok"]


@pytest.mark.parametrize(
    ("program", "scheme"), [("rest", "http"), ("rest-kept", "http"), ("private-tcp", "tcp")]
)
def test_programs_without_a_registry_call_by_url(program: str, scheme: str, shop: Shop) -> None:
    shop.provider(program)
    consumer = shop.consumer(program)
    for interface in INTERFACES:
        consumer.refer(interface, url=f"{scheme}://127.0.0.1:{shop.port}")
        assert_serves(consumer, interface)
    assert_waits_as_its_framework_does(consumer, USER, "rest" if scheme == "http" else program)


@pytest.mark.parametrize("program", ["dubbo-3.3.5", "rest"])
def test_steady_calls_are_counted_by_who_answered_and_by_what_failed(program: str, shop: Shop) -> None:
    provider = shop.provider(program)
    consumer = shop.consumer(program)
    scheme = "http" if program in SCRIPTS else "dubbo"
    consumer.refer(USER, url=f"{scheme}://127.0.0.1:{shop.port}")
    assert_serves(consumer, USER)
    consumer.ask("steady", interface=USER, every_ms=5, threads=2)
    served = eventually(lambda: consumer.ask("tally"), within=30.0, until=lambda tally: tally["calls"] > 0)
    assert served["failed"] == 0
    assert served["by"] == {"p1": served["calls"]}
    provider.kill()
    failing = eventually(lambda: consumer.ask("tally"), within=30.0, until=lambda tally: tally["failed"] > 0)
    assert sum(failing["errors"].values()) == failing["failed"]
    assert consumer.ask("stop")["ok"]
    consumer.ask("tally")
    assert consumer.ask("tally")["calls"] == 0


@pytest.mark.parametrize("program", ["dubbo-2.6.12", "private-tcp"])
def test_attempts_are_counted_at_the_provider(program: str, shop: Shop) -> None:
    shop.provider(program)
    consumer = shop.consumer(program)
    if program not in SCRIPTS:
        consumer.refer(USER, timeout=1000, retries=2)
        assert_serves(consumer, USER)
        assert consumer.call(USER, "attempts", ["key", 2])["answer"] == 3
    else:
        consumer.refer(USER, url=f"tcp://127.0.0.1:{shop.port}", timeout=1000)
        assert_serves(consumer, USER)
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
    url = f"dubbo://127.0.0.1:{shop.port}?timeout=1000"
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
        assert_serves(consumer, interface)  # else the one that is counted may be given up before it was sent
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
    assert_serves(consumer, USER)
    # A machine that stands still just then may come to the answer first, or to none.
    answered = eventually(
        lambda: consumer.call(USER, "slow", 1500)["ok"], within=20.0, until=lambda ok: ok is not obeyed
    )
    assert answered is not obeyed
