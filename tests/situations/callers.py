"""Callers of interfaces, and what they suffer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.situations.world import World

PHASES = 30
POSITIVE, NEGATIVE = 30.0, 10.0
"""Seconds until a caller resolves again after an answer, and after none (the JVM's own caches)."""


@dataclass(frozen=True)
class Suffering:
    """Per caller: seconds of full failure beyond what the registry itself would have cost."""

    excess: float
    changes: int
    """How often the name changed the Service (or the lack of one) that answers."""
    answers: tuple[float, ...]
    """When its addresses changed, those of single providers included."""


@dataclass
class Callers:
    """Thirty callers of one interface, one for each second of the caches' life."""

    interface: str
    excess: float = 0.0
    changes: int = 0
    answers: list[float] = field(default_factory=list)
    held: list[tuple[str, ...]] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    _who: str = ""
    _answer: tuple[str, ...] = ()
    _before: float = 0.0
    _rate: float = 0.0
    """What a second costs all of them while nothing happens and nobody would learn anything new."""
    _steady: bool = False
    _version: int = -1

    def begin(self, world: World) -> None:
        """All of them know the present answer; each resolves again at its own second."""
        self.held = [world.answer(self.interface)] * PHASES
        self.again = [world.now + phase for phase in range(PHASES)]
        self._who, self._answer = world.who(self.interface), world.answer(self.interface)

    def second(self, world: World) -> None:
        """One more second: resolve where it is time, call, count."""
        if not (self._steady and self._version == world.version):
            self._look(world)
        self.pass_by(1.0, world.now)

    def pass_by(self, seconds: float, now: float) -> None:
        """Seconds up to ``now`` in which nothing changes for them."""
        self.excess += self._rate * seconds
        self._before = now

    @property
    def steady(self) -> bool:
        """Whether all of them hold the present answer."""
        return self._steady

    def _look(self, world: World) -> None:
        answer = world.answer(self.interface)
        if not (self._steady and answer == self._answer):
            self._resolve(world.now, answer)
        known = {answer: PHASES} if self._steady else Counter(self.held)
        direct = world.failing_direct(self.interface)
        costs = (
            callers * max(0.0, world.failing(addresses, self.interface) - direct)
            for addresses, callers in known.items()
        )
        self._rate = sum(costs) / PHASES
        who = world.who(self.interface)
        self.changes += who != self._who
        if answer != self._answer:
            self.answers.append(world.now)
        self._who, self._answer, self._version = who, answer, world.version

    def _resolve(self, now: float, answer: tuple[str, ...]) -> None:
        for phase, held in enumerate(self.held):
            life = POSITIVE if held else NEGATIVE
            if self._steady and self.again[phase] <= self._before:
                # While nothing happened it resolved in time, to the answer that it has.
                self.again[phase] += life * (math.floor((self._before - self.again[phase]) / life) + 1)
            if self.again[phase] <= now:
                self.held[phase] = answer
                self.again[phase] = now + (POSITIVE if answer else NEGATIVE)
        self._steady = all(held == answer for held in self.held)


def observe(
    world: World, *, start: float, end: float, interfaces: Iterable[str] = "B"
) -> dict[str, Suffering]:
    """Run the world and the callers of each interface second by second from ``start`` to ``end``."""
    world.run_until(start)
    callers = [Callers(interface) for interface in interfaces]
    for group in callers:
        group.begin(world)
    moment = start
    while moment < end:
        world.run_until(moment)
        for group in callers:
            group.second(world)
        if all(group.steady for group in callers):
            quiet = math.ceil(min(world.next_happening(), end)) - 1.0
            if quiet > moment:
                for group in callers:
                    group.pass_by(quiet - moment, quiet)
                moment = quiet
        moment += 1.0
    return {
        group.interface: Suffering(round(group.excess, 1), group.changes, tuple(group.answers))
        for group in callers
    }
