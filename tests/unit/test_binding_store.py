"""Orders within one instant that once mattered, and other corners of the store."""

from __future__ import annotations

from itertools import permutations

import pytest

from soadns.binding.observations import Change
from soadns.binding.store import Store
from soadns.model import Delete, Event, InterfaceId, Override, Provider, Upsert
from tests.unit.notation import DEFAULTS, SOURCES, Notebook

ZK, KUBE = SOURCES["zookeeper"], SOURCES["kube"]
USER = Provider(ZK, InterfaceId("User"), "dubbo", "10.1.0.1", 20880)


def answers_by_order(story: str, events: list[Event], *, after: float = 0.0) -> set[tuple[str, ...]]:
    """What User is answered after a story and some events of one instant, in every order of these."""
    found = set()
    for order in permutations(events):
        notebook = Notebook()
        for statement in story.strip().split(";"):
            notebook.say(statement.strip())
        notebook.flush()
        notebook.estate.fold(list(order), notebook.now)
        notebook.work()
        notebook.wait(after)
        outcome = notebook.zone.outcomes.get(InterfaceId("User"))
        found.add(getattr(outcome, "addresses", ()))
    return found


@pytest.mark.parametrize("again", range(3))
def test_an_address_that_a_living_and_a_deleted_service_lose_at_once_has_left_the_living_one(
    again: int,
) -> None:
    names = [f"shop/{letter}{again}" for letter in "ab"]
    living, deleted = names if again % 2 else reversed(names)
    story = (
        f"zone unmapped=nxdomain; Service {living} 10.96.0.1; Service {deleted} 10.96.0.2;"
        f"pods {living} 10.1.0.1; pods {deleted} 10.1.0.1; register User 10.1.0.1"
    )
    keys = [("EndpointSlice", *name.split("/")) for name in (living, deleted)]
    notebook = Notebook()
    for statement in story.split(";"):
        notebook.say(statement.strip())
    notebook.flush()
    gone: list[Event] = [Delete(KUBE, key) for key in keys]
    notebook.estate.fold([*gone, Delete(KUBE, ("Service", *deleted.split("/")))], notebook.now)
    assert set(notebook.zone.store.departed) == {"10.1.0.1"}


def test_what_a_first_pass_reads_bit_by_bit_is_judged_once_when_it_is_over() -> None:
    """A process offers hundreds of interfaces at one address: judging it with each of them costs their square."""
    store = Store(DEFAULTS.store)
    first = frozenset({ZK})
    reviews = 0
    for number in range(200):
        value = Provider(ZK, InterfaceId(f"I{number}"), "dubbo", "10.9.0.1", 20880)
        store.apply([Change(ZK, (f"I{number}", "providers", "x"), None, value)], 1.0, first=first)
        reviews += store.sites["10.9.0.1", 20880].registered
    assert reviews == 0
    store.first_pass_over(ZK)
    store.judge(2.0)
    site = store.sites["10.9.0.1", 20880]
    assert site.settled
    assert len(site.provided) == 200
    assert all(known.outside == {"10.9.0.1": 1} for known in store.interfaces.values())


def test_an_override_and_a_changed_attribute_at_once() -> None:
    story = "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register User,Other 10.1.0.1; register User 10.9.0.1"
    notebook = Notebook()
    key = next(k for k in _keys(notebook, story) if k[0] == "User" and "10.1.0.1" in k[2])
    changed = Provider(ZK, InterfaceId("User"), "dubbo", "10.1.0.1", 20880, path="x")
    events: list[Event] = [
        Upsert(ZK, key, changed),
        Upsert(ZK, ("User", "configurators", "off"), Override(ZK, "User", "10.1.0.1")),
    ]
    assert answers_by_order(story, events) == {("10.96.0.1",)}
    assert answers_by_order(story, events, after=5.0) == {("10.9.0.1",)}


def _keys(notebook: Notebook, story: str) -> list[tuple[str, ...]]:
    for statement in story.split(";"):
        notebook.say(statement.strip())
    notebook.flush()
    return list(notebook.seen[ZK])


def test_of_two_registries_at_one_address_neither_is_first() -> None:
    second = SOURCES["second"]
    story = "zone with=second; Service shop/user 10.96.0.1; pods shop/user 10.1.0.1"
    events: list[Event] = [
        Upsert(ZK, ("User", "providers", "1"), USER),
        Upsert(second, ("User", "providers", "1"), Provider(second, *USER.identity[1:])),
        Upsert(
            ZK, ("Other", "providers", "1"), Provider(ZK, InterfaceId("Other"), "dubbo", "10.1.0.1", 20880)
        ),
    ]
    assert answers_by_order(story, events) == {("10.96.0.1",)}


def test_equal_registrations_of_one_identity_are_told_apart_by_content() -> None:
    notebook = Notebook()
    events: list[Event] = [
        Upsert(ZK, ("User", "providers", str(index)), Provider(*USER.identity, tls=bool(index)))
        for index in range(2)
    ]
    seen = set()
    for order in (events, events[::-1]):
        notebook.start(notebook.settings)
        notebook.estate.fold(order, notebook.now)
        (live,) = notebook.zone.store.interfaces[InterfaceId("User")].live.values()
        seen.add(live.provider.tls)
    assert seen == {True}


def test_a_second_look_changes_nothing_even_where_two_services_seem_to_hold_one_address() -> None:
    notebook = Notebook()
    story = "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register User 10.1.0.1; Service shop/other 10.96.0.2"
    for statement in (*story.split(";"), "after 1s", "Service shop/user 10.96.0.2 new"):
        notebook.say(statement.strip())
    for _ in range(3):
        notebook.flush()
        notebook.zone.store.dirty.add(InterfaceId("User"))
        assert notebook.check("User A 10.96.0.2", "", 0) == "User"
