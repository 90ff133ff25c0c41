"""A control process without sources that saves what a test has it hear."""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from pathlib import Path

import pytest

from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.control import Control
from soadns.figures import Figures
from soadns.model import InterfaceId, Provider, Synced, Upsert
from soadns.persistence import saver as saver_module
from soadns.persistence.saver import Saver
from soadns.settings.config import Config
from soadns.settings.stateconfig import PeersConfig, StateConfig
from tests.unit.journals import publisher
from tests.unit.notation import NOON, SOURCES, ZONE, zone_settings
from tests.unit.waiting import soon

ZK, KUBE = SOURCES["zookeeper"], SOURCES["kube"]


class Log(list[str]):
    """Keeps the lines of a log."""

    def __call__(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.append(" ".join([event, *(f"{name}={value}" for name, value in fields.items())]))


def started(path: Path, log: Log, at: float = NOON, *, listen: str = "", **identities: str) -> Saver:
    """A control process without sources, at noon, that restores what there is."""
    estate = Estate([zone_settings({})])
    clock = Clock(wall=lambda: at, steady=lambda: 0.0)
    config = Config(state=StateConfig(peers=PeersConfig(listen=listen)))
    control = Control(config, estate, publisher(), [], figures=Figures(), log=log, clock=clock)
    return Saver(control, path, dict(identities), log=log)


def hear(saver: Saver, name: str) -> None:
    """A provider appears; both sources are in sync."""
    provider = Provider(ZK, InterfaceId(name), "dubbo", "10.9.0.1", 20880)
    control = saver._control
    control.estate.fold([Upsert(ZK, (name, "providers", "1"), provider), Synced(ZK), Synced(KUBE)], NOON)
    control.estate.work(NOON)
    control.changed.set()


def names(saver: Saver) -> list[str]:
    return sorted(i.name for i in saver._control.estate.zones[ZONE].states)


class Gate:
    """Holds a child up until it is opened: in memory that both have, for a child keeps no descriptor."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)
        self._parent = os.getpid()

    def wait(self) -> None:
        """In the child, which does not outlive its parent by that."""
        while not self.opened and os.getppid() == self._parent:
            time.sleep(0.005)

    def open(self) -> None:
        """In its parent."""
        self._shared[0] = 1

    @property
    def opened(self) -> bool:
        """Whether somebody did."""
        return bool(self._shared[0])


class Process:
    """A saver that has written a whole, how often it forked since, and what it put behind that."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(saver_module, "PAUSE_S", 0.02)
        monkeypatch.setattr(saver_module, "HURRY_S", 0.01)
        monkeypatch.setattr(saver_module, "FORK_SHARE", 1.0)
        self.path, self.log, self.forks = path, Log(), 0
        self.saver = started(path, self.log)
        self.figures = self.saver._control.figures
        fork = os.fork

        def counted() -> int:
            self.forks += 1
            return fork()

        monkeypatch.setattr(os, "fork", counted)
        hear(self.saver, "User")
        self.running = asyncio.create_task(self.saver.run())

    async def saves(self, count: int = 1) -> None:
        """It has saved so often since."""
        before = self.figures.snapshots
        await soon(lambda: self.figures.snapshots >= before + count)

    def names(self) -> list[str]:
        """What a successor begins with."""
        again = started(self.path, log := Log())
        again.restore(again.read())
        assert [line.split()[0] for line in log] == ["restored"], "all of it is whole"
        return names(again)
