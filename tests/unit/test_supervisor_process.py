"""The supervisor as a process: whoever dies or hangs is replaced, and questions wait meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from soadns.processes.livez import PATIENCE_S
from tests.ports import free_port
from tests.unit.small_server import HUNG_S
from tests.unit.waiting import alive, before_long

pytestmark = pytest.mark.long

QUESTION = "steady.rpc.test"
SERVER = str(Path(__file__).with_name("small_server.py"))
CONTROL = str(Path(__file__).with_name("small_control.py"))
RUN = "runpy.run_path(sys.argv[0], run_name='__main__')"
"""What a control process of a test's own does at its end: it becomes that one."""


class Server:
    """A supervisor process, and what it says."""

    def __init__(
        self,
        *,
        workers: int = 1,
        starting_s: float = 300,
        stopping_s: float = 1.0,
        control: tuple[str, ...] = (),
    ) -> None:
        self.port, self.livez_port = free_port(), free_port()
        command = [
            sys.executable,
            SERVER,
            str(self.port),
            str(self.livez_port),
            str(workers),
            str(starting_s),
            str(stopping_s),
            *control,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.began: dict[int, float] = {}
        """When each process was started, by its pid and the supervisor's clock."""
        self.ended: dict[int, float] = {}
        """When it was seen to have ended."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            at, _, said = line.rstrip().partition(" ")
            if not said:  # of the control process
                self.lines.append(at)
                continue
            if found := re.fullmatch(r"event=(started|ended) process=\S+ pid=(\d+)( status=\S+)?", said):
                noted = self.began if found[1] == "started" else self.ended
                noted[int(found[2])] = float(at)
            self.lines.append(said)

    def pids(self, name: str) -> list[int]:
        """Every process that was started under this name."""
        found = [re.fullmatch(rf"event=started process={name} pid=(\d+)", line) for line in self.lines]
        return [int(match[1]) for match in found if match]

    def pid(self, name: str) -> int:
        """The process that runs under this name now."""
        return self.pids(name)[-1]

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def answers(self, *, tcp: bool = False, timeout: float = 30.0) -> bool:
        query = dns.message.make_query(QUESTION, "A")
        try:
            ask = dns.query.tcp if tcp else dns.query.udp
            reply = ask(query, "127.0.0.1", timeout, self.port)
        except (dns.exception.Timeout, OSError, EOFError):
            return False
        return str(reply.answer[0][0]) == "10.96.0.10"

    def livez(self) -> str:
        with socket.create_connection(("127.0.0.1", self.livez_port), timeout=10) as sock:
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            octets = b""
            while chunk := sock.recv(4096):
                octets += chunk
        return octets.decode()

    def up(self) -> None:
        """Wait until it answers, and until the supervisor knows."""
        before_long(lambda: self.answers(timeout=0.3), within=60)
        before_long(lambda: "HTTP/1.1 200" in (said := self.livez()) and "no sign yet" not in said, within=60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for name in ("control", "worker-0", "worker-1"):
            for pid in self.pids(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                before_long(lambda pid=pid: not alive(pid))
        self._reader.join(3)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def lasting() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture
def server(lasting: Server) -> Server:
    """One that outlives what the tests do to it, which is the point."""
    lasting.up()
    return lasting


@contextlib.contextmanager
def running(
    *, workers: int = 1, stopping_s: float = 1.0, control: tuple[str, ...] = (), up: bool = True
) -> Iterator[Server]:
    """A server of a test's own, all up."""
    found = Server(workers=workers, stopping_s=stopping_s, control=control)
    try:
        if up:
            found.up()
        yield found
    finally:
        found.close()


def test_a_killed_worker_is_replaced_and_what_was_asked_meanwhile_is_answered(server: Server) -> None:
    worker = server.pid("worker-0")
    os.kill(worker, signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.port))
        client.settimeout(30)
        for number in range(50):
            client.send(dns.message.make_query(QUESTION, "A", id=number).to_wire())
        os.kill(worker, signal.SIGKILL)
        found = [dns.message.from_wire(client.recv(4096)).id for _ in range(50)]
    assert found == list(range(50))
    assert server.said(f"event=ended process=worker-0 pid={worker} status=-9")
    assert server.answers(tcp=True)


def test_a_killed_control_process_is_replaced_while_workers_answer(server: Server) -> None:
    control, worker = server.pid("control"), server.pid("worker-0")
    os.kill(control, signal.SIGKILL)
    while server.pid("control") == control:
        assert server.answers(timeout=10.0)
    assert server.pid("worker-0") == worker
    # The successor feeds the same channel, whoever reads it.
    os.kill(worker, signal.SIGKILL)
    before_long(lambda: server.pid("worker-0") != worker)
    assert server.answers()


