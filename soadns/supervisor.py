"""The first process: opens the sockets, and starts, watches and replaces the others.

Standard library only, small enough to be PID 1 in a pod. Listening sockets and the channels between
control and workers belong to it, so that a replaced worker takes over the same sockets with what is queued
in them, and a replaced control process finds the workers where they were. It asks each worker a DNS
question twice a second on a private socket; ``/livez`` tells what came back. It knows nothing of sources or
zones, and holds no answer: a worker that is started while the control process hangs waits for its successor.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from soadns.livez import Livez

AGAIN_STATUS = 75
"""Exit status (EX_TEMPFAIL) of a process that wants to be started again: no failure, if it has run a while."""
PROBE_S = 0.5
TURN_S = 0.1
BACKOFF_S = (0.0, 0.2, 1.0, 3.0, 5.0)
STEADY_S = 60.0
"""A process that lived so long has earned an immediate restart."""
_PROBE = b"\x53\x44\0\0\0\x01\0\0\0\0\0\0\x06soadns\x05probe\0\0\x10\0\x03"
"""CHAOS TXT soadns.probe.: every loaded worker answers it with REFUSED."""
_STANDSTILL_S = 10 * TURN_S
"""A turn that took so long means that this process did not run: then the others may not have either."""


class ListenError(Exception):
    """An address can not be listened on; the message names the setting and what to do."""


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """What to run."""

    listen: tuple[tuple[str, int], ...]
    """DNS addresses, UDP and TCP each."""
    control: tuple[str, ...]
    """Command of the control process; descriptors are appended as options."""
    control_listen: tuple[tuple[str, tuple[str, int]], ...] = ()
    """(setting, TCP address) of what the control process serves. Its option is ``--`` and the setting, ``-`` for ``.``.
    Whoever connects while one control process follows another waits for the next."""
    workers: int = 1
    livez: tuple[str, int] | None = None
    worker_options: tuple[str, ...] = ()
    stuck_s: float = 5.0
    """A worker that answered before and then not for so long is killed and replaced."""
    hung_s: float = 30.0
    """The same for the control process, by its heartbeat; workers answer meanwhile."""
    starting_s: float = 300.0
    """How long the control process may take to its first heartbeat (it reads its snapshot before)."""
    stop_s: float = 15.0
    """How long processes may take to end after SIGTERM before they are killed."""


@dataclass(slots=True)
class _Child:
    """One process that must run."""

    name: str
    command: Callable[[], tuple[list[str], list[int]]]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again_at: float = 0.0
    last_sign: float = 0.0
    """When it last showed life; 0 until it did for the first time since its start."""
    killed: bool = False
    """Whether it was told to end at once and has not been reaped yet."""
    probe: socket.socket | None = None


@dataclass(slots=True)
class _Sockets:
    udp: list[list[socket.socket]] = field(default_factory=list)
    """Per worker."""
    tcp: list[socket.socket] = field(default_factory=list)
    probes: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    """Per worker: the socket it answers probes on, and ours."""
    channels: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    """Per worker: control's end and the worker's end."""
    control: list[tuple[str, socket.socket]] = field(default_factory=list)
    """(option, listening socket) of the control process."""


class Supervisor:
    """Runs control and workers until it is told to stop."""

    def __init__(self, settings: SupervisorSettings, *, log: Callable[[str], None]) -> None:
        self.settings = settings
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._sockets = _Sockets()
        self._lifeline = os.pipe()
        self._heartbeat = os.pipe()
        self._children: list[_Child] = []
        self._stop_at: float | None = None
        self._signals: list[int] = []
        self._livez: Livez | None = None

    # ------------------------------------------------------------------ sockets

    def open(self) -> None:
        """Open every socket. Raises ListenError."""
        sockets = self._sockets
        sockets.udp = [[] for _ in range(self.settings.workers)]
        for host, port in self.settings.listen:
            check_free(host, port)
            # The listening socket is shared with nobody: of two that start at once, only one gets past here.
            sockets.tcp.append(_listening(host, port, 511))
            for group in sockets.udp:
                group.append(_bound(host, port, socket.SOCK_DGRAM))
        for _ in range(self.settings.workers):
            theirs = _bound("127.0.0.1", 0, socket.SOCK_DGRAM)
            ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ours.connect(theirs.getsockname())
            ours.setblocking(False)
            sockets.probes.append((theirs, ours))
            sockets.channels.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        for setting, (host, port) in self.settings.control_listen:
            check_free(host, port, setting=setting, tcp_only=True)
            option = f"--{setting.replace('.', '-')}"
            sockets.control.append((option, _listening(host, port, 128, setting=setting)))
        if self.settings.livez is not None:
            host, port = self.settings.livez
            check_free(host, port, setting="http.livez", tcp_only=True)
            livez = _listening(host, port, 128, setting="http.livez")
            self._livez = Livez(livez, self._selector, self._report)
        os.set_blocking(self._heartbeat[0], False)
        self._selector.register(self._heartbeat[0], selectors.EVENT_READ, partial(self._hear, 0))
        for index, (_, ours) in enumerate(sockets.probes, 1):
            self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, index))

    def close(self) -> None:
        """Close every socket: the end of this server's right to its addresses."""
        sockets = self._sockets
        if self._livez is not None:
            self._livez.close()
        for pair in (*sockets.probes, *sockets.channels):
            for sock in pair:
                sock.close()
        served = [sock for _, sock in sockets.control]
        for sock in (*served, *sockets.tcp, *(sock for group in sockets.udp for sock in group)):
            sock.close()
        for descriptor in (*self._lifeline, *self._heartbeat):
            os.close(descriptor)
        self._selector.close()

    # ------------------------------------------------------------------ life

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit status."""
        self._install_signals()
        self._children = [_Child("control", self._control_command)]
        self._children += [
            _Child(f"worker-{i}", partial(self._worker_command, i), probe=self._sockets.probes[i][1])
            for i in range(self.settings.workers)
        ]
        next_probe = 0.0
        before = time.monotonic()
        while True:
            now = time.monotonic()
            if now - before > _STANDSTILL_S:
                self._forgive(now - before)
            before = now
            self._handle_signals(now)
            self._reap(now)
            if self._stop_at is not None:
                if not any(child.process for child in self._children):
                    return 0
                if now >= self._stop_at:
                    self._kill_all()
            else:
                self._start_missing(now)
                if now >= next_probe:
                    next_probe = now + PROBE_S
                    self._probe(now)
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
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda received, _frame: self._signals.append(received))
        signal.signal(signal.SIGCHLD, lambda _received, _frame: None)

    def _handle_signals(self, now: float) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._tell(self._children[0], signal.SIGHUP)
            elif self._stop_at is None:
                self._log("event=stopping")
                self._stop_at = now + self.settings.stop_s
                for child in self._children:
                    self._tell(child, signal.SIGTERM)

    @staticmethod
    def _tell(child: _Child, number: int) -> None:
        if child.process is not None and child.process.poll() is None:
            child.process.send_signal(number)

    def _kill_all(self) -> None:
        for child in self._children:
            if child.process is not None and not child.killed:
                self._log(f"event=killed process={child.name} reason=did-not-stop")
                self._kill(child)

    @staticmethod
    def _kill(child: _Child) -> None:
        if child.process is not None:
            child.killed = True
            child.process.kill()

    def _reap(self, now: float) -> None:
        for child in self._children:
            process = child.process
            if process is None or process.poll() is None:
                continue
            child.process = None
            if self._stop_at is not None:
                continue
            if process.returncode == AGAIN_STATUS and now - child.started > 1.0:
                child.again_at = now
            else:
                self._back_off(child, now)
            self._log(f"event=ended process={child.name} pid={process.pid} status={process.returncode}")
        if os.getpid() == 1:
            # PID 1 inherits orphans of others (exec plugins of a kubeconfig).
            self._reap_orphans()

    @staticmethod
    def _back_off(child: _Child, now: float) -> None:
        child.failures = 0 if now - child.started > STEADY_S else child.failures + 1
        child.again_at = now + BACKOFF_S[min(child.failures, len(BACKOFF_S)) - 1 if child.failures else 0]

    def _reap_orphans(self) -> None:
        ours = {child.process.pid for child in self._children if child.process is not None}
        try:
            result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if result is not None and result.si_pid not in ours:
                os.waitpid(result.si_pid, os.WNOHANG)
        except ChildProcessError:
            return

    def _start_missing(self, now: float) -> None:
        for child in self._children:
            if child.process is not None or now < child.again_at:
                continue
            command, descriptors = child.command()
            # What its predecessor said last is no sign of this one.
            self._listen_to(child)
            child.started, child.last_sign, child.killed = now, 0.0, False
            try:
                child.process = subprocess.Popen(command, pass_fds=descriptors, stdin=subprocess.DEVNULL)  # noqa: S603
            except OSError as error:
                self._back_off(child, now)
                reason = (error.strerror or "unknown").replace(" ", "-")
                self._log(f"event=not-started process={child.name} reason={reason}")
                continue
            self._log(f"event=started process={child.name} pid={child.process.pid}")

    def _control_command(self) -> tuple[list[str], list[int]]:
        channels = [ours.fileno() for ours, _ in self._sockets.channels]
        served = [(option, sock.fileno()) for option, sock in self._sockets.control]
        descriptors = [*channels, self._heartbeat[1], self._lifeline[0], *(fd for _, fd in served)]
        command = [*self.settings.control, "--heartbeat", str(self._heartbeat[1])]
        command += ["--lifeline", str(self._lifeline[0])]
        for channel in channels:
            command += ["--channel", str(channel)]
        for option, descriptor in served:
            command += [option, str(descriptor)]
        return command, descriptors

    def _worker_command(self, index: int) -> tuple[list[str], list[int]]:
        sockets = self._sockets
        udp = [s.fileno() for s in sockets.udp[index]]
        probe = sockets.probes[index][0].fileno()
        tcp = [s.fileno() for s in sockets.tcp]
        channel = sockets.channels[index][1].fileno()
        command = [sys.executable, "-m", "soadns.nameserver.worker", "--channel", str(channel)]
        command += ["--probe", str(probe), "--lifeline", str(self._lifeline[0])]
        command += self.settings.worker_options
        for descriptor in udp:
            command += ["--udp", str(descriptor)]
        for descriptor in tcp:
            command += ["--tcp", str(descriptor)]
        return command, [*udp, *tcp, probe, channel, self._lifeline[0]]

    # ------------------------------------------------------------------ signs of life

    def _probe(self, now: float) -> None:
        for child in self._children:
            if child.process is None or child.killed:
                continue
            if child.probe is not None:
                with contextlib.suppress(OSError):
                    child.probe.send(_PROBE)
            since, limit = child.last_sign, self.settings.stuck_s if child.probe else self.settings.hung_s
            if not since and child.probe is None:
                since, limit = child.started, self.settings.starting_s
            # A worker that has not answered yet waits for its table, for as long as that takes.
            if since and now - since > limit:
                self._log(f"event=stuck process={child.name} pid={child.process.pid} silent_s={limit:g}")
                self._kill(child)

    def _forgive(self, seconds: float) -> None:
        """Nobody was asked, or heard, while this process did not run (a paused pod, a starved one)."""
        for child in self._children:
            child.started += seconds
            if child.last_sign:
                child.last_sign += seconds

    def _listen_to(self, child: _Child) -> bool:
        """Take in whatever a process has said; returns whether it was anything."""
        heard = False
        with contextlib.suppress(OSError):
            while child.probe.recv(512) if child.probe is not None else os.read(self._heartbeat[0], 4096):
                heard = True
        return heard

    def _hear(self, index: int) -> None:
        if self._listen_to(self._children[index]):
            self._children[index].last_sign = time.monotonic()

    def _report(self) -> tuple[bool, str]:
        """Whether any worker answers DNS questions, and a line for each process."""
        now = time.monotonic()
        lines, alive = [], 0
        for child in self._children:
            silent = now - child.last_sign if child.last_sign else None
            if child.probe is not None and silent is not None and silent < self.settings.stuck_s:
                alive += 1
            said = "no sign yet" if silent is None else f"last sign {silent:.1f} s ago"
            lines.append(f"{child.name}: {'running' if child.process else 'not running'}, {said}")
        return alive > 0, "\n".join([f"{alive} of {self.settings.workers} workers answer", *lines, ""])


def check_free(host: str, port: int, *, setting: str = "nameserver.listen", tcp_only: bool = False) -> None:
    """Raise ListenError when somebody holds the port: SO_REUSEPORT alone would share it silently."""
    if not port:
        return
    for kind in (socket.SOCK_STREAM,) if tcp_only else (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise _listen_error(host, port, kind, error, setting) from None


def _listen_error(host: str, port: int, kind: int, error: OSError, setting: str) -> ListenError:
    name = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    letter = "u" if kind == socket.SOCK_DGRAM else "t"
    return ListenError(
        f"can not listen on {name} {host}:{port}: {error.strerror}. Set {setting} to another address, "
        f"or find who holds it: ss -l{letter}np 'sport = :{port}'"
    )


def _bound(host: str, port: int, kind: int, *, setting: str = "nameserver.listen") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    elif port:
        # Not SO_REUSEADDR, which would let any user's process bind over ours.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # A burst that arrives while a worker is being replaced waits here.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _listen_error(host, port, kind, error, setting) from None
    return sock


def _listening(host: str, port: int, backlog: int, *, setting: str = "nameserver.listen") -> socket.socket:
    sock = _bound(host, port, socket.SOCK_STREAM, setting=setting)
    try:
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise _listen_error(host, port, socket.SOCK_STREAM, error, setting) from None
    return sock


def supervise(settings: SupervisorSettings, *, log: Callable[[str], None]) -> int:
    """Open, run, and return the exit status. Raises ListenError."""
    supervisor = Supervisor(settings, log=log)
    try:
        supervisor.open()
        return supervisor.run()
    finally:
        supervisor.close()


__all__ = ["ListenError", "Supervisor", "SupervisorSettings", "check_free", "supervise"]
