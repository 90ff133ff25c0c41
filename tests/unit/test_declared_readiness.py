"""A declaration waits for a ready endpoint, and takes the name when there is one."""

from __future__ import annotations

from tests.situations.world import World


def test_a_declared_service_without_registrations_takes_its_name_when_a_pod_becomes_ready() -> None:
    world = World()
    world.service("X")
    world.pods("X", 2, "B")
    world.run_until(60)
    world.service("Y")
    world.declare("Y", "B")
    world.pods("Y", 1, "")  # serves it by a framework that registers nowhere
    world.run_until(70)
    assert world.who() == "x ('10.96.0.1',)"  # declared, never ready yet: it waits
    world.run_until(90)
    assert world.who() == "y ('10.96.0.2',)"
