"""Work on a copy of this process. The kernel makes it (copy-on-write): it is consistent, and nobody waits for it.

Threads do not exist in the copy, and locks may be held by them: what is done there takes none, and touches nothing but
its own memory, and what it opens itself. It may outlive the process, where that is killed, and has nothing then that a
successor needs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

FAULT = 255
"""Exit status of a child that failed."""
NICE = 10
"""By how much the child steps back: answers and changes come first on a machine with few cores."""


CPU_S = 60
"""Seconds of processor time that a child may take: one whose parent is gone does not go on for ever."""


class ForkedError(Exception):
    """A child that ended without a result."""


def be_copy(*needed: int) -> None:
    """What a child does first: it steps back, and closes all that it inherited but the standard streams and these."""
    gc.disable()
    os.nice(NICE)
    signal.set_wakeup_fd(-1)
    try:
        inherited = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # no /proc: a successor that wants one of our addresses waits for this child's end
        return
    for descriptor in inherited:
        if descriptor > 2 and descriptor not in needed:
            with contextlib.suppress(OSError):  # what the list was read by is closed
                os.close(descriptor)


def begin(work: Callable[[], object], *, apart: bool = False) -> tuple[int, int]:
    """Start it; returns the child's pid, and the descriptor from which ``result`` reads what it returned, as JSON.

    :param apart: whether ``end`` is to end it, with copies of its own.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        if apart:
            _set_apart(pid)
        return pid, reader
    status = FAULT
    try:
        if apart:
            _set_apart(0)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        be_copy(writer)
        with open(writer, "wb") as file:
            file.write(json.dumps(work()).encode())
        status = 0
    finally:
        os._exit(status)


def _set_apart(pid: int) -> None:
    """In the parent and in the child: whichever comes first, before the child has copies, and before it is ended."""
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)


def end(pid: int) -> None:
    """End a child that was set apart, before its result; ``result`` raises ForkedError then."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def result(pid: int, reader: int) -> Any:
    """Wait for the child; returns what it returned. Raises ForkedError."""
    with open(reader, "rb") as file:
        octets = file.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise ForkedError(f"exit status {os.waitstatus_to_exitcode(status)}")
    return json.loads(octets)
