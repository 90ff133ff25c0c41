"""Programs that run to their end, and lines that say what is going on meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

EVERY = 20.0
"""Seconds between two lines of a step that takes long."""

SHOWN = 12
"""How many of a failed program's last lines are shown."""


class PartError(Exception):
    """A part can not be had; the message says why and what to do."""


def say(text: str) -> None:
    """One line of progress."""
    print(f"parts: {text}", flush=True)


@contextmanager
def announced(what: str, expected: str = "") -> Iterator[None]:
    """Say what begins, and every 20 seconds that it is still going on."""
    said = f"{what}, {expected}" if expected else what
    say(said)
    ended = threading.Event()
    began = time.monotonic()

    def report() -> None:
        while not ended.wait(EVERY):
            minutes, seconds = divmod(int(time.monotonic() - began), 60)
            say(f"{said}, {minutes}:{seconds:02d} so far")

    thread = threading.Thread(target=report, daemon=True)
    with _signals_wait():  # it leaves them to the main thread, for good
        thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run(
    command: Sequence[str],
    what: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    advice: str = "",
) -> None:
    """Run a program to its end; what it printed is shown only when it fails.

    It gets a session of its own, so that whatever ends this run ends its children's children too: `go build` starts
    compilers that would outlive it.
    """
    process: subprocess.Popen[bytes] | None = None
    with tempfile.TemporaryFile() as output:
        try:
            with _signals_wait():  # one that came while it is being started would leave it without a parent
                process = subprocess.Popen(
                    command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )  # fmt: skip
            status = process.wait()
        except FileNotFoundError:
            raise PartError(f"{what}: there is no {command[0]} here{_then(advice)}") from None
        except BaseException:
            if process is not None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise
        if status:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()[-SHOWN:]
            shown = "".join(f"\n    {line}" for line in lines)
            raise PartError(f"{what} failed with status {status}{_then(advice)}{shown}")


@contextmanager
def _signals_wait() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _then(advice: str) -> str:
    return f"; {advice}" if advice else ""