def test_stopped_processes_are_noticed_and_replaced(server: Server) -> None:
    stopped = {name: server.pid(name) for name in ("control", "worker-0")}
    for pid in stopped.values():
        os.kill(pid, signal.SIGSTOP)
    for name, first in stopped.items():
        before_long(lambda name=name, first=first: server.pid(name) != first)
        assert server.said(f"event=stuck process={name} pid={first} silent_s=")
        assert not alive(first)
    assert server.answers()


def test_a_worker_is_renewed_by_one_that_answers_before_it_stops(server: Server) -> None:
    first = server.pid("worker-0")
    server.process.send_signal(signal.SIGUSR1)
    while alive(first):
        assert server.answers(timeout=10.0)
    assert server.pid("worker-0") != first
    before_long(lambda: server.said(f"event=ended process=worker-0 pid={first} status=0"))
    assert server.answers(tcp=True)


def test_with_nothing_to_do_it_sleeps(server: Server) -> None:
    """Answers of workers wake it; were they asked again at once, both would never rest."""

    def naps() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return sum(int(n) for n in re.findall(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.M))

    before, begun = naps(), time.monotonic()
    time.sleep(0.5)
    assert (naps() - before) / (time.monotonic() - begun) < 300


def test_sighup_goes_to_the_control_process(server: Server) -> None:
    before = server.pid("control")
    server.process.send_signal(signal.SIGHUP)
    before_long(lambda: server.said("event=reload"))
    assert server.answers()
    assert server.pid("control") == before


def test_sighup_waits_for_a_control_process_that_is_starting() -> None:
    """Until it can take one, it would end it."""
    slow = f"import runpy, sys, time; time.sleep(1.5); sys.argv[0] = {CONTROL!r}; " + RUN
    with running(control=(sys.executable, "-c", slow), up=False) as server:
        before_long(lambda: server.pids("control"))
        for _ in range(2):
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
        server.up()
        before_long(lambda: server.said("event=reload"))
        assert len(server.pids("control")) == 1
        assert server.lines.count("event=reload-waits process=control") == 1
        assert server.lines.count("event=reload") == 1


def test_sighup_that_finds_nobody_is_for_the_successor(server: Server) -> None:
    reloads, control = server.lines.count("event=reload"), server.pid("control")
    server.process.send_signal(signal.SIGSTOP)
    os.kill(control, signal.SIGKILL)
    before_long(lambda: not alive(control))
    for number in (signal.SIGHUP, signal.SIGCONT):
        server.process.send_signal(number)
    before_long(lambda: server.pid("control") != control)
    before_long(lambda: server.lines.count("event=reload") > reloads)


def test_sighup_that_ends_a_control_process_is_for_the_successor(tmp_path: Path) -> None:
    """One that is over but for its last moments takes signals no more."""
    ending = (
        f"import os, pathlib, runpy, sys, time; first = pathlib.Path({str(tmp_path / 'first')!r})\n"
        "if not first.exists():\n"
        "    first.touch(); os.write(int(sys.argv[sys.argv.index('--heartbeat') + 1]), b'.'); time.sleep(60)\n"
        f"sys.argv[0] = {CONTROL!r}; " + RUN
    )
    with running(control=(sys.executable, "-c", ending), up=False) as server:
        before_long(lambda: server.pids("control"))
        before_long(lambda: "control: running, last sign" in server.livez())
        server.process.send_signal(signal.SIGHUP)
        before_long(lambda: server.said("event=reload"))
        assert server.said(f"event=ended process=control pid={server.pids('control')[0]} status=-1")
        assert len(server.pids("control")) == 2


def test_slow_and_silent_clients_of_livez_hold_nothing_up(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(60):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.livez_port), timeout=2))
            if number % 2:
                sock.sendall(b"GET /livez")
        begun = time.monotonic()
        assert server.livez().startswith("HTTP/1.1 200 OK\r\n")
        assert time.monotonic() - begun < PATIENCE_S, "one who says nothing has so long"


def test_a_port_that_is_taken_is_named_with_the_setting(server: Server) -> None:
    command = [sys.executable, SERVER, str(server.port), "0", "1", "300", "1"]
    second = subprocess.run(command, check=False, capture_output=True, text=True)
    assert second.returncode
    assert f"can not listen on UDP 127.0.0.1:{server.port}: Address already in use" in second.stderr
    assert "nameserver.listen" in second.stderr
    assert server.answers()


