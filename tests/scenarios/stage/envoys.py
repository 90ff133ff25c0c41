"""Envoy without Istio beside an application in its pod: what the pod sends to ClusterIPs goes through it.

Its rules of the firewall are those of ``docs/envoy.md``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.process import Process, command_of
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.street import House

ADMIN = 15000
GROUP = 1337
"""What a process of this group sends is not captured: Envoy's own."""
DRAIN_S = 2
"""After so many seconds the connections of a listener that was changed are cut."""
PAGE = Path(__file__).resolve().parents[3] / "docs" / "envoy.md"


def captured() -> str:
    """The rules of the page, for this cluster."""
    [rules] = re.findall(r"^```nft\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return str(rules)


class Follower:
    """``soadns export envoy --follow``: it writes what an Envoy reads."""

    def __init__(self, soadns: Soadns, folder: Path) -> None:
        self.folder = folder
        command = [
            sys.executable, "-m", "soadns", "export", "envoy", str(folder), "--follow",
            "--url", f"http://127.0.0.1:{soadns.http_port}",
        ]  # fmt: skip
        log = folder.with_name(f"{folder.name}.log")
        self.process = Process("soadns export envoy", command, log=log, place=soadns.process.place)

    @property
    def bootstrap(self) -> Path:
        return self.folder / "bootstrap.json"

    def start(self) -> None:
        """Start it, and wait until there is something to read."""
        self.process.start()
        there = self.folder / "listeners" / "all.json"
        self.process.wait_until(lambda: there.exists() and self.bootstrap.exists(), within=60.0)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()


class PlainEnvoy:
    """One Envoy in the pod of somebody who calls."""

    def __init__(self, beside: Caller | House, bootstrap: Path) -> None:
        self.place = beside.place
        folder = beside.folder / "envoy"
        folder.mkdir()
        envoy, env = command_of("envoy")
        command = [
            "setpriv", f"--regid={GROUP}", "--clear-groups", *envoy, "-c", str(bootstrap), "--concurrency", "1",
            "--disable-hot-restart", "--drain-time-s", str(DRAIN_S), "--drain-strategy", "immediate",
            "--log-level", "warning",
        ]  # fmt: skip
        self.process = Process("envoy", command, log=folder / "log", env=env, place=self.place)
        self._captured = False

    def start(self, *, told: bool = True) -> None:
        """Capture what the pod sends, start it, and wait until it serves; not ``told``: until it can be asked."""
        if not self._captured:
            nft, env = command_of("nft")
            done = subprocess.run(
                self.place.command([*nft, "-f", "-"]), env=env, input=captured(), text=True, capture_output=True,
                check=False, timeout=30,
            )  # fmt: skip
            assert not done.returncode, f"nft: {done.stdout}{done.stderr}"
            self._captured = True
        self.process.start()
        path, state = ("/ready", "LIVE") if told else ("/server_info", "{")
        self.process.wait_until(lambda: self.get(path).startswith(state), within=60.0)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def get(self, path: str) -> str:
        """What its admin port answers."""
        url = f"http://127.0.0.1:{ADMIN}{path}"
        with self.place.inside(), urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())

    def stat(self, name: str) -> int:
        """A counter or gauge; 0 when there is none."""
        rows = dict(line.rsplit(": ", 1) for line in self.get("/stats").splitlines() if ": " in line)
        return int(rows.get(name, 0))

    def sent(self) -> dict[str, int]:
        """By cluster: how many connections it has opened there."""
        found = json.loads(self.get("/clusters?format=json")).get("cluster_statuses", [])
        return {each["name"]: self.stat(f"cluster.{each['name']}.upstream_cx_total") for each in found}

    def listeners(self) -> list[str]:
        """The names of all listeners."""
        return [line.partition("::")[0] for line in self.get("/listeners").splitlines()]
