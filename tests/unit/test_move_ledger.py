"""What replicas share of moves: everybody comes to know the same, and nobody brings back what was forgotten."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from soadns.mesh import movefiles
from soadns.mesh.moveledger import HAND_OVER_S, SHARDS, SKEW_S, Entry, Fact, Ledger, fact_of, shard_of
from soadns.model import InterfaceId, ObjectRef, ServedPort
from soadns.routemodel import Move
from soadns.sidecar.moves import joined

ZONE = "rpc.test"
SERVICES = [ObjectRef("home", "shop", name) for name in ("user", "account", "pay")]
INTERFACES = [InterfaceId(f"com.x.{name}") for name in "ABCD"]
NOW = 1_800_000_000.0


def a_move(service: int = 0, interface: int = 0, since: float = NOW, *wires: str) -> Move:
    name = INTERFACES[interface].name
    ports = (ServedPort("dubbo", 20880),)
    return Move(
        SERVICES[service], INTERFACES[interface], (f"10.96.0.{service}",), ports, wires or (name,), since
    )


MOVE = a_move()
FACT = fact_of(ZONE, MOVE)


class Cluster:
    """The ConfigMaps, and who is bound where."""

    def __init__(self) -> None:
        self.shards: dict[int, tuple[int, dict[Fact, Entry]]] = {}
        self.at: dict[InterfaceId, ObjectRef | None] = dict.fromkeys(INTERFACES, SERVICES[0])
        self.now = NOW

    @property
    def facts(self) -> dict[Fact, Entry]:
        return {fact: entry for _, entries in self.shards.values() for fact, entry in entries.items()}


class Replica:
    """One of them: what it saw move, and what it was told."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.own: dict[Fact, Move] = {}
        self.saw: dict[InterfaceId, ObjectRef | None] = dict(cluster.at)
        self.restart()

    def restart(self, *, lost: bool = False) -> None:
        """With its snapshot, or without."""
        if lost:
            self.own, self.saw = {}, dict(self.cluster.at)
        self.ledger = Ledger()
        self.versions: dict[int, int] = {}
        for fact in self.own:
            self.touched(fact)

    def holds(self, fact: Fact, _: Move) -> bool:
        return self.saw[fact.interface] != fact.service

    def touched(self, fact: Fact) -> None:
        self.ledger.touched(ZONE, fact.interface, [fact])

    def look(self) -> None:
        """See where interfaces are now."""
        for interface, at in self.cluster.at.items():
            left = self.saw[interface]
            if left == at:
                continue
            if at is not None:
                self.own.pop(Fact(ZONE, at, interface), None)
                self.touched(Fact(ZONE, at, interface))
            if left is not None:
                move = a_move(SERVICES.index(left), INTERFACES.index(interface), self.cluster.now)
                self.own[fact_of(ZONE, move)] = move
                self.touched(fact_of(ZONE, move))
        self.saw = dict(self.cluster.at)

    def read(self) -> None:
        for number, (version, entries) in self.cluster.shards.items():
            if self.versions.get(number) != version:
                self.versions[number] = version
                self.take(number, entries)

    def take(self, number: int, entries: Mapping[Fact, Entry]) -> None:
        news = self.ledger.read(number, entries, self.own.get)
        for fact in news.adopt:
            if self.holds(fact, entries[fact].move):
                mine = self.own.get(fact)
                self.own[fact] = joined(mine, entries[fact].move) if mine else entries[fact].move
                self.touched(fact)
        for fact in news.forget:
            self.own.pop(fact, None)
            self.touched(fact)

    def forget(self, fact: Fact) -> None:
        if (move := self.own.pop(fact, None)) is not None:
            self.touched(fact)
            self.ledger.forget(ZONE, [move], self.cluster.now)

    def write(self, *, leads: bool) -> bool:
        """Write what is to be written, as far as nobody was faster; returns whether anything was to be."""
        whole = copy.deepcopy(self.ledger)
        for service, interface in itertools.product(SERVICES, INTERFACES):
            whole.touched(ZONE, interface, [Fact(ZONE, service, interface)])
        changes, expected = (
            ledger.changes(self.own.get, everywhere, self.holds, self.cluster.now, leads=leads)
            for ledger in (self.ledger, whole)
        )
        assert changes == expected, "a look at everything finds the same"
        assert self.ledger.next_look() == whole.next_look()
        for number, entries in changes.items():
            version, _ = self.cluster.shards.get(number, (0, {}))
            if self.versions.get(number, 0) == version:
                self.cluster.shards[number] = (version + 1, entries)
        return bool(changes)


