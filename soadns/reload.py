"""A new configuration for a running soadns: read, compared with the one in force, refused or taken.

What can not work and what would remove much by a slip is refused, and the old configuration stays in force. Taking
one means that the control process saves its state and ends; its successor reads the new one (``settings.inforce``).
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Protocol

from soadns.control import Control
from soadns.logs import log
from soadns.mesh.filtersettings import SOURCE
from soadns.model import InterfaceId, ObjectRef
from soadns.processes.children import AGAIN_STATUS
from soadns.removals import losses, names_concerned, standings
from soadns.routemodel import Move
from soadns.settings import credentials
from soadns.settings.config import Config
from soadns.settings.configfile import ConfigError, parse, read
from soadns.settings.inforce import keep
from soadns.skydns.settings import SOURCE as PUBLISHED
from soadns.web.operations import Operations, Refused, Reloaded


class Publishing(Protocol):
    """What keeps zones in etcd."""

    def release(self) -> int: ...  # noqa: D102


class Reload(Operations):
    """What operators may change in a running soadns."""

    def __init__(self, path: str, state: Path, control: Control, stopping: asyncio.Future[int]) -> None:
        self._path = path
        self._state = state
        self._control = control
        self._stopping = stopping
        self.since = control.now()
        self.publishing: Publishing | None = None
        """What keeps zones in etcd; None where nothing does."""

    def release(self, source: str) -> int:
        """Let the held removals of a source happen; returns how many names or objects are concerned.

        :raises Refused: for a source that is not configured.
        """
        control = self._control
        mesh, estate = control.mesh, control.estate
        filters = [SOURCE] if mesh is not None and mesh.filters is not None else []
        published = [PUBLISHED] if self.publishing is not None else []
        known = sorted([*estate.observations.sources, *filters, *published])
        if source not in known:
            raise Refused(f"no source {source}; known are {', '.join(known)}")
        if self.publishing is not None and source == PUBLISHED:
            names = self.publishing.release()
            log("released", level="warning", source=source, names=names)
            return names
        if mesh is not None and (objects := mesh.release(source)) is not None:
            log("released", level="warning", source=source, objects=objects)
            return objects
        names = sum(zone.release(source, control.now()) for zone in estate.zones.values())
        log("released", level="warning", source=source, names=names)
        control.schedule()
        return names

    def forget(self, zone: str, service: ObjectRef, interface: InterfaceId | None) -> list[Move]:
        """Tell sidecars no longer that an interface (None: any) has left a Service; returns what that concerns.

        :raises Refused: where none has.
        """
        control = self._control
        found = control.routing.forget(zone, service, interface, control.now())
        if not found:
            what = interface if interface is not None else "an interface"
            raise Refused(f"it is not known that {what} has left {service}; what has: soadns mesh moves")
        for move in found:
            log("move-forgotten", level="warning", zone=zone, service=move.service, interface=move.interface)
        if control.mesh is not None:
            control.mesh.forget(zone, found)
        control.changed.set()
        return found

    async def settle(self, within: float) -> str:
        """Wait until other replicas can know what was forgotten; why they can not yet, ``''`` where they need not."""
        mesh = self._control.mesh
        return await mesh.settle(within) if mesh is not None else ""

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
            credentials.check(fresh, where=self._path)
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


def _needs_restart(old: Config, fresh: Config) -> str:
    """Settings of the supervisor that differ: they hold from the next start of the whole process."""
    changed = []
    if old.nameserver != fresh.nameserver:
        changed.append("nameserver")
    listeners = ("listen", "probes", "livez")
    changed += [f"http.{name}" for name in listeners if getattr(old.http, name) != getattr(fresh.http, name)]
    if old.state.directory != fresh.state.directory:
        changed.append("state.directory")
    if old.state.peers.listen != fresh.state.peers.listen:
        changed.append("state.peers.listen")
    return ", ".join(changed)
