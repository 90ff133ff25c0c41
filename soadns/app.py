"""The composition root: the control process, put together. Nobody imports it but ``python -m soadns``.

The supervisor (``soadns.serving``) starts ``control_main`` in a process of its own, with the configuration and
inherited descriptors. A reload replaces the control process: it saves its state, ends, and its successor reads the new
file while the workers answer on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soadns import composition, faults, logs
from soadns.beside import Beside
from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.control import Control
from soadns.figures import Figures, SkydnsFigures
from soadns.inquiries import Inquiries
from soadns.logs import log
from soadns.nameserver.feed import Feed, Publisher
from soadns.nameserver.journal import Journal
from soadns.persistence.believing import Own, wanted, whole
from soadns.persistence.peers import Peers
from soadns.persistence.saver import Saver
from soadns.persistence.snapshot import Snapshot
from soadns.processes.children import AGAIN_STATUS
from soadns.reload import Reload
from soadns.settings.config import Config
from soadns.settings.configfile import ConfigError
from soadns.settings.inforce import in_force
from soadns.settings.peertls import PeerTls
from soadns.sources import Identifiable
from soadns.web.api import Site, listen
from soadns.web.snapshots import Snapshots

if TYPE_CHECKING:
    from soadns.ads.server import AdsServer
    from soadns.skydns.publisher import SkydnsPublisher
    from soadns.transfer.server import TransferServer

FAULT_STATUS = 70
"""Exit status of a control process that can not go on by itself."""
COLLECT = (50_000, 20, 50)
"""Thresholds of the control process's cyclic collector; with Python's own a first sync takes a quarter longer."""
NICE = 5
"""By how much the control process steps back from processor time that workers want: a question is to be answered
before a change is worked on. On cores that are all taken it still gets a quarter of one."""
IDENTITY_S = 3.0
"""How long to wait at start for clusters to say who they are."""


def control_main(arguments: list[str]) -> int:
    """The control process: ``python -m soadns _control``, started by the supervisor."""
    parser = argparse.ArgumentParser(prog="soadns _control")
    parser.add_argument("--config", required=True)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--lameduck", type=float, default=0.0)
    parser.add_argument("--heartbeat", type=int, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    parser.add_argument("--journal", type=int, nargs=2, required=True)
    parser.add_argument("--channel", type=int, nargs=2, action="append", default=[])
    parser.add_argument("--http-listen", type=int)
    parser.add_argument("--http-probes", type=int)
    parser.add_argument("--state-peers-listen", type=int)
    options = parser.parse_args(arguments)
    os.nice(NICE)
    try:
        config = in_force(options.state, options.config)
        logs.configure(config.log.level, config.log.format)
        return asyncio.run(_control(options, config))
    except ConfigError as error:
        logs.configure("info", "keyvalue")
        for problem in error.problems:
            log("bad-configuration", level="error", where=error.where, problem=problem)
        return 2


async def _control(options: argparse.Namespace, config: Config) -> int:
    # Observations come by the hundred thousand and hardly ever form cycles: look for those less often.
    gc.set_threshold(*COLLECT)
    estate = Estate(composition.zone_settings(config))
    begun = time.time_ns()
    publisher = Publisher(Journal(tuple(options.journal), begun))
    publisher.table.generation = begun // 1_000_000  # above any predecessor's
    figures = Figures()
    sources = composition.sources(config, figures.credentials, log=log)
    control = Control(config, estate, publisher, sources, figures=figures, log=log, clock=Clock())
    identities = await _identities(config, control)
    saver = Saver(control, options.state / "snapshot", identities, log=log)
    own = Own(composition.fed(config), identities, float(config.state.peers.oldest))
    tls = PeerTls(config.state.peers.tls, control.figures.credentials, log=log)
    peers = Peers(config.state.peers, tls, own, control.figures, log=log, now=control.now)
    begun_with = await _last_known(saver, peers, own, control)
    before = saver.restore(begun_with)
    publisher.feeds = [
        Feed([socket.socket(fileno=fd) for fd in channels], publisher) for channels in options.channel
    ]
    control.begin(before)
    for feed in publisher.feeds:
        feed.start()
    # What was restored lives long; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    stopping: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    operations = Reload(options.config, options.state, control, stopping)
    _signals(options, control, stopping, operations)
    inquiries = Inquiries(control)
    site = Site(inquiries, operations, config.http)
    snapshots = Snapshots(inquiries, saver.path, config.state.peers.token_file)
    served = (
        (options.http_listen, site.application(probes_only=False), None),
        (options.http_probes, site.application(probes_only=True), None),
        (options.state_peers_listen, snapshots.application(), tls.serving),
    )
    beside = [each for each in (_sidecars(config, control, inquiries), _secondaries(config, control)) if each]
    for each in beside:
        await each.start()
    publishing = operations.publishing = _publish(config, control)
    # Who hears from here that a reload is done finds everything in force.
    runners = [
        await listen(app, socket.socket(fileno=fd), secured) for fd, app, secured in served if fd is not None
    ]
    tasks = [
        asyncio.create_task(control.run()),
        asyncio.create_task(saver.run()),
        asyncio.create_task(_heartbeat(options.heartbeat)),
    ]
    for task in tasks:
        task.add_done_callback(partial(_ended, stopping))
    tasks.append(asyncio.create_task(faults.anew("peers", tls.look, control.figures.faults, log)))
    if peers.configured and not whole(begun_with, own):
        tasks.append(asyncio.create_task(_ask_on(peers, saver, control, stopping)))
    status = await stopping
    for runner in runners:  # whoever connects from now on waits for the successor
        await runner.cleanup()
    for each in beside:
        await each.stop()
    if publishing is not None:
        await publishing.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # After a fault the last snapshot is to be trusted more than what is in memory.
    if status != FAULT_STATUS and saver.save_now():
        publisher.leave()
    for feed in publisher.feeds:
        feed.stop()
    return status


def _sidecars(config: Config, control: Control, inquiries: Inquiries) -> Beside[AdsServer] | None:
    """What serves sidecars, if that is wanted."""
    settings = config.sidecar.ads
    if not settings.listen:
        return None
    # Snapshots are written by a child that is forked and calls nothing of gRPC: what gRPC does at a fork for children
    # that would, and says on stderr each time, is for nothing then.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

    def make() -> AdsServer:
        from soadns.ads.server import AdsServer

        return AdsServer(control, settings, control.figures)

    def served(server: AdsServer) -> None:
        inquiries.sidecars = server

    return Beside("ads", "ads-not-served", make, control.figures, extra="ads", then=served, log=log)


def _secondaries(config: Config, control: Control) -> Beside[TransferServer] | None:
    """What gives whole zones to other name servers, if that is wanted."""
    if not config.transfer.listen:
        return None

    def make() -> TransferServer:
        from soadns.transfer.server import TransferServer

        return TransferServer(control, composition.transfer_settings(config), control.figures, log=log)

    return Beside("transfer", "zones-not-transferred", make, control.figures, extra="transfer", log=log)


async def _last_known(saver: Saver, peers: Peers, own: Own, control: Control) -> Snapshot | None:
    """The snapshot to begin with: this replica's, or a better one of another."""
    found = saver.read()
    why = wanted(found, own, control.now())
    if not (why and peers.configured):
        return found
    log("snapshot-wanted", reason=why)
    try:
        theirs = await peers.find()
    except Exception as error:  # its own, or none, is as good as where nobody answers
        faults.note("peers", error, control.figures.faults, log)
        return found
    if theirs is None or (found is not None and found.ready and found.heard >= theirs.heard):
        return found
    saver.put(theirs)
    return theirs


