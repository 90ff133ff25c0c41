"""The composition root: what ``soadns serve`` and ``soadns demo`` run. Nobody imports it but the command line.

``serve`` checks the configuration and becomes the supervisor; the supervisor starts ``control_main`` in a process of
its own, with the configuration and inherited descriptors. A reload replaces the control process: it saves
its state, ends, and its successor reads the new file while the workers answer on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soadns import __version__, composition, logs
from soadns.addresses import parse_address
from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.config import Config
from soadns.configfile import ConfigError, parse, read
from soadns.control import Control
from soadns.cores import cores
from soadns.listening import ListenError
from soadns.logs import log
from soadns.nameserver.feed import Feed, Publisher
from soadns.nameserver.journal import Journal
from soadns.reload import Reload, in_force, keep
from soadns.saver import Saver
from soadns.sources.kube import KubeSource
from soadns.supervisor import SupervisorSettings, supervise
from soadns.web.api import Site, listen

if TYPE_CHECKING:
    from soadns.ads.server import AdsServer

FAULT_STATUS = 70
"""Exit status of a control process that can not go on by itself."""
COLLECT = (50_000, 20, 50)
"""Thresholds of the control process's cyclic collector; with Python's own a first sync takes a quarter longer."""
NICE = 5
"""By how much the control process steps back from processor time that workers want: a question is to be answered
before a change is worked on. On cores that are all taken it still gets a quarter of one."""
IDENTITY_S = 3.0
"""How long to wait at start for clusters to say who they are."""


def serve(config_path: str) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Raises ConfigError and ListenError."""
    text = read(config_path)
    config = parse(text, where=config_path)
    composition.check_secrets(
        config, where=config_path
    )  # those that can not be read are known before anything starts
    logs.configure(config.log.level, config.log.format)
    with _state_directory(config) as state:
        try:
            keep(state, text)
        except OSError as error:
            raise ListenError(f"{state} can not be written: {error.strerror}") from None
        control = [sys.executable, "-m", "soadns", "_control", "--config", config_path, "--state", str(state)]
        control += ["--lameduck", str(float(config.nameserver.lameduck))]
        return supervise(_supervisor_settings(config, tuple(control)), log=_supervisor_log)


def _supervisor_log(line: str) -> None:
    fields = dict(part.partition("=")[::2] for part in line.split())
    log(fields.pop("event", "supervisor"), **fields)


def _supervisor_settings(config: Config, control: tuple[str, ...]) -> SupervisorSettings:
    nameserver = config.nameserver
    identity = nameserver.identity
    options = ["--version", f"soadns {__version__}", "--udp-size", str(nameserver.udp_size)]
    options += ["--lameduck", str(float(nameserver.lameduck)), "--identity", identity]
    options += ["--log-format", config.log.format]
    if nameserver.tls.listen:
        options += ["--tls-cert", nameserver.tls.cert, "--tls-key", nameserver.tls.key]
    served = {
        "http.listen": parse_address(config.http.listen),
        "http.probes": parse_address(config.http.probes),
    }
    return SupervisorSettings(
        listen=tuple(a for a in map(parse_address, nameserver.listen) if a is not None),
        tls_listen=tuple(a for a in map(parse_address, nameserver.tls.listen) if a is not None),
        control=control,
        control_listen=tuple((name, address) for name, address in served.items() if address is not None),
        workers=nameserver.workers or cores(),
        livez=parse_address(config.http.livez) if config.http.livez else None,
        worker_options=tuple(options),
        stop_s=10.0 + float(nameserver.lameduck),
    )


@contextlib.contextmanager
def _state_directory(config: Config) -> Iterator[Path]:
    """The folder of the snapshot; without one configured, one that lives as long as this process.

    A control process that is killed leaves its state to its successor in either case.
    """
    if config.state.directory:
        path = Path(config.state.directory)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise ListenError(
                f"state.directory {path} can not be written: {error.strerror}. Create it, or set another one"
            ) from None
        yield path
        return
    path = Path(tempfile.mkdtemp(prefix="soadns-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# --------------------------------------------------------------------------- the control process


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
    sources = composition.sources(config)
    control = Control(config, estate, publisher, sources, log=log, clock=Clock())
    identities = await _identities(config, control)
    saver = Saver(control, options.state / "snapshot", identities, log=log)
    before = saver.restore()
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
    site = Site(control, operations, config.http)
    served = {
        fd: fd == options.http_probes for fd in (options.http_listen, options.http_probes) if fd is not None
    }
    runners = [
        await listen(site, socket.socket(fileno=fd), probes_only=probes) for fd, probes in served.items()
    ]
    serving = await _serve_sidecars(config, control)
    tasks = [
        asyncio.create_task(control.run()),
        asyncio.create_task(saver.run()),
        asyncio.create_task(_heartbeat(options.heartbeat)),
    ]
    for task in tasks:
        task.add_done_callback(partial(_ended, stopping))
    status = await stopping
    for runner in runners:  # whoever connects from now on waits for the successor
        await runner.cleanup()
    if serving is not None:
        await serving.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # After a fault the last snapshot is to be trusted more than what is in memory.
    if status != FAULT_STATUS and saver.save_now():
        publisher.leave()
    for feed in publisher.feeds:
        feed.stop()
    return status


async def _serve_sidecars(config: Config, control: Control) -> AdsServer | None:
    """The ADS server, if one is wanted; what can not be is logged, for names are answered without it."""
    settings = config.sidecar.ads
    if not settings.listen:
        return None
    # Snapshots are written by a child that is forked and calls nothing of gRPC: what gRPC does at a fork for children
    # that would, and says on stderr each time, is for nothing then.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    try:
        from soadns.ads.server import AdsServer

        server = AdsServer(control, settings, control.figures.ads)
        await server.start()
    except ImportError as error:
        log("ads-not-served", level="error", reason=f"{error}; it wants the extra: pip install 'soadns[ads]'")
        return None
    except OSError as error:
        log("ads-not-served", level="error", reason=error.strerror or str(error))
        return None
    control.sidecars = server
    return server


def _ended(stopping: asyncio.Future[int], task: asyncio.Task[None]) -> None:
    """A task that must run for ever has ended: that is a fault of ours, so a successor takes over."""
    if not stopping.done():
        error = None if task.cancelled() else task.exception()
        said = "it returned" if error is None else f"{type(error).__name__}: {error}"
        log("task-ended", level="error", error=said)
        stopping.set_result(FAULT_STATUS)


async def _identities(config: Config, control: Control) -> dict[str, str]:
    """Who each source is. One that does not answer in time is believed until it says so itself (``Identified``)."""
    found = composition.known_identities(config)
    clusters = [source for source in control.sources if isinstance(source, KubeSource)]

    async def ask(source: KubeSource) -> None:
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


__all__ = ["ListenError", "control_main", "serve"]
