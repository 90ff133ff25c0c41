"""soadns itself as its real process, asked by dig, by its command line and over HTTP."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.scenarios.stage.dig import Dug, dig
from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.process import Process, eventually, lives

ZONE = "rpc.cluster.local"


class Soadns:
    """One instance: its configuration file, state directory and ports stay the same over restarts."""

    def __init__(self, folder: Path, settings: dict[str, Any], *, place: Place = OUTSIDE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port, self.http_port, self.livez_port = free_port(), free_port(), free_port()
        self.config = folder / "soadns.yaml"
        self.settings = {
            "zones": [{"name": ZONE}],
            "nameserver": {"listen": [f"127.0.0.1:{self.port}"]},
            "http": {"listen": f"127.0.0.1:{self.http_port}", "livez": f"127.0.0.1:{self.livez_port}"},
            "state": {"directory": str(folder / "state")},
            **settings,
        }
        self.write_config()
        command = [sys.executable, "-m", "soadns", "serve", "--config", str(self.config)]
        self.process = Process("soadns", command, log=folder / "log", place=place)

    def write_config(self, **changes: Any) -> None:
        """Write the configuration file anew, with some sections replaced."""
        self.settings |= changes
        self.config.write_text(json.dumps(self.settings, indent=1))

    # ------------------------------------------------------------------ life

    def start(self, *, ready: bool = True) -> Soadns:
        self.process.start()
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        # Where a dozen JVMs start at once on two cores, ZooKeeper alone takes most of a minute to answer.
        self.process.wait_until(lambda: self.http("/readyz")[0] == 200, within=180.0)

    def stop(self) -> int:
        return self.process.stop()

    def kill(self) -> None:
        """kill -9 of all its processes; returns when none of them is left, nor what they had open."""
        processes = self.processes
        self.signalled(signal.SIGKILL)
        self.process.kill()
        assert eventually(lambda: not any(map(lives, processes)), within=30.0)

    def lost(self) -> None:
        """The same, and its volume is gone.

        Where the supervisor alone is killed, the others end in good order, and write a last snapshot.
        """
        self.kill()
        shutil.rmtree(self.folder / "state")

    @property
    def processes(self) -> list[int]:
        """The pids of all its processes; the supervisor comes first, so that it replaces nobody."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def signalled(self, number: signal.Signals) -> None:
        """Send all its processes a signal."""
        for pid in self.processes:
            os.kill(pid, number)

    def child(self, word: str) -> int:
        """The pid of the child process whose command line contains a word (``_control``, ``worker``)."""
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                command = Path(f"/proc/{child}/cmdline").read_text()
            except OSError:
                continue
            if word in command:
                return int(child)
        return 0

    def worker(self, index: int = 0) -> int:
        """The pid of a worker, by the last word of the log."""
        starts = re.findall(rf"process=worker-{index} pid=(\d+)", self._started())
        return int(starts[-1]) if starts else 0

    def _started(self) -> str:
        lines = self.process.log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if "event=started" in line)

    # ------------------------------------------------------------------ questions

    def dig(self, name: str, kind: str = "A", *, tcp: bool = False) -> Dug:
        """Ask for a name of the zone (or a whole one with a final dot)."""
        whole = name if name.endswith(".") else f"{name}.{ZONE}."
        return dig(self.port, whole, kind, tcp=tcp, place=self.process.place)

    def answers(self, name: str, *expected: str, kind: str = "A", within: float = 20.0) -> None:
        """The name answers exactly this, in any order, by UDP and TCP; it may take a while to get there."""
        self._holds(name, kind, f"NOERROR {' '.join(sorted(expected))}".strip(), within)

    def says(self, name: str, status: str, *, kind: str = "A", within: float = 20.0) -> None:
        """The name has no answer, with this status."""
        self._holds(name, kind, status, within)

    def _holds(self, name: str, kind: str, expected: str, within: float) -> None:
        for tcp in (False, True):

            def look(by_tcp: bool = tcp) -> str:
                dug = self.dig(name, kind, tcp=by_tcp)
                return f"{dug.status} {' '.join(sorted(dug.data))}".strip()

            got = eventually(look, within=within, until=lambda text: text == expected)
            assert got == expected, (
                f"{name} {kind} by {'TCP' if tcp else 'UDP'}: {got!r}, expected {expected!r}\n"
                f"{self._told_of(name)}"
            )

    def keeps_answering(self, name: str, *expected: str, seconds: float, kind: str = "A") -> None:
        """The name answers this now and at every look for some time, by UDP and TCP in turn."""
        deadline = time.monotonic() + seconds
        self.answers(name, *expected, kind=kind)
        for tcp in itertools.cycle((False, True)):
            dug = self.dig(name, kind, tcp=tcp)
            if time.monotonic() > deadline:
                return  # what a busy machine got later than that says nothing of the time before
            assert sorted(dug.data) == sorted(expected), f"{name} {kind}: {dug}\n{self._told_of(name)}"
            time.sleep(0.1)

    def _told_of(self, name: str) -> str:
        """What a failure shows: ``explain``, and the end of the log."""
        return f"{self.cli('explain', name.removesuffix('.'))[1]}\n--- log\n{self.process.tail()}"

    # ------------------------------------------------------------------ command line and HTTP

    def cli(self, *arguments: str) -> tuple[int, str]:
        """Run one verb against this instance: the exit status, and what it printed."""
        done = self.verb(*arguments)
        return done.returncode, done.stdout + done.stderr

    def verb(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same with what is for files apart from what is for people."""
        command = [sys.executable, "-m", "soadns", arguments[0], "--config", str(self.config), *arguments[1:]]
        there = self.process.place.command(command)
        return subprocess.run(there, capture_output=True, text=True, check=False, timeout=60)

    def cli_json(self, *arguments: str) -> dict[str, Any]:
        """The same with ``-o json``, decoded."""
        status, text = self.cli(*arguments, "-o", "json")
        try:
            return dict(json.loads(text))
        except ValueError:
            raise AssertionError(f"soadns {' '.join(arguments)} -o json: status {status}:\n{text}") from None

    def explain(self, name: str) -> dict[str, Any]:
        """What ``explain`` says of the name in the first zone that knows it."""
        return dict(self.cli_json("explain", name)["zones"][0])

    def http(
        self, path: str, *, port: int = 0, body: object = None, token: str = "", patience_s: float = 20.0
    ) -> tuple[int, str]:
        """Status and text of one request; with a body it is a POST."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.http_port}{path}", data, headers)
        try:
            with self.process.place.inside(), urllib.request.urlopen(request, timeout=patience_s) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, line: str) -> float:
        """The value of one sample, named with its labels as Prometheus prints it; 0.0 when it is absent."""
        for row in self.http("/metrics")[1].splitlines():
            if row.startswith(f"{line} "):
                return float(row.rpartition(" ")[2])
        return 0.0

    def logged(self, *words: str) -> bool:
        """Whether a log line contains all of these."""
        lines = self.process.log.read_text(errors="replace").splitlines()
        return any(all(word in line for word in words) for line in lines)


