"""Debian packages, unpacked into a folder instead of installed: no root, and nothing of the system changes.

apt checks each package against Debian's signed index. Debian serves only the newest build of a version, so the pin
is the upstream version: a security fix within it is welcome, another version is not.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .running import PartError, run, say

UPDATE = "as root: apt-get update"


def unpack(folder: Path, packages: Sequence[str], *, pinned: str) -> str:
    """Download packages and unpack them into one tree; the first one's version is checked and returned."""
    version = _candidate(packages[0])
    if not version:
        _update("there are no package lists")
        version = _candidate(packages[0])
    if not version.startswith(pinned):
        raise PartError(
            f"Debian offers {packages[0]} {version or 'in no version'} here, and the tests are written for {pinned} "
            "(Debian 12, bookworm): run them there"
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as downloads:
        archives = Path(downloads)
        try:
            _download(packages, archives)
        except PartError:
            if os.geteuid():
                raise
            # Lists that are older than the last update of a package name a file that is no longer served.
            _update("the download failed")
            _download(packages, archives)
        for archive in sorted(archives.glob("*.deb")):
            run(["dpkg-deb", "-x", str(archive), str(folder)], f"unpacking {archive.name}")
    _relink(folder)
    return version


def libraries(folder: Path) -> dict[str, str]:
    """The environment in which programs of an unpacked tree find the libraries beside them."""
    patterns = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/systemd", "lib/*-linux-gnu")
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return {"LD_LIBRARY_PATH": ":".join(map(str, found))}


def _candidate(package: str) -> str:
    """The version that apt would take, or ``''``."""
    try:
        done = subprocess.run(
            ["apt-cache", "policy", package], capture_output=True, text=True, check=False,
            env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        raise PartError(
            f"{package} comes from Debian 12, and there is no apt here: run the tests there"
        ) from None
    for line in done.stdout.splitlines():
        name, _, value = line.strip().partition(": ")
        if name == "Candidate" and value.strip() != "(none)":
            return value.strip()
    return ""


def _update(why: str) -> None:
    if os.geteuid():
        raise PartError(f"{why}; once, {UPDATE}")
    say(f"{why}: fetching Debian's package lists")
    run(["apt-get", "-q", "update"], "apt-get update")


def _download(packages: Sequence[str], folder: Path) -> None:
    # apt would change to a user who may not write into a folder below root's home.
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
    run(
        command, f"downloading {len(packages)} Debian packages", cwd=folder,
        advice="" if os.geteuid() == 0 else f"if the package lists are old, {UPDATE}",
    )  # fmt: skip


def _relink(folder: Path) -> None:
    """Absolute symbolic links mean the root of the system; here they mean the root of the tree."""
    for path in folder.rglob("*"):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            target = folder / os.readlink(path).lstrip("/")
            path.unlink()
            path.symlink_to(os.path.relpath(target, path.parent))
