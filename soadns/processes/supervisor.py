"""The first process: opens the sockets, and starts, watches and replaces the others.

Standard library only, small enough to be PID 1 in a pod. Listening sockets, the channels between control and
workers and the journal belong to it, so that a replaced worker takes over the same sockets with what is queued in
them, is loaded without control, and a replaced control process finds the workers where they were. It asks each
worker a DNS question ten times a second on a private socket; ``/livez`` tells what came back. It knows nothing of
sources or zones, and holds no answer.

Signals: SIGTERM and SIGINT end everything, SIGHUP goes to control (a reload) as soon as it can take it, SIGUSR1
replaces the workers one after another, each by a successor that answers before it stops.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from soadns.processes.children import AGAIN_STATUS, Post, Process, Seat, drain, drain_pipe
from soadns.processes.listening import ROOM
from soadns.processes.livez import Livez
from soadns.processes.sockets import SEATS, Addresses, Served, Sockets

TURN_S = 0.1
"""How often workers are asked, and everything else is looked at."""
_PROBE = b"\x53\x44\0\0\0\x01\0\0\0\0\0\0\x06soadns\x05probe\0\0\x10\0\x03"
"""CHAOS TXT soadns.probe.: every loaded worker answers it with REFUSED."""
_STANDSTILL_S = 2 * TURN_S
"""A turn that took so long means that this process did not run: then the others may not have either."""


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """What to run."""

    listen: Addresses
    """DNS addresses, UDP and TCP each."""
    control: tuple[str, ...]
    """Command of the control process; descriptors are appended as options."""
    tls_listen: Addresses = ()
    """Addresses of DNS over TLS."""
    control_listen: Served = ()
    """(setting, TCP address) of what the control process serves. Its option is ``--`` and the setting, ``-`` for ``.``.
    Whoever connects while one control process follows another waits for the next."""
    workers: int = 1
    livez: tuple[str, int] | None = None
    worker_options: tuple[str, ...] = ()
    stopped_s: float = 0.4
    """A worker that is silent for so long and is stopped, or sleeps over our questions, is replaced."""
    stuck_s: float = 5.0
    """The same for one that works, or waits for a processor or a disk: it may be slow through no fault of its own."""
    hung_s: float = 30.0
    """The same for the control process, by its heartbeat; workers answer meanwhile."""
    starting_s: float = 300.0
    """How long the control process may take to its first heartbeat (it reads its snapshot before)."""
    stop_s: float = 15.0
    """How long processes may take to end after SIGTERM before they are killed."""


class Supervisor:
    """Runs control and workers until it is told to stop."""

    def __init__(self, settings: SupervisorSettings, *, log: Callable[[str], None]) -> None:
        """Open every socket. Raises ListenError."""
        self.settings = settings
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._sockets = Sockets(
            settings.listen,
            workers=settings.workers,
            served=settings.control_listen,
            livez=settings.livez,
            tls=settings.tls_listen,
        )
        self._stop_at: float | None = None
        self._signals: list[int] = []
        self._reload = self._reload_waits = False
        self._livez: Livez | None = None
        if self._sockets.livez is not None:
            self._livez = Livez(self._sockets.livez, self._selector, self._report)
        self._control = Post("control", [self._control_seat()])
        self._workers = [
            Post(f"worker-{index}", [self._worker_seat(index, seat) for seat in range(SEATS)])
            for index in range(settings.workers)
        ]
        self._posts = [self._control, *self._workers]

    def _control_seat(self) -> Seat:
        options, descriptors = self._sockets.inherited_by_control()
        beats = self._sockets.heartbeat[0]
        seat = Seat(partial(drain_pipe, beats), ([*self.settings.control, *options], descriptors))
        self._selector.register(beats, selectors.EVENT_READ, partial(self._hear, seat))
        return seat

    def _worker_seat(self, index: int, number: int) -> Seat:
        options, descriptors = self._sockets.inherited_by_worker(index, number)
        command = [sys.executable, "-m", "soadns.nameserver.worker", *options, *self.settings.worker_options]
        ours = self._sockets.probes[index][number][1]
        seat = Seat(partial(drain, ours), (command, descriptors), partial(_ask, ours))
        self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, seat))
        return seat

    def close(self) -> None:
        """Close every socket."""
        if self._livez is not None:
            self._livez.close()
        self._sockets.close()
        self._selector.close()

    # ------------------------------------------------------------------ life

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit status."""
        self._install_signals()
        room = self._sockets.room
        if room < ROOM:
            self._log(f"event=small-receive-buffer octets={room} wanted={ROOM} limit=net.core.rmem_max")
        before = time.monotonic()
        next_watch = 0.0
        while True:
            now = time.monotonic()
            if now - before > _STANDSTILL_S:
                self._forgive(now - before, now)
            before = now
            self._handle_signals(now)
            self._reap(now)
            if self._stop_at is None:
                if now >= next_watch:  # their answers end the wait below: asking at each would never end
                    next_watch = now + TURN_S
                    self._watch(now)
                self._start_missing(now)
                if self._reload:
                    self._pass_on_reload()
            elif not any(post.processes for post in self._posts):
                return 0
            elif now >= self._stop_at:
                self._kill_all()
            for key, _ in self._selector.select(timeout=TURN_S):
                # One call may close the socket of another (a client of /livez).
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            if self._livez is not None:
                self._livez.expire()

    def _install_signals(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wakeup = (reader, writer)
        self._selector.register(reader, selectors.EVENT_READ, lambda: reader.recv(4096))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, lambda received, _frame: self._signals.append(received))
        signal.signal(signal.SIGCHLD, lambda _received, _frame: None)

    def _handle_signals(self, now: float) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._ask_for_reload()
            elif number == signal.SIGUSR1:
                self._log("event=renewing")
                for post in self._workers:
                    post.renewed = True
            else:
                if self._stop_at is None:
                    self._log("event=stopping")
                    self._stop_at = now + self.settings.stop_s
                    self._sockets.leave()
                # A second one makes those hurry who still answer.
                for _, process in self._running():
                    process.tell(signal.SIGTERM)

    def _ask_for_reload(self) -> None:
        self._reload = True
        if not self._pass_on_reload() and not self._reload_waits:
            self._reload_waits = True
            self._log("event=reload-waits process=control")

    def _pass_on_reload(self) -> bool:
        """SIGHUP ends a process that is starting or ending: it waits for the first sign of life of one that stays."""
        process = self._control.serving
        if process is None or not process.last_sign or not process.tell(signal.SIGHUP):
            return False
        self._reload = self._reload_waits = False
        return True

    def _running(self) -> Iterator[tuple[Post, Process]]:
        for post in self._posts:
            for process in list(post.processes):
                yield post, process

    def _kill_all(self) -> None:
        for post, process in self._running():
            if not process.killed:
                self._log(f"event=killed process={post.name} reason=did-not-stop")
                process.kill()

    def _reap(self, now: float) -> None:
        for post, process in self._running():
            status = process.popen.poll()
            if status is None:
                continue
            again = status == AGAIN_STATUS and now - process.started > 1.0
            post.ended(process, now, on_purpose=again)
            if self._stop_at is None:
                self._log(f"event=ended process={post.name} pid={process.pid} status={status}")
                if post is self._control and status == -signal.SIGHUP:
                    self._ask_for_reload()  # it came in the last moments, when nothing is taken any more
        if os.getpid() == 1:
            # PID 1 inherits orphans of others (exec plugins of a kubeconfig).
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        ours = {process.pid for _, process in self._running()}
        try:
            result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if result is not None and result.si_pid not in ours:
                os.waitpid(result.si_pid, os.WNOHANG)
        except ChildProcessError:
            return

    def _start_missing(self, now: float) -> None:
        for post in self._posts:
            seat = post.vacant(now)
            if seat is None or (post.serving is not None and self._busy(post)):
                continue
            try:
                process = post.start(seat, now)
            except OSError as error:
                reason = (error.strerror or "unknown").replace(" ", "-")
                self._log(f"event=not-started process={post.name} reason={reason}")
                continue
            self._log(f"event=started process={post.name} pid={process.pid}")

    def _busy(self, post: Post) -> bool:
        """Whether another worker is being replaced: they are renewed one after another."""
        return any(len(other.processes) > 1 for other in self._workers if other is not post)

    # ------------------------------------------------------------------ signs of life

    def _watch(self, now: float) -> None:
        for post, process in self._running():
            if process.killed:
                continue
            self._judge(post, process, now)
            if process.seat.ask is not None:
                process.seat.ask()
        for post in self._workers:
            heir, old = post.successor, post.serving
            if heir is not None and heir.last_sign and old is not None:
                # It answers. Both read the same sockets until its predecessor has gone.
                post.renewed, old.leaving = False, now
                old.tell(signal.SIGTERM)

    def _judge(self, post: Post, process: Process, now: float) -> None:
        """Kill a process that shows no life."""
        settings = self.settings
        since, limit = process.last_sign or process.started, settings.stuck_s
        if process.leaving:
            since, limit = process.leaving, settings.stop_s
        elif post is self._control:
            limit = settings.hung_s if process.last_sign else settings.starting_s
        elif now - since > settings.stopped_s:
            # What it does is looked at first: one that sleeps by then has read our questions, if it can.
            state = process.state()
            if process.seat.listen():
                process.last_sign = now
                return
            if state in "Tt" or (state == "S" and process.last_sign):
                limit = settings.stopped_s
            elif not process.last_sign:
                return  # it waits for its table, for as long as that takes
        if now - since > limit:
            self._log(f"event=stuck process={post.name} pid={process.pid} silent_s={now - since:.1f}")
            process.kill()

    def _forgive(self, seconds: float, now: float) -> None:
        """Nobody was asked, or heard, while this process did not run (a paused pod, a starved one)."""
        for _, process in self._running():
            process.started = min(now, process.started + seconds)
            if process.last_sign:
                process.last_sign = min(now, process.last_sign + seconds)

    def _hear(self, seat: Seat) -> None:
        heard = seat.listen()
        for _, process in self._running():
            if heard and process.seat is seat:
                process.last_sign = time.monotonic()

    def _report(self) -> tuple[bool, str]:
        """Whether any worker answers DNS questions, and a line for each process."""
        now = time.monotonic()
        lines, alive = [], 0
        for post in self._posts:
            signs = [process.last_sign for process in post.processes if process.last_sign]
            silent = now - max(signs) if signs else None
            alive += post is not self._control and silent is not None and silent < self.settings.stuck_s
            said = "no sign yet" if silent is None else f"last sign {silent:.1f} s ago"
            lines.append(f"{post.name}: {'running' if post.processes else 'not running'}, {said}")
        return alive > 0, "\n".join([f"{alive} of {self.settings.workers} workers answer", *lines, ""])


def _ask(probe: socket.socket) -> None:
    with contextlib.suppress(OSError):
        probe.send(_PROBE)


def supervise(settings: SupervisorSettings, *, log: Callable[[str], None]) -> int:
    """Open, run, and return the exit status. Raises ListenError."""
    supervisor = Supervisor(settings, log=log)
    try:
        return supervisor.run()
    finally:
        supervisor.close()
        # Python takes its own handlers back before the very end: one more signal would then decide the exit status.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


__all__ = ["Supervisor", "SupervisorSettings", "supervise"]