def everywhere(_: str) -> bool:
    """Every zone is whole."""
    return True


def nowhere(_: str) -> bool:
    return False


def settle(replicas: list[Replica], leader: int) -> None:
    """Until nothing is to be written any more."""
    for _ in range(20):
        for replica in replicas:
            replica.look()
            replica.read()
        busy = [replica.write(leads=number == leader) for number, replica in enumerate(replicas)]
        replicas[0].cluster.now += HAND_OVER_S
        if not any(busy) and not any(replica.ledger.next_look() for replica in replicas):
            return
    raise AssertionError("they do not come to rest")


@pytest.mark.parametrize("seed", range(60))
def test_replicas_agree_whatever_happens(seed: int) -> None:
    draw = random.Random(seed)
    cluster = Cluster()
    replicas = [Replica(cluster) for _ in range(3)]
    expected: set[Fact] = set()
    leader = 0
    for _ in range(60):
        cluster.now += draw.uniform(0, 20)
        what = draw.choice(["move", "move", "steps", "forget", "restart", "lost", "leader", "deleted"])
        if what == "move":
            interface, to = draw.choice(INTERFACES), draw.choice([*SERVICES, None])
            left, cluster.at[interface] = cluster.at[interface], to
            if left is not None and left != to:
                expected.add(Fact(ZONE, left, interface))
            expected.discard(Fact(ZONE, to, interface)) if to is not None else None
            present = draw.sample(replicas, draw.randint(1, 3))  # others see it later, or after a restart
            for replica in present:
                replica.look()
            settle(present[:1], 0 if draw.random() < 0.5 else -1)
        elif what == "steps":
            for replica in draw.sample(replicas, 2):
                draw.choice([replica.look, replica.read, lambda r=replica: r.write(leads=False)])()
        elif what == "forget":
            settle(replicas, leader)
            if expected:
                fact = draw.choice(sorted(expected))
                draw.choice(replicas).forget(fact)
                expected.discard(fact)
        elif what == "restart":
            settle(replicas, leader)
            draw.choice(replicas).restart()
        elif what == "lost":
            settle(replicas, leader)
            replicas[leader].restart(lost=True)  # with its volume; and it leads again
        elif what == "deleted":
            settle(replicas, leader)
            for number, (version, entries) in list(cluster.shards.items()):
                # By hand; tombstones go with it, and nobody who runs needs them.
                cluster.shards[number] = (version + 1, {}) if entries else (version, entries)
        else:
            leader = draw.randrange(3)
    settle(replicas, leader)
    for replica in replicas:
        assert replica.own.keys() == expected
    assert {fact for fact, entry in cluster.facts.items() if not entry.forgotten} == expected


def told(*replicas: Replica, leader: int = 0) -> list[set[Fact]]:
    settle(list(replicas), leader)
    return [set(replica.own) for replica in replicas]


def test_what_only_a_follower_saw_is_handed_over_after_a_while() -> None:
    cluster = Cluster()
    leader, follower = Replica(cluster), Replica(cluster)
    cluster.at[INTERFACES[0]] = SERVICES[1]
    follower.look()
    leader.saw = dict(cluster.at)  # it was not there, and has no snapshot
    assert not follower.write(leads=False), "the holder may have seen it, too"
    cluster.now += HAND_OVER_S
    assert follower.ledger.next_look() == pytest.approx(cluster.now)
    assert follower.write(leads=False)
    leader.read()
    assert set(leader.own) == {FACT}


def test_what_was_forgotten_anywhere_is_forgotten_everywhere() -> None:
    cluster = Cluster()
    replicas = [Replica(cluster) for _ in range(3)]
    cluster.at[INTERFACES[0]] = SERVICES[1]
    assert told(*replicas) == [{FACT}] * 3
    away = replicas.pop()  # with a snapshot that has the move
    replicas[1].forget(FACT)
    assert replicas[1].write(leads=False), "at once, whoever leads"
    assert told(*replicas) == [set()] * 2
    away.restart()
    assert told(*replicas, away) == [set()] * 3
    assert told(*replicas, away, leader=2) == [set()] * 3, "nor when it leads"
    for to in (SERVICES[0], SERVICES[1]):  # it returns, and leaves again
        cluster.at[INTERFACES[0]] = to
        found = told(*replicas, away)
    assert found == [{FACT}] * 3


