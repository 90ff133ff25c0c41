"""``make bench-change``: from a znode write to the changed UDP answer, on a real ZooKeeper.

10,000 interfaces with 5 providers each, 50 changes a second; the first sync beside a plain pipelined read of the
same tree in the same run; resident memory per interface and provider from registries of three sizes. Writes
``build/bench/change.json``. Everything runs on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.registry import fill, interface_name, measured, plain_read
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper, close, dubbo_url

ROUNDS = 3
LOST_S = 5.0
"""A change that is not answered by then is counted as lost."""


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="From a znode write to the changed UDP answer.")
    parser.add_argument("--interfaces", type=int, default=10_000)
    parser.add_argument("--providers", type=int, default=5)
    parser.add_argument("--rate", type=float, default=50.0, help="changes a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of changes (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/change.json"))
    options = parser.parse_args()
    found = measured(run, options)
    return 1 if found["lost"] else 0


def run(zookeeper: ZooKeeper, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    interfaces, providers = options.interfaces, options.providers
    say(f"writing {interfaces} interfaces with 1 and with {providers} providers each")
    for root, count in (("/empty", 0), ("/thin", 1), ("/full", providers)):
        fill(zookeeper, root, interfaces if count else 0, count)
    say("first sync, beside a plain pipelined read of the same tree")
    resident = {root: [] for root in ("/empty", "/thin", "/full")}
    syncs, readies, reads = [], [], []
    for number in range(ROUNDS):
        reads.append(plain_read(zookeeper, "/full")[0])
        for root in resident:
            with _running(zookeeper, folder / f"{root[1:]}-{number}", root) as soadns:
                if root == "/full":
                    sync, ready = first_seconds(soadns)
                    syncs.append(sync)
                    readies.append(ready)
                resident[root].append(memory(soadns))
    memories = {root: statistics.median(values) for root, values in resident.items()}
    per_provider = (memories["/full"] - memories["/thin"]) / (interfaces * (providers - 1))
    per_interface = (memories["/thin"] - memories["/empty"]) / interfaces - per_provider
    say(f"{options.rate:g} changes a second for {options.seconds:g} s")
    with _running(zookeeper, folder / "changes", "/full") as soadns:
        times, lost = changes(zookeeper, soadns, options)
    ranked = sorted(times)
    sync, read = statistics.median(syncs), statistics.median(reads)
    return {
        "p50_ms": round(1000 * statistics.median(ranked), 2),
        "p99_ms": round(1000 * ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))], 2),
        "max_ms": round(1000 * ranked[-1], 2),
        "changes": len(times),
        "lost": lost,
        "sync_s": round(sync, 3),
        "plain_read_s": round(read, 3),
        "sync_to_plain_read": round(sync / read, 2),
        "ready_s": round(statistics.median(readies), 3),
        "bytes_per_interface": round(per_interface),
        "bytes_per_provider": round(per_provider),
        "resident_mib": round(memories["/full"] / 2**20, 1),
        "interfaces": interfaces,
        "providers": interfaces * providers,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }


def say(text: str) -> None:
    """One line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@contextmanager
def _running(zookeeper: ZooKeeper, folder: Path, root: str) -> Iterator[Soadns]:
    """A soadns over one root, ready; ended also when it never became ready."""
    ensemble = {"name": "main", "hosts": zookeeper.hosts, "roots": [{"path": root}]}
    soadns = Soadns(folder, {"zookeeper": [ensemble]})
    try:
        yield soadns.start()
    finally:
        soadns.stop()


_LINE = re.compile(r"time=(\S+) .*event=(source-trouble|source-synced|zone-ready)\b")


def first_seconds(soadns: Soadns) -> tuple[float, float]:
    """From the first word to ZooKeeper, by soadns's own log: until everything is read, parsed and indexed
    (the source is in sync), and until every name is bound and published as well (the zone is ready).
    """
    moments = {}
    for line in soadns.process.log.read_text().splitlines():
        if found := _LINE.match(line):
            moments.setdefault(found.group(2), datetime.fromisoformat(found.group(1)).timestamp())
    began = moments["source-trouble"]
    return moments["source-synced"] - began, moments["zone-ready"] - began


def memory(soadns: Soadns) -> int:
    """Resident octets of control and worker together, a moment after they became ready."""
    time.sleep(1.0)
    total = 0
    for word in ("_control", "nameserver.worker"):
        status = Path(f"/proc/{soadns.child(word)}/status").read_text()
        total += int(status.partition("VmRSS:")[2].split()[0]) * 1024
    return total


# --------------------------------------------------------------------------- changes


class Watcher(threading.Thread):
    """Asks for every name whose change is awaited, over and over, and notes when the new address is answered."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._address = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._awaited: dict[int, tuple[bytes, bytes, float]] = {}
        self.times: list[float] = []
        self.lost = 0
        self.over = threading.Event()

    def expect(self, number: int, name: str, address: str, began: float) -> None:
        """Wait for an address in the answer to a name."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in f"{name}.{ZONE}".split("."))
        query = (
            (number & 0xFFFF).to_bytes(2, "big") + b"\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01"
        )
        with self._lock:
            self._awaited[number & 0xFFFF] = (query, socket.inet_aton(address), began)

    def run(self) -> None:
        """Until told to stop and nothing is awaited any more."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(self._address)
            sock.settimeout(0.5)
            while not (self.over.is_set() and not self._awaited):
                with self._lock:
                    awaited = list(self._awaited.items())
                for key, (query, address, began) in awaited:
                    reply = _reply(sock, query)
                    now = time.monotonic()
                    if address in reply[len(query) :]:
                        self.times.append(now - began)
                    elif now - began > LOST_S:
                        self.lost += 1
                    else:
                        continue
                    with self._lock:
                        del self._awaited[key]
                time.sleep(0.0005)


def _reply(sock: socket.socket, query: bytes) -> bytes:
    """The reply to this question and no other; nothing when it does not come."""
    sock.send(query)
    try:
        while (reply := sock.recv(4096))[:2] != query[:2]:
            continue
    except TimeoutError:
        return b""
    return reply


def changes(zookeeper: ZooKeeper, soadns: Soadns, options: argparse.Namespace) -> tuple[list[float], int]:
    """Seconds from each write to the answer that has it, and how many never came."""
    client = zookeeper.client()
    watcher = Watcher(soadns.port)
    watcher.start()
    count = min(int(options.rate * options.seconds), options.interfaces)
    step = max(1, options.interfaces // count)
    start = time.monotonic()
    for number in range(count):
        due = start + number / options.rate
        time.sleep(max(0.0, due - time.monotonic()))
        name = interface_name(number * step)
        address = f"10.99.{number // 250}.{number % 250 + 1}"
        leaf = dubbo_url(name, address, 20880, "fresh").replace("/", "%2F").replace(":", "%3A")
        leaf = leaf.replace("?", "%3F").replace("&", "%26").replace("=", "%3D")
        began = time.monotonic()
        client.create_async(f"/full/{name}/providers/{leaf}", b"")
        watcher.expect(number, name, address, began)
    watcher.over.set()
    watcher.join(timeout=LOST_S * 2)
    close(client)
    return watcher.times, watcher.lost


if __name__ == "__main__":
    sys.exit(main())
