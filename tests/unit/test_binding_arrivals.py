"""The first reading of a source that a zone does not wait for is taken in whole, in portions, and in order."""

from __future__ import annotations

from soadns.binding.arrivals import PORTION
from soadns.binding.estate import Estate
from soadns.model import Delete, InterfaceId, Provider, Synced, Upsert
from tests.unit.notation import NOON, SOURCES, ZONE, zone_settings

ZK, KUBE = SOURCES["zookeeper"], SOURCES["kube"]
MANY = PORTION * 3 // 2


def _provider(number: int) -> Upsert:
    interface = InterfaceId(f"I{number % 2}")
    host = f"10.9.{number // 250}.{number % 250 + 1}"
    return Upsert(ZK, (interface.name, "providers", host), Provider(ZK, interface, "dubbo", host, 20880))


def _turns(estate: Estate) -> list[set[str]]:
    """The names published by each turn until nothing is pending."""
    turns = []
    while True:
        estate.work(NOON)
        turns.append(set(estate.zones[ZONE].take_published()))
        if not estate.pending:
            return turns


def test_names_are_decided_when_the_last_portion_is_in() -> None:
    estate = Estate([zone_settings({"optional": "zookeeper"})])
    estate.fold([Synced(KUBE)], NOON)
    for number in range(MANY):
        estate.fold([_provider(number)], NOON)
    assert _turns(estate) == [set()]
    estate.fold([Synced(ZK)], NOON)
    assert _turns(estate) == [set(), {"I0", "I1"}]
    assert len(estate.zones[ZONE].store.sites) == MANY


def test_what_changes_while_portions_are_taken_in_comes_after_them() -> None:
    estate = Estate([zone_settings({"optional": "zookeeper"})])
    first, last = _provider(0), _provider(MANY - 1)
    estate.fold([Synced(KUBE), *(_provider(number) for number in range(MANY)), Synced(ZK)], NOON)
    estate.work(NOON)
    estate.fold([Delete(ZK, first.key), Delete(ZK, last.key), _provider(MANY)], NOON)
    _turns(estate)
    assert len(estate.zones[ZONE].store.sites) == MANY - 1
    estate.fold([Delete(ZK, _provider(MANY).key)], NOON)
    assert len(estate.zones[ZONE].store.sites) == MANY - 2
