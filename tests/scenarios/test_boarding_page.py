"""``docs/boarding.md`` leads through boarding: each of its commands is typed, in order, and prints what is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.terminal import Event, Terminal, Typed, steps

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, CHINESE = DOCS / "boarding.md", DOCS / "boarding.zh-CN.md"
ORDER, AUDIT, INNER, PAY, STOCK, REPORT, RATE = (
    f"com.example.{name}" for name in ("Order", "Audit", "Outer$Inner", "Pay", "Stock", "Report", "Rate")
)


class Shop:
    """The estate that the page speaks of, and what happens to it there."""

    def __init__(self, stage: Stage) -> None:
        self.soadns = soadns = stage.soadns()
        self.order, pay, web, rate = (
            stage.service("order"),
            stage.service("pay", port=12200),
            stage.service("shop", port=8080),
            stage.service("rate", port=50051),
        )
        self.pods = []
        for timeout in (10000, 3000):
            pod = stage.pod(self.order)
            settings = {"timeout": timeout, "retries": 0, "methods": "find,place", "place.retries": 0}
            pod.registers(ORDER, **settings)
            pod.registers(AUDIT, INNER, STOCK)
            self.pods.append(pod)
        self.pay = stage.pod(pay)
        self.pay.registers(PAY, dialect="sofa", timeout=5000, serialization="hessian2")
        self.pay.calls(ORDER, INNER)
        stage.pod(rate).registers(RATE, protocol="tri")
        stage.pod(web, application="shop").calls(ORDER, AUDIT, INNER)
        stage.process("192.168.9.9", 8080, "shop").calls(ORDER)
        self.order.annotate(interfaces=REPORT)
        stage.process("192.168.9.7", 8080, "ledger").calls(REPORT)
        self.machine = stage.machine()
        self.machine.registers(STOCK)
        self.rule(AUDIT)
        for interface in (ORDER, AUDIT, STOCK, REPORT, "com.example.Outer-Inner"):
            soadns.answers(interface, self.order.cluster_ip)
        soadns.answers(PAY, pay.cluster_ip)
        soadns.answers(RATE, rate.cluster_ip)
        self.terminal = Terminal(stage, soadns, {"order": self.order})
        self.events: dict[str, Callable[[], None]] = {
            "pay restarts with pay.properties": lambda: self.pay.unregisters(ORDER, INNER),
            "pay restarts with pay-without.properties": lambda: self.pay.calls(ORDER),
            "pay restarts without a file": lambda: self.pay.calls(INNER),
            "no pod of order is ready": lambda: self.ready(False),
            "the pods of order are ready again": lambda: self.ready(True),
            f"a routing rule governs {INNER}": lambda: self.rule(INNER),
            "the routing rule is gone": lambda: self.machine.unregisters(INNER),
        }

    def ready(self, ready: bool) -> None:
        for pod in self.pods:
            self.order.endpoint(pod.host, ready=ready)
        known = f"{len(self.pods) * ready} of {len(self.pods)} endpoints ready"
        found = eventually(
            lambda: self.soadns.cli("explain", ORDER)[1], within=20.0, until=lambda text: known in text
        )
        assert known in found

    def rule(self, interface: str) -> None:
        rule = f"condition://0.0.0.0/{interface}?category=routers&dynamic=false&rule=host+%3D+a+%3D%3E+host+%3D+b"
        folder = f"/dubbo/{quote_plus(interface)}/routers"
        self.machine.registers_leaf(interface, folder, quote_plus(rule), dynamic=False)


def test_the_chinese_page_types_the_same() -> None:
    assert steps(CHINESE) == steps(PAGE)


def test_the_page_holds_from_top_to_bottom(stage: Stage) -> None:
    shop = Shop(stage)
    seen = set()
    for step in steps(PAGE):
        if isinstance(step, Event):
            shop.events[step.text]()
            seen.add(step.text)
        else:
            shop.terminal.holds(step)
    assert seen == set(shop.events)
    for command in ("soadns lookup com.example.Nobody", "soadns lookup com.example.Nobody | cat"):
        with pytest.raises(AssertionError, match="exit status 1"):
            shop.terminal.holds(Typed(command, ()), within=0.0)
