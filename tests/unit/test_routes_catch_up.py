"""What a snapshot brought back of many names is told to the tables bit by bit, and to nobody before it is whole."""

from __future__ import annotations

import sys

from soadns.binding.estate import Estate
from soadns.persistence import snapshot
from soadns.routing import AT_ONCE, Routing
from tests.unit.notation import ZONE
from tests.unit.routes_notation import RouteBook


def test_a_large_snapshot_is_worked_off_in_portions_and_told_when_it_is_whole() -> None:
    book = RouteBook()
    names = 4 * AT_ONCE
    for statement in (
        "Service shop/user 10.96.0.1", "pods shop/user 10.1.0.1", f"register N{{1..{names}}},Moved 10.1.0.1",
        "after 1s", "Service shop/account 10.96.0.2", "pods shop/account 10.1.0.2", "register Moved 10.1.0.2",
        "unregister Moved 10.1.0.1", "after 5s",
    ):  # fmt: skip
        book.say(statement)
    book.flush()
    kept = snapshot.capture(book.estate, book.now, identities={}, serials={}, fed={})
    estate = Estate([book.settings])
    snapshot.restore(estate, kept, book.now, identities={})
    routing = Routing(estate, "closed", "successor")
    routing.begin(book.routing.moves)
    estate.work(book.now)
    portions = 0
    while routing.pending or not portions:
        routing.follow(book.now)
        routing.announce(ZONE, book.now)
        portions += 1
        assert routing.unready(ZONE) or not routing.pending
    assert portions >= 2 * names // AT_ONCE
    assert not routing.unready(ZONE)
    assert routing.tables[ZONE].vips == book.table.vips


def test_one_name_that_changes_is_not_looked_for_where_all_names_once_waited() -> None:
    """A set keeps the room that it had, and ``pop`` searches all of that."""
    book = RouteBook()
    names = 4 * AT_ONCE
    for statement in (
        "Service shop/user 10.96.0.1", "pods shop/user 10.1.0.1", f"register N{{1..{names}}} 10.1.0.1", "after 5s",
    ):  # fmt: skip
        book.say(statement)
    waiting = book.routing._waiting[ZONE]
    assert not waiting
    assert sys.getsizeof(waiting) == sys.getsizeof(set())
