"""A control process without sources, for tests of the supervisor: one zone, one name, fed to the workers.

``steady.rpc.test`` answers 10.96.0.10. SIGUSR1 ends the process with the status that asks for a new one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time

from soadns.model import Records
from soadns.nameserver.feed import Feed, Publisher
from soadns.nameserver.journal import Journal
from soadns.nameserver.table import READY
from soadns.nameserver.zone import ZoneData
from soadns.processes.children import AGAIN_STATUS


async def control(options: argparse.Namespace) -> int:
    begun = time.time_ns()
    publisher = Publisher(Journal(tuple(options.journal), begun))
    publisher.table.generation = begun // 1_000_000
    zone = ZoneData("rpc.test")
    delta = zone.start()
    delta.merge(zone.apply({"steady": Records(addresses=("10.96.0.10",))}, serial=1))
    delta.merge(zone.set_state(READY))
    publisher.publish(delta)
    publisher.feeds = [
        Feed([socket.socket(fileno=fd) for fd in channels], publisher) for channels in options.channel
    ]
    for feed in publisher.feeds:
        feed.start()
    publisher.set_complete()
    loop = asyncio.get_running_loop()
    end: asyncio.Future[int] = loop.create_future()

    def finish(status: int) -> None:
        loop.remove_reader(options.lifeline)
        if not end.done():
            end.set_result(status)

    loop.add_signal_handler(signal.SIGTERM, finish, 0)
    loop.add_signal_handler(signal.SIGUSR1, finish, AGAIN_STATUS)
    loop.add_signal_handler(signal.SIGHUP, lambda: print("event=reload", flush=True))
    loop.add_reader(options.lifeline, finish, 0)

    def beat() -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(options.heartbeat, b".")
        loop.call_later(0.1, beat)

    beat()
    return await end


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--heartbeat", type=int, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    parser.add_argument("--journal", type=int, nargs=2, required=True)
    parser.add_argument("--channel", type=int, nargs=2, action="append", default=[])
    sys.exit(asyncio.run(control(parser.parse_args())))
