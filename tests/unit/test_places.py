"""Who has a filter, and who has its rules in files, where only so many may."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import pytest

from soadns.model import ObjectRef
from soadns.sidecar.places import Claims, Places, changed
from soadns.sidecar.tiers import ALL, FOR_BALANCING, FOR_RULES, Applied, PortTier, Wishes


def ref(name: str) -> ObjectRef:
    return ObjectRef("home", "shop", name)


class Estate:
    """Claims of Services with one UID each."""

    def __init__(self, *namespaces: str, most: int = 16, most_filters: int = 16) -> None:
        self.claims = Claims("zone", Wishes(namespaces=namespaces, most=most, most_filters=most_filters))
        self._held: set[str] = set()

    def put(self, name: str, *ports: int, claim: str = FOR_BALANCING) -> None:
        """These ports would have files."""
        self.claims.put(ref(name), f"uid-{name}", [PortTier(port, 0, "", claim=claim) for port in ports])

    def want(self, names: Iterable[str], wants: str = FOR_BALANCING) -> None:
        """The first port of each would have a filter."""
        for name in names:
            self.claims.put(ref(name), f"uid-{name}", [PortTier(1, 0, "", wants=wants)])

    def hold(self, namespace: str, *names: str) -> None:
        """The first port of each has one there now, and nobody else's."""
        for name in {*self._held, *names}:
            there = frozenset({1} if name in names else ())
            files = {} if namespace == ALL else {namespace: there}
            ports = dict.fromkeys(there, 1) if namespace == ALL else {}
            self.claims.hold(f"uid-{name}", Applied(ports, files))
        self._held = set(names)

    def has(self, namespace: str = "web") -> list[str]:
        """Who has a place."""
        places = self.places()
        found = [
            f"{uid.removeprefix('uid-')}:{port}"
            for uid, of in places.of.items()
            for port in of.get(namespace, ())
        ]
        assert len(found) == places.taken[namespace]
        return sorted(found)

    def places(self) -> Places:
        return self.claims.shared_out()

    @property
    def wanting(self) -> Mapping[str, int]:
        return {where: count for where, count in self.places().wanting.items() if count}


def test_rules_first_and_then_names_whenever_they_come() -> None:
    estate = Estate("web", most=3)
    for name in ("d", "b", "c"):
        estate.put(name, 1)
    estate.put("z", 2, 1, claim=FOR_RULES)
    assert estate.has() == ["b:1", "z:1", "z:2"]
    assert estate.wanting == {"web": 2}
    estate.put("a", 1)
    assert estate.has() == ["a:1", "z:1", "z:2"], "b had no file yet"


def test_what_is_in_force_counts_though_nobody_claims_it() -> None:
    estate = Estate("web", "app", most=2)
    estate.put("a", 1, claim=FOR_RULES)
    estate.put("b", 1, claim=FOR_RULES)
    estate.hold("web", "gone", "z")
    assert estate.has() == ["gone:1", "z:1"]
    estate.hold("web", "gone", "b")
    assert estate.has() == ["b:1", "gone:1"]
    estate.hold("web", "gone")
    assert estate.has() == ["a:1", "gone:1"]
    assert estate.has("app") == ["a:1", "b:1"]


def test_more_than_are_allowed_keep_what_they_have() -> None:
    estate = Estate("web", most=1)
    for name in "abcd":
        estate.put(name, 1)
    estate.hold("web", "b", "c", "d")
    assert estate.has() == ["b:1", "c:1", "d:1"]
    assert estate.wanting == {"web": 1}


def test_the_same_is_the_very_same() -> None:
    estate = Estate("web", most=2)
    for name in "abc":
        estate.put(name, 1)
    before = estate.places()
    estate.put("a", 1)
    estate.put("d", 1)
    estate.put("c")
    estate.claims.forget(ref("d"))
    estate.put("c", 1)
    estate.hold("web", "a")
    assert estate.places() is before
    estate.claims.forget(ref("b"))
    estate.claims.forget(ref("b"))
    assert changed(before, estate.places()) == {"uid-b", "uid-c"}


def test_a_service_that_is_created_again_claims_anew() -> None:
    estate = Estate("web", most=1)
    estate.put("a", 1)
    estate.claims.put(ref("a"), "uid-new", [PortTier(1, 0, "", claim=FOR_BALANCING)])
    assert estate.has() == ["new:1"]
    estate.hold("web", "a")
    assert estate.has() == ["a:1"], "the filter of the old one is still there"


def test_a_quarter_of_the_filters_is_for_rules() -> None:
    estate = Estate(most_filters=4)
    estate.want("abcd")
    assert estate.has(ALL) == ["a:1", "b:1", "c:1"]
    estate.want("xy", FOR_RULES)
    assert estate.has(ALL) == ["a:1", "x:1", "y:1"]
    assert estate.wanting == {ALL: 3}
    estate.want("uvw", FOR_RULES)
    assert estate.has(ALL) == ["u:1", "v:1", "w:1", "x:1"]


def test_a_filter_that_is_in_force_leaves_no_room_for_rules() -> None:
    estate = Estate(most_filters=4)
    estate.want("abcd")
    estate.hold(ALL, "a", "b", "c")
    estate.want("xy", FOR_RULES)
    assert estate.has(ALL) == ["a:1", "b:1", "c:1", "x:1"]
    estate.want("a", FOR_RULES)
    assert estate.has(ALL) == ["a:1", "b:1", "c:1", "x:1"], "it has its place already"
    assert estate.wanting == {ALL: 2}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_step_by_step_is_what_follows_from_all_of_it(seed: int) -> None:
    """What is kept from step to step leads to what somebody sees who looks for the first time."""
    dice, names = random.Random(seed), "abcdefgh"
    wants: dict[str, str] = {}
    held: list[str] = []
    estate = Estate("web", most=2, most_filters=4)
    for _ in range(60):
        name, kind = dice.choice(names), dice.choice(["", FOR_RULES, FOR_BALANCING])
        if dice.random() < 0.5:
            wants[name] = kind
            estate.want(name, kind)
        elif name in held:
            held.remove(name)
        else:
            held.append(name)
        estate.hold(ALL, *held)
        anew = Estate("web", most=2, most_filters=4)
        for each, what in wants.items():
            anew.want(each, what)
        anew.hold(ALL, *held)
        if dice.random() < 0.7:  # not everybody looks after each step
            assert estate.has(ALL) == anew.has(ALL)
            assert estate.wanting == anew.wanting
            if dice.random() < 0.5:  # who has a place writes what it is for
                written = [each.partition(":")[0] for each in estate.has(ALL)]
                held = sorted({*held, *written})
                before = estate.places()
                estate.hold(ALL, *held)
                assert estate.places() is before


def test_files_and_filters_have_rooms_of_their_own() -> None:
    estate = Estate("web", most=1, most_filters=1)
    estate.put("a", 1)
    estate.want("b")
    assert (estate.has(ALL), estate.has()) == (["b:1"], ["a:1"])
    estate.claims.hold("uid-z", Applied({1: 2}, {"web": frozenset({2})}))
    assert (estate.has(ALL), estate.has()) == (["z:1"], ["z:2"])
