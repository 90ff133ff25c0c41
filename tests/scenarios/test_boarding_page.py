"""``docs/boarding.md`` says how applications are boarded: each command of the page is run, and prints what is shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.scenarios.conftest import story
from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.zookeeper import ZooKeeper

PAGE = Path(__file__).resolve().parents[2] / "docs" / "boarding.md"
ORDER, AUDIT, INNER, PAY, STOCK, REPORT = (
    f"com.example.{name}" for name in ("Order", "Audit", "Outer$Inner", "Pay", "Stock", "Report")
)


@pytest.fixture(scope="module")
def shop(
    zookeeper_server: ZooKeeper, api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Soadns]:
    """The estate that the page speaks of."""
    folder = tmp_path_factory.mktemp("boarding")
    with story(folder, zookeeper=zookeeper_server, api=api_server) as stage:
        yield estate(stage)


def estate(stage: Stage) -> Soadns:
    soadns = stage.soadns()
    order, pay, web = (
        stage.service("order"),
        stage.service("pay", port=12200),
        stage.service("shop", port=8080),
    )
    for timeout in (10000, 3000):
        pod = stage.pod(order)
        settings = {"timeout": timeout, "retries": 0, "methods": "find,place", "place.retries": 0}
        pod.registers(ORDER, **settings)
        pod.registers(AUDIT, INNER, STOCK)
    stage.pod(pay).registers(PAY, dialect="sofa", timeout=5000, serialization="hessian2")
    stage.pod(web, application="shop").calls(ORDER, AUDIT, INNER)
    stage.process("192.168.9.9", 8080, "shop").calls(ORDER)
    stage.pod(pay).calls(ORDER)
    order.annotate(interfaces=REPORT)
    stage.process("192.168.9.7", 8080, "ledger").calls(REPORT)
    rule = f"condition://0.0.0.0/{AUDIT}?category=routers&dynamic=false&rule=host+%3D+a+%3D%3E+host+%3D+b"
    machine = stage.machine()
    machine.registers(STOCK)
    machine.registers_leaf(AUDIT, f"/dubbo/{AUDIT}/routers", quote_plus(rule), dynamic=False)
    for interface in (ORDER, AUDIT, STOCK, REPORT, "com.example.Outer-Inner"):
        soadns.answers(interface, order.cluster_ip)
    soadns.answers(PAY, pay.cluster_ip)
    return soadns


def shown() -> list[tuple[str, list[str]]]:
    """Every command of the page with the lines that follow it."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        for piece in block.strip().split("\n\n"):
            command, *lines = piece.splitlines()
            found.append((command.removeprefix("$ soadns "), lines))
    return found


@pytest.mark.parametrize(("command", "lines"), shown(), ids=[command for command, _ in shown()])
def test_a_command_of_the_page_prints_what_is_shown(command: str, lines: list[str], shop: Soadns) -> None:
    assert lines
    status, text = shop.cli(*shlex.split(command))
    assert status == 0, text
    rest = iter(text.splitlines())
    for line in lines:
        pattern = ".*".join(map(re.escape, line.split("…")))
        assert any(re.fullmatch(pattern, row) for row in rest), f"{line!r} is not, or not there, in:\n{text}"
