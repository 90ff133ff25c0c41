"""Programs that commands of a page find on the path where they are typed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.scenarios.stage.process import command_of


def program(file: Path, text: str) -> None:
    """A script of the shell, that can be run."""
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(0o755)


def running(
    command: Sequence[str], env: Mapping[str, str], by: Callable[[list[str]], str] = shlex.join
) -> str:
    """The text of one that runs a command with its libraries; ``by`` says how it is written."""
    libraries = shlex.quote(env.get("LD_LIBRARY_PATH", ""))
    return f'export LD_LIBRARY_PATH={libraries}\nexec {by(list(command))} "$@"'


def of_parts(folder: Path, *names: str) -> None:
    """Parts under their own names, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        program(folder / name, running(*command_of(name)))
