"""``make bench-survey``: how long ``soadns survey`` and ``soadns export resolve`` take on a large estate.

20,000 interfaces of 400 applications in a real ZooKeeper, each with 2 providers and 3 consumers, one in a hundred with
a router, and a Service with its pods for every application. The commands are run as an operator runs them, with a
terminal for stderr, whose progress is noted; meanwhile the control process is asked for something small every 50 ms.
Writes ``build/bench/survey.json``. Everything runs on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import pty
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.change import say
from tests.bench.registry import INTERFACES_PER_APPLICATION, fill, fill_callers, host_of, measured
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper

ROOT = "/dubbo"
PROVIDERS, CALLERS, RULED = 2, 3, 100
ASKED_EVERY_S = 0.05
COMMANDS = {
    "survey": ("survey",),
    "export_everyone": ("export", "resolve", "--everyone"),
    "export_application": ("export", "resolve", "--application", "app-007"),
}


@dataclass(frozen=True)
class Run:
    """One command: what it took and printed, and what an operator saw of it meanwhile."""

    seconds: float
    printed: str
    told: tuple[float, ...]
    """Seconds after the start at which its progress was rewritten."""
    others_ms: tuple[float, ...]
    """How long others waited for the control process meanwhile."""

    @property
    def silent_s(self) -> float:
        """The longest time without a word on a terminal."""
        moments = (0.0, *self.told, self.seconds)
        return max(after - before for before, after in itertools.pairwise(moments))


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="How long a survey and an export take on a large estate.")
    parser.add_argument("--interfaces", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each command (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/survey.json"))
    options = parser.parse_args()
    measured(run, options)
    return 0


def run(zookeeper: ZooKeeper, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    interfaces = options.interfaces
    say(f"writing {interfaces} interfaces with {PROVIDERS} providers and {CALLERS} consumers each")
    fill(zookeeper, ROOT, interfaces, PROVIDERS)
    fill_callers(zookeeper, ROOT, interfaces, CALLERS, RULED)
    files = folder / "files"
    files.mkdir()
    (files / "cluster.json").write_text(json.dumps(cluster(interfaces)))
    found: dict[str, Any] = {}
    with _running(zookeeper, folder / "soadns", files) as soadns:
        for name, command in COMMANDS.items():
            say(f"soadns {' '.join(command)}, {options.rounds} times")
            runs = [typed(soadns, command) for _ in range(options.rounds)]
            _holds(name, runs[-1].printed, interfaces)
            waited = sorted(ms for each in runs for ms in each.others_ms)
            found[name] = {
                "seconds": [round(each.seconds, 1) for each in runs],
                "longest_silence_s": round(max(each.silent_s for each in runs), 1),
                "others_median_ms": round(statistics.median(waited), 1),
                "others_max_ms": round(waited[-1], 1),
            }
    return {
        **found,
        "interfaces": interfaces,
        "providers": interfaces * PROVIDERS,
        "consumers": interfaces * CALLERS,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }


def _holds(name: str, printed: str, interfaces: int) -> None:
    """What was timed is the right answer."""
    safe = interfaces - -(-interfaces // RULED)
    expected = {
        "survey": f": {safe:,} of {interfaces:,} interfaces and",
        "export_everyone": f"# Direct URLs of {safe} interfaces, for every application that reads this.",
        "export_application": " interfaces, for the application app-007.",
    }
    assert expected[name] in printed, printed[:500]


def cluster(interfaces: int) -> dict[str, Any]:
    """The Service of every application, and the pods in which its instances run."""
    items: list[dict[str, Any]] = []
    for number in range(-(-interfaces // INTERFACES_PER_APPLICATION)):
        name, ports = f"app-{number:03d}", [{"name": "tcp-20880", "port": 20880}]
        address = f"10.96.{number // 250}.{number % 250 + 1}"
        items.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{number}"},
                "spec": {
                    "clusterIP": address,
                    "clusterIPs": [address],
                    "selector": {"app": name},
                    "ports": ports,
                },
            }
        )
        pods = [host_of(number, instance) for instance in range(max(PROVIDERS, CALLERS))]
        items.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "namespace": "shop",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": [{"addresses": [pod], "conditions": {"ready": True}} for pod in pods],
            }
        )
    return {"apiVersion": "v1", "kind": "List", "items": items}


@contextmanager
def _running(zookeeper: ZooKeeper, folder: Path, files: Path) -> Iterator[Soadns]:
    """A soadns over the registry and the files, ready; ended also when it never became ready."""
    settings = {
        "zookeeper": [{"name": "main", "hosts": zookeeper.hosts, "roots": [{"path": ROOT}]}],
        "static": [{"name": "cluster", "paths": [str(files)], "cluster": "home"}],
    }
    soadns = Soadns(folder, settings)
    try:
        yield soadns.start()
    finally:
        soadns.stop()


# --------------------------------------------------------------------------- an operator, and others


class Others(threading.Thread):
    """Asks the control process for its sources, over and over, and notes how long each answer took."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/v1/sources"
        self._over = threading.Event()
        self.waited_ms: list[float] = []

    def run(self) -> None:
        """Until told to stop."""
        while not self._over.is_set():
            begun = time.monotonic()
            with urllib.request.urlopen(self._url, timeout=30) as answer:
                answer.read()
            took = time.monotonic() - begun
            self.waited_ms.append(1000 * took)
            self._over.wait(max(0.0, ASKED_EVERY_S - took))

    def stop(self) -> None:
        self._over.set()
        self.join()


def typed(soadns: Soadns, command: Sequence[str]) -> Run:
    """Run a verb with its stderr on a terminal."""
    words = [
        sys.executable,
        "-m",
        "soadns",
        command[0],
        "--config",
        str(soadns.config),
        *command[1:],
    ]
    others = Others(soadns.http_port)
    ours, theirs = pty.openpty()
    told: list[float] = []
    others.start()
    begun = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        watcher = threading.Thread(target=_watch, args=(ours, begun, told), daemon=True)
        watcher.start()
        assert process.stdout is not None
        printed = process.stdout.read()
    seconds = time.monotonic() - begun
    watcher.join()
    others.stop()
    os.close(ours)
    assert process.returncode == 0, printed[:500]
    return Run(seconds, printed, tuple(told), tuple(others.waited_ms))


def _watch(terminal: int, begun: float, told: list[float]) -> None:
    """Note when progress is written."""
    while True:
        try:
            text = os.read(terminal, 65_536).decode(errors="replace")
        except OSError:  # the other side is closed
            return
        if not text:
            return
        if re.search(r"[\d,]+ of [\d,]+ interfaces", text):
            told.append(time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())
