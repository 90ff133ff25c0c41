"""Waiting for what happens soon, in tests of real sockets and processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path


async def soon(look: Callable[[], object], *, within: float = 30.0) -> None:
    """Return when ``look`` is true; fail when it takes too long."""
    async with asyncio.timeout(within):
        while True:
            if look():
                return
            await asyncio.sleep(0.005)


def before_long(look: Callable[[], object], *, within: float = 30.0) -> None:
    """The same, without an event loop."""
    deadline = time.monotonic() + within
    while not look():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process has not ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
