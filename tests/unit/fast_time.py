"""Waits of an event loop that take a twentieth of their time.

For what waits by the loop's clock alone (``asyncio.sleep``, ``call_later``, timeouts), with peers in the same loop. Not
for what other processes do. They take some time, because a kernel that is busy brings over loopback a little later what
was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FASTER = 20


@contextmanager
def fast_time() -> Iterator[None]:
    """In this block, by ``loop.time()``, waits last as long as they were asked for."""
    loop: Any = asyncio.get_running_loop()
    selector, slow = loop._selector, loop.time
    if "select" in vars(selector):  # it is fast already
        yield
        return
    select, ahead = selector.select, 0.0

    def soon(timeout: float | None = None) -> Any:
        nonlocal ahead
        if not timeout:  # there is no timer, or one that is due
            return select(timeout)
        began = slow()
        if not (ready := select(timeout / FASTER)):
            ahead += max(0.0, timeout - (slow() - began))
        return ready

    selector.select, loop.time = soon, lambda: slow() + ahead
    try:
        yield
    finally:
        del selector.select, loop.time
