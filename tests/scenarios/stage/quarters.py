"""Quarters of a town: each framework provides the same interfaces at the same time, and none meets another.

A quarter has a tree of its own in the town's registry, which only its own zone sees. In a real estate these are
registry groups of several organisations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.clients.driving import SCRIPTS
from tests.scenarios.stage.soadns import ZONE

NODE = "sofa-rpc-node"


@dataclass(frozen=True)
class Quarter:
    """``''`` is the town itself, with the roots that the frameworks have by default."""

    name: str = ""
    sofa: bool = False
    """Whether it is SOFARPC's."""

    @property
    def zone(self) -> str:
        return f"{self.name}.{ZONE}" if self.name else ZONE

    @property
    def root(self) -> str:
        """The znode that Dubbo's interfaces, configuration and applications are in, or SOFARPC's interfaces."""
        if not self.name:
            return "/dubbo"
        return f"/{self.name}/sofa-rpc" if self.sofa else f"/{self.name}"

    def settings(self, hosts: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """soadns's zone and registry."""
        dialect = "sofa" if self.sofa else "dubbo"
        zone = {"name": self.zone, "registries": [self.name]}
        return zone, {"name": self.name, "hosts": hosts, "roots": [{"path": self.root, "dialect": dialect}]}

    def registry(self, kind: str, hosts: str) -> str:
        """``--registry`` of a program: who has no framework has no registry."""
        if kind in SCRIPTS:
            return "none"
        if not self.name or not self.sofa:
            return hosts
        # Java puts `sofa-rpc` behind a path, and Node does not.
        return f"{hosts}{self.root}" if kind.startswith(NODE) else f"{hosts}/{self.name}"

    @property
    def java(self) -> tuple[str, ...]:
        """Options of its programs' JVMs."""
        return (f"-Ddubbo.registry.group={self.name}",) if self.name and not self.sofa else ()


TOWN = Quarter()
