"""``make demo-real``: run the demo, and leave nothing behind, however it ends.

Exit status 0 when every step held, 1 when one did not, 2 for what can not run here, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.demo import moving, story
from tests.demo.screen import Screen
from tests.demo.shell import Shell
from tests.demo.story import manifest_folder
from tests.demo.workloads import Workloads
from tests.scenarios.stage.town import Town

STEPS = story.STEPS + moving.STEPS
WELCOME = (
    "Real ZooKeeper, etcd, kube-apiserver, kube-proxy, CoreDNS, Envoy, MOSN, soadns, and Java programs that know "
    "nothing of it, in network namespaces of their own: nothing of this machine is changed, and all of it "
    "is gone at the end. No kubectl, controller or kubelet is here; what they would do with the manifests "
    "of {folder} is done through the API server, and shown as their commands. Everything else is run as "
    "it is shown."
)


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="make demo-real", description="The example applications, boarded for real."
    )
    parser.add_argument("--pause", action="store_true", help="wait for Enter after each step (on a terminal)")
    parser.add_argument(
        "--logs", type=Path, metavar="FOLDER", help="keep what everything logs in a new folder"
    )
    options = parser.parse_args()
    if os.geteuid():
        print(
            "make demo-real makes network namespaces, which takes root: sudo make demo-real", file=sys.stderr
        )
        return 2
    logging.getLogger("kazoo").addHandler(logging.NullHandler())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    screen = Screen(sys.stdout, pause=options.pause and sys.stdin.isatty() and sys.stdout.isatty())
    try:
        with _folder(options.logs) as folder:
            _run(screen, folder)
    except KeyboardInterrupt:
        print("\nstopped; everything that was started has ended", file=sys.stderr)
        return 130
    except AssertionError as error:
        screen.summary(STEPS)
        print(f"\nmake demo-real: {error}", file=sys.stderr)
        return 1
    screen.summary(STEPS)
    return 0 if len(screen.steps) == STEPS and all(step.held for step in screen.steps) else 1


def _run(screen: Screen, folder: Path) -> None:
    screen.say(WELCOME.format(folder=manifest_folder()))
    with screen.waiting("starting ZooKeeper, etcd, kube-apiserver, kube-proxy and CoreDNS"):
        town = Town(folder / "town", sidecar=moving.ads, installed=False)
    try:
        shell, cluster = Shell(folder / "terminal"), Workloads(town)
        story.Story(screen, town, shell, cluster).tell()
        moving.Moving(screen, town, shell, cluster).tell()
    finally:
        # A second Ctrl-C does not leave half of it: this takes a moment, and then all is gone.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        town.end()


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="soadns-demo-", ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
