"""Programs that come as wheels: pinned by version and checksum, installed into a folder of their own."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import cache
from .running import run


def install(folder: Path, requirement: str) -> None:
    """Install one requirement, written with its ``--hash`` options, into a folder. Raises PartError."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=cache.UNFINISHED) as scratch:
        venv = Path(scratch) / "venv"
        run(
            [sys.executable, "-m", "venv", str(venv)], "making a virtual environment",
            advice="on Debian, as root: apt-get install python3-venv",
        )  # fmt: skip
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(requirement, encoding="utf-8")
        pip = [str(venv / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        options = ["--no-compile", "--no-deps", "--require-hashes", "--target", str(folder)]
        run([*pip, *options, "-r", str(requirements)], f"installing {requirement.split()[0]}")
