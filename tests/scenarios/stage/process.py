"""Processes: started with a log file of their own, waited for, ended by pid."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.scenarios.stage.places import OUTSIDE, Place

T = TypeVar("T")


@cache
def parts() -> dict[str, Any]:
    """What ``make parts`` got; fails, and never skips, when there is nothing."""
    home = Path(os.environ.get("SOADNS_PARTS") or Path.home() / ".cache" / "soadns")
    index = home / "parts.json"
    if not index.exists():
        raise AssertionError(f"{index} is missing: the real servers are not here. Run: make parts")
    return dict(json.loads(index.read_text(encoding="utf-8")))


def command_of(part: str) -> tuple[list[str], dict[str, str]]:
    """How a part is started: the command's beginning and the environment."""
    entry = parts().get(part)
    if entry is None or not Path(entry["command"][0]).exists():
        raise AssertionError(f"{part} is not among the real servers that are here. Run: make parts")
    return list(entry["command"]), os.environ | entry["env"]


def printed(
    part: str,
    *arguments: str | Path,
    within: float = 60.0,
    env: Mapping[str, str] | None = None,
    by: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """What one of the real programs says when it is run to its end, whatever its status is; ``by`` starts it."""
    command, environment = command_of(part)
    return subprocess.run(
        [*by, *command, *map(str, arguments)], env=environment | dict(env or {}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=within,
    )  # fmt: skip


def eventually(look: Callable[[], T], *, within: float, until: Callable[[T], bool] = bool) -> T:
    """The first value that fulfils ``until``, or the one that is seen when the time is over.

    The last look begins after that: a machine that stood still all the time leaves nobody with what was there before.
    """
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        value = look()
        if until(value) or waited > within:
            return value
        # A look may be a dig or a command: who waits for long leaves the cores to those who are waited for.
        time.sleep(0.02 if waited < 1.0 else 0.1)


def lives(pid: int) -> bool:
    """Whether a process is there. One that has ended and is not buried yet (an orphan, by whoever got it) is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class Process:
    """One server process, restartable with the same command."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        env: dict[str, str] | None = None,
        place: Place = OUTSIDE,
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.env = env
        self.place = place
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = self.place.popen(
                self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_until(self, ready: Callable[[], bool], *, within: float) -> None:
        def look() -> bool:
            assert self.running, f"{self.name} ended by itself:\n{self.tail()}"
            with contextlib.suppress(OSError):
                return ready()
            return False

        assert eventually(look, within=within), f"{self.name} is not ready after {within} s:\n{self.tail()}"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, *, within: float = 20.0) -> int:
        """SIGTERM and wait; returns the exit status."""
        return self._end(signal.SIGTERM, within)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, number: signal.Signals, within: float) -> int:
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not end within {within} s:\n{self.tail()}") from None

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Signalled(Protocol):
    """What can be stopped, and goes on."""

    def signal(self, number: signal.Signals) -> None: ...


@contextlib.contextmanager
def frozen(process: Signalled) -> Iterator[None]:
    """Stop a process, which then neither dies nor answers; it goes on afterwards."""
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)
