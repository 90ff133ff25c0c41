"""The table of routes on its own: order of events, what a change costs, what two replicas tell each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.changelog import MOST, ChangeLog
from soadns.model import (
    InterfaceId,
    ObjectRef,
    Port,
    Service,
)
from soadns.persistence import snapshot, snapshotfile
from soadns.routemodel import Move, Place, Vip
from soadns.sidecar import routes
from soadns.sidecar.moves import joined, tells_more
from soadns.sidecar.routes import RouteTable
from soadns.sidecar.rules import plan
from tests.unit.notation import ZONE
from tests.unit.route_process import SHOP
from tests.unit.routes_notation import RouteBook
from tests.unit.table_events import INTERFACES, PORTS, REFS, Told, binding, hear, instants, table_of


@given(instants(), st.sampled_from(["closed", "open"]), st.randoms(use_true_random=False))
def test_the_order_within_an_instant_does_not_matter(
    history: list[list[Told]], missing: str, random: object
) -> None:
    other = [random.sample(batch, len(batch)) for batch in history]  # type: ignore[attr-defined]
    one, two = table_of(history, missing), table_of(other, missing)
    assert one.vips == two.vips
    assert list(one.moves) == list(two.moves)


def wires_of(table: RouteTable, interface: InterfaceId) -> tuple[str, ...]:
    """What registries say of it; () where nobody registered it."""
    return table._bound.called(interface).wires if table._bound.registered(interface) else ()


@given(instants(), st.sampled_from(["closed", "open"]))
def test_what_grew_by_single_changes_is_what_is_built_at_once(
    history: list[list[Told]], missing: str
) -> None:
    grown = table_of(history, missing)
    last = {told[1]: told for batch in history for told in batch if told[0] != "forget"}
    built = RouteTable("home", missing)
    for interface in INTERFACES:  # how callers may have called it before is remembered, as moves are
        if (bound := grown._bound.get(interface)) is not None:
            called = grown._bound.called(interface)
            built.bind(interface, replace(bound, ports=called.ports), wires_of(grown, interface))
    built.flush(0.0)
    hear(built, [told for told in last.values() if told[0] == "service"])
    for interface in INTERFACES:
        if (bound := grown._bound.get(interface)) is not None:
            built.bind(interface, bound, wires_of(grown, interface))
    built.adopt(grown.moves)
    built.flush(0.0)
    assert built.vips == grown.vips
    assert whose(built) == whose(grown)


def whose(table: RouteTable) -> object:
    """What is known of wire names besides the routes."""
    wires = table.wires
    for name, wire in wires.of.items():
        for ref in REFS:
            called = {each for each in wire.names if ref in wires.callers_of(name, each)}
            assert set(wires.callers_at(name, ref)) == called
    known = {name: (wire.variants, dict(wire.at)) for name, wire in wires.of.items()}
    unclear = [each for interface in INTERFACES for each in wires.unclear_of(interface)]
    return known, unclear, wires.unclear, wires.untold, table._ruled, table._towards


@given(instants(), st.sampled_from(["closed", "open"]))
def test_what_is_said_to_have_changed_makes_the_table(history: list[list[Told]], missing: str) -> None:
    table = RouteTable("home", missing)
    seen: dict[Place, Vip] = {}
    for number, batch in enumerate(history):
        hear(table, batch)
        for at, vip in table.flush(float(number)).items():
            assert seen.get(at) != vip
            if vip is None:
                del seen[at]
            else:
                seen[at] = vip
        assert seen == table.vips
        assert table.flush(float(number)) == {}


@given(instants(), st.sampled_from(["closed", "open"]))
def test_every_list_is_in_order_without_doubles_and_ends_with_everything_else(
    history: list[list[Told]], missing: str
) -> None:
    table = table_of(history, missing)
    for vip in table.vips.values():
        said = [(route.interface, route.group, route.version) for route in vip.routes]
        assert len(set(said)) == len(said)
        assert said[-1] == ("*", None, None)
        assert [name for name, _, _ in said[:-1]] == sorted(name for name, _, _ in said[:-1])
        for earlier, later in pairwise(said):
            if earlier[0] == later[0]:
                assert earlier[1:] != (None, None), "what any group and version matches hides what follows"
        assert table.services.holder(vip.address) == vip.service


# --------------------------------------------------------------------------- what a change costs

WORK = """
an interface more in a Service       | user     | names 1, Services 0
an interface moves                   | move     | names 1, Services 1
a Service gets a port                | port     | names 0, Services 1
an endpoint of a Service             | nothing  | names 0, Services 0
one of a moved interface's targets   | target   | names 1, Services 2
"""


@pytest.mark.parametrize("line", WORK.strip().splitlines(), ids=lambda line: line.split("|")[0].strip())
def test_a_change_touches_only_what_it_concerns(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, change, expected = (part.strip() for part in line.split("|"))
    refs = [ObjectRef("home", "shop", f"s{number}") for number in range(100)]
    table = RouteTable("home", "closed")

    def put(number: int, ports: Sequence[int] = (20880,)) -> None:
        ref = refs[number]
        found = Service(ref, "1", 1.0, cluster_ips=(f"10.96.1.{number}",), ports=tuple(map(Port, ports)))
        table.put(ref, found, f"{ref.name}.shop.svc.cluster.local")

    for number in range(100):
        put(number)
        for each in range(33):
            interface = InterfaceId(f"com.x.S{number}.I{each}")
            table.bind(interface, binding(interface, refs[number]))
    table.flush(0.0)
    moved = InterfaceId("com.x.S7.I7")
    table.bind(moved, binding(moved, refs[8]))
    table.flush(0.0)

    work: Counter[str] = Counter()
    rebuild = RouteTable._rebuild

    def planned(*arguments: object) -> object:
        work["names"] += 1
        return plan(*arguments)  # type: ignore[arg-type]

    def rebuilt(self: RouteTable, ref: ObjectRef, changed: dict[Place, Vip | None]) -> None:
        work["Services"] += 1
        rebuild(self, ref, changed)

    monkeypatch.setattr(routes, "plan", planned)
    monkeypatch.setattr(RouteTable, "_rebuild", rebuilt)
    if change == "user":
        table.bind(InterfaceId("com.x.New"), binding(InterfaceId("com.x.New"), refs[7]))
    elif change == "move":
        other = InterfaceId("com.x.S50.I1")
        table.bind(other, binding(other, refs[51]))
    elif change == "port":
        put(90, (20880, 12200))
    elif change == "target":
        put(8, (20880, 12200))
    else:
        put(90)
    table.flush(1.0)
    assert f"names {work['names']}, Services {work['Services']}" == expected


# --------------------------------------------------------------------------- moves of several replicas


def told(*rows: str) -> RouteBook:
    book = RouteBook()
    for row in rows:
        for statement in row.split(";"):
            book.say(statement.strip())
        book.flush()
    return book


def test_a_replica_that_came_later_takes_over_what_the_others_know() -> None:
    old, new = told(*SHOP), told(*SHOP[:2])
    new.say("restart lost")
    new.say("unregister com.x.User 10.1.0.1")
    new.say("synced")
    new.flush()
    new.wait(60.0)
    assert not new.routing.moves
    assert new.table.vips != old.table.vips
    new.routing.adopt(ZONE, old.routing.moves[ZONE], new.now)
    assert new.table.vips == old.table.vips


def test_moves_that_do_not_hold_are_not_taken_over() -> None:
    book = told(*SHOP)
    [right] = book.table.moves
    returned = replace(right, service=ObjectRef("home", "shop", "account"))
    unknown = replace(right, service=ObjectRef("home", "shop", "gone"))
    another = replace(right, interface=InterfaceId("com.x.Address"), addresses=("10.96.7.7",))
    book.routing.adopt(ZONE, [returned, unknown, another], book.now)
    assert list(book.table.moves) == [right]


def test_what_two_replicas_know_of_a_move_becomes_one_whatever_the_order() -> None:
    one = Move(REFS[0], INTERFACES[0], ("10.96.0.1",), PORTS[:1], ("A",), 5.0)
    other = replace(one, wires=("ctx/A",), since=9.0)
    both = replace(one, wires=("A", "ctx/A"))
    assert joined(one, other) == joined(other, one) == joined(both, one) == both
    assert tells_more(both, one)
    assert tells_more(other, one)
    assert not tells_more(one, both)
    assert not tells_more(replace(both, since=1.0), both), "its time is for people alone"


def test_moves_are_in_the_snapshot() -> None:
    moves = told(*SHOP).routing.moves
    kept = snapshotfile.decode(snapshotfile.encode(snapshot.Snapshot(1.0, moves=moves)))
    assert kept.moves == moves
    assert moves[ZONE]


# --------------------------------------------------------------------------- generations


def test_a_log_tells_what_changed_since_and_when_it_does_not_know() -> None:
    log = ChangeLog()
    for number in range(4):
        log.note(frozenset({("10.96.0.1", number)}))
    assert log.since(4) == frozenset()
    assert log.since(2) == {("10.96.0.1", 2), ("10.96.0.1", 3)}
    assert log.since(0) is not None
    log.note(frozenset(("10.96.0.2", number) for number in range(MOST)))
    assert log.since(3) is None, "what is remembered is bounded"
    assert log.since(9) is None, "from the future"
