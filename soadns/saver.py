"""Snapshots of a running control process: at most every five seconds, and at its end.

A snapshot is taken in a forked child: the copy-on-write image is consistent, and the parent goes on answering.
The child touches nothing but its copy and one file. Work is proportional to what is known, off the loop.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from pathlib import Path

from soadns import snapshot
from soadns.control import Control
from soadns.logs import Log

PAUSE_S = 5.0
CHILD_S = 60.0
"""A child that takes longer is killed; the snapshot before it stays."""
FORK_SHARE = 0.01
"""Of the loop's time that forking may take: a large process is saved less often."""


class Saver:
    """Writes and reads the snapshot of one control process."""

    def __init__(self, control: Control, path: Path, identities: dict[str, str], *, log: Log) -> None:
        self.path = path
        self._control = control
        self._identities = identities
        self._log = log

    def restore(self) -> dict[str, int]:
        """Put the last snapshot back, if there is a usable one; returns the serial of every zone."""
        control, now = self._control, self._control.now()
        found = snapshot.read(
            self.path, report=lambda text: self._log("snapshot", level="error", problem=text)
        )
        if found is None:
            return {}
        for text in snapshot.restore(control.estate, found, now, identities=self._identities):
            self._log("snapshot-refused", level="warning", reason=text)
        for source in found.sources:
            self._identities.setdefault(source.name, source.identity)
        names = sum(len(zone.states) for zone in found.zones)
        self._log("restored", path=self.path, age_s=round(now - found.saved, 1), names=names)
        return {zone.name: zone.serial for zone in found.zones}

    async def run(self) -> None:
        """Save whenever something happened, until cancelled."""
        control = self._control
        while True:
            await control.changed.wait()
            control.changed.clear()
            began = time.monotonic()
            pid = self._fork()
            pause = time.monotonic() - began
            await self._reap(pid)
            await asyncio.sleep(max(PAUSE_S, pause / FORK_SHARE))

    def save_now(self) -> None:
        """Save in this process, at its end."""
        try:
            self._write()
        except OSError as error:
            self._failed(f"{self.path}: {error.strerror}")

    def _write(self) -> int:
        control = self._control
        taken = snapshot.capture(
            control.estate, control.now(), identities=self._identities, serials=control.serials
        )
        data = snapshot.encode(taken)
        snapshot.write(self.path, data)
        return len(data)

    def _fork(self) -> int:
        pid = os.fork()
        if pid:
            return pid
        # Threads (kazoo's) do not exist here and locks may be held by them: nothing below takes one.
        status = 1
        try:
            gc.disable()
            signal.set_wakeup_fd(-1)
            self._write()
            status = 0
        except OSError as error:
            status = min(error.errno or 1, 255)
        finally:
            os._exit(status)

    async def _reap(self, pid: int) -> None:
        deadline = time.monotonic() + CHILD_S
        figures = self._control.figures
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
            if done:
                break
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)  # noqa: ASYNC222 - it was just killed
                self._failed(f"{self.path}: not written within {CHILD_S:g} s")
                return
            await asyncio.sleep(0.05)
        code = os.waitstatus_to_exitcode(status)
        if code:
            reason = os.strerror(code) if code > 0 else f"signal {-code}"
            self._failed(f"{self.path}: {reason}")
            return
        figures.snapshots += 1
        figures.snapshot_at = self._control.now()
        figures.snapshot_octets = self.path.stat().st_size

    def _failed(self, reason: str) -> None:
        self._control.figures.snapshot_failures += 1
        self._log("snapshot-failed", level="error", reason=reason, hint="check space and permissions")
