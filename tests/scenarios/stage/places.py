"""Where a process runs: outside, or in namespaces of its own that end with whoever made them.

A ``Node`` has a network, mounts, a host name and a PID namespace; a ``Pod`` of it has the first three for itself. The
first process of a node reads its standard input, which ends with the process that made the node, however that ends.
Then the kernel kills all that was born there, and with the last of them go networks, mounts and rules.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_KINDS = {"net": 0x40000000, "pid_for_children": 0x20000000}
"""``CLONE_NEW*`` of the namespaces that a thread may enter while other threads run (not so mounts: setns(2))."""

_libc = ctypes.CDLL(None, use_errno=True)

NODE = """
trap '' CHLD
mount --make-rprivate /
cd /proc/sys/net/ipv4
echo 1 > ip_forward
echo 0 | tee conf/all/send_redirects > conf/default/send_redirects
echo here
exec cat
"""
"""The first process of a node, which routes between its pods (and tells none of them that it could do without).

Who is orphaned becomes its child; as it ignores SIGCHLD, the kernel buries them.
"""

POD = """
hostname "$1"
for file in hosts resolv.conf nsswitch.conf; do
    mount --bind "$2/$file" "$(readlink -f "/etc/$file")"
done
echo here
exec cat
"""
"""The first process of a pod gives it the files that the kubelet and the image bring."""


@contextmanager
def _entered(pid: int, kind: str) -> Iterator[None]:
    """This thread in a namespace of a process."""
    own = os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there, kind)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(own, kind)
    finally:
        os.close(own)


def _enter(descriptor: int, kind: str) -> None:
    if _libc.setns(descriptor, _KINDS[kind]):
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: to enter a namespace takes root", kind)


class Place:
    """Outside: where the test runs."""

    def command(self, inner: Sequence[str]) -> list[str]:
        """What starts a command there. The process that is started becomes the command."""
        return list(inner)

    def popen(self, inner: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command there, with options of ``subprocess.Popen``. It ends with the place at the latest."""
        return subprocess.Popen(self.command(inner), **options)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread, and threads that it starts, open meanwhile are there."""
        yield


OUTSIDE = Place()


class _Kept(Place):
    """Namespaces that a process keeps which does nothing else."""

    def __init__(self, command: list[str], within: Place) -> None:
        pipe = subprocess.PIPE
        # Ctrl-C is for the test, which then ends the keeper.
        self._keeper = within.popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        assert self._keeper.stdout is not None
        if not self._keeper.stdout.readline():
            assert self._keeper.stderr is not None
            why = self._keeper.stderr.read().decode(errors="replace").strip()
            self.close()
            raise AssertionError(f"a network namespace can not be made (it takes root): {why}")

    @property
    def pid(self) -> int:
        return self._keeper.pid

    def command(self, inner: Sequence[str]) -> list[str]:
        kinds = [f"--{kind}=/proc/{self.pid}/ns/{name}" for kind, name in (("net", "net"), ("uts", "uts"))]
        return ["nsenter", *kinds, f"--mount=/proc/{self.pid}/ns/mnt", f"--wd={Path.cwd()}", "--", *inner]

    @contextmanager
    def inside(self) -> Iterator[None]:
        with _entered(self.pid, "net"):
            yield

    def namespaces(self) -> set[Path]:
        """Which ones, by where they can be opened as long as the place lasts.

        Their numbers say which they are only for who holds them open: the kernel gives them away again.
        """
        return {Path(f"/proc/{self.pid}/ns/{name}") for name in ("net", "mnt", "uts")}

    def _bury(self) -> None:
        """Wait for who ends with the place."""

    def close(self) -> None:
        """End the keeper; of what it kept remains what a process still uses."""
        keeper = self._keeper
        keeper.kill()
        self._bury()
        keeper.wait()
        for pipe in (keeper.stdin, keeper.stdout, keeper.stderr):
            if pipe is not None:
                pipe.close()


class Node(_Kept):
    """A machine; closing it ends every process that was born there."""

    def __init__(self) -> None:
        command = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._born: list[subprocess.Popen[bytes]] = []
        super().__init__([*command, "sh", "-ec", NODE], OUTSIDE)

    def popen(self, inner: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        return self.bear(self.command(inner), **options)

    def bear(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in the PID namespace of the node; where else, it says itself."""
        with _entered(self.pid, "pid_for_children"):  # this thread can not start threads meanwhile
            child = subprocess.Popen(command, **options)
        self._born.append(child)
        return child

    def _bury(self) -> None:
        for child in self._born:  # the last process of a PID namespace waits until all others are buried
            child.wait()

    def namespaces(self) -> set[Path]:
        return super().namespaces() | {Path(f"/proc/{self.pid}/ns/pid_for_children")}


class Pod(_Kept):
    """A pod of a node: what it reads in ``/etc`` comes from ``files`` (hosts, resolv.conf, nsswitch.conf)."""

    def __init__(self, node: Node, name: str, folder: Path, files: Mapping[str, str]) -> None:
        for file, text in files.items():
            (folder / file).write_text(text)
        self.name = name
        command = ["unshare", "--net", "--mount", "--uts", "sh", "-ec", POD, "sh", name, str(folder)]
        self._node = node
        super().__init__(command, node)

    def popen(self, inner: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        return self._node.bear(self.command(inner), **options)

    def mount(self, folder: Path, there: Path) -> None:
        """Show a folder at a path in this pod alone."""
        command = self.command(["mount", "--bind", str(folder), str(there)])
        subprocess.run(command, check=True, timeout=30)
