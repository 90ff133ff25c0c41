"""What an operator types, as a page shows it: lines for a shell in which the programs are the story's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.stage.process import command_of, eventually
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
    """A shell in a folder of its own."""

    def __init__(self, stage: Stage, soadns: Soadns, services: dict[str, Service]) -> None:
        assert stage.zookeeper is not None
        self.folder = stage.folder / "terminal"
        self._services = services
        self._says = {
            DNS: f"@127.0.0.1 -p {soadns.port} +tries=1 +time=3 ",
            ZOOKEEPER: f"{stage.zookeeper.hosts}{stage.chroot}",
        }
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        python, config = shlex.quote(sys.executable), shlex.quote(str(soadns.config))
        java, env = command_of("zookeeper")
        client = shlex.join([*java[:-1], "org.apache.zookeeper.ZooKeeperMain"])
        asked, libraries = command_of("dig")
        path = shlex.quote(libraries.get("LD_LIBRARY_PATH", ""))
        scripts = {
            "soadns": f'verb=$1; shift\nexec {python} -m soadns "$verb" --config {config} "$@"',
            "zkCli.sh": f'exec {client} "$@" 2>/dev/null',
            "dig": f'export LD_LIBRARY_PATH={path}\nexec {shlex.join(asked)} "$@"',
        }
        for name, text in scripts.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        source = str(Path(__file__).resolve().parents[3])
        self._env = env | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": source,
            "LC_ALL": "C.UTF-8",
        }

    def type(self, command: str) -> str:
        """Run one line; what it prints, stdout first."""
        if command.startswith("kubectl annotate "):
            return self._annotate(shlex.split(command)[2:])
        for shown, real in self._says.items():
            command = command.replace(shown, real)
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.stdout + done.stderr

    def _annotate(self, words: list[str]) -> str:
        """``kubectl annotate [--overwrite] service NAME soadns.io/KEY=TEXT|soadns.io/KEY-``, done by the API."""
        kind, name, setting = (word for word in words if word != "--overwrite")
        assert kind == "service"
        key, _, text = setting.removeprefix("soadns.io/").partition("=")
        self._services[name].annotate(**{key.removesuffix("-"): text})
        return f"service/{name} annotated\n"

    def holds(self, typed: Typed, *, within: float = 10.0) -> None:
        """The command prints the lines that are shown, in this order; it may take a while until it does."""
        printed = eventually(
            lambda: self.type(typed.command), within=within, until=lambda t: not missing(typed, t)
        )
        assert not missing(typed, printed), (
            f"$ {typed.command}\n{missing(typed, printed)!r} is not, or not there, in:\n{printed}"
        )


def missing(typed: Typed, printed: str) -> str:
    """The first line that is shown and was not printed where it should be; ``''`` when all were."""
    rest = iter([" ".join(row.split()) for row in printed.splitlines()])
    for line in typed.lines:
        pattern = ".*".join(map(re.escape, " ".join(line.split()).split("…")))
        if not any(re.fullmatch(pattern, row) for row in rest):
            return line
    return ""
