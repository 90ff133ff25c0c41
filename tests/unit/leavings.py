"""What is left for the collector: whatever holds itself, and goes only when that looks for it."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.unit.waiting import soon


@contextmanager
def left() -> Iterator[list[str]]:
    """Afterwards, the types of what was made and left meanwhile; what was there before may end at any time."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    before = {id(each) for each in gc.get_objects()}
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += sorted(type(each).__name__ for each in gc.garbage if id(each) not in before)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def peer(address: tuple[str, int], says: bytes, ends: str) -> None:
    """Somebody who connects, says something, reads what comes at once, and ends the connection.

    That is by ``fin``, ``rst`` or ``half`` of a FIN, or ``waits`` for the other side to do it.
    """
    with socket.create_connection(address, timeout=10.0) as sock:
        sock.sendall(says)
        if ends == "half":
            sock.shutdown(socket.SHUT_WR)
        if ends == "rst":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif ends in ("half", "waits"):
            try:
                while sock.recv(4096):
                    pass
            except ConnectionError:
                pass


async def left_by_two(
    address: tuple[str, int], says: bytes, ends: str, over: Callable[[], bool]
) -> list[str]:
    """What two such peers, one after the other, leave when they are ``over``."""
    with left() as found:
        for _ in range(2):
            await asyncio.to_thread(peer, address, says, ends)
        await soon(over)
        await asyncio.sleep(0.01)
    return found
