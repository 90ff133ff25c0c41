"""Snapshots of a running control process: at most every five seconds, and at its end.

What changed is written behind what is there, so the work is proportional to that. A whole snapshot is written first,
when much changed at once, and when the changes have taken more room than the whole: in a forked child, whose
copy-on-write image is consistent, while the parent goes on answering. The child touches nothing but its copy and one
file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from soadns import composition, forked
from soadns.control import Control, Predecessor
from soadns.logs import Log
from soadns.persistence import changes, snapshot, snapshotfile
from soadns.persistence.changes import Changes
from soadns.persistence.snapshot import Snapshot, Touched
from soadns.persistence.snapshotfile import Tail
from soadns.sidecar.moves import Moves

PAUSE_S = 5.0
REFRESH_S = 60.0
"""How long a snapshot stays that other replicas may ask for, though nothing happened."""
CHILD_S = 60.0
"""A child that takes longer is killed; the snapshot before it stays. What hangs for longer is told of so often."""
KILL_S = 1.0
"""How long the loop waits for a child that was killed: one that waits for a disk may not end by that."""
FIRST_S = 60.0
"""How long the first snapshot waits for a complete state: forking while everything is read for the first time makes
that slower, and half of a registry is worth little."""
LOOK_S = 0.2
FORK_SHARE = 0.01
"""Of the loop's time that forking may take: a large process is saved less often."""
MOST_CHANGES = 1_000
"""What changed of names, sites, observations ... that is written by this process: a hundredth of a second."""
MOST_AT_END = 20_000
"""The same at its end, when nobody waits for it."""
HURRY_S = 0.5
"""How soon after one save another one may follow, before more changed than this process writes."""
MIN_CHANGES = 1 << 20
"""Octets of changes that are no reason for a new whole. Above, they may take as much as the whole does."""


