"""``soadns export envoy``: a folder of files for Envoys without Istio, written once or kept up to date.

What is written is checked before, by rules of our own and, where one is named, by an Envoy. While soadns can not be
asked, or what it says can not be written, the files stay as they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from soadns.commands.client import Client, ClientError
from soadns.commands.envoyfolder import Folder, FolderError
from soadns.commands.routereading import Heard
from soadns.sidecar import envoychecks, envoyfiles
from soadns.sidecar.envoy import ENDPOINTS, LISTENERS, ROUTES
from soadns.sidecar.envoyfiles import Layout, Made, Resources, Write

AGAIN_S = 1.0
"""Until a stream that ended is asked for again."""
CHECK_S = 60.0
"""How long an Envoy may look at what it is asked about."""
SPARE = 20
"""Inotify instances that others of the same user need."""
BY_DEFAULT = 128
"""What Linux allows to all processes of a user, where nobody says otherwise."""
MANY = 100
"""Files of which it is said, for Envoy may run on another machine, and beside others."""
ADMIN = 15000
"""Where Envoy listens for its operators, in its own pod."""
NODE = "soadns"
"""What an Envoy calls itself that reads files; nobody else hears it."""
Say = Callable[[str], None]


class ExportError(Exception):
    """What soadns says is not written, or can not be; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round did."""

    steps: int
    """Files that were written or removed."""
    listeners: int
    held: int
    """Listeners that would have gone, and stay: too many at once."""
    watched: int
    """Files that an Envoy watches then."""

    def plain(self) -> dict[str, object]:
        """As data."""
        return asdict(self)

    def told(self, folder: Path) -> str:
        """For people."""
        return f"{folder} has {self.listeners} listeners; files written or removed: {self.steps}"

    @property
    def news(self) -> list[str]:
        """What people should know besides, one sentence each."""
        return _news(self)


class Export:
    """One folder."""

    def __init__(self, folder: Folder, layout: Layout, *, accept_removals: bool, envoy: str = "") -> None:
        """``envoy``: the program that has a look at what is written before; ``''``: none."""
        self._folder = folder
        self._layout = layout
        self._accept = accept_removals
        self._envoy = envoy
        self._there, self.unread = folder.read()
        self._made = Made()
        self._right: Resources | None = None
        """What was checked last, and nothing was wrong."""

    def start_with(self, node: str) -> None:
        """Write what Envoy is started with."""
        text = json.dumps(self._layout.bootstrap(node, ADMIN), indent=2) + "\n"
        file = self._folder.path / envoyfiles.BOOTSTRAP_FILE
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            self._folder.write([Write(envoyfiles.BOOTSTRAP_FILE, text)])

    def bring(self, heard: Heard) -> Outcome:
        """Write what changed of what was heard. Raises ExportError, FolderError."""
        told = self._layout.resources(heard.vips.values(), heard.speaks, heard.clusters.values(), self._made)
        held = 0 if self._accept else envoyfiles.held(self._there, told)
        if held:
            told = envoyfiles.kept(self._there, told)
        steps = envoyfiles.steps(self._there, told)
        if steps:
            self._check(told)
            self._folder.write(steps)
        self._there = told
        watched = 2 + len(told[ENDPOINTS]) + len(told[ROUTES])
        return Outcome(len(steps), len(told[LISTENERS]), held, watched)

    def _check(self, told: Resources) -> None:
        if found := envoychecks.problems(told, self._right):
            raise ExportError(f"not written, for Envoy would refuse it: {'; '.join(found[:3])}")
        self._right = told
        if self._envoy and (said := _refusal(self._envoy, told)):
            raise ExportError(f"not written, for Envoy refuses it: {said}")


def _refusal(program: str, told: Resources) -> str:
    """Why an Envoy does not take what is told; ``''`` where it does."""
    with tempfile.TemporaryDirectory(prefix="soadns-envoy-") as folder:
        file = Path(folder) / "all.json"
        file.write_text(json.dumps(envoyfiles.as_one(told)), encoding="utf-8")
        command = [program, "--mode", "validate", "--log-level", "error", "-c", str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ExportError(f"not written, for it could not be checked by {program}: {error}") from None
    if not done.returncode:
        return ""
    return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]


def once(client: Client, zone: str, export: Export) -> Outcome:
    """Write what soadns says now. Raises ClientError, ExportError, FolderError."""
    heard = Heard()
    for event in client.events("/v1/routes", _query(zone)):
        _take(heard, event.name, event.data)
        if heard.whole:
            return export.bring(heard)
    raise ClientError(f"{client.url} ended before it had told of all routes")


def follow(client: Client, zone: str, export: Export, say: Say) -> None:
    """Keep the files as soadns says, for ever. What is wrong is said once, and again when it is something else."""
    heard, last, trouble = Heard(), "", ""
    while True:
        try:
            for event in client.events("/v1/routes", _query(zone), last=last):
                _take(heard, event.name, event.data)
                last = event.id or last
                if not heard.whole:
                    continue
                done = export.bring(heard)
                news = "; ".join(done.news)
                if news != trouble:
                    say(news or "the files are up to date again")
                trouble = news
        except (ClientError, ExportError, FolderError) as error:
            if str(error) != trouble:
                say(f"the files stay as they are: {error}")
            trouble = str(error)
        time.sleep(AGAIN_S)


def _query(zone: str) -> dict[str, str]:
    return {"watch": "1", "clusters": "1", "zone": zone}


def _take(heard: Heard, name: str, data: dict[str, object]) -> None:
    if name == "unready":
        raise ClientError(str(data.get("error")))
    try:
        heard.take(name, data)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ClientError(f"what came is not understood, is soadns of another version? {error!r}") from None


def _news(done: Outcome) -> list[str]:
    """What people should know of it, one sentence each."""
    found = []
    if done.held:
        found.append(
            f"{done.held} of {done.listeners} listeners would go at once: they stay. If that is meant: "
            "soadns export envoy --accept-removals"
        )
    allowed = watchers_allowed()
    each = f"Envoy watches {done.watched} files, each by an inotify instance of its own"
    if done.watched + SPARE > allowed:
        found.append(
            f"{each}, and a user has {allowed} on this machine: without more (sysctl fs.inotify.max_user_instances) "
            "it ends at its start. --ads needs none"
        )
    elif done.watched > MANY:
        found.append(
            f"{each}, and Linux allows {BY_DEFAULT} to all Envoys of a node together: raise "
            "fs.inotify.max_user_instances where they run, or they end at their start. --ads needs none"
        )
    return found


def watchers_allowed() -> int:
    """How many inotify instances the processes of one user may have on this machine."""
    try:
        return int(Path("/proc/sys/fs/inotify/max_user_instances").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return sys.maxsize
