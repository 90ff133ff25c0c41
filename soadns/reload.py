"""A new configuration for a running soadns: read, compared with the one in force, refused or taken.

What can not work and what would remove much by a slip is refused, and the old configuration stays in force. Taking
one means that the control process saves its state and ends; its successor reads the new one. What is in force is kept
as a copy beside the snapshot: a control process that is started again for any other reason must not fall for a file
that is being edited, or was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from soadns import composition
from soadns.config import Config
from soadns.configfile import ConfigError, parse, read
from soadns.control import Control
from soadns.logs import log
from soadns.mesh.filterwriter import SOURCE
from soadns.model import InterfaceId, ObjectRef
from soadns.removals import losses, names_concerned, standings
from soadns.routemodel import Move
from soadns.supervisor import AGAIN_STATUS
from soadns.web.operations import Operations, Refused, Reloaded

_IN_FORCE = "configuration"
"""File in the state directory."""


class Reload(Operations):
    """What operators may change in a running soadns."""

    def __init__(self, path: str, state: Path, control: Control, stopping: asyncio.Future[int]) -> None:
        self._path = path
        self._state = state
        self._control = control
        self._stopping = stopping
        self.since = control.now()

    def release(self, source: str) -> int:
        """Let the held removals of a source happen. Raises Refused for a source that is not configured."""
        mesh = self._control.mesh
        filters = [SOURCE] if mesh is not None and mesh.filters is not None else []
        known = sorted([*self._control.estate.observations.sources, *filters])
        if source not in known:
            raise Refused(f"no source {source}; known are {', '.join(known)}")
        return self._control.release(source)

    def forget(self, zone: str, service: ObjectRef, interface: InterfaceId | None) -> list[Move]:
        """Tell sidecars no longer that an interface (None: any) has left a Service. Raises Refused where none has."""
        if not (found := self._control.forget(zone, service, interface)):
            what = interface if interface is not None else "an interface"
            raise Refused(f"it is not known that {what} has left {service}; what has: soadns mesh moves")
        return found

    async def settle(self, within: float) -> str:
        """Wait until other replicas can know what was forgotten; why they can not yet, or ``''``."""
        return await self._control.settle(within)

    def by_signal(self) -> None:
        """SIGHUP."""
        with contextlib.suppress(Refused):
            self.reload(accept_removals=False)

    def reload(self, *, accept_removals: bool) -> Reloaded:
        """Read the configuration again. Raises Refused; the old one then stays in force."""
        counts = self._control.figures.reloads
        try:
            text = read(self._path)
            fresh = parse(text, where=self._path)
            composition.check_secrets(fresh, where=self._path)
        except ConfigError as error:
            counts["bad"] += 1
            log(
                "reload-refused",
                level="error",
                where=error.where,
                problems="; ".join(map(str, error.problems)),
            )
            raise Refused(f"{error}\nthe old configuration stays in force") from None
        old = self._control.config
        taken = losses(old, fresh)
        removed = [loss.what for loss in taken]
        names = names_concerned(self._control.estate.zones, taken)
        if removed and not accept_removals and self._too_many(len(names)):
            counts["refused"] += 1
            said = "; ".join(removed)
            log("reload-refused", level="error", where=self._path, removes=said, names=len(names))
            raise Refused(
                f"{self._path} would remove {said}, and with it {len(names)} names. The old configuration stays "
                "in force. If that is meant: soadns reload --accept-removals"
            )
        try:
            keep(self._state, text)
        except OSError as error:
            counts["refused"] += 1
            log("reload-refused", level="error", where=str(self._state), problems=error.strerror)
            raise Refused(f"{self._state} can not be written: {error.strerror}") from None
        counts["done"] += 1
        restart = _needs_restart(old, fresh)
        log("reloading", where=self._path, removes="; ".join(removed) or None, needs_restart=restart or None)
        if not self._stopping.done():
            self._stopping.set_result(AGAIN_STATUS)  # its successor reads what is in force by then
        return Reloaded(tuple(removed), len(names), restart)

    def _too_many(self, names: int) -> bool:
        guard = self._control.config.guard
        total = sum(1 for zone in self._control.estate.zones.values() for _ in standings(zone))
        return names >= guard.minimum and names > guard.share * total


# --------------------------------------------------------------------------- what is in force


def keep(state: Path, text: bytes) -> None:
    """Put the text of a configuration in force, for the next control process. Raises OSError."""
    fresh = state / f"{_IN_FORCE}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(text)
    fresh.replace(state / _IN_FORCE)


def in_force(state: Path, path: str) -> Config:
    """The configuration that ``keep`` has put in force, from the file at ``path``. Raises ConfigError."""
    try:
        text = (state / _IN_FORCE).read_bytes()
    except OSError:  # somebody has cleaned up
        text = read(path)
    return parse(text, where=path)


def _needs_restart(old: Config, fresh: Config) -> str:
    """Settings of the supervisor that differ: they hold from the next start of the whole process."""
    changed = []
    if old.nameserver != fresh.nameserver:
        changed.append("nameserver")
    listeners = ("listen", "probes", "livez")
    changed += [f"http.{name}" for name in listeners if getattr(old.http, name) != getattr(fresh.http, name)]
    if old.state.directory != fresh.state.directory:
        changed.append("state.directory")
    return ", ".join(changed)
