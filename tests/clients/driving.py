"""Providers and consumers as tests start them: processes that are asked by a line and answer by a line."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.process import command_of

HERE = Path(__file__).resolve().parent
SCRIPTS = {
    "rest": HERE / "rest.py", "rest-kept": HERE / "rest_kept.py", "private-tcp": HERE / "private_tcp.py",
}  # fmt: skip
USER = "com.example.shop.UserService"
_ESTABLISHED = "01"
_JAR = re.compile(r"/(?:dubbo|sofa-rpc-all)-(\d[\w.]*)\.jar$")
INTERFACES = (
    USER, "com.example.shop.OrderService", "com.example.shop.Outer$InnerService", "com.example.shop.UPPERCASEService",
    "com.example.a.b.c.d.e.f.g.DeepService",
)  # fmt: skip


def started_by(program: str) -> tuple[list[str], dict[str, str]]:
    """The command's beginning and the environment of a program: a part's name, or one of ``SCRIPTS``."""
    if program in SCRIPTS:
        return [sys.executable, "-B", str(SCRIPTS[program])], dict(os.environ)
    return command_of(program)


class Program:
    """One client program. It has a home folder of its own, since frameworks keep caches and settings there."""

    def __init__(
        self,
        program: str,
        *arguments: str,
        folder: Path,
        java: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        place: Place = OUTSIDE,
    ) -> None:
        """``java`` are options of the JVM."""
        command, environment = started_by(program)
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{program} {' '.join(arguments[:3])}"
        self.log = folder / "log"
        options = [f"-Duser.home={folder}", f"-Dlogging.path={folder}/logs", *java]
        with self.log.open("ab") as log:
            self._process = place.popen(
                [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=environment | {"HOME": str(folder), "JDK_JAVA_OPTIONS": " ".join(options)} | dict(env or {}),
            )  # fmt: skip
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def framework(self) -> str:
        """The version of the framework that it runs: of the jar that its JVM has open, or of the package that Node
        finds beside its script; ``''`` for one without a framework."""
        process = Path(f"/proc/{self.pid}")
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if found := _JAR.search(os.readlink(descriptor)):
                    return found[1]
        script = Path(os.fsdecode((process / "cmdline").read_bytes().split(b"\0")[1]))
        package = script.parent / "node_modules" / "sofa-rpc-node" / "package.json"
        return str(json.loads(package.read_text())["version"]) if package.exists() else ""

    def connections(self, port: int) -> int:
        """How many connections of its own to a port of the other side are established."""
        mine = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                mine.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(descriptor)))
        rows = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]
        ]
        return sum(
            row[3] == _ESTABLISHED and int(row[2].rpartition(":")[2], 16) == port and row[9] in mine
            for row in rows
        )

    def line(self, *, within: float) -> str:
        """The next line that it prints."""
        try:
            line = self._lines.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"{self.name} said nothing for {within} s:\n{self.tail()}") from None
        assert line, f"{self.name} ended by itself:\n{self.tail()}"
        return line.decode().rstrip("\n")

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, *, within: float = 30.0) -> int:
        """SIGTERM, as Kubernetes ends a container; returns the exit status."""
        return self._end(signal.SIGTERM, within)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, number: signal.Signals, within: float) -> int:
        try:
            if self.running:
                self._process.send_signal(number)
            return self._process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"{self.name} did not end within {within} s:\n{self.tail()}") from None
        finally:
            self._process.wait()
            self._reader.join(timeout=5.0)
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Provider(Program):
    """A provider; ``ready()`` waits until it has exported and registered."""

    def __init__(
        self,
        program: str,
        name: str,
        *,
        registry: str,
        bind: str,
        port: int,
        folder: Path,
        application: str = "shop",
        interfaces: Sequence[str] = INTERFACES,
        more: Sequence[str] = (),
        java: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        place: Place = OUTSIDE,
    ) -> None:
        """``registry`` is host:port or ``none``; ``more`` are further arguments (``--protocol tri`` ...)."""
        super().__init__(
            program, "provider", "--id", name, "--app", application, "--registry", registry, "--bind", bind,
            "--port", str(port), "--interfaces", ",".join(interfaces), *more,
            folder=folder, java=java, env=env, place=place,
        )  # fmt: skip

    def ready(self, *, within: float = 180.0) -> None:
        assert self.line(within=within) == "ready"


class Consumer(Program):
    """A consumer, asked by one JSON object a line."""

    def __init__(
        self,
        program: str,
        *,
        registry: str,
        folder: Path,
        application: str = "caller",
        more: Sequence[str] = (),
        java: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        place: Place = OUTSIDE,
    ) -> None:
        super().__init__(
            program, "consumer", "--app", application, "--registry", registry, *more,
            folder=folder, java=java, env=env, place=place,
        )  # fmt: skip

    def ask(self, what: str, *, within: float = 180.0, **said: Any) -> dict[str, Any]:
        """Its answer, whether ``ok`` or not."""
        self.write(json.dumps({"do": what, **said}))
        return dict(json.loads(self.line(within=within)))

    def refer(self, interface: str, **options: Any) -> dict[str, Any]:
        return self.ask("refer", interface=interface, options=options)

    def call(self, interface: str, method: str = "whoami", argument: Any = "hello") -> dict[str, Any]:
        return self.ask("call", interface=interface, method=method, argument=argument)