PATIENCE_S = 5.0
"""How long a resolver waits for an answer, unless it is told another time (resolv.conf(5))."""


class Callers:
    """Somebody who asks for one name all the time, and notes what is not answered as expected.

    By UDP; or by TCP, on one connection for all questions.
    """

    def __init__(self, soadns: Soadns, name: str, *, every: float = 0.005, tcp: bool = False) -> None:
        self._address = ("127.0.0.1", soadns.port)
        labels = f"{name}.{ZONE}".split(".")
        self._question = (
            b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0\0\x01\0\x01"
        )
        self._every = every
        self._kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.asked = 0
        self.lost = 0
        self.refused = 0
        self.slowest = 0.0

    def __enter__(self) -> Callers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with socket.socket(socket.AF_INET, self._kind) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(self._address)
            while not self._over.is_set():
                self.asked += 1
                number = (self.asked & 0xFFFF).to_bytes(2, "big")
                began = time.monotonic()
                try:
                    reply = self._exchange(sock, number + b"\x01\0\0\x01\0\0\0\0\0\0" + self._question)
                    if reply[3] & 0xF or not reply[7]:
                        self.refused += 1
                except OSError:
                    self.lost += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                self._over.wait(self._every)

    def _exchange(self, sock: socket.socket, question: bytes) -> bytes:
        if self._kind == socket.SOCK_STREAM:
            sock.sendall(len(question).to_bytes(2, "big") + question)
            length = int.from_bytes(self._read(sock, 2), "big")
            return self._read(sock, length)
        sock.send(question)
        while (reply := sock.recv(4096))[:2] != question[:2]:
            pass  # late, of a question that was given up
        return reply

    @staticmethod
    def _read(sock: socket.socket, count: int) -> bytes:
        found = b""
        while len(found) < count:
            more = sock.recv(count - len(found))
            if not more:
                raise ConnectionError("closed amid a reply")
            found += more
        return found

    @property
    def unharmed(self) -> str:
        """``''`` when every question was answered with data, else what happened."""
        if self.asked and not self.lost and not self.refused:
            return ""
        return f"of {self.asked} questions {self.lost} were lost and {self.refused} got no data"
