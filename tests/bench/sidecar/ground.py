"""Where the benchmark runs: a network and a process tree of its own, in which all pods' addresses are the machine's.

What is called at ClusterIPs is redirected to the sidecar's port, as in a pod. Whatever is started there ends with it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.sidecar.estate import PORT
from tests.scenarios.stage.dubbowire import Call, Caller
from tests.scenarios.stage.istiosidecar import GROUP
from tests.scenarios.stage.network import MACHINE, PODS
from tests.scenarios.stage.process import Process, command_of, eventually

SIDECAR = 15001
_WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
WATCHERS = 16_384
"""Files that all Envoys of a user may watch; Linux allows 128 by default."""
_SET_UP = f"""
link set lo up
address add {MACHINE}/32 dev lo
route add local {PODS} dev lo
route add default dev lo src {MACHINE}
"""
_RULES = f"""
table ip sidecar {{
    chain output {{
        type nat hook output priority -100; policy accept;
        meta skgid {GROUP} return
        ip daddr 10.96.0.0/15 tcp dport {PORT} redirect to :{SIDECAR}
    }}
}}
"""


def enclosed(module: str, *arguments: str) -> int:
    """Run a module in namespaces of its own; returns its exit status. Nothing of it outlives this call."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen([*command, sys.executable, "-m", module, *arguments])
    try:
        return process.wait()
    finally:
        process.kill()
        process.wait()


@contextmanager
def watchers() -> Iterator[None]:
    """Let Envoys watch as many files as there are; it is the machine's setting, and restored."""
    before = _WATCHERS.read_text()
    if int(before) < WATCHERS:
        _WATCHERS.write_text(f"{WATCHERS}\n")
    try:
        yield
    finally:
        with suppress(OSError):
            _WATCHERS.write_text(before)


def lay() -> None:
    """Addresses, routes and rules of the namespace."""
    for part, words, lines in (("ip", ["-batch", "-"], _SET_UP), ("nft", ["-f", "-"], _RULES)):
        command, env = command_of(part)
        done = subprocess.run(
            [*command, *words], env=env, input=lines.strip() + "\n", text=True, capture_output=True, check=False,
            timeout=30,
        )  # fmt: skip
        assert not done.returncode, f"{part}: {done.stdout}{done.stderr}"


@contextmanager
def provided(folder: Path) -> Iterator[Process]:
    """All pods' provider."""
    command = [sys.executable, "-m", "tests.bench.sidecar.provider", str(PORT)]
    process = Process("provider", command, log=folder / "provider.log")
    process.start()

    def answers() -> bool:
        with suppress(OSError), Caller(PORT, "10.244.0.1") as caller:
            return caller.ask(Call("com.x.Any")).said == "10.244.0.1"
        return False

    try:
        assert eventually(answers, within=60.0), process.tail()
        yield process
    finally:
        process.kill()
