"""Callers of one interface, and what they suffer."""

from __future__ import annotations

from dataclasses import dataclass

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


def observe(world: World, *, start: float, end: float, interface: str = "B") -> Suffering:
    """Run the world and its callers second by second from ``start`` to ``end``."""
    world.run_until(start)
    held = [world.answer(interface)] * PHASES
    again = [start + phase for phase in range(PHASES)]
    excess, changes, before = 0.0, 0, world.who(interface)
    moment = start
    while moment < end:
        world.run_until(moment)
        for phase in range(PHASES):
            if again[phase] <= moment:
                held[phase] = world.answer(interface)
                again[phase] = moment + (POSITIVE if held[phase] else NEGATIVE)
        direct = world.failing_direct(interface)
        cost = {addresses: world.failing(addresses, interface) for addresses in set(held)}
        excess += sum(max(0.0, cost[addresses] - direct) for addresses in held) / PHASES
        who = world.who(interface)
        changes += who != before
        before = who
        moment += 1.0
    return Suffering(round(excess, 1), changes)
