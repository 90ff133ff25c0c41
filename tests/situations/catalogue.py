"""The situations: what happens, and what callers may suffer in it.

Each function sets a world up and schedules what happens; the table holds the limits. Times in
seconds; X is the main Service (4 pods, interfaces A-E), B the interface looked at, Y another Service,
``gray`` a Y with one pod. The rows are in the modules that ``rows`` names; ``docs/situations.md`` shows them to
operators, printed by ``python -m tests.situations``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.situations.world import READING, RECONNECT, World

Setup = Callable[[World], None]
START = 60.0
"""When callers begin to call: everything has come up by then."""
TOLERANCE = 3.0
"""Seconds of excess by which the model's own ticks and phases may differ from the table."""
PAUSE = 40.0
AWAY = PAUSE + max(RECONNECT.values()) + READING
"""How long a restart keeps soadns from seeing what happens."""
LATE = 3.0
"""Seconds by which a second replica hears of things later."""


@dataclass(frozen=True)
class Situation:
    """One row: what happens, until when it is watched, and the limits."""

    name: str
    what: str
    excess: float
    changes: int
    setup: Setup
    end: float = 1500.0
    interfaces: str = "B"
    """The interfaces looked at; the limits hold for each."""
    start: float = START
    restart: float = 112.0
    """When soadns is restarted, in the run with a restart: amid what happens."""
    remark: str = ""
    """What an operator should know of the figures."""


class Table(Protocol):
    """Adds a function that sets a world up as a row; its name is the row's."""

    def __call__(
        self,
        what: str,
        excess: float,
        changes: int,
        *,
        end: float = 1500.0,
        interfaces: str = "B",
        start: float = START,
        restart: float = 112.0,
        remark: str = "",
    ) -> Callable[[Setup], Setup]: ...


def into(rows: list[Situation]) -> Table:
    """The decorator that adds to ``rows``."""

    def situation(what: str, excess: float, changes: int, **more: Any) -> Callable[[Setup], Setup]:
        def add(setup: Setup) -> Setup:
            rows.append(Situation(setup.__name__, what, excess, changes, setup, **more))
            return setup

        return add

    return situation


def x(world: World, count: int = 4, interfaces: str = "ABCDE", **kw: object) -> None:
    world.at(10, lambda: world.service("X"))
    world.at(10, lambda: world.pods("X", count, interfaces, **kw))


def y(world: World, count: int, at: float = 11, interfaces: str = "B", name: str = "Y", **kw: object) -> None:
    namespace = str(kw.pop("namespace", "shop"))
    world.at(at, lambda: world.service(name, namespace=namespace))
    world.at(at, lambda: world.pods(name, count, interfaces, **kw))


def gray(world: World, at: float = 11) -> None:
    y(world, 1, at)


def vms(world: World, count: int, at: float = 5) -> None:
    world.at(at, lambda: world.vms(count, "B"))


def lose(w: World, names: list[str], back: float, spacing: float = 0.05) -> None:
    for name in names:
        w.lose_session(name, back, spacing=spacing)


def delete_with_pods(w: World, service: str) -> None:
    w.delete_service(service)
    for name in w.of(service):
        w.stop(name)