def test_what_left_again_since_it_was_forgotten_is_not_forgotten_by_who_reads_of_that_anew() -> None:
    """It returned and left while nobody could write; then a replica is started with its snapshot."""
    cluster = Cluster()
    replica = Replica(cluster)
    cluster.at[INTERFACES[0]] = SERVICES[1]
    assert told(replica) == [{FACT}]
    replica.forget(FACT)
    assert told(replica) == [set()]
    for to in (SERVICES[0], SERVICES[1]):
        cluster.now += SKEW_S
        cluster.at[INTERFACES[0]] = to
        replica.look()
    replica.restart()
    assert told(replica) == [{FACT}]
    assert not cluster.facts[FACT].forgotten


def test_nobody_forgets_because_the_configmaps_are_gone() -> None:
    cluster = Cluster()
    leader, follower = Replica(cluster), Replica(cluster)
    cluster.at[INTERFACES[0]] = SERVICES[1]
    assert told(leader, follower) == [{FACT}] * 2
    cluster.shards.clear()
    for replica in (leader, follower):
        replica.versions.clear()
        replica.take(shard_of(FACT), {})
    assert told(leader, follower) == [{FACT}] * 2
    assert set(cluster.facts) == {FACT}


def test_an_operator_is_obeyed_although_the_holder_was_just_writing() -> None:
    cluster = Cluster()
    leader, follower = Replica(cluster), Replica(cluster)
    cluster.at[INTERFACES[0]] = SERVICES[1]
    assert told(leader, follower) == [{FACT}] * 2
    leader.own[FACT] = replace(MOVE, wires=("com.x.A", "ctx/com.x.A"))  # it has learnt something
    leader.touched(FACT)
    follower.forget(FACT)
    assert follower.write(leads=False)
    assert leader.write(leads=True), "refused: it is another version by now"
    assert told(leader, follower) == [set()] * 2


def test_a_zone_that_is_not_whole_proves_nothing_and_is_left_alone() -> None:
    ledger = Ledger()
    ledger.read(shard_of(FACT), {FACT: Entry(MOVE)}, {}.get)
    own = {FACT: MOVE}
    for whole in (nowhere, everywhere, nowhere):
        ledger.touched(ZONE, FACT.interface, own)
        assert not ledger.changes(own.get, whole, lambda *_: True, NOW, leads=True)
    own.clear()
    ledger.touched(ZONE, FACT.interface, own)
    assert not ledger.changes(own.get, nowhere, lambda *_: False, NOW, leads=True)
    assert ledger.changes(own.get, everywhere, lambda *_: False, NOW, leads=True), "it is looked at then"


def test_what_does_not_hold_goes_by_the_holder_alone() -> None:
    ledger = Ledger()
    ledger.read(shard_of(FACT), {FACT: Entry(MOVE), fact_of(ZONE, a_move(0, 1)): Entry(a_move(0, 1))}, {}.get)
    held = {fact_of(ZONE, a_move(0, 1)): a_move(0, 1)}
    assert not ledger.changes(held.get, everywhere, lambda *_: False, NOW, leads=False)
    [(number, entries)] = ledger.changes(held.get, everywhere, lambda *_: False, NOW, leads=True).items()
    assert (number, set(entries)) == (shard_of(FACT), {fact_of(ZONE, a_move(0, 1))})


def test_times_alone_are_no_reason_to_write() -> None:
    ledger = Ledger()
    ledger.read(shard_of(FACT), {FACT: Entry(MOVE)}, {}.get)
    for leads in (True, False):
        mine = {FACT: replace(MOVE, since=NOW - 5)}
        ledger.touched(ZONE, FACT.interface, mine)
        assert not ledger.changes(mine.get, everywhere, lambda *_: True, NOW + 60, leads=leads)


def test_of_many_moves_those_that_changed_are_looked_at() -> None:
    """Five thousand have moved: a change of one is no reason to look at the others, whoever leads."""
    refs = [ObjectRef("home", "shop", f"service-{number}") for number in range(50)]
    moves = [replace(MOVE, service=ref, interface=InterfaceId(f"I{n}")) for ref in refs for n in range(100)]
    own = {fact_of(ZONE, move): move for move in moves}
    looks: list[Fact] = []

    def here(fact: Fact) -> Move | None:
        looks.append(fact)
        return own.get(fact)

    def changes(*, leads: bool) -> dict[int, dict[Fact, Entry]]:
        looks.clear()
        return ledger.changes(here, everywhere, lambda *_: True, NOW, leads=leads)

    ledger = Ledger()
    for fact in own:
        ledger.touched(ZONE, fact.interface, [fact])
    for number, entries in changes(leads=True).items():
        ledger.read(number, entries, {}.get)
    assert len(ledger.shared) == 5_000
    assert not changes(leads=True)
    assert not changes(leads=False)
    for leads in (False, True):
        changes(leads=leads)
        for subject in (InterfaceId("I7"), refs[3]):
            fact = Fact(ZONE, refs[3], InterfaceId("I7"))
            own[fact] = replace(own[fact], addresses=("10.96.0.1",))
            concerned = [each for each in own if subject in each]
            ledger.touched(ZONE, subject, [fact])
            changes(leads=leads)
            assert sorted(looks) == sorted(concerned)
            changes(leads=leads)
            assert looks in ([], [fact]), "what is not written yet is looked at again"


