"""A restart with a snapshot, at the moments when it hurts most."""

from __future__ import annotations

from tests.situations.callers import observe
from tests.situations.catalogue import gray, x, y
from tests.situations.landscape import EPOCH
from tests.situations.world import World


def told(world: World, interface: str = "B") -> list[str]:
    """Transitions of one interface, as an operator reads them."""
    return [
        f"{t.when - EPOCH:.0f} {t.before} -> {t.after} ({t.why})"
        for t in world.transitions
        if t.interface.name == interface
    ]


def test_a_restart_is_no_transition() -> None:
    world = World()
    x(world)
    world.at(60, lambda: world.restart(40))
    world.run_until(300)
    assert told(world) == ["25 nothing -> home/shop/x 10.96.0.1 (choice)"]


def test_what_a_lost_session_keeps_survives_a_restart_until_the_registry_was_read() -> None:
    """Sessions lost at 100 come back at 130; B, the last, while soadns is away and its minute ends."""
    world = World()
    x(world, interfaces="ACDEB")
    gray(world)
    for seconds in (100,):
        world.at(seconds, lambda: [world.lose_session(pod, 30, spacing=8.0) for pod in world.of("X")])
    world.at(160, lambda: world.restart(40))
    suffered = observe(world, start=60, end=400)["B"]
    assert (suffered.excess, suffered.changes) == (0.0, 0), told(world)


def test_an_address_given_to_another_pod_during_a_restart_moves_no_name() -> None:
    """The cluster is read first: the dead pod's address is Z's now, its registration still in the snapshot."""
    world = World()
    y(world, 1, 5, "F", "Z")
    x(world, 1)

    def reuse() -> None:
        victim, old = world.processes[world.of("X")[0]], world.of("Z")[0]
        world.kill(victim.name, reschedule=True)
        world.at(103, lambda: world.pods("Z", 1, "F", ip=victim.ip))
        world.at(125, lambda: world.stop(old))

    world.at(100, reuse)
    world.at(117, lambda: world.restart(40))
    world.run_until(400)
    assert told(world) == ["25 nothing -> home/shop/x 10.96.0.2 (choice)"]


def test_a_process_that_still_registers_during_a_short_restart_does_not_count_against_its_interfaces() -> (
    None
):
    """Recreate of X; its pods register for eight seconds, B last; soadns is away for one of them."""
    world = World()
    x(world)
    gray(world)
    world.at(100, lambda: world.recreate("X", "ACDEB", gap=5, spacing=2.0))
    world.at(123, lambda: world.restart(1.0))
    suffered = observe(world, start=60, end=400)["B"]
    assert suffered.changes == 0, told(world)


def test_interfaces_that_are_registered_while_soadns_is_away_have_time_to_settle() -> None:
    """The pods begin to register in the pause; soadns is back before they have finished."""
    world = World()
    x(world)
    gray(world)
    world.at(100, lambda: world.recreate("X", "ACDEB", gap=5, spacing=2.0))
    world.at(115, lambda: world.restart(5.5))
    suffered = observe(world, start=60, end=400)["B"]
    assert suffered.changes == 0, told(world)


def test_a_loss_that_was_due_when_soadns_ended_is_acted_upon_when_its_sources_were_read() -> None:
    """All pods of X end at 100 and new ones never get up; at 160 a minute is over, and soadns ends."""
    world = World()
    x(world)
    gray(world)
    world.at(100, lambda: world.recreate("X", "ABCDE", gap=5, registers_after=900.0, ready_after=900.0))
    world.at(160, lambda: world.restart(40))
    world.run_until(400)
    assert told(world) == [
        "25 nothing -> home/shop/x 10.96.0.1 (choice)",
        "202 home/shop/x 10.96.0.1 -> home/shop/y 10.96.0.2 (loss)",
    ]