async def _ask_on(peers: Peers, saver: Saver, control: Control, stopping: asyncio.Future[int]) -> None:
    """As long as this replica does not know everything, another one may: a successor begins with its snapshot."""

    def needed() -> bool:
        return not (control.ready or control.leaving or stopping.done())

    def take(found: Snapshot) -> bool:
        if done := saver.give_way(found):
            stopping.set_result(AGAIN_STATUS)
        return done

    await faults.anew("peers", lambda: peers.follow(needed, take), control.figures.faults, log)


def _publish(config: Config, control: Control) -> SkydnsPublisher | None:
    """What keeps zones in etcd, if that is wanted."""
    if not config.skydns.endpoints:
        return None
    from soadns.skydns.publisher import SkydnsPublisher

    figures = control.figures.skydns = SkydnsFigures()
    publisher = SkydnsPublisher(
        control, composition.skydns_settings(config), figures, control.figures.credentials, log=log
    )
    publisher.start()
    return publisher


def _ended(stopping: asyncio.Future[int], task: asyncio.Task[None]) -> None:
    """A task that must run for ever has ended: that is a fault of ours, so a successor takes over."""
    if not stopping.done():
        error = None if task.cancelled() else task.exception()
        said = "it returned" if error is None else faults.said(error)
        log("task-ended", level="error", error=said)
        stopping.set_result(FAULT_STATUS)


async def _identities(config: Config, control: Control) -> dict[str, str]:
    """Who each source is. One that does not answer in time is believed until it says so itself (``Identified``)."""
    found = composition.known_identities(config)
    clusters = [source for source in control.sources if isinstance(source, Identifiable)]

    async def ask(source: Identifiable) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDENTITY_S):
                if uid := await source.identity():
                    found[source.source] = uid

    await asyncio.gather(*(ask(source) for source in clusters))
    return found


async def _heartbeat(descriptor: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            os.write(descriptor, b".")
        await asyncio.sleep(1.0)


def _signals(
    options: argparse.Namespace, control: Control, stopping: asyncio.Future[int], reload: Reload
) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not stopping.done():
            stopping.set_result(0)

    def leave() -> None:
        # Probes hear of it while the workers answer on; a second signal ends the wait.
        loop.call_later(0.0 if control.leaving else options.lameduck, stop)
        control.leaving = True

    def orphaned() -> None:
        # Readable means closed, and stays so.
        loop.remove_reader(options.lifeline)
        stop()

    loop.add_signal_handler(signal.SIGTERM, leave)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the supervisor decides
    loop.add_signal_handler(signal.SIGHUP, reload.by_signal)
    loop.add_reader(options.lifeline, orphaned)
