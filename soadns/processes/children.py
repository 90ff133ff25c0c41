"""The processes that must run: what is known of each, and when it is to be started, told or killed.

Standard library only; used by the supervisor alone. A ``Post`` is something that must run all the time; its
processes come and go. A worker's post has two seats, so that a successor can be started before its predecessor has
ended; control's has one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

AGAIN_STATUS = 75
"""Exit status (EX_TEMPFAIL) of a process that wants to be started again: no failure, if it has run a while."""
BACKOFF_S = (0.0, 0.2, 1.0, 3.0, 5.0)
STEADY_S = 60.0
"""A process that lived so long has earned an immediate restart."""
Command = tuple[list[str], list[int]]
"""Arguments, and descriptors to inherit."""


@dataclass(slots=True, eq=False)
class Seat:
    """What one process of a post has for itself."""

    listen: Callable[[], bool]
    """Takes in whatever was said from here; returns whether it was anything."""
    command: Command
    ask: Callable[[], object] | None = None
    """Asks for a sign of life; None where those come unasked."""


@dataclass(slots=True, eq=False)
class Process:
    """One process, from its start until it was reaped."""

    popen: subprocess.Popen[bytes]
    seat: Seat
    started: float
    last_sign: float = 0.0
    """When it last showed life; 0 until it did for the first time."""
    leaving: float = 0.0
    """When it was told to end; 0 for one that is to stay."""
    killed: bool = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def tell(self, number: int) -> bool:
        """Send a signal; returns whether there is anybody to take it."""
        if self.popen.poll() is not None:
            return False
        self.popen.send_signal(number)
        return True

    def kill(self) -> None:
        """End it at once."""
        self.killed, self.leaving = True, self.leaving or time.monotonic()
        self.popen.kill()

    def state(self) -> str:
        """What the kernel says it does: R runs or would like to, S sleeps, D waits for a disk, T is stopped."""
        with contextlib.suppress(OSError, IndexError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "Z"


@dataclass(slots=True, eq=False)
class Post:
    """Something that must run."""

    name: str
    seats: list[Seat]
    processes: list[Process] = field(default_factory=list)
    """The oldest first."""
    failures: int = 0
    again_at: float = 0.0
    renewed: bool = False
    """Whether a successor is to take over from the process that serves."""

    @property
    def serving(self) -> Process | None:
        """The process that is to stay, or the older of two."""
        return next((process for process in self.processes if not process.leaving), None)

    @property
    def successor(self) -> Process | None:
        """The younger of two."""
        staying = [process for process in self.processes if not process.leaving]
        return staying[1] if len(staying) > 1 else None

    def vacant(self, now: float) -> Seat | None:
        """The seat for a process that is to be started now."""
        wanted = self.serving is None or (self.renewed and self.successor is None)
        if not wanted or now < self.again_at:
            return None
        taken = [process.seat for process in self.processes]
        return next((seat for seat in self.seats if seat not in taken), None)

    def start(self, seat: Seat, now: float) -> Process:
        """Start a process. Raises OSError, after which it is tried again later."""
        command, descriptors = seat.command
        seat.listen()  # what its predecessor said last is no sign of this one
        try:
            popen = subprocess.Popen(command, pass_fds=descriptors, stdin=subprocess.DEVNULL)  # noqa: S603
        except OSError:
            self.back_off(now, now)
            raise
        process = Process(popen, seat, now)
        self.processes.append(process)
        return process

    def ended(self, process: Process, now: float, *, on_purpose: bool) -> None:
        """A process was reaped: one that is wanted has a successor at once, or after a while."""
        if process is self.serving and self.successor is not None:
            self.renewed = False  # the successor serves already
        self.processes.remove(process)
        if on_purpose:
            self.again_at = now
        elif not process.leaving or process.killed:
            self.back_off(process.started, now)

    def back_off(self, started: float, now: float) -> None:
        """The next start has to wait the longer, the more of the last ones failed."""
        self.failures = 0 if now - started > STEADY_S else self.failures + 1
        self.again_at = now + BACKOFF_S[min(self.failures, len(BACKOFF_S)) - 1 if self.failures else 0]


def drain(sock: socket.socket) -> bool:
    """Take in every datagram; returns whether there was one."""
    heard = False
    with contextlib.suppress(OSError):
        while sock.recv(512):
            heard = True
    return heard


def drain_pipe(descriptor: int) -> bool:
    """Take in what is in a pipe; returns whether there was anything."""
    heard = False
    with contextlib.suppress(OSError):
        while os.read(descriptor, 4096):
            heard = True
    return heard