def test_a_control_process_that_asks_to_be_started_again_is_at_once(server: Server) -> None:
    # After the failures above, another one would make it wait. Whoever asks at once, every time, waits too.
    first = server.pid("control")
    before_long(lambda: time.monotonic() - server.began[first] > 1.1)
    os.kill(first, signal.SIGUSR1)
    before_long(lambda: server.pid("control") != first)
    assert server.began[server.pid("control")] - server.ended[first] < 0.9, (
        "one that fails waits for a second"
    )
    assert server.said(f"event=ended process=control pid={first} status=75")


def test_nobody_is_blamed_for_the_time_when_the_supervisor_itself_did_not_run(server: Server) -> None:
    """A paused pod: everybody stood still, and nobody was asked."""
    everybody = [server.pid("worker-0"), server.pid("control"), server.process.pid]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    threading.Event().wait(HUNG_S + 0.2)
    for pid in reversed(everybody):
        os.kill(pid, signal.SIGCONT)
    threading.Event().wait(0.2)
    assert server.answers()
    assert [server.pid("worker-0"), server.pid("control")] == everybody[:2]


def test_who_does_not_stop_is_killed_and_that_is_said_once() -> None:
    with running(stopping_s=0.3) as server:
        os.kill(server.pid("control"), signal.SIGSTOP)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert not alive(server.pid("control"))
        # A worker may need longer than that, too, on a machine that does much else.
        assert server.lines.count("event=killed process=control reason=did-not-stop") == 1


def test_without_a_control_process_livez_is_503_and_the_supervisor_tries_on() -> None:
    server = Server(control=("/nonexistent/control",))
    try:
        before_long(lambda: server.said("event=not-started process=control reason=No-such-file-or-directory"))
        assert server.livez().startswith("HTTP/1.1 503 ")
        assert server.process.poll() is None
    finally:
        server.close()


def test_a_control_process_that_never_begins_is_replaced() -> None:
    server = Server(starting_s=0.2, control=(sys.executable, "-c", "import time; time.sleep(60)"))
    try:
        before_long(lambda: len(server.pids("control")) > 1)
        assert server.said(f"event=stuck process=control pid={server.pids('control')[0]} silent_s=")
        assert len(server.pids("worker-0")) == 1, "a worker waits for its table, however long"
    finally:
        server.process.terminate()
        server.process.wait(30)
        server.close()


def test_with_two_workers_livez_counts_both_and_sigterm_ends_everybody() -> None:
    with running(workers=2) as server:
        before_long(lambda: "2 of 2 workers answer" in server.livez())
        assert server.livez().startswith("HTTP/1.1 200 OK\r\n")
        assert re.search(r"^control: running, last sign \d\.\d s ago$", server.livez(), re.MULTILINE)
        everybody = [server.pid(name) for name in ("worker-0", "worker-1", "control")]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert not any(map(alive, everybody))
        assert not server.said("event=killed")


def test_however_often_it_is_told_to_stop_the_status_is_that_of_an_orderly_end() -> None:
    """An impatient operator's second signal may come when everything is over but the interpreter."""
    with running(workers=1) as server:
        before_long(lambda: "1 of 1 workers answer" in server.livez())
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.0005)
        assert server.process.returncode == 0


def test_at_the_end_a_question_is_answered_or_refused_and_never_left_waiting() -> None:
    """Not even while TCP clients have their last second: CoreDNS would wait two seconds before it asks another."""
    with running() as server, socket.create_connection(("127.0.0.1", server.port)) as silent:
        query = dns.message.make_query(QUESTION, "A").to_wire()
        silent.sendall(len(query).to_bytes(2, "big") + query)
        assert silent.recv(4096)
        server.process.send_signal(signal.SIGTERM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", server.port))
            client.settimeout(30)  # what is left waiting is never answered
            refused = 0
            while server.process.poll() is None:
                try:
                    client.send(query)
                    client.recv(4096)
                except ConnectionRefusedError:
                    refused += server.process.poll() is None
                time.sleep(0.005)
        assert refused > 0, "while it was there still"


def test_when_the_supervisor_is_killed_everybody_ends(server: Server) -> None:
    """The last test of this server."""
    everybody = [server.pid("worker-0"), server.pid("control")]
    server.process.kill()
    before_long(lambda: not any(map(alive, everybody)))
