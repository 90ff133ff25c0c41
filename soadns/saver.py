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
from dataclasses import replace
from pathlib import Path

from soadns import snapshot
from soadns.control import Control, Predecessor
from soadns.logs import Log

PAUSE_S = 5.0
CHILD_S = 60.0
"""A child that takes longer is killed; the snapshot before it stays."""
FAULT = 255
"""Exit status of a child that failed by a fault of ours; others are errno."""
NICE = 10
"""By how much the child steps back: answers and changes come first on a machine with few cores."""
FIRST_S = 60.0
"""How long the first snapshot waits for a complete state: forking while everything is read for the first time makes
that slower, and half of a registry is worth little."""
LOOK_S = 0.2
FORK_SHARE = 0.01
"""Of the loop's time that forking may take: a large process is saved less often."""


class Saver:
    """Writes and reads the snapshot of one control process."""

    def __init__(self, control: Control, path: Path, identities: dict[str, str], *, log: Log) -> None:
        self.path = path
        self._control = control
        self._identities = identities
        self._log = log
        self._child = 0
        """The process that is writing now, or 0."""

    def restore(self) -> Predecessor:
        """Put the last snapshot back, if there is a usable one; returns what its process had reached."""
        control = self._control
        found = snapshot.read(
            self.path, report=lambda text: self._log("snapshot", level="error", problem=text)
        )
        if found is None:
            return Predecessor()
        control.clock.not_before(found.saved)
        now = control.now()
        for text in snapshot.restore(control.estate, found, now, identities=self._identities):
            self._log("snapshot-refused", level="warning", reason=text)
        names = sum(len(zone.states) for zone in found.zones)
        self._log("restored", path=self.path, age_s=round(now - found.saved, 1), names=names)
        return Predecessor(
            serials={zone.name: zone.serial for zone in found.zones},
            complete=frozenset(zone.name for zone in found.zones if zone.complete),
            ready=found.ready,
            moves=found.moves,
            untold=found.untold,
            shared=found.shared,
        )

    async def run(self) -> None:
        """Save whenever something happened, until cancelled."""
        control = self._control
        begun = time.monotonic()
        while not self._complete() and time.monotonic() - begun < FIRST_S:  # noqa: ASYNC110 - zones are pure
            await asyncio.sleep(LOOK_S)
        while True:
            await control.changed.wait()
            control.changed.clear()
            began = time.monotonic()
            self._child = self._fork()
            pause = time.monotonic() - began
            if not await self._reap(self._child):
                control.changed.set()  # what was not saved is to be saved the next time
            await asyncio.sleep(max(PAUSE_S, pause / FORK_SHARE))

    def _complete(self) -> bool:
        estate = self._control.estate
        return not estate.pending and all(zone.complete for zone in estate.zones.values())

    def save_now(self) -> bool:
        """Save in this process, at its end; returns whether that worked."""
        if self._child:
            # It knows less than this process, and must not have the last word.
            self._kill()
        try:
            self._write()
        except OSError as error:
            self._failed(f"{self.path}: {error.strerror}")
            return False
        return True

    def _write(self) -> int:
        control = self._control
        taken = snapshot.capture(
            control.estate, control.now(), identities=self._identities, serials=control.serials
        )
        taken = replace(taken, ready=control.ready, moves=control.routing.moves)
        if (mesh := control.mesh) is not None:
            taken = replace(taken, untold=mesh.untold, shared=mesh.shared)
        data = snapshot.encode(taken)
        snapshot.write(self.path, data)
        return len(data)

    def _fork(self) -> int:
        pid = os.fork()
        if pid:
            return pid
        # Threads (kazoo's) do not exist here and locks may be held by them: nothing below takes one.
        status = FAULT
        try:
            gc.disable()
            os.nice(NICE)
            signal.set_wakeup_fd(-1)
            self._write()
            status = 0
        except OSError as error:
            status = min(error.errno or FAULT, FAULT)
        finally:
            os._exit(status)

    def _kill(self) -> None:
        """End the child that is writing; what it began is thrown away."""
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        snapshot.temporary(self.path, self._child).unlink(missing_ok=True)
        self._child = 0

    async def _reap(self, pid: int) -> bool:
        """Wait for the child; returns whether the snapshot was written."""
        deadline = time.monotonic() + CHILD_S
        figures = self._control.figures
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
            if done:
                break
            if time.monotonic() > deadline:
                self._kill()
                self._failed(f"{self.path}: not written within {CHILD_S:g} s")
                return False
            await asyncio.sleep(0.05)
        self._child = 0
        code = os.waitstatus_to_exitcode(status)
        if code:
            snapshot.temporary(self.path, pid).unlink(missing_ok=True)
            self._failed(f"{self.path}: {_reason(code)}")
            return False
        figures.snapshots += 1
        figures.snapshot_at = self._control.now()
        figures.snapshot_octets = self.path.stat().st_size
        return True

    def _failed(self, reason: str) -> None:
        self._control.figures.snapshot_failures += 1
        self._log("snapshot-failed", level="error", reason=reason, hint="check space and permissions")


def _reason(code: int) -> str:
    if code < 0:
        return f"the writing process was ended by signal {-code}"
    return "internal error" if code == FAULT else os.strerror(code)
