"""Where the demo's commands are typed: ``soadns`` asks the running one, ``dig`` and ``ss`` are run in a pod."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.scenarios.stage.places import Place
from tests.scenarios.stage.process import command_of
from tests.scenarios.stage.programs import program, running
from tests.scenarios.stage.soadns import Soadns

ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """A folder with the commands' files; ``status`` is the last command's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = 0
        self._programs = folder / ".bin"
        self._programs.mkdir(parents=True)

    def ask(self, soadns: Soadns) -> None:
        """Have ``soadns`` from now on, which asks this one."""
        there = self._there(soadns.process.place, [sys.executable, "-m", "soadns"])
        config = shlex.quote(str(soadns.config))
        text = f'verb=$1; shift\nexec {there} "$verb" --config {config} "$@"'
        program(self._programs / "soadns", text)

    def stand_in(self, place: Place) -> None:
        """Run ``dig`` and ``ss`` in this pod from now on, as ``kubectl exec`` does."""
        digs, libraries = command_of("dig")
        ip, more = command_of("ip")
        for name, command, env in (
            ("dig", digs, libraries),
            ("ss", [str(Path(ip[0]).with_name("ss"))], more),
        ):
            program(self._programs / name, running(command, env, by=partial(self._there, place)))

    def _there(self, place: Place, command: list[str]) -> str:
        with contextlib.chdir(self.folder):
            return shlex.join(place.command(command))

    def type(self, command: str) -> str:
        """Run one line; what it prints, stdout first."""
        env = os.environ | {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        self.status = done.returncode
        return done.stdout + done.stderr
