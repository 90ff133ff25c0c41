"""What an operator types, as a page shows it: lines for a shell in which the programs are the story's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.stage.kubectl import Kubectl
from tests.scenarios.stage.process import command_of, eventually
from tests.scenarios.stage.programs import program, running
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.stage import Service, Stage

DNS, ZOOKEEPER = "@127.0.0.1 -p 5353 ", "zk1:2181"
"""What pages write where a story has ports and a chroot of its own."""


@dataclass(frozen=True)
class Typed:
    """A command of a page, and the lines that are shown with it."""

    command: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    """What happens between two commands: a comment of the page."""

    text: str


def steps(page: Path) -> list[Typed | Event]:
    """Commands (blocks of ``sh``) and events (comments on lines of their own), in the order of the page."""
    found: list[Typed | Event] = []
    pattern = r"^```sh\n((?s:.*?))^```$|^<!-- (.*) -->$"
    for block, event in re.findall(pattern, page.read_text(encoding="utf-8"), re.M):
        if event:
            found.append(Event(event))
        for piece in re.split(r"\n\n(?=\$ )", block.strip()) if block else ():
            command, *lines = piece.splitlines()
            assert command.startswith("$ "), command
            found.append(Typed(command.removeprefix("$ "), tuple(lines)))
    return found


class Terminal:
    """A shell in a folder of its own; ``status`` is the last line's."""

    def __init__(self, stage: Stage, soadns: Soadns, services: dict[str, Service]) -> None:
        assert stage.zookeeper is not None
        self.folder = stage.folder / "terminal"
        self.status = 0
        assert stage.api is not None
        self._kubectl = Kubectl(stage.api, services)
        self._says = {
            DNS: f"@127.0.0.1 -p {soadns.port} +tries=1 +time=5 ",
            ZOOKEEPER: f"{stage.zookeeper.hosts}{stage.chroot}",
        }
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        python, config = shlex.quote(sys.executable), shlex.quote(str(soadns.config))
        java, env = command_of("zookeeper")
        client = shlex.join([*java[:-1], "org.apache.zookeeper.ZooKeeperMain"])
        scripts = {
            "soadns": f'verb=$1; shift\nexec {python} -m soadns "$verb" --config {config} "$@"',
            "zkCli.sh": f'exec {client} "$@" 2>/dev/null',
            "dig": running(*command_of("dig")),
        }
        for name, text in scripts.items():
            program(programs / name, text)
        source = str(Path(__file__).resolve().parents[3])
        self._env = env | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": source,
            "LC_ALL": "C.UTF-8",
        }

    def type(self, command: str) -> str:
        """Run one line; what it prints, stdout first. Its exit status is that of the first program that fails."""
        if command.startswith("kubectl "):
            self.status = 0
            return self._kubectl.run(shlex.split(command)[1:])
        for shown, real in self._says.items():
            command = command.replace(shown, real)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        self.status = done.returncode
        return done.stdout + done.stderr

    def holds(self, typed: Typed, *, within: float = 30.0) -> None:
        """The command prints the lines that are shown, in this order, and succeeds; it may take a while until it does.

        Where a page means a command to fail, the line goes on (``; echo "exit status $?"``), and shows that it does.
        """
        printed = eventually(
            lambda: self.type(typed.command),
            within=within,
            until=lambda text: not (self.status or missing(typed, text)),
        )
        assert not missing(typed, printed), (
            f"$ {typed.command}\n{missing(typed, printed)!r} is not, or not there, in:\n{printed}"
        )
        assert self.status == 0, f"$ {typed.command}\nexit status {self.status}, after:\n{printed}"


def missing(typed: Typed, printed: str) -> str:
    """The first line that is shown and was not printed where it should be; ``''`` when all were."""
    rest = iter([" ".join(row.split()) for row in printed.splitlines()])
    for line in typed.lines:
        pattern = ".*".join(map(re.escape, " ".join(line.split()).split("…")))
        if not any(re.fullmatch(pattern, row) for row in rest):
            return line
    return ""