class Saver:
    """Writes and reads the snapshot of one control process."""

    def __init__(self, control: Control, path: Path, identities: dict[str, str], *, log: Log) -> None:
        self.path = path
        self._control = control
        self._identities = identities
        self._log = log
        self._fed = composition.fed(control.config)
        self._at_least = REFRESH_S if control.config.state.peers.listen else None
        self._child = 0
        """The process that is writing now, or 0."""
        self._tail: Tail | None = None
        """Where changes go; None where a whole is to be written first."""
        self._appending = False
        self._given_way = False

    def read(self) -> Snapshot | None:
        """The last snapshot, if there is a usable one."""
        return snapshotfile.read(
            self.path, report=lambda text: self._log("snapshot", level="error", problem=text)
        )

    def put(self, found: Snapshot) -> bool:
        """Save what another replica knows as if it were this one's; returns whether that worked."""
        try:
            snapshotfile.write(self.path, snapshotfile.encode(found))
        except OSError as error:
            self._failed(f"{self.path}: {error.strerror}")
            return False
        return True

    def give_way(self, found: Snapshot) -> bool:
        """The same for a successor, who begins with that: this process saves nothing any more."""
        self._given_way = self._kill() and self.put(found)
        return self._given_way

    def restore(self, found: Snapshot | None) -> Predecessor:
        """Put a snapshot back; returns what its process had reached."""
        control = self._control
        if found is None:
            return Predecessor()
        control.clock.not_before(found.saved)
        control.figures.snapshot_at = found.saved
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
        """Save whenever something happened, until cancelled; and so often that other replicas get none that is old."""
        control = self._control
        begun = time.monotonic()
        while not self._complete() and time.monotonic() - begun < FIRST_S:  # noqa: ASYNC110 - zones are pure
            await asyncio.sleep(LOOK_S)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._at_least):
                    await control.changed.wait()
            if self._given_way:
                await asyncio.Event().wait()  # for the end
            control.changed.clear()
            pause = await self._save()
            if pause is None:
                control.changed.set()  # what was not saved is to be saved the next time
            await self._rest(pause or PAUSE_S)

    async def _save(self) -> float | None:
        """Save what changed, or everything; returns how long to wait then, None where it failed."""
        if self._few(MOST_CHANGES):
            return PAUSE_S if await self._append() else None
        began, at = time.monotonic(), self._control.now()
        try:
            self._child = self._fork()
        except OSError as error:
            self._failed(f"{self.path}: no process to write it: {error.strerror}")
            return None
        pause = time.monotonic() - began
        return max(PAUSE_S, pause / FORK_SHARE) if await self._reap(self._child, at) else None

    async def _rest(self, seconds: float) -> None:
        """Wait; less long if there is soon more than this process writes by itself."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, HURRY_S))
            if self._few(MOST_CHANGES) and (self._unsaved or 0) > MOST_CHANGES // 2:
                return

    @property
    def _unsaved(self) -> int | None:
        return changes.count(self._control.estate, self._moves)

    def _few(self, most: int) -> bool:
        """Whether what is not saved is to go behind what is, and not into a new whole."""
        unsaved, tail = self._unsaved, self._tail
        if unsaved is None or tail is None or self._appending:
            return False
        return unsaved <= most and tail.octets - tail.whole <= max(MIN_CHANGES, tail.whole)

    @property
    def _moves(self) -> Mapping[str, Moves]:
        return {name: table.moves for name, table in self._control.routing.tables.items()}

    def _complete(self) -> bool:
        estate = self._control.estate
        return not estate.pending and all(zone.complete for zone in estate.zones.values())

    def save_now(self) -> bool:
        """Save in this process, at its end; returns whether that worked."""
        if self._given_way:
            return True
        # A child knows less than this process, and must not have the last word.
        if not self._kill():
            return False
        try:
            if self._few(MOST_AT_END) and (octets := self._take_changes()) is not None:
                assert self._tail is not None
                self._tail.append(octets)
            else:
                self._write()
        except OSError as error:
            self._failed(f"{self.path}: {error.strerror}")
            return False
        return True

    def _write(self, parent: int = 0) -> None:
        """All of it; in a child, for its parent."""
        snapshotfile.write(self.path, snapshotfile.encode(self._capture()), parent=parent)

    def _capture(self, only: Touched | None = None) -> Snapshot:
        control = self._control
        taken = snapshot.capture(
            control.estate,
            control.now(),
            identities=self._identities,
            serials=control.serials,
            fed=self._fed,
            only=only,
        )
        moves = control.routing.moves if only is None else changes.moved(self._moves, only)
        taken = replace(taken, ready=control.ready, moves=moves)
        if (mesh := control.mesh) is not None:
            taken = replace(taken, untold=mesh.untold, shared=mesh.shared)
        return taken

    def _take_changes(self) -> bytes | None:
        """What changed since the last save, which counts as saved; None where that can not be told."""
        touched = changes.take(self._control.estate, self._moves)
        return (
            None if touched is None else snapshotfile.encode_changes(Changes(touched, self._capture(touched)))
        )

    async def _append(self) -> bool:
        """Write what changed behind what is saved; returns whether that worked."""
        at = self._control.now()
        tail, octets = self._tail, self._take_changes()
        assert tail is not None
        assert octets is not None
        self._appending = True  # to its end, whatever becomes of this task
        # A disk that hangs is waited for: its write can not be ended, and what follows must come behind it.
        late = asyncio.create_task(self._tell_of_delay())
        try:
            await asyncio.to_thread(tail.append, octets)
        except OSError as error:
            self._end_tail()
            self._appending = False
            self._failed(f"{self.path}: {error.strerror}")
            return False
        finally:
            late.cancel()
        self._appending = False
        self._saved(tail.octets, at)
        return True

    async def _tell_of_delay(self) -> None:
        """Until cancelled: a disk that hangs is no failure that is over when it was told."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(CHILD_S)
            self._late(began)

    def _late(self, began: float) -> None:
        self._failed(f"{self.path}: not written for {time.monotonic() - began:.3g} s")

    def _end_tail(self) -> None:
        """Changes go there no more: a whole is to be written first."""
        tail, self._tail = self._tail, None
        if tail is not None:
            with contextlib.suppress(OSError):  # what was written there is on disk, or was told not to be
                tail.close()

    def _saved(self, octets: int, at: float) -> None:
        """It holds what there was ``at`` that moment, however long the disk took since."""
        figures = self._control.figures
        figures.snapshots += 1
        figures.snapshot_at = at
        figures.snapshot_octets = octets

    def _fork(self) -> int:
        """Have a child write everything; what changes from now on is written behind that. Raises OSError."""
        self._end_tail()
        changes.take(self._control.estate, self._moves)
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        status = forked.FAULT  # others are errno
        try:
            forked.be_copy()
            self._write(parent)
            status = 0
        except OSError as error:
            status = min(error.errno or forked.FAULT, forked.FAULT)
        finally:
            os._exit(status)

    def _kill(self) -> bool:
        """End the child that is writing, if one is; what it began is thrown away. Returns whether there is none now."""
        if not self._child:
            return True
        os.kill(self._child, signal.SIGKILL)
        deadline = time.monotonic() + KILL_S
        while not os.waitpid(self._child, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                self._failed(f"{self.path}: the process that writes it waits for the disk, and does not end")
                return False
            time.sleep(0.01)
        self._throw_away(self._child)
        self._child = 0
        return True

    def _throw_away(self, pid: int) -> None:
        """What a child began, if anything."""
        with contextlib.suppress(OSError):  # a disk that is read-only refuses it even where there is nothing
            snapshotfile.temporary(self.path, pid).unlink(missing_ok=True)

    async def _reap(self, pid: int, at: float) -> bool:
        """Wait for the child, which was made ``at`` that moment; returns whether the snapshot was written.

        One that waits for a disk that hangs ends when that does, though it is killed: until then there is no other.
        """
        began = time.monotonic()
        deadline, overdue = began + CHILD_S, False
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
            if done:
                break
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                self._late(began)
                deadline, overdue = deadline + CHILD_S, True
            await asyncio.sleep(0.05)
            if self._child != pid:  # ended, for another replica's was to take its place
                return False
        self._child = 0
        code = os.waitstatus_to_exitcode(status)
        if code:
            self._throw_away(pid)
            if not overdue:  # which was told
                self._failed(f"{self.path}: {_reason(code)}")
            return False
        try:
            self._tail = Tail(self.path)
        except OSError as error:
            self._failed(f"{self.path}: {error.strerror}")
            return False
        self._saved(self._tail.octets, at)
        return True

    def _failed(self, reason: str) -> None:
        self._control.figures.snapshot_failures += 1
        self._log("snapshot-failed", level="error", reason=reason, hint="check space and permissions")


def _reason(code: int) -> str:
    if code < 0:
        return f"the writing process was ended by signal {-code}"
    return "internal error" if code == forked.FAULT else os.strerror(code)
