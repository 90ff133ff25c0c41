"""Groups and versions of one interface in different Services, called by the interface's one name."""

from __future__ import annotations

from typing import Any

from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.mesh import host
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind, Town, at_once, name_of

INTERFACE = "com.example.dubbo.ByName"
"""Its name leads to the Service of one of the variants."""
ALONE = "com.example.dubbo.ByTwoNames"
"""One that ``next`` has, and nobody else."""
VARIANTS = {
    "red": {"group": "red", "version": "1.0.0"},
    "blue": {"group": "blue", "version": "1.0.0"},
    "next": {"group": "red", "version": "2.0.0"},
}
NOBODY = {"group": "blue", "version": "2.0.0"}
TWICE = "next"
"""The variant that has two pods, which Istio tells apart as the versions ``v1`` and ``v2``."""
TIMEOUT_MS = 3000


class Variants:
    """A Service for each, and the pods in it."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.services: dict[str, Service] = {name: town.shop(f"variant-{name}", "dubbo") for name in VARIANTS}
        first, *others = VARIANTS
        self.by: dict[str, list[Behind]] = {name: [] for name in VARIANTS}
        self._provide(first)
        town.knows(INTERFACE, self.services[first])
        at_once(self._provide, [*others, TWICE])
        for number, pod in enumerate(self.by[TWICE], 1):
            town.label(pod, version=f"v{number}")
        town.knows(ALONE, self.services[TWICE])

    def _provide(self, name: str) -> None:
        interfaces = [INTERFACE, ALONE] if name == TWICE else [INTERFACE]
        pod = self._town.register("dubbo-3.3.5", self.services[name], *interfaces, **VARIANTS[name])
        self.by[name].append(pod)

    @property
    def pods(self) -> list[Behind]:
        return [pod for pods in self.by.values() for pod in pods]

    def names(self, name: str) -> list[str]:
        """What the pods of a variant call themselves."""
        return [pod.home.name for pod in self.by[name]]

    def refer(
        self,
        caller: Caller,
        variant: dict[str, str],
        interface: str = INTERFACE,
        *,
        at: str = "",
        timeout_ms: int = TIMEOUT_MS,
    ) -> dict[str, Any]:
        """Have a caller refer to a variant by the interface's name, or by that of a Service.

        Returns what became of that.
        """
        where = host(self.services[at]) if at else name_of(interface)
        # Whose listener is not there yet is to try again, and not to give the reference up.
        options = {"url": f"dubbo://{where}:20880", "timeout": timeout_ms, "check": False, "retries": 0}
        return caller.process.ask("refer", interface=interface, options=options, **variant)

    def call(self, caller: Caller, variant: dict[str, str], interface: str = INTERFACE) -> dict[str, Any]:
        """What became of one call of what a caller refers to."""
        return caller.process.ask("call", interface=interface, method="whoami", argument="hello", **variant)
