"""The image that ``Dockerfile`` makes, without Docker: its first stage's commands are run, and containers of that.

No base image can be had here, so the machine's own Python and libraries stand for it: what is checked is that the
commands work on what is in a checkout, and that what they leave runs where nothing else is (``container``).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of the base image."""
_BUILD = """
root=$1 prefix=$2 source=$3
mount -t tmpfs tmpfs "$root"
for each in /*; do
    if test -L "$each"; then cp -a "$each" "$root/"
    elif test -d "$each" -a "$each" != /opt -a "$each" != /src; then
        mkdir "$root$each"
        mount --rbind "$each" "$root$each"
    fi
done
mkdir -p "$root/opt/soadns" "$root/src"
for each in /opt/*; do
    test ! -d "$each" -o -L "$each" || { mkdir -p "$root$each"; mount --rbind "$each" "$root$each"; }
done
mount --bind "$prefix" "$root/opt/soadns"
mount --bind "$source" "$root/src"
exec chroot "$root" sh -ec "cd /src; $4"
"""
"""One command of the first stage: all of the machine, but for the two folders that are the image's."""
_RUN = """
root=$1 image=$2 python=$3 user=$4 group=$5 volumes=$6
shift 6
mount -t tmpfs -o mode=755 tmpfs "$root"
for each in /usr /bin /sbin /lib /lib64 /lib32 /libx32; do
    if test -L "$each"; then cp -a "$each" "$root/"
    elif test -d "$each"; then mkdir "$root$each"; mount --rbind "$each" "$root$each"
    fi
done
mkdir -p "$root/etc" "$root/proc" "$root/dev" "$root$python" "$root/opt/soadns"
for each in hosts resolv.conf nsswitch.conf passwd group ld.so.cache; do cp -L "/etc/$each" "$root/etc/"; done
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
test -e "$root$python/bin" || mount --bind "$python" "$root$python"
mount --bind "$image" "$root/opt/soadns"
while read -r mode folder there; do
    mkdir -p "$root$there"
    mount --bind "$folder" "$root$there"
    test "$mode" = rw || mount -o remount,bind,ro "$root$there"
done < "$volumes"
mount -o remount,bind,ro "$root/opt/soadns"
mount -o remount,ro "$root"
exec chroot "$root" setpriv "--reuid=$user" "--regid=$group" "--groups=$group" --inh-caps=-all --bounding-set=-all \\
    --no-new-privs "$@"
"""
"""A container as the chart's security contexts want it: nothing of the machine but programs and libraries, nothing that
can be written but its volumes, another user, and no capability."""


class Image:
    """What ``Dockerfile`` says, and the folder of what it has installed."""

    def __init__(self, folder: Path) -> None:
        self.text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        first, self.last = re.split(r"\n\n(?=FROM )", self.text)
        self.prefix, self._source, self._root = (folder / name for name in ("prefix", "source", "root"))
        for each in (self.prefix, self._source, self._root):
            each.mkdir(parents=True)
        self.commands = re.findall(r"^RUN (.*)$", first, re.M)
        for copied in re.findall(r"^COPY (.*)$", first, re.M):
            *sources, target = copied.split()
            for source in sources:
                self._copy(source, self._source / target)

    def _copy(self, source: str, target: Path) -> None:
        """As COPY does: a folder's content, or a file into a folder. Of a checkout, what git knows."""
        found = subprocess.run(
            ["git", "ls-files", "-z", "--", source], cwd=ROOT, check=True, capture_output=True, text=True
        )
        files = [Path(name) for name in found.stdout.split("\0") if name]
        assert files, f"Dockerfile copies {source}, which is not in the checkout"
        for file in files:
            there = target / (file.relative_to(source) if Path(source) != file else file.name)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, there)

    def build(self) -> None:
        """Run the commands of the first stage, one after another."""
        for command in self.commands:
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-ec", _BUILD, "sh", self._root, self.prefix, self._source, command],
                env=_environment(), capture_output=True, text=True, check=False, timeout=600,
            )  # fmt: skip
            assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"

    @property
    def entrypoint(self) -> list[str]:
        """What a container starts; its arguments come behind."""
        [found] = re.findall(r"^ENTRYPOINT (.*)$", self.last, re.M)
        return list(json.loads(found))

    @property
    def environment(self) -> dict[str, str]:
        """Of a container, besides what its pod says."""
        [found] = re.findall(r"^ENV (.*)$", self.last, re.M)
        said = dict(word.split("=", 1) for word in shlex.split(found))
        return said | {"PATH": said["PATH"].replace("$PATH", _PATH)}

    @property
    def user(self) -> tuple[str, str]:
        """User and group that it runs as by itself."""
        [(user, group)] = re.findall(r"^USER (\d+):(\d+)$", self.last, re.M)
        return user, group

    def container(
        self, command: list[str], *, folder: Path, volumes: dict[str, tuple[Path, bool]]
    ) -> list[str]:
        """What starts a command in a container, in whatever place: ``volumes`` are folders by the path at which it has
        them, and whether it may write there. ``folder`` is for what the container is put together from."""
        root, listed = folder / "root", folder / "volumes"
        root.mkdir(parents=True, exist_ok=True)
        rows = [
            f"{'rw' if writable else 'ro'} {source} {there}\n"
            for there, (source, writable) in volumes.items()
        ]
        listed.write_text("".join(rows), encoding="utf-8")
        said = [str(root), str(self.prefix), sys.base_prefix, *self.user, str(listed)]
        return ["unshare", "--mount", "sh", "-ec", _RUN, "sh", *said, *command]


def _environment() -> dict[str, str]:
    """Of a build: where packages come from, and nothing of the environment that runs the test."""
    mine = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
    path = [each for each in os.environ["PATH"].split(":") if each != str(Path(sys.prefix) / "bin")]
    kept = {name: text for name, text in os.environ.items() if name not in mine}
    return kept | {"PATH": ":".join([f"{sys.base_prefix}/bin", *path])}
