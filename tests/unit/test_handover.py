"""Calls from other threads reach the loop in order, none is lost, and a fault is told."""

from __future__ import annotations

import asyncio
import threading

from soadns.sources.handover import Handover


async def until(done: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await done.wait()


async def test_calls_of_many_threads_all_come_each_threads_own_in_order() -> None:
    taken: list[tuple[int, int]] = []
    done = asyncio.Event()

    def take(thread: int, number: int) -> None:
        taken.append((thread, number))
        if len(taken) == 4_000:
            done.set()

    handover = Handover(after=lambda: len(taken) < 2_000, failed=lambda fault: None)
    handover.start(asyncio.get_running_loop())
    threads = [
        threading.Thread(target=lambda t=t: [handover.put(take, t, n) for n in range(1_000)])
        for t in range(4)
    ]
    for thread in threads:
        thread.start()
    await until(done)
    for t in range(4):
        assert [number for thread, number in taken if thread == t] == list(range(1_000))


async def test_while_much_is_under_way_it_looks_again_by_itself() -> None:
    looks = 0
    done = asyncio.Event()

    def after() -> bool:
        nonlocal looks
        looks += 1
        if looks == 5:
            done.set()
        return looks < 5

    handover = Handover(after=after, failed=lambda fault: None)
    handover.start(asyncio.get_running_loop())
    handover.put(lambda: None)
    await until(done)
    await asyncio.sleep(0.05)
    assert looks == 5


async def test_a_fault_is_told_and_what_comes_later_is_taken() -> None:
    faults: list[Exception] = []
    done = asyncio.Event()
    handover = Handover(after=lambda: False, failed=faults.append)
    handover.start(asyncio.get_running_loop())
    handover.put(lambda: [][1])
    await asyncio.sleep(0.01)
    handover.put(done.set)
    await until(done)
    assert [type(fault) for fault in faults] == [IndexError]
