"""Providers that come and go: every interface of a registry in turn gets one provider more and loses it again.

``Churn`` runs the writer as a process of its own, so that its pace depends on nobody else's. Each write changes the
answer of one name; one half of them comes while the other half goes. The provider has another address each time,
``ADDRESSES`` in turn, as pods have. ``python -m tests.bench.churn HOSTS ROOT INTERFACES RATE`` writes until its
standard input ends; it prints a line for each second, and one for each write that somebody may look out for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any
from urllib.parse import quote_plus

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from tests.bench.change import Watcher
from tests.bench.registry import interface_name
from tests.scenarios.stage.zookeeper import close, dubbo_url

ADDRESSES = 4
"""Addresses that the provider of one interface has in turn."""
TOLD = 25
"""Of so many providers that come, one is told to whoever looks out for it."""
TOGETHER = 10
"""Writes in one transaction at most: ZooKeeper notifies of each, but syncs its log once."""
UNDER_WAY = 200
"""Transactions at most that ZooKeeper has not answered."""
TURN_S = 0.005
PREPARED_S = 5.0
"""In which soadns has read what was written as fast as can be."""


class Churn:
    """As long as the context lasts, providers come and go, and a sample of names is asked until they answer so.

    ``done`` and ``failed`` count the writes.
    """

    def __init__(self, hosts: str, root: str, *, port: int, interfaces: int, rate: float) -> None:
        self._command = [sys.executable, "-m", "tests.bench.churn", hosts, root, str(interfaces), str(rate)]
        self.watcher = Watcher(port)
        self.done = self.failed = 0

    def __enter__(self) -> Churn:
        self.watcher.start()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "writing\n"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    @property
    def times(self) -> list[float]:
        """Seconds from a write to the answer that has it, of a sample."""
        return self.watcher.times

    @property
    def lost(self) -> int:
        """Of that sample, those that were not answered in time."""
        return self.watcher.lost

    @property
    def pid(self) -> int:
        """Of the writer."""
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join()
        assert self._process.wait() == 0
        self.watcher.over.set()
        self.watcher.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "address" in told:
                self.watcher.expect(told["number"], told["interface"], told["address"], told["at"])
            else:
                self.done, self.failed = told["done"], told["failed"]


class _Writer:
    """What was written, and what ZooKeeper has not answered yet."""

    def __init__(self, client: KazooClient, root: str, interfaces: int) -> None:
        self._client = client
        self._root = root
        self._held: list[str] = [""] * interfaces
        """The path of the provider that each interface has beyond its own."""
        self._turns = [0] * interfaces
        """How often it has come."""
        self._under_way: deque[tuple[Any, int]] = deque()
        self.begun = self.done = self.failed = self.came = 0

    def prepare(self) -> None:
        """Every second interface has its provider at the beginning."""
        numbers = range(1, len(self._held), 2)
        for at in range(0, len(numbers), TOGETHER):
            self._commit([self._comes(number) for number in numbers[at : at + TOGETHER]], [])
        self.collect(everything=True)
        self.done = self.failed = 0

    def clear(self) -> None:
        """Take away what was brought."""
        held = [(path, False) for path in self._held if path]
        for at in range(0, len(held), TOGETHER):
            self._commit(held[at : at + TOGETHER], [])
        self.collect(everything=True)

    def write(self, count: int) -> None:
        """So many writes in one transaction."""
        steps, told = [], []
        for _ in range(count):
            number = self.begun % len(self._held)
            held = self._held[number]
            if held:
                self._held[number] = ""
                steps.append((held, False))
            else:
                steps.append(self._comes(number))
                self.came += 1
                if self.came % TOLD == 0:
                    told.append({"number": self.begun, "interface": interface_name(number)})
                    told[-1]["address"] = _address(number, self._turns[number])
            self.begun += 1
        self._commit(steps, told)

    def _comes(self, number: int) -> tuple[str, bool]:
        self._turns[number] += 1
        interface = interface_name(number)
        leaf = quote_plus(dubbo_url(interface, _address(number, self._turns[number]), 20880, "fresh"))
        self._held[number] = f"{self._root}/{interface}/providers/{leaf}"
        return self._held[number], True

    def _commit(self, steps: list[tuple[str, bool]], told: list[dict[str, Any]]) -> None:
        together = self._client.transaction()
        for path, comes in steps:
            if comes:
                together.create(path, b"")
            else:
                together.delete(path)
        at = time.monotonic()
        self._under_way.append((together.commit_async(), len(steps)))
        for each in told:
            print(json.dumps(each | {"at": at}), flush=True)
        self.collect()

    def collect(self, *, everything: bool = False) -> None:
        """Count what ZooKeeper has answered; wait for it while too much is under way."""
        while self._under_way:
            answer, count = self._under_way[0]
            wait = everything or len(self._under_way) > UNDER_WAY
            if not answer.ready() and not wait:
                return
            self._under_way.popleft()
            try:
                results = answer.get(timeout=60)
            except KazooException:
                results = [None]
            whole = all(isinstance(result, (str, bool)) for result in results)
            self.done, self.failed = self.done + count * whole, self.failed + count * (not whole)


def _address(number: int, turn: int) -> str:
    return f"10.{100 + turn % ADDRESSES}.{number // 250}.{number % 250 + 1}"


def main(hosts: str, root: str, interfaces: int, rate: float) -> None:
    """Write until the end of standard input."""
    client = KazooClient(hosts=hosts, timeout=20.0)
    client.start(timeout=15.0)
    writer = _Writer(client, root, interfaces)
    writer.prepare()
    time.sleep(PREPARED_S)
    print("writing", flush=True)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    begun = told = time.monotonic()
    while not over.wait(TURN_S):
        now = time.monotonic()
        due = int((now - begun) * rate) - writer.begun
        if due > rate:  # it fell behind by a second: what was missed is not made up for
            begun += (due - rate) / rate
        while due > 0:
            writer.write(min(due, TOGETHER))
            due -= TOGETHER
        writer.collect()
        if now - told >= 1.0:
            told = now
            print(json.dumps({"done": writer.done, "failed": writer.failed}), flush=True)
    writer.collect(everything=True)
    print(json.dumps({"done": writer.done, "failed": writer.failed}), flush=True)
    writer.clear()
    close(client)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
