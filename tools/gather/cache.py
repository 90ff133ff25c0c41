"""Where finished parts are kept: one folder each, named by version and recipe, verified whenever it is used."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .running import PartError, announced, say

SUMS = "SHA256SUMS"
VERSION = "VERSION"
UNFINISHED = ".making-"


@dataclass(frozen=True)
class Part:
    """One part: what it is made from, how it is made, and how it is started from the finished folder."""

    name: str
    pinned: str
    """The version the tests are written for."""
    recipe: str
    """All that decides what comes out, as text; its checksum is in the folder's name."""
    make: Callable[[Path], str]
    """Fills an empty folder and returns the exact version; raises PartError."""
    command: Callable[[Path], list[str]]
    """What starts it from its folder."""
    env: Callable[[Path], dict[str, str]] = field(default=lambda _: {})
    """What its environment needs besides."""
    also: tuple[tuple[str, str], ...] = ()
    """Further programs of the same folder, under names of their own: (name, path below the folder)."""
    more: Callable[[Path], dict[str, list[str]]] = field(default=lambda _: {})
    """What starts further programs from its folder, by name, where that takes more than a path."""
    how: str = "fetching"
    expected: str = ""
    """How long it takes, where that is minutes."""
    room: int = 0
    """GB of free space that making it takes, where that is much."""

    @property
    def title(self) -> str:
        """Its name and version; the version once, where the name says it."""
        return self.name if self.name.endswith(f"-{self.pinned}") else f"{self.name} {self.pinned}"

    def folder(self, store: Path) -> Path:
        """Where it is kept: another recipe is another folder, so branches do not undo each other's parts."""
        digest = hashlib.sha256(f"{platform.machine()}\n{self.recipe}".encode()).hexdigest()[:12]
        return store / f"{self.title.replace(' ', '-')}-{digest}"

    def programs(self, folder: Path) -> dict[str, list[str]]:
        """What starts each of its programs, by name."""
        also = {name: [str(folder / path)] for name, path in self.also}
        return {self.name: self.command(folder)} | also | self.more(folder)


def sums(folder: Path) -> str:
    """The lines of ``SHA256SUMS`` for a tree, by path; a symbolic link counts by its target."""
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            digest = hashlib.sha256(os.readlink(path).encode()).hexdigest()
        elif path.is_file() and name != SUMS:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            continue
        lines.append(f"{digest}  {name}\n")
    return "".join(lines)


def intact(folder: Path) -> bool:
    """Whether a finished part is as it was made."""
    try:
        return (folder / SUMS).read_text(encoding="utf-8") == sums(folder)
    except OSError:
        return False


def get(part: Part, store: Path) -> tuple[str, Path]:
    """The exact version and the folder of a part, made if it is not there or damaged. Raises PartError."""
    folder = part.folder(store)
    if folder.exists() and not intact(folder):
        say(f"{part.title}: {folder} is damaged, making it again")
        shutil.rmtree(folder)
    if not folder.exists():
        _make(part, folder)
    return (folder / VERSION).read_text(encoding="utf-8").strip(), folder


def _make(part: Part, folder: Path) -> None:
    """Make a part aside and put it in its place by one rename, so that a stopped run leaves none that is half."""
    free = shutil.disk_usage(folder.parent).free // 10**9
    if free < part.room:
        raise PartError(
            f"{part.title} takes about {part.room} GB while it is built, and {folder.parent} has {free} "
            "GB: make room, or set SOADNS_PARTS to a folder on another disk"
        )
    fresh = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        fresh.chmod(0o755)
        with announced(f"{part.title}: {part.how}", part.expected):
            try:
                version = part.make(fresh)
            except PartError as error:
                raise PartError(f"{part.title}: {error}") from None
        (fresh / VERSION).write_text(f"{version}\n", encoding="utf-8")
        (fresh / SUMS).write_text(sums(fresh), encoding="utf-8")
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def sole(store: Path) -> Iterator[None]:
    """Be the only run that fills this folder; wait for another one. What a killed run left unfinished goes."""
    store.mkdir(parents=True, exist_ok=True)
    with (store / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that fills {store}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in store.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