# --------------------------------------------------------------------------- as ConfigMaps


def test_what_is_written_is_read() -> None:
    odd = replace(
        a_move(1, 2, NOW + 0.25, "a.b$C", "ctx/a.b$C", "Ünïcode"),
        interface=InterfaceId("a.b$C", "blue", "1.0"),
        addresses=("10.96.0.1", "fd00::1"),
    )
    entries = {FACT: Entry(MOVE, NOW + 1), fact_of(ZONE, odd): Entry(odd)}
    made, omitted = movefiles.document("soadns", 7, entries, "12")
    assert omitted == 0
    assert made["metadata"]["resourceVersion"] == "12"
    assert movefiles.read(made) == (7, entries)
    assert movefiles.read(movefiles.document("soadns", 3, {}, "")[0]) == (3, {})


def test_a_configmap_stays_below_its_limit_and_the_oldest_facts_are_in_it() -> None:
    moves = [
        replace(MOVE, interface=InterfaceId(f"com.x.{'n' * 150}{number}"), since=NOW - number)
        for number in range(4000)
    ]
    made, omitted = movefiles.document("soadns", 0, {fact_of(ZONE, m): Entry(m) for m in moves}, "")
    [text] = made["data"].values()
    assert len(text.encode()) <= movefiles.MOST
    assert 0 < omitted < len(moves)
    read = movefiles.read(made)
    assert read is not None
    assert set(read[1]) == {fact_of(ZONE, move) for move in moves[omitted:]}


def test_all_of_a_service_are_together_and_services_are_spread() -> None:
    refs = [ObjectRef("home", "shop", f"service-{number}") for number in range(400)]
    numbers = {ref: {shard_of(Fact(ZONE, ref, i)) for i in INTERFACES} for ref in refs}
    assert all(len(found) == 1 for found in numbers.values())
    assert {n for found in numbers.values() for n in found} == set(range(SHARDS))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 1}', '{"format": 2, "moves": []}', '{"format": 1, "moves": [{}]}',
     '{"format": 1, "moves": [{"zone": "z", "service": ["a", "b"], "interface": [], "since": 1}]}',
     f'{{"format": 1, "moves": {"[" * 5000}{"]" * 5000}}}'],
)  # fmt: skip
def test_what_is_not_understood_whole_is_not_used(text: str) -> None:
    found = {"metadata": {"name": "soadns-moves-03"}, "data": {movefiles.KEY: text}}
    with pytest.raises(movefiles.NotUnderstoodError, match="soadns-moves-03"):
        movefiles.read(found)
    with pytest.raises(movefiles.NotUnderstoodError):
        movefiles.read({"metadata": {"name": "soadns-moves-03"}})


def test_numbers_that_nobody_writes_are_not_understood() -> None:
    made, _ = movefiles.document("soadns", 3, {FACT: Entry(replace(MOVE, since=7.5), 8.5)}, "")
    text = made["data"][movefiles.KEY]
    assert movefiles.read(made) is not None
    for key, written, wrongs in (
        ('"since":', "7.5", ("1e999", "-1e999", "NaN", "1" + "0" * 400, "true", '"7.5"', "null")),
        ('"forgotten":', "8.5", ("1e999", "NaN", "1" + "0" * 400, "[]")),
        ('["dubbo",', "20880", ("1e999", "1e300", "65536", "-1", "1.5", "true", '"20880"', "1" + "0" * 400)),
    ):  # fmt: skip
        assert f"{key}{written}" in text
        for wrong in wrongs:
            edited = text.replace(f"{key}{written}", f"{key}{wrong}")
            with pytest.raises(movefiles.NotUnderstoodError, match="soadns-moves-03"):
                movefiles.read({**made, "data": {movefiles.KEY: edited}})


@pytest.mark.parametrize(
    "name", ["soadns", "soadns-moves-3", "soadns-moves-xx", "soadns-moves-003", "moves-03"]
)
def test_other_configmaps_are_none_of_ours(name: str) -> None:
    assert movefiles.read({"metadata": {"name": name}, "data": {}}) is None
