"""Places that had routes once: who has them now is looked up where something changed, and nowhere else."""

from __future__ import annotations

from soadns.model import ObjectRef
from soadns.routemodel import Place, Vip
from soadns.sidecar.formerplaces import FormerPlaces

WEB = ObjectRef("home", "shop", "web")


class World:
    """Who has which place, and how often somebody asked."""

    def __init__(self) -> None:
        self.held: dict[Place, Vip] = {}
        self.asked: list[Place] = []

    def find(self, address: str, port: int) -> Vip | None:
        self.asked.append((address, port))
        return self.held.get((address, port))

    def give(self, at: Place) -> Vip:
        self.held[at] = Vip(*at, WEB, "1", "web.shop", ())
        return self.held[at]


def test_a_change_costs_a_look_at_its_own_addresses() -> None:
    world = World()
    former = FormerPlaces(world.find)
    addresses = [f"10.96.{n // 250}.{n % 250}" for n in range(1_000)]
    many: dict[Place, Vip | None] = {(address, port): None for address in addresses for port in (1, 2)}
    former.follow(many, ())
    assert former.take() == {}, "they are nobody's"
    world.asked.clear()
    taken = world.give(("10.96.1.7", 2))
    former.follow({}, {"10.96.1.7", "10.97.0.1"})
    assert sorted(world.asked) == [("10.96.1.7", 1), ("10.96.1.7", 2)]
    assert former.vips == former.take() == {("10.96.1.7", 2): taken}
    former.follow({}, {"10.96.1.7"})
    assert former.take() == {}
    world.held.clear()
    former.follow({}, {"10.96.1.7"})
    assert former.take() == {("10.96.1.7", 2): None}


def test_what_has_routes_again_is_none_of_them() -> None:
    world = World()
    former = FormerPlaces(world.find)
    at = ("10.96.0.1", 20880)
    vip = world.give(at)
    former.follow({at: None}, {"10.96.0.1"})
    assert former.take() == {at: vip}
    former.follow({at: vip}, {"10.96.0.1"})
    assert former.take() == {at: None}
    world.asked.clear()
    former.follow({}, {"10.96.0.1"})
    assert (former.vips, former.take(), world.asked) == ({}, {}, [])
