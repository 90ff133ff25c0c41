"""``docs/sidecar.md`` goes through Istio's tiers and back: each command is typed, and prints what is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.scenarios.stage.pages import istio_rules
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.terminal import Event, Terminal, Typed, steps
from tests.scenarios.test_envoy_filters import Meshed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sidecar.md"
ORDER, AUDIT, PAY = "com.example.Order", "com.example.Audit", "com.example.Pay"


class Estate(Meshed):
    """The estate that the page speaks of, and what happens to it there."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.web = f"{stage.namespace}-web"
        self.api.create_namespace(self.web)
        rules = istio_rules()
        self.api.grant([*rules["Role"], *rules["files"]], namespace=self.web)
        self.order, self.pay = stage.service("order"), stage.service("pay")
        self.pods = stage.pod(self.order), stage.pod(self.pay)
        self.pods[0].registers(ORDER, AUDIT)
        self.pods[1].registers(PAY)
        self.soadns = self.replica()
        services = {"user": self.user, "order": self.order, "pay": self.pay}
        self.terminal = Terminal(stage, self.soadns, services)
        for interface in (ORDER, AUDIT):
            self.soadns.answers(interface, self.order.cluster_ip)
        self.events: dict[str, Callable[[], None]] = {
            "Audit moves from order to pay": self._moves,
            "sidecar.istio.files.namespaces is [web]": lambda: self._configured(
                files={"namespaces": [self.web], "delay": "1s"}
            ),
            "sidecar.istio.files.namespaces is []": lambda: self._configured(files={"namespaces": []}),
            "sidecar.istio.mode is none": lambda: self._configured(mode="none"),
        }

    def _moves(self) -> None:
        self.pods[1].registers(AUDIT)
        self.pods[0].unregisters(AUDIT)

    def _configured(self, **istio: Any) -> None:
        sidecar = self.soadns.settings["sidecar"]
        self.soadns.write_config(sidecar=sidecar | {"istio": sidecar["istio"] | istio})
        status, text = self.soadns.cli("reload")
        assert status == 0, text

    def here(self, text: str) -> str:
        """What the page says, with the names of this story."""
        words = {"istio-system": self.root, "web": self.web, "soadns": self.stage.namespace}
        text = re.sub(r"\bshop/", f"{self.stage.namespace}/", text)
        text = text.replace("soadns-shop-", f"soadns-{self.stage.namespace}-")
        text = re.sub(r"(?<=-n )(web|soadns)\b", lambda found: words[found[0]], text)
        return re.sub(r"\bistio-system\b|\bweb(?=/|   )|(?<=3 in )web\b", lambda found: words[found[0]], text)


def test_each_tier_is_taken_and_given_back_as_the_page_says(stage: Stage) -> None:
    estate = Estate(stage)
    seen = set()
    for step in steps(PAGE):
        if isinstance(step, Event):
            estate.events[step.text]()
            seen.add(step.text)
        else:
            typed = Typed(estate.here(step.command), tuple(map(estate.here, step.lines)))
            estate.terminal.holds(typed, within=60.0)
    assert seen == set(estate.events)
