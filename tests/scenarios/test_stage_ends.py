"""What is left of a cluster when its test is over, however that ends: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.stage.process import eventually

STORY = """
import pathlib, sys
from tests.scenarios.stage.cluster import Cluster
cluster = Cluster(pathlib.Path(sys.argv[1]))
try:
    home = cluster.home("sleeper")
    home.place.popen(["sh", "-c", "sleep 1000 & sleep 1000"])
    dns, _ = cluster.name_server()
    dns.start()
    print(*cluster.node.namespaces(), *home.place.namespaces(), flush=True)
    {what}
finally:
    cluster.end()
"""
ENDS = {
    "a test fails": ("sys.stdin.readline(); raise AssertionError", None),
    "Ctrl-C": ("sys.stdin.read()", signal.SIGINT),
    "kill -9": ("sys.stdin.read()", signal.SIGKILL),
}
"""What the story does when all runs, and the signal that ends it."""


def here() -> dict[str, object]:
    """What a cluster could change of the world around it."""
    return {
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "host name": os.uname().nodename,
        **{name: Path("/etc", name).read_text() for name in ("hosts", "resolv.conf", "nsswitch.conf")},
    }


@contextmanager
def held(namespaces: Iterable[str]) -> Iterator[set[str]]:
    """The names of namespaces, which are nobody else's meanwhile.

    A namespace that is gone leaves its number to the next one that is made, in another story for instance: so these
    stay open, which keeps no process alive.
    """
    descriptors = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in namespaces]
    try:
        yield {os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in descriptors}
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def remains(namespaces: set[str], folder: Path) -> list[str]:
    """Processes that are in a namespace of the cluster, or have its folder in their command lines."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_text().replace("\0", " ")
                inside = {os.readlink(entry) for entry in (process / "ns").iterdir()} & namespaces
            except OSError:
                continue
            if inside or str(folder) in command:
                found.append(f"{process.name} {command}")
    return found


@pytest.mark.parametrize("how", ENDS)
def test_nothing_is_left_of_a_cluster(how: str, tmp_path: Path) -> None:
    before = here()
    what, number = ENDS[how]
    story = subprocess.Popen(
        [sys.executable, "-c", STORY.format(what=what), str(tmp_path)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with story:
        assert story.stdin is not None
        assert story.stdout is not None
        assert story.stderr is not None
        told = story.stdout.readline().split()
        assert told, story.stderr.read()
        with held(told) as namespaces:
            assert len(namespaces) == 7
            assert len(remains(namespaces, tmp_path)) > 8  # it is looked for in the right places
            if number is None:
                story.stdin.write("\n")
                story.stdin.flush()
            elif number == signal.SIGINT:
                os.killpg(story.pid, number)  # as a terminal does it
            else:
                story.send_signal(number)
            story.wait(timeout=60)
            # After kill -9 nobody ends them but the kernel, when the first process has seen the end of its input.
            left = eventually(lambda: remains(namespaces, tmp_path), within=30.0, until=lambda left: not left)
    assert left == []
    assert here() == before
