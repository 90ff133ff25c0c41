"""MOSN beside an application in its pod: what that sends to ClusterIPs is redirected to it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.scenarios.stage.network import SERVICES
from tests.scenarios.stage.places import Place
from tests.scenarios.stage.process import Process, command_of

LISTEN, ADMIN = 15001, 34901
_RULES = """
table ip sidecar {{
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr {services} tcp dport {{ {ports} }} redirect to :{listen}
    }}
}}
"""
RUNNING = "6"
"""A word of MOSN's admin API (``pkg/types``: the state of a MOSN that has started)."""


def redirect(place: Place, ports: Iterable[int]) -> None:
    """Send what is called at these ports of ClusterIPs to the sidecar, as ``docs/mosn.md`` does."""
    command, env = command_of("nft")
    text = _RULES.format(services=SERVICES, ports=", ".join(map(str, ports)), listen=LISTEN)
    done = subprocess.run(
        place.command([*command, "-f", "-"]),
        env=env, input=text, text=True, capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert not done.returncode, done.stderr


class Mosn:
    """A MOSN in a pod. Two with files in one folder would take each other for a predecessor: each has its own."""

    def __init__(
        self,
        folder: Path,
        file: str,
        *,
        address: str,
        place: Place,
        over_tls: bool = False,
        words: Sequence[str] = (),
    ) -> None:
        """``address`` is where its admin port is; ``over_tls``: so it speaks with soadns; ``words`` of its own."""
        self.address = address
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "mosn.json"
        self.config.write_text(file)
        self._place = place
        command, env = command_of("mosn")
        command += words or ["start", "-c", str(self.config), "-l", str(folder / "mosn.log")]
        command += ["--feature-gates", "XdsMtlsEnable=true"] if over_tls else []
        self.process = Process("mosn", command, log=folder / "log", env=env, place=place)

    def start(self) -> Mosn:
        self.process.start()
        self.process.wait_until(lambda: f"state={RUNNING}" in self.ask("/api/v1/states"), within=60.0)
        return self

    def end(self) -> None:
        if self.process.running:
            self.process.kill()

    def begin_anew(self, file: str) -> None:
        """It is started with another file, as a pod is that is replaced."""
        self.end()
        self.config.write_text(file)
        self.start()

    def ask(self, path: str) -> str:
        """What its admin port says."""
        with (
            self._place.inside(),
            urllib.request.urlopen(f"http://{self.address}:{ADMIN}{path}", timeout=20) as got,
        ):
            return str(got.read().decode())

    def unrouted(self) -> int:
        """How many requests it has refused since no route matched."""
        return self._answered(404)

    def without_endpoint(self) -> int:
        """How many it has refused since there was nobody to send them to."""
        return self._answered(502)

    def _answered(self, code: int) -> int:
        stats = json.loads(self.ask("/api/v1/stats"))
        return int(stats["downstream"]["proxy.global"].get(f"request_{code}_total", 0))

    def router(self, name: str) -> dict[str, Any]:
        """A router as it has it now."""
        return dict(json.loads(self.ask(f"/api/v1/config_dump?router={name}")))

    def clusters_of(self, name: str) -> list[str]:
        """Where the rules of a router lead, in order."""
        hosts = self.router(name).get("virtual_hosts") or []
        return [rule["route"]["cluster_name"] for host in hosts for rule in host.get("routers") or []]
