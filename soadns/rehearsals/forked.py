"""Work on a copy of this process. The kernel makes it (copy-on-write): it is consistent, and nobody waits for it.

Threads do not exist in the copy, and locks may be held by them: what is done there takes none, and touches nothing but
its own memory.
"""

from __future__ import annotations

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


def begin(work: Callable[[], object]) -> tuple[int, int]:
    """Start it; returns the child's pid, and the descriptor from which ``result`` reads what it returned, as JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    status = FAULT
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        gc.disable()
        os.nice(NICE)
        signal.set_wakeup_fd(-1)
        os.close(reader)
        with open(writer, "wb") as file:
            file.write(json.dumps(work()).encode())
        status = 0
    finally:
        os._exit(status)


def result(pid: int, reader: int) -> Any:
    """Wait for the child; returns what it returned. Raises ForkedError."""
    with open(reader, "rb") as file:
        octets = file.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise ForkedError(f"exit status {os.waitstatus_to_exitcode(status)}")
    return json.loads(octets)
